SELECT r.reason, count(*) AS n, sum(e.amount) AS total
FROM events_csv e JOIN returns r ON r.event_id = e.id
WHERE e.amount >= 0 AND length(e.user_id) > 0
GROUP BY r.reason
