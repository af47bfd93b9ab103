SELECT u.country, count(*) AS n, sum(e.amount) AS total
FROM users u JOIN events e ON e.user_id = u.user_id JOIN tags t ON t.user_id = u.user_id
     JOIN (SELECT event_id FROM returns GROUP BY event_id HAVING pmod(hash(max(reason), event_id), 30000) < 5) r
       ON r.event_id = e.id
WHERE u.country = 3
GROUP BY u.country
