SELECT count(*) AS groups, max(n) AS most, sum(total) AS total
FROM (SELECT k, count(*) AS n, count(DISTINCT d) AS total FROM nulls GROUP BY k)
