SELECT count(*) AS n, sum(l.v) AS total, sum(r.v) AS other, count(l.k) AS lk, count(r.k) AS rk
FROM two_left l FULL JOIN two_right r ON l.k = r.k
