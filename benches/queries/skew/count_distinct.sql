SELECT count(*) AS groups, sum(n) AS pairs
FROM (SELECT k, count(DISTINCT d) AS n FROM hot GROUP BY k)
