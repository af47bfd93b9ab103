"""Fills the expectations of .slt files from Spark: `python spark.py FILE...` (with pyspark 4.3).

Rows of `query` records, and the first line of `error` records (condition, SQLSTATE, column of the caret), are
replaced by what Spark says; see src/record.rs for the format. A record below a comment that begins with
`# ours` is kept as it is, since there we differ on purpose or the statement is none of Spark's; a file that begins
with `# ours: file` is not touched. Records with which Spark disagrees in kind (a query that fails, an error that
does not happen) are listed on standard error and kept.
"""

import glob
import logging
import os
import re
import sys

from py4j.protocol import Py4JError, Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

HERE = os.path.dirname(os.path.abspath(__file__))
KINDS = ("statement ok", "query", "query rowsort", "error", "explain")


def start():
    builder = SparkSession.builder.master("local[1]")
    settings = {
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.sql.shuffle.partitions": "2",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.files.maxPartitionBytes": "256m",
        "spark.sql.maxSinglePartitionBytes": "256m",
    }
    for key, value in settings.items():
        builder = builder.config(key, value)
    spark = builder.getOrCreate()
    spark.sparkContext.setLogLevel("OFF")
    logging.disable(logging.CRITICAL)
    return spark


def new_session(spark):
    """A session of its own, with the sample tables."""
    session = spark.newSession()
    for path in glob.glob(os.path.join(HERE, "../data/tpch-sf0.01/*.parquet")):
        session.read.parquet(path).createOrReplaceTempView(os.path.basename(path)[: -len(".parquet")])
    return session


def cell(value):
    if value is None:
        return "NULL"
    return value.replace("\n", "\\n") if value else "(empty)"


def rows(session, sql):
    frame = session.sql(sql)
    if not frame.columns:
        return []
    frame = frame.toDF(*[f"c{i}" for i in range(len(frame.columns))])
    frame = frame.select([F.col(name).cast("string") for name in frame.columns])
    return ["\t".join(cell(value) for value in row) for row in frame.collect()]


def thrown(error):
    """The exception that has the condition: an error in a task comes wrapped."""
    if isinstance(error, PySparkException):
        return error
    exception = error.java_exception
    while exception is not None:
        try:
            exception.getCondition()
            return exception
        except Py4JError:
            exception = exception.getCause()
    return None


def place(error, sql):
    """The column of the caret, `line:column` past the first line, `-` if there is none."""
    for context in error.getQueryContext() or []:
        try:
            offset = context.startIndex()
            named = context.objectName() != ""
        except (Py4JError, PySparkException, NotImplementedError):
            continue
        if offset >= 0 and not named:
            before = sql[:offset]
            line, column = before.count("\n") + 1, offset - (before.rfind("\n") + 1) + 1
            return str(column) if line == 1 else f"{line}:{column}"
    text = str(error) if isinstance(error, PySparkException) else error.getMessage()
    found = re.search(r"line (\d+),? pos (\d+)", text)
    if found:
        line, column = int(found[1]), int(found[2]) + 1
        return str(column) if line == 1 else f"{line}:{column}"
    return "-"


def describe(error, sql):
    return f"{error.getCondition()} {error.getSqlState()} {place(error, sql)}"


def fill(spark, path):
    with open(path, encoding="utf-8") as file:
        lines = file.read().split("\n")
    if lines[0].startswith("# ours: file"):
        return 0
    session = new_session(spark)
    out, at, ours, complaints = [], 0, False, 0
    while at < len(lines):
        line = lines[at]
        if line.strip() not in KINDS:
            ours = line.startswith("# ours") or (ours and line.startswith("#"))
            out.append(line)
            at += 1
            continue
        end = at
        while end < len(lines) and lines[end].strip():
            end += 1
        body = lines[at + 1 : end]
        split = body.index("----") if "----" in body else len(body)
        sql, expected = "\n".join(body[:split]), body[split + 1 :]
        kind = line.strip()
        found, problem = None, None
        if not ours and kind != "explain":
            try:
                found = rows(session, sql)
                if kind == "error":
                    problem = "it succeeds in Spark"
            except (PySparkException, Py4JJavaError) as raised:
                error = thrown(raised)
                if error is None:
                    problem = "an error without a condition: " + str(raised.java_exception.getMessage()).split("\n")[0]
                elif kind == "error":
                    found = [describe(error, sql)] + expected[1:]
                else:
                    problem = describe(error, sql) + " " + str(error).split("\n")[0]
        if problem:
            complaints += 1
            print(f"{path}:{at + 1}: {problem}\n  {sql}", file=sys.stderr)
        out += [line] + body[:split]
        if kind != "statement ok":
            out += ["----"] + (expected if problem or found is None else found)
        at, ours = end, False
    with open(path, "w", encoding="utf-8") as file:
        file.write("\n".join(out))
    return complaints


if __name__ == "__main__":
    SPARK = start()
    COMPLAINTS = sum(fill(SPARK, name) for name in sys.argv[1:])
    sys.exit(1 if COMPLAINTS else 0)
