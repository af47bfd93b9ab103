SELECT a.v % 100 AS g, count(*) AS n, sum(f.v + b.v) AS total
FROM hot f JOIN dim a ON f.k = a.k LEFT JOIN (SELECT k, v FROM dim WHERE v < 300) b ON f.k = b.k
GROUP BY a.v % 100
