SELECT u.country, count(*) AS n, sum(g.total) AS total
FROM (SELECT user_id, sum(amount) AS total, count(*) AS n FROM events GROUP BY user_id
      HAVING pmod(sum(amount), 1000) = 3) g
     JOIN users u ON u.user_id = g.user_id JOIN events e ON e.user_id = u.user_id AND e.day < 100
GROUP BY u.country
