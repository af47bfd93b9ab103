"""Runs queries in a peer engine for `firesteel-bench peers`.

One JSON value per line. The first line in says what to open: {"engine", "threads", "memory", "tables": [{"name", "path"}]};
the answer is {"version", "ms"} or {"error", "missing"}. Then {"sql", "cells"} in, {"ms", "cpu_ms", "rows", "rss"} or
{"error"} out; with "cells", also the rows as text, NULL as "NULL". A result counts when all of it is in Arrow memory.
"""
import json
import os
import sys
import time

# Whatever a library prints must not get between the answers.
answers = os.fdopen(os.dup(1), "w", buffering=1)
os.dup2(2, 1)


class DuckDB:
    def __init__(self, config):
        import duckdb
        import pyarrow  # noqa: F401  (results are fetched to it)

        self.version = duckdb.__version__
        self.connection = duckdb.connect()
        self.connection.execute(f"SET threads = {int(config['threads'])}")
        self.connection.execute("SET enable_progress_bar = false")
        if config["memory"]:
            self.connection.execute(f"SET memory_limit = '{int(config['memory'])}B'")
        for table in config["tables"]:
            path = table["path"]
            files = os.path.join(path, "*.parquet") if os.path.isdir(path) else path
            source = files.replace("'", "''")
            name = table["name"].replace('"', '""')
            self.connection.execute(f"CREATE VIEW \"{name}\" AS SELECT * FROM read_parquet('{source}')")

    def run(self, sql):
        # The way that does not copy the rows once more; its older name is deprecated in newer versions.
        result = self.connection.sql(sql)
        return result.to_arrow_table() if hasattr(result, "to_arrow_table") else result.fetch_arrow_table()


class DataFusion:
    def __init__(self, config):
        import datafusion
        import pyarrow  # noqa: F401

        self.version = datafusion.__version__
        settings = datafusion.SessionConfig().with_target_partitions(int(config["threads"]))
        runtime = datafusion.RuntimeEnvBuilder().with_disk_manager_os()
        if config["memory"]:
            runtime = runtime.with_fair_spill_pool(int(config["memory"]))
        self.context = datafusion.SessionContext(settings, runtime)
        for table in config["tables"]:
            path = table["path"]
            self.context.register_parquet(table["name"], path + "/" if os.path.isdir(path) else path)

    def run(self, sql):
        return self.context.sql(sql).to_arrow_table()


def peak_memory():
    try:
        with open("/proc/self/status") as status:
            for line in status:
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return None


def reset_peak_memory():
    try:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
    except OSError:
        pass


def text(value):
    if value is None:
        return "NULL"
    return format(value, "f") if type(value).__name__ == "Decimal" else str(value)


def cells(table):
    columns = [column.to_pylist() for column in table.columns]
    return [[text(value) for value in row] for row in zip(*columns)]


def answer(engine, request):
    reset_peak_memory()
    cpu, start = time.process_time(), time.perf_counter()
    table = engine.run(request["sql"])
    elapsed = time.perf_counter() - start
    reply = {
        "ms": elapsed * 1e3,
        "cpu_ms": (time.process_time() - cpu) * 1e3,
        "rows": table.num_rows,
        "rss": peak_memory(),
    }
    if request.get("cells"):
        reply["cells"] = cells(table)
    return reply


def main():
    def send(value):
        answers.write(json.dumps(value) + "\n")

    config = json.loads(sys.stdin.readline())
    start = time.perf_counter()
    try:
        engine = {"duckdb": DuckDB, "datafusion": DataFusion}[config["engine"]](config)
    except ImportError as error:
        return send({"error": str(error), "missing": error.name or config["engine"]})
    except Exception as error:
        return send({"error": f"{type(error).__name__}: {error}"})
    send({"version": engine.version, "ms": (time.perf_counter() - start) * 1e3})
    for line in sys.stdin:
        try:
            send(answer(engine, json.loads(line)))
        except BaseException as error:  # panics of engines are no Exception
            send({"error": f"{type(error).__name__}: {error}"[:2000]})


main()
