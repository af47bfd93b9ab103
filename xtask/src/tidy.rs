//! What the compiler does not check: layers, sizes of files, open ends without an owner, paths in the documents.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::layers::{GUARDED, LAYERS};

/// Lines over which a file must be split.
const MAX_LINES: usize = 1000;

/// Runs all checks; prints what is wrong.
pub(crate) fn run(root: &Path) -> bool {
    let mut problems = layers(root);
    let mut files = Vec::new();
    for folder in ["crates", "sql-tests", "benches", "xtask"] {
        collect(&root.join(folder), &mut files);
    }
    for file in &files {
        check_source(root, file, &mut problems);
    }
    check_paths(root, &mut problems);
    problems.iter().for_each(|problem| eprintln!("tidy: {problem}"));
    if problems.is_empty() {
        eprintln!("tidy: {} files, {} crates: fine", files.len(), LAYERS.len());
    }
    problems.is_empty()
}

/// Dependencies of each crate against the table.
fn layers(root: &Path) -> Vec<String> {
    let mut command = Command::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned()));
    let output = command.current_dir(root).args(["metadata", "--format-version", "1", "--no-deps"]).output();
    let Ok(output) = output else { return vec!["cargo metadata cannot be run".to_owned()] };
    let Ok(metadata) = serde_json::from_slice::<serde_json::Value>(&output.stdout) else {
        return vec!["cargo metadata is not JSON".to_owned()];
    };
    let mut problems = Vec::new();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let name = package["name"].as_str().unwrap_or_default();
        let Some(layer) = LAYERS.iter().find(|layer| layer.name == name) else {
            problems.push(format!("{name} is not in the table of layers (xtask/src/layers.rs)"));
            continue;
        };
        let normal = package["dependencies"].as_array().into_iter().flatten().filter(|d| d["kind"].is_null());
        for used in normal.filter_map(|d| d["name"].as_str()) {
            let own = LAYERS.iter().any(|layer| layer.name == used);
            let short = used.strip_prefix("firesteel-").unwrap_or(used);
            if own && !layer.uses.contains(&short) {
                problems.push(format!("{name} may not use {used}"));
            }
            if GUARDED.contains(&used) && !layer.libraries.contains(&used) {
                problems.push(format!("{name} may not use the library {used}"));
            }
        }
    }
    problems
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.push(path);
        }
    }
}

fn check_source(root: &Path, file: &Path, problems: &mut Vec<String>) {
    let shown = file.strip_prefix(root).unwrap_or(file).display();
    let Ok(text) = std::fs::read_to_string(file) else {
        problems.push(format!("{shown} cannot be read"));
        return;
    };
    let lines = text.lines().count();
    if lines > MAX_LINES {
        problems.push(format!("{shown} has {lines} lines: split it"));
    }
    let marker = ["TO", "DO"].concat();
    for (number, line) in text.lines().enumerate() {
        if line.contains(&marker) && !line.contains(&format!("{marker}(#")) {
            problems.push(format!("{shown}:{}: a {marker} needs the number of its issue", number + 1));
        }
    }
    if !text.trim_start().starts_with("//!") {
        problems.push(format!("{shown} has no module documentation"));
    }
}

/// Paths in backquotes that begin with a folder of the repository must exist.
fn check_paths(root: &Path, problems: &mut Vec<String>) {
    for document in ["README.md", "CONTRIBUTING.md", "AGENTS.md", "docs/ARCHITECTURE.md"] {
        let Ok(text) = std::fs::read_to_string(root.join(document)) else {
            problems.push(format!("{document} is missing"));
            continue;
        };
        for quoted in text.split('`').skip(1).step_by(2) {
            let is_path = ["crates/", "docs/", "sql-tests/", "benches/", "xtask/", "data/", ".ci/"]
                .iter()
                .any(|folder| quoted.starts_with(folder));
            if is_path
                && !quoted.contains(['*', '<', '{', ' '])
                && !root.join(quoted.split(':').next().unwrap_or(quoted)).exists()
            {
                problems.push(format!("{document} names {quoted}, which does not exist"));
            }
        }
    }
}
