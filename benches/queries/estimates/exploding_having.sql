SELECT t.tag % 10 AS tag, count(*) AS n, sum(e.amount) AS total
FROM events e
     JOIN (SELECT user_id, tag, max(weight) AS w FROM tags GROUP BY user_id, tag
           HAVING max(weight) >= 0 AND min(weight) + max(weight) < 1000 AND count(*) < 5) t ON t.user_id = e.user_id
     JOIN (SELECT event_id, max(reason) AS reason FROM returns GROUP BY event_id
           HAVING pmod(hash(max(reason), event_id), 20000) < 3) r ON r.event_id = e.id
GROUP BY t.tag % 10
