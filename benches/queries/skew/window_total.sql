SELECT count(*) AS n, sum(total % 1000) AS total
FROM (SELECT v, sum(v) OVER (PARTITION BY k) AS total FROM hot)
