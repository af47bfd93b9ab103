WITH busy AS (SELECT user_id, count(*) AS n FROM events GROUP BY user_id HAVING count(*) > 1000)
SELECT u.country, count(*) AS n, sum(e.amount) AS total
FROM events e JOIN busy b ON e.user_id = b.user_id JOIN users u ON u.user_id = b.user_id
GROUP BY u.country
