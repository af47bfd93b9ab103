SELECT count(*) AS n, sum(e.amount + u.score) AS total
FROM events e JOIN users u ON e.user_id = u.user_id JOIN returns r ON r.event_id = e.id
WHERE length(regexp_replace(reverse(u.name), '[0-9]', '')) > 100
   OR pmod(hash(u.name, u.score), 5000) = 17
