SELECT d.v % 100 AS g, count(*) AS n, sum(f.v) AS total
FROM hot f JOIN dim d ON f.k = d.k
GROUP BY d.v % 100
