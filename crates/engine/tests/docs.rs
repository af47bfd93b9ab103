//! `docs/config.md` and `docs/functions.md` are what the code says. `FIRESTEEL_UPDATE_DOCS=1` writes them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

mod common;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use firesteel::{Config, config};
use firesteel_expr::function::FunctionDoc;

/// A cell of a table: `|` would end it.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

/// The default as words, where it depends on the machine.
fn default_value(setting: &config::Setting) -> String {
    match setting.key {
        "firesteel.threads" => "number of cores".to_owned(),
        "firesteel.memory.limit" => "70 % of the memory of the machine or container".to_owned(),
        "firesteel.temp.dir" => "the system's folder for temporary files".to_owned(),
        _ => match (setting.get)(&Config::default()).as_str() {
            "" => "none".to_owned(),
            value => format!("`{value}`"),
        },
    }
}

fn config_page() -> String {
    let mut page = "# Settings\n\nGenerated from the code; see `SET -v`. Set them with `SET key = value`, with \
                    `--conf key=value` of the shell, or with `Session::builder().config(key, value)`. Keys that begin with \
                    `spark.` mean what they mean in Spark; keys of Spark that are not listed are accepted and have no \
                    effect.\n\n| Key | Default | Meaning |\n|---|---|---|\n"
        .to_owned();
    for setting in config::SETTINGS {
        writeln!(page, "| `{}` | {} | {} |", setting.key, cell(&default_value(setting)), cell(setting.doc)).unwrap();
    }
    page
}

fn functions_page() -> String {
    let docs = firesteel_functions::builtin_registry().docs();
    let mut categories: BTreeMap<&str, Vec<FunctionDoc>> = BTreeMap::new();
    docs.iter().for_each(|doc| categories.entry(doc.category).or_default().push(*doc));
    let mut page = format!(
        "# Functions\n\nGenerated from the code; see `DESCRIBE FUNCTION EXTENDED name`. There are {} functions and \
         operators. Window functions (`row_number`, `rank`, `dense_rank`, `percent_rank`, `cume_dist`, `ntile`, `lag`, \
         `lead`, `nth_value`) and every aggregate can be used with `OVER`.\n",
        docs.len()
    );
    for (category, docs) in categories {
        write!(page, "\n## {category}\n\n| Function | Meaning | Example |\n|---|---|---|\n").unwrap();
        for doc in docs {
            let aliases: Vec<String> = doc.aliases.iter().map(|alias| format!("`{}`", cell(alias))).collect();
            let also = if aliases.is_empty() { String::new() } else { format!(" Also {}.", aliases.join(", ")) };
            let example = doc.examples.first();
            let example =
                example.map_or(String::new(), |(sql, result)| format!("`{}` → `{}`", cell(sql), cell(result)));
            writeln!(page, "| `{}` | {}{also} | {example} |", cell(doc.syntax), cell(doc.description)).unwrap();
        }
    }
    page
}

fn check(name: &str, expected: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name);
    if std::env::var_os("FIRESTEEL_UPDATE_DOCS").is_some() {
        std::fs::write(&path, expected).unwrap();
        return;
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    let first = found.lines().zip(expected.lines()).find(|(a, b)| a != b);
    assert!(
        found == expected,
        "docs/{name} differs from the code: {first:?}; run `FIRESTEEL_UPDATE_DOCS=1 cargo test -p firesteel --test docs`"
    );
}

#[test]
fn settings_are_documented() {
    check("config.md", &config_page());
}

#[test]
fn functions_are_documented() {
    check("functions.md", &functions_page());
}

/// Equal text, or numbers that differ by rounding.
fn is_same(found: &str, expected: &str) -> bool {
    match (found.parse::<f64>(), expected.parse::<f64>()) {
        (Ok(a), Ok(b)) if a.is_finite() => (a - b).abs() <= 1e-9 * b.abs().max(1.0),
        _ => found == expected,
    }
}

#[test]
fn examples_of_functions_are_true() {
    let session = common::session();
    let mut wrong = Vec::new();
    for doc in firesteel_functions::builtin_registry().docs() {
        for (sql, expected) in doc.examples {
            let statement = if sql.starts_with("SELECT") { (*sql).to_owned() } else { format!("SELECT {sql}") };
            let found = common::run(async {
                match session.sql(&statement).await {
                    Ok(frame) => common::rows(&frame).await.join(" "),
                    Err(error) => error.to_string(),
                }
            });
            if !is_same(&found, expected) {
                wrong.push(format!("{statement}: {found}, not {expected}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
