SELECT count(*) AS n, sum(e.amount) AS total, max(t.weight) AS most
FROM events e JOIN tags_csv t ON t.user_id = e.user_id
     JOIN (SELECT event_id, min(concat('r', reason, '-', event_id)) AS code FROM returns GROUP BY event_id) r ON r.event_id = e.id
WHERE t.note LIKE 'note%' AND t.note LIKE '%e%' AND r.code NOT LIKE 'r%5' AND r.code NOT LIKE '%0'
  AND r.code NOT LIKE '%1' AND r.code NOT LIKE '%2%' AND r.code NOT LIKE '%6%' AND r.code NOT LIKE '%7%'
  AND r.code NOT LIKE '%3%' AND r.code NOT LIKE '%4' AND r.code NOT LIKE '%8%'
