SELECT count(*) AS n, count(d.k) AS matched, sum(f.v) AS total, sum(d.v) AS other
FROM hot f LEFT JOIN (SELECT k, v FROM dim WHERE v < 500) d ON f.k = d.k
