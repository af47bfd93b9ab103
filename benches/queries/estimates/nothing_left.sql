SELECT u.country, count(*) AS n, sum(e.amount) AS total
FROM (SELECT event_id, max(reason) AS reason FROM returns GROUP BY event_id HAVING max(reason) > 11) r
     JOIN events e ON r.event_id = e.id JOIN users u ON u.user_id = e.user_id
GROUP BY u.country
