//! The binary from outside: streams, exit codes, formats, pipes.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Output, Stdio};

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_firesteel"));
    command.args(args).args(["--threads", "2"]).stdin(Stdio::null());
    command
}

fn run(args: &[&str]) -> Output {
    command(args).output().unwrap()
}

fn run_with_input(args: &[&str], input: &str) -> Output {
    let mut child = piped(args);
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn piped(args: &[&str]) -> Child {
    let mut command = command(args);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[track_caller]
fn check(output: &Output, code: i32, stdout: &str) {
    let actual = (output.status.code(), text(&output.stdout));
    assert_eq!(actual, (Some(code), stdout), "standard error: {}", text(&output.stderr));
}

const VALUES: &str = "SELECT * FROM VALUES (1, 2.50, 'x,\"y', true), (NULL, -0.10, '', NULL) AS t(a, `b c`, s, t)";

#[test]
fn csv_tells_null_from_the_empty_string() {
    check(&run(&["--format", "csv", "-c", VALUES]), 0, "a,b c,s,t\n1,2.50,\"x,\"\"y\",true\n,-0.10,\"\",\n");
}

#[test]
fn formats() {
    for (format, expected) in [
        ("tsv", "a\tb c\ts\tt\n1\t2.50\tx,\"y\ttrue\n\\N\t-0.10\t\t\\N\n"),
        (
            "json",
            "[\n {\"a\":1,\"b c\":2.50,\"s\":\"x,\\\"y\",\"t\":true},\n {\"a\":null,\"b c\":-0.10,\"s\":\"\",\"t\":null}\n]\n",
        ),
        (
            "ndjson",
            "{\"a\":1,\"b c\":2.50,\"s\":\"x,\\\"y\",\"t\":true}\n{\"a\":null,\"b c\":-0.10,\"s\":\"\",\"t\":null}\n",
        ),
        (
            "markdown",
            "| a | b c | s | t |\n|---:|---:|---|---|\n| 1 | 2.50 | x,\"y | true |\n| NULL | -0.10 |  | NULL |\n",
        ),
        (
            "vertical",
            "-[ RECORD 1 ]----\na   | 1\nb c | 2.50\ns   | x,\"y\nt   | true\n\
             -[ RECORD 2 ]----\na   | NULL\nb c | -0.10\ns   | \nt   | NULL\n",
        ),
        (
            "table",
            "╭──────┬──────────────┬────────┬─────────╮\n\
             │    a │          b c │ s      │ t       │\n\
             │  int │ decimal(3,2) │ string │ boolean │\n\
             ├──────┼──────────────┼────────┼─────────┤\n\
             │    1 │         2.50 │ x,\"y   │ true    │\n\
             │ NULL │        -0.10 │        │ NULL    │\n\
             ╰──────┴──────────────┴────────┴─────────╯\n",
        ),
    ] {
        check(&run(&["--format", format, "-c", VALUES]), 0, expected);
    }
}

#[test]
fn results_without_rows() {
    let none = "SELECT 1 AS a WHERE false";
    check(&run(&["--format", "csv", "-c", none]), 0, "a\n");
    check(&run(&["--format", "json", "-c", none]), 0, "[]\n");
    check(&run(&["--format", "ndjson", "-c", none]), 0, "");
    check(&run(&["--format", "csv", "-c", "CREATE TEMP VIEW v AS SELECT 1; DROP VIEW v"]), 0, "");
}

#[test]
fn the_first_error_stops() {
    let output = run(&["--format", "csv", "-c", "SELECT 1 AS a; SELECT 1/0; SELECT 2 AS a"]);
    check(&output, 1, "a\n1\n");
    let message = text(&output.stderr);
    assert!(message.contains("[DIVIDE_BY_ZERO]") && message.contains("SQLSTATE: 22012"), "{message}");
    assert!(message.contains("^^^"), "{message}");
}

#[test]
fn a_script_can_go_on_after_errors() {
    let sql = "SELECT nope; SELECT 2 AS a";
    check(&run(&["--format", "csv", "--continue-on-error", "-c", sql]), 1, "a\n2\n");
    let output = run_with_input(&["--format", "csv", "--continue-on-error"], sql);
    check(&output, 1, "a\n2\n");
}

#[test]
fn statements_and_files_run_in_their_order() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("two.sql");
    std::fs::write(&file, "#!/usr/bin/env -S firesteel -f\n-- of a file\nSELECT 2 AS a; -- the end\n").unwrap();
    let file = file.to_str().unwrap();
    let args = ["--format", "csv", "-e", "SELECT 1 AS a", "-f", file, "-c", "SELECT 3 AS a"];
    check(&run(&args), 0, "a\n1\na\n2\na\n3\n");
    check(&run(&["-f", "/nowhere/x.sql"]), 1, "");
    check(&run_with_input(&["--format", "csv", "-f", "-"], "SELECT 4 AS a"), 0, "a\n4\n");
}

#[test]
fn another_program_can_drive_it() {
    let mut child = piped(&["--format", "csv", "--continue-on-error"]);
    let (mut input, mut lines) =
        (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok));
    // Each answer is read before the next statement is sent; a statement ends with its semicolon, not its line.
    for (sent, expected) in [
        ("CREATE TEMP VIEW v AS SELECT 7 AS seven;\nSELECT * FROM v;", vec!["seven", "7"]),
        ("SELECT ';' AS ", vec![]),
        ("semi;", vec!["semi", ";"]),
        ("SELECT broken;SELECT 1 AS a;\n", vec!["a", "1"]),
    ] {
        input.write_all(sent.as_bytes()).unwrap();
        input.flush().unwrap();
        for line in expected {
            assert_eq!(lines.next().as_deref(), Some(line), "after {sent}");
        }
    }
    drop(input);
    assert_eq!(lines.next(), None);
    assert_eq!(child.wait().unwrap().code(), Some(1));
}

