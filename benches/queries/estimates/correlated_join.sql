SELECT p.family, count(*) AS n, sum(e.amount) AS total
FROM users u JOIN events e ON e.user_id = u.user_id JOIN returns r ON r.event_id = e.id
     JOIN products p ON p.product_id = e.product_id
WHERE u.score < 100 AND u.country = 3
GROUP BY p.family
