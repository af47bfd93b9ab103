SELECT c.name, count(*) AS n, sum(e.amount) AS total
FROM events e
     JOIN (SELECT user_id, tag, count(*) AS n FROM tags GROUP BY user_id, tag
           HAVING count(*) < 10 AND max(weight) >= 0 AND min(weight) < 1000) t ON t.user_id = e.user_id
     JOIN (SELECT event_id FROM returns GROUP BY event_id HAVING pmod(hash(max(reason), event_id), 30000) < 5) r
       ON r.event_id = e.id
     JOIN products p ON p.product_id = e.product_id JOIN categories c ON c.category_id = p.category_id
     JOIN stores s ON s.store_id = e.store_id
WHERE s.region_id < 9
GROUP BY c.name
