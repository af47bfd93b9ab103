SELECT count(*) AS n, sum(r % 1000) AS ranks
FROM (SELECT k, row_number() OVER (ORDER BY k, v, d, s) AS r FROM hot WHERE d < 30000)
