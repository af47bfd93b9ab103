SELECT count(*) AS n, count(f.k) AS l, count(d.k) AS r, sum(f.v) AS total, sum(d.v) AS other
FROM hot f FULL JOIN (SELECT k, v FROM dim WHERE v < 500) d ON f.k = d.k
