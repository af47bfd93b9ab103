SELECT s.name, count(*) AS n, sum(x.amount) AS total
FROM (SELECT e.id, e.store_id, e.amount FROM events e JOIN users u ON e.user_id = u.user_id
      WHERE pmod(e.amount * 31 + u.score, 997) = 5) x
     JOIN returns r ON r.event_id = x.id JOIN stores s ON s.store_id = x.store_id
GROUP BY s.name
