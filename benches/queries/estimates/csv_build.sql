SELECT u.country, count(*) AS n, sum(e.amount) AS total
FROM events e JOIN users_csv u ON e.user_id = u.user_id JOIN returns r ON r.event_id = e.id
WHERE u.score = 17
GROUP BY u.country
