SELECT count(*) AS n, sum(v) AS total
FROM hot f WHERE NOT EXISTS (SELECT 1 FROM dim d WHERE d.k = f.k AND d.v < 500 AND d.d <> f.d)
