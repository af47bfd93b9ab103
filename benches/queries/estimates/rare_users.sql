WITH rare AS (SELECT user_id, count(*) AS n FROM events GROUP BY user_id HAVING count(*) < 4)
SELECT u.country, count(*) AS n, sum(e.amount) AS total
FROM events e JOIN rare b ON e.user_id = b.user_id JOIN users u ON u.user_id = b.user_id
     JOIN returns r ON r.event_id = e.id
GROUP BY u.country
