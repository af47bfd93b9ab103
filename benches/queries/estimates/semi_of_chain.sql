SELECT count(*) AS n, sum(amount) AS total FROM events e
WHERE e.user_id IN (SELECT u.user_id FROM users u JOIN regions g ON g.region_id = u.region_id
                    WHERE g.name LIKE '%7' AND pmod(hash(u.name), 50) = 3)
  AND EXISTS (SELECT 1 FROM returns r WHERE r.event_id = e.id AND r.reason = e.kind % 12)
