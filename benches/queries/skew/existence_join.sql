SELECT count(*) AS n, sum(v) AS total
FROM hot f WHERE f.v < 10 OR EXISTS (SELECT 1 FROM dim d WHERE d.k = f.k AND d.d <> f.d)
