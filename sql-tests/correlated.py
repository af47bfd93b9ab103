#!/usr/bin/env python3
"""correlated.py N SEED OUT.slt: N random correlated queries over three small tables with NULLs and duplicates, with DuckDB's rows.

Needs the package duckdb. Every query is deterministic up to the order of rows. The rows come from DuckDB, never from Firesteel."""
import random, sys
import duckdb

N, SEED, OUT = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
R = random.Random(SEED)
COLUMNS = ["a", "b", "c"]

def table(rows):
    value = lambda top: "NULL" if R.random() < 0.18 else str(R.randint(0, top))
    return ", ".join(f"({value(4)}, {value(5)}, {value(9)})" for _ in range(rows))

TABLES = {name: table(rows) for name, rows in (("t1", 9), ("t2", 11), ("t3", 8))}

def col(aliases):
    return f"{R.choice(aliases)}.{R.choice(COLUMNS)}"

def correlation(inner, outer, depth):
    """A predicate that ties the inner table to one of the outer ones."""
    form = R.random()
    left, right = col([inner]), col(outer)
    if form < 0.5:
        return f"{left} = {right}"
    if form < 0.62:
        return f"{left} {R.choice(['<', '<=', '>', '<>'])} {right}"
    if form < 0.72:
        return f"{left} = {right} AND {col([inner])} {R.choice(['<', '>', '<>'])} {col(outer)}"
    if form < 0.82:
        return f"{left} = {right} + {R.randint(0, 2)}"
    if form < 0.9:
        return f"({left} = {right} OR {col([inner])} = {R.randint(0, 4)})"
    return f"{left} = {right} AND {col([inner])} IS NOT NULL"

class Gen:
    def __init__(self):
        self.n = 0

    def alias(self):
        self.n += 1
        return f"x{self.n}"

    def inner(self, outer, depth):
        """FROM and WHERE of a subquery, and the aliases that it makes."""
        alias = self.alias()
        source = f"{R.choice(list(TABLES))} {alias}"
        aliases = [alias]
        where = [correlation(alias, outer, depth)]
        if R.random() < 0.2:
            other = self.alias()
            source += f" JOIN {R.choice(list(TABLES))} {other} ON {other}.a = {alias}.a"
            aliases.append(other)
        if R.random() < 0.35:
            where.append(f"{col(aliases)} {R.choice(['<', '>', '=', '<>'])} {R.randint(0, 6)}")
        if depth > 0 and R.random() < 0.45:
            where.append(self.predicate(aliases + outer, aliases, depth - 1))
        return source, " AND ".join(where), aliases

    def scalar(self, outer, depth):
        source, where, aliases = self.inner(outer, depth)
        call = R.choice(["count(*)", f"sum({col(aliases)})", f"max({col(aliases)})", f"min({col(aliases)})",
                         f"count({col(aliases)})", f"count(DISTINCT {col(aliases)})", f"coalesce(sum({col(aliases)}), 0) + 1"])
        return f"(SELECT {call} FROM {source} WHERE {where})"

    def values(self, outer, depth):
        """A subquery of one column and any number of rows."""
        source, where, aliases = self.inner(outer, depth)
        form = R.random()
        if form < 0.6:
            return f"(SELECT {col(aliases)} FROM {source} WHERE {where})"
        if form < 0.75:
            key = col(aliases)
            return f"(SELECT {key} FROM {source} WHERE {where} GROUP BY {key} HAVING count(*) > {R.randint(0, 1)})"
        if form < 0.9:
            return f"(SELECT DISTINCT {col(aliases)} FROM {source} WHERE {where})"
        other = self.alias()
        return (f"(SELECT {col(aliases)} FROM {source} WHERE {where} UNION ALL "
                f"SELECT {other}.b FROM {R.choice(list(TABLES))} {other} WHERE {correlation(other, outer, 0)})")

    def predicate(self, outer, own, depth):
        form = R.random()
        if form < 0.3:
            source, where, _ = self.inner(outer, depth)
            return f"{R.choice(['', 'NOT '])}EXISTS (SELECT 1 FROM {source} WHERE {where})"
        if form < 0.6:
            return f"{col(own)} {R.choice(['', 'NOT '])}IN {self.values(outer, depth)}"
        if form < 0.9:
            return f"{col(own)} {R.choice(['<', '<=', '>', '=', '<>'])} {self.scalar(outer, depth)}"
        return f"({self.predicate(outer, own, 0)} OR {col(own)} = {R.randint(0, 4)})"

    def query(self):
        outer = ["o"]
        form = R.random()
        table = R.choice(list(TABLES))
        if form < 0.6:
            return f"SELECT o.a, o.b, o.c FROM {table} o WHERE {self.predicate(outer, outer, 2)}"
        if form < 0.75:
            return f"SELECT o.a, o.c, {self.scalar(outer, 1)} AS s FROM {table} o"
        if form < 0.85:
            return f"SELECT o.a, {self.predicate(outer, outer, 1)} AS p FROM {table} o"
        if form < 0.93:
            return f"SELECT o.a, count(*) AS n FROM {table} o WHERE {self.predicate(outer, outer, 1)} GROUP BY o.a"
        return (f"SELECT o.b, CASE WHEN {self.predicate(outer, outer, 0)} THEN {self.scalar(outer, 0)} ELSE -1 END AS s "
                f"FROM {table} o WHERE {self.predicate(outer, outer, 0)}")

def text(value):
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)

db = duckdb.connect()
for name, rows in TABLES.items():
    db.execute(f"CREATE TABLE {name} AS SELECT * FROM (VALUES {rows}) AS v(a, b, c)")
with open(OUT, "w") as out:
    out.write(f"# {N} random correlated queries; rows from DuckDB. Made by correlated.py {N} {SEED}.\n\n")
    for name, rows in TABLES.items():
        out.write(f"statement ok\nCREATE OR REPLACE TEMP VIEW {name} AS SELECT * FROM VALUES {rows} AS v(a, b, c)\n\n")
    done = 0
    while done < N:
        sql = Gen().query()
        try:
            rows = db.execute(sql).fetchall()
        except duckdb.Error:
            continue
        out.write(f"query rowsort\n{sql}\n----\n")
        for row in rows:
            out.write("\t".join(text(v) for v in row) + "\n")
        out.write("\n")
        done += 1