#[test]
fn sample_tables_are_there_from_anywhere() {
    let folder = tempfile::tempdir().unwrap();
    let count = |sql: &str| command(&["--format", "csv", "-c", sql]).current_dir(folder.path()).output().unwrap();
    let joined = "SELECT count(*) AS n FROM nation JOIN region ON n_regionkey = r_regionkey";
    check(&count(joined), 0, "n\n25\n");
    check(&count("CREATE TEMP VIEW v AS SELECT * FROM Region; SELECT count(*) AS n FROM v"), 0, "n\n5\n");
    let tables = count(".tables");
    assert_eq!(text(&tables.stdout).lines().count(), 9, "{}", text(&tables.stdout));
    // The user's own table wins, before and after the sample was read.
    let own = "CREATE OR REPLACE TEMP VIEW region AS SELECT 1 AS mine; SELECT * FROM region";
    check(&count(own), 0, "mine\n1\n");
    let listed = format!("{own}; SHOW TABLES LIKE 'nation'; SELECT * FROM region");
    assert!(text(&count(&listed).stdout).ends_with("mine\n1\n"));
    check(&count("SELECT * FROM nations"), 1, "");
}

#[test]
fn sample_tables_give_way_to_created_ones() {
    let folder = tempfile::tempdir().unwrap();
    let create = format!(
        "CREATE TABLE region USING parquet LOCATION '{}' AS SELECT 1 AS mine",
        folder.path().join("mine").display()
    );
    let count = "SELECT count(*) AS n FROM region";
    // The sample table has been used before, and comes back afterwards.
    let sql = format!("{count}; {create}; {count}; INSERT INTO region SELECT 2; {count}; DROP TABLE region; {count}");
    check(&run(&["--format", "csv", "-c", &sql]), 0, "n\n5\nn\n1\nn\n2\nn\n5\n");
    let again = create.split(" AS ").next().unwrap();
    let sql = format!("SHOW TABLES LIKE 'x'; {again}; {again}");
    let output = run(&["--format", "csv", "-c", &sql]);
    assert!(text(&output.stderr).contains("[TABLE_OR_VIEW_ALREADY_EXISTS]"), "{}", text(&output.stderr));
}

#[test]
fn bytes_are_hexadecimal_digits() {
    let sql = "SELECT X'00CAFE' AS b, X'' AS e";
    check(&run(&["--format", "csv", "-c", sql]), 0, "b,e\n00CAFE,\"\"\n");
    check(&run(&["--format", "ndjson", "-c", sql]), 0, "{\"b\":\"00CAFE\",\"e\":\"\"}\n");
}

#[test]
fn a_setting_that_does_nothing_is_warned_of() {
    let output = run(&["--conf", "spark.one=1", "--format", "csv", "-c", "SET spark.two = 2"]);
    check(&output, 0, "key,value\nspark.two,2\n");
    let message = text(&output.stderr);
    assert!(message.contains("spark.one has no effect") && message.contains("spark.two has no effect"), "{message}");
}

