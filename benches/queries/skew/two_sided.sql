SELECT count(*) AS n, sum(l.v + r.v) AS total, max(l.d - r.d) AS most
FROM two_left l JOIN two_right r ON l.k = r.k
