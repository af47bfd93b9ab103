SELECT count(*) AS n, sum(f.v2 + d.v) AS total
FROM (SELECT k, v * 2 AS v2 FROM hot) f JOIN (SELECT k, v FROM dim WHERE v < 900) d ON f.k = d.k
WHERE f.v2 > d.v
