SELECT count(*) AS n, sum(r) AS ranks
FROM (SELECT row_number() OVER (PARTITION BY k ORDER BY v, d, s) AS r FROM hot)
