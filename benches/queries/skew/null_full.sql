SELECT count(*) AS n, count(f.k) AS l, count(d.k) AS r, sum(f.v) AS total, sum(d.v) AS other
FROM nulls f FULL JOIN dim d ON f.k = d.k
