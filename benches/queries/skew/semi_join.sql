SELECT count(*) AS n, sum(v) AS total
FROM hot f WHERE EXISTS (SELECT 1 FROM dim d WHERE d.k = f.k AND d.d <> f.d)
