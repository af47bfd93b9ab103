SELECT count(*) AS n, sum(e.amount) AS total, count(r.reason) AS returned, count(c.name) AS categories
FROM (SELECT * FROM events WHERE pmod(hash(kind_name, amount), 400) = 9) e
     LEFT JOIN returns r ON r.event_id = e.id LEFT JOIN users u ON u.user_id = e.user_id
     LEFT JOIN products p ON p.product_id = e.product_id LEFT JOIN categories c ON c.category_id = p.category_id
     LEFT JOIN stores s ON s.store_id = e.store_id
