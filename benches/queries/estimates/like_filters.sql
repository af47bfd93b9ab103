SELECT count(*) AS n, sum(e.amount) AS total
FROM events e JOIN users u ON e.user_id = u.user_id JOIN returns r ON r.event_id = e.id
WHERE u.name LIKE '%old%' AND u.name LIKE '%kind%' AND e.kind_name LIKE '%group 1%' AND e.kind_name NOT LIKE '%kind 1%'