#[test]
fn files_become_tables() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("my-people.csv"), "name,age\nAda,36\nBob,\n").unwrap();
    std::fs::write(folder.path().join("events.ndjson"), "{\"n\": 1}\n{\"n\": 2}\n").unwrap();
    let args = ["my-people.csv", "events.ndjson", "--format", "csv", "-c", "SELECT *, age + 1 AS next FROM my_people"];
    let run = |args: &[&str]| command(args).current_dir(folder.path()).output().unwrap();
    check(&run(&args), 0, "name,age,next\nAda,36,37\nBob,,\n");
    check(&run(&["events.ndjson", "--format", "csv", "-c", "SELECT sum(n) AS s FROM events"]), 0, "s\n3\n");
    let output = run(&["events.ndjson", "-c", "SELECT * FROM nation"]);
    check(&output, 1, "");
    assert!(text(&output.stderr).contains("[TABLE_OR_VIEW_NOT_FOUND]"));
    check(&run(&["nothing.csv", "-c", "SELECT 1"]), 1, "");
}

#[test]
fn commands_of_the_shell_work_in_scripts() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out.csv");
    let script = format!(
        ".mode csv\nSELECT 1 AS a;\n\\o '{0}'\nSELECT 2 AS a;\n.output\n\\x\nSELECT 3 AS a;\n.read /nowhere\n.quit\nSELECT 4;",
        out.display()
    );
    let output = run_with_input(&["--continue-on-error"], &script);
    check(&output, 1, "a\n1\n-[ RECORD 1 ]----\na | 3\n");
    assert_eq!(std::fs::read_to_string(out).unwrap(), "a\n2\n");
    let help = run(&["-c", ".help"]);
    for name in ["\\d", ".tables", "\\timing", ".quit"] {
        assert!(text(&help.stdout).contains(name), "{name}");
    }
}

#[test]
fn wrong_usage_is_exit_code_2() {
    for args in [
        &["--no-such-option"][..],
        &["--format", "xml"],
        &["--threads", "0"],
        &["--memory", "much"],
        &["--conf", "novalue"],
        &["--conf", "firesteel.nope=1"],
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_firesteel")).args(args).stdin(Stdio::null()).output().unwrap();
        check(&output, 2, "");
        assert!(!output.stderr.is_empty());
    }
}

#[test]
fn settings_come_from_the_command_line() {
    let args = ["--format", "csv", "--conf", "spark.sql.ansi.enabled=false", "--memory", "512m", "-c"];
    let values = "SELECT 1/0 AS x; SET firesteel.memory.limit; SET firesteel.threads";
    let expected = "x\n\"\"\nkey,value\nfiresteel.memory.limit,512m\nkey,value\nfiresteel.threads,2\n";
    // NULL alone in a row is an empty line.
    check(&run(&[&args[..], &[values]].concat()), 0, &expected.replace("\"\"", ""));
    let explained = run(&["-c", "EXPLAIN SELECT 1"]);
    assert!(text(&explained.stdout).starts_with("== Physical Plan =="), "{}", text(&explained.stdout));
}

#[test]
fn information_about_itself() {
    assert_eq!(text(&run(&["--version"]).stdout), format!("firesteel {}\n", env!("CARGO_PKG_VERSION")));
    for shell in ["bash", "zsh", "fish"] {
        assert!(text(&run(&["--completions", shell]).stdout).contains("continue-on-error"), "{shell}");
    }
}

#[cfg(unix)]
#[test]
fn an_interrupted_script_ends_with_130() {
    let slow = "SELECT count(*) FROM lineitem a JOIN lineitem b ON a.l_tax * b.l_tax + a.l_discount > 1e9";
    let mut child = piped(&["--format", "csv", "--continue-on-error"]);
    let mut input = child.stdin.take().unwrap();
    input.write_all(format!("SELECT 1 AS a;\n{slow};\nSELECT 2 AS a;\n").as_bytes()).unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert_eq!(lines.next().as_deref(), Some("a"));
    assert_eq!(lines.next().as_deref(), Some("1"));
    std::thread::sleep(std::time::Duration::from_millis(300));
    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(lines.next(), None);
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let mut child = piped(&["--format", "csv", "-c", "SELECT a.* FROM lineitem a"]);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.next().unwrap().unwrap().starts_with("l_orderkey,"));
    drop(lines);
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), ""));
}
