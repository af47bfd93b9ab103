SELECT count(*) AS n, count(f.k) AS matched, sum(f.v) AS total, sum(d.v) AS other
FROM (SELECT k, v FROM hot WHERE d < 50000) f RIGHT JOIN dim d ON f.k = d.k
