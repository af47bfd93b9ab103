SELECT count(*) AS groups, max(n) AS most, sum(total) AS total, min(first) AS first
FROM (SELECT k, count(*) AS n, sum(v) AS total, min(s) AS first FROM block GROUP BY k)
