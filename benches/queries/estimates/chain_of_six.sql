SELECT c.name, count(*) AS n, sum(e.amount) AS total
FROM events e JOIN returns r ON r.event_id = e.id JOIN users u ON u.user_id = e.user_id
     JOIN products p ON p.product_id = e.product_id JOIN categories c ON c.category_id = p.category_id
     JOIN stores s ON s.store_id = e.store_id
WHERE p.family = 2 AND c.name LIKE 'category 1%' AND pmod(hash(p.name), 7) = 1 AND u.country = 4 AND s.region_id = 3
GROUP BY c.name
