SELECT t.tag % 10 AS tag, count(*) AS n, sum(e.amount) AS total
FROM events e JOIN tags_csv t ON t.user_id = e.user_id JOIN returns_json r ON r.event_id = e.id
WHERE t.weight < 1000 AND t.tag >= 0 AND length(t.note) > 3 AND r.note LIKE 'reason 11 of 77%'
GROUP BY t.tag % 10
