SELECT count(*) AS groups, sum(total) AS total, max(n) AS most
FROM (SELECT k, v % 10 AS w, count(*) AS n, sum(d) AS total FROM zipf GROUP BY k, v % 10)
