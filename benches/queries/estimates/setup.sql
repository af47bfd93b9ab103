-- The tables of the mis-estimation suite, made in {data} with {rows} events. What is wrong with each of them is not that
-- it has no statistics, or wrong ones, but that no statistics tell what a query does to it.
CREATE TABLE events USING parquet LOCATION '{data}/events' AS
SELECT id,
       CASE WHEN pmod(hash(id, 1), 10) < 6 THEN pmod(hash(id, 2), 20) ELSE pmod(hash(id, 3), {rows} DIV 20) END AS user_id,
       pmod(hash(id, 4), 1000) AS product_id,
       pmod(hash(id, 5), 200) AS store_id,
       pmod(hash(id, 6), 365) AS day,
       pmod(hash(id, 7), 100) AS kind,
       pmod(hash(id, 7), 100) * 7 AS kind_code,
       concat('kind ', pmod(hash(id, 7), 100), ' of group ', pmod(hash(id, 7), 10)) AS kind_name,
       pmod(hash(id, 8), 10000) AS amount
FROM range({rows});

-- Country, region and language depend on each other, and the users with most events are all of one country.
CREATE TABLE users USING parquet LOCATION '{data}/users' AS
SELECT id AS user_id,
       CASE WHEN id < 20 THEN 3 ELSE pmod(hash(id, 11), 50) END AS country,
       CASE WHEN id < 20 THEN 3 ELSE pmod(hash(id, 11), 50) END DIV 5 AS region_id,
       concat('lang ', CASE WHEN id < 20 THEN 3 ELSE pmod(hash(id, 11), 50) END) AS language,
       concat('user number ', id, CASE WHEN pmod(hash(id, 12), 3) = 0 THEN ' of the old kind' ELSE '' END) AS name,
       pmod(hash(id, 13), 1000) AS score
FROM range({rows} DIV 20);

CREATE TABLE products USING parquet LOCATION '{data}/products' AS
SELECT id AS product_id, pmod(id, 40) AS category_id, pmod(id, 40) DIV 4 AS family, concat('product ', id) AS name
FROM range(1000);

CREATE TABLE stores USING parquet LOCATION '{data}/stores' AS
SELECT id AS store_id, pmod(id, 10) AS region_id, concat('store ', id) AS name FROM range(200);

CREATE TABLE categories USING parquet LOCATION '{data}/categories' AS
SELECT id AS category_id, concat('category ', id) AS name FROM range(40);

CREATE TABLE regions USING parquet LOCATION '{data}/regions' AS
SELECT id AS region_id, concat('region ', id) AS name FROM range(10);

-- Returns are about events of few kinds only.
CREATE TABLE returns USING parquet LOCATION '{data}/returns' AS
SELECT id AS event_id, pmod(hash(id, 21), 12) AS reason
FROM range({rows})
WHERE pmod(hash(id, 7), 100) < 20;

-- The users with most events have most tags too: what joins both is many times larger than the average tells.
CREATE TABLE tags USING parquet LOCATION '{data}/tags' AS
SELECT CASE WHEN id < 800 THEN pmod(id, 20) ELSE id - 800 END AS user_id,
       id DIV 20 AS tag,
       pmod(hash(id, 31), 100) AS weight,
       concat('note ', pmod(hash(id, 32), 1000)) AS note
FROM range({rows} DIV 20);

-- Files without statistics.
CREATE TABLE tags_csv USING csv OPTIONS (header 'true') LOCATION '{data}/tags_csv' AS SELECT * FROM tags;

CREATE TABLE events_csv USING csv OPTIONS (header 'true') LOCATION '{data}/events_csv' AS
SELECT id, user_id, amount FROM events WHERE id < {rows} DIV 2;

CREATE TABLE users_csv USING csv OPTIONS (header 'true') LOCATION '{data}/users_csv' AS
SELECT user_id, country, region_id, score FROM users;

CREATE TABLE returns_json USING json LOCATION '{data}/returns_json' AS
SELECT event_id, reason, concat('reason ', reason, ' of ', event_id) AS note FROM returns;
