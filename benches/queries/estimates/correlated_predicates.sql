SELECT u.country, count(*) AS n, sum(e.amount) AS total
FROM events e JOIN users u ON e.user_id = u.user_id JOIN returns r ON r.event_id = e.id
WHERE e.kind = 7 AND e.kind_code = 49 AND e.kind_name = 'kind 7 of group 7'
  AND u.country = 3 AND u.region_id = 0 AND u.language = 'lang 3'
GROUP BY u.country
