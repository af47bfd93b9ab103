SELECT count(*) AS n, count(d.k) AS matched, sum(f.v) AS total, sum(d.v) AS other
FROM nulls f LEFT JOIN dim d ON f.k = d.k
