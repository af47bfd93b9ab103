SELECT r.reason, p.family, count(*) AS n
FROM returns_json r JOIN events e ON r.event_id = e.id JOIN products p ON p.product_id = e.product_id
WHERE p.category_id = 11 AND p.family = 2 AND r.reason < 3
GROUP BY r.reason, p.family
