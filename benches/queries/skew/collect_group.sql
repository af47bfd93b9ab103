SELECT count(*) AS groups, sum(n) AS total
FROM (SELECT k, percentile(v, 0.5) AS p, count(*) AS n FROM hot GROUP BY k)
WHERE p >= 0
