SELECT t.what, count(*) AS n, sum(e.amount) AS total
FROM (SELECT event_id, 'returned' AS what FROM returns WHERE pmod(hash(event_id, 5), 300) = 1
      UNION ALL SELECT id, 'large' FROM events WHERE amount + kind > 10090) t
     JOIN events e ON e.id = t.event_id JOIN users u ON u.user_id = e.user_id
GROUP BY t.what
