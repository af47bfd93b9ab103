//! Completion: what can stand at the cursor, told from the tokens before it.
//!
//! After FROM and JOIN there are tables, after `t.` the columns of `t` or of what `t` is an alias of, after SET keys of
//! settings, in quotes files; anywhere else columns of the tables that the statement names, then functions and keywords.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use firesteel::{Session, config, split_statements};
use futures::executor::block_on;
use rustyline::completion::FilenameCompleter;

use super::keywords::{KEYWORDS, is_keyword};
use super::lexer::{Token, tokens};
use crate::meta::{Argument, COMMANDS};
use crate::sample::Samples;

/// Words before a table.
const BEFORE_TABLE: [&str; 8] = ["FROM", "JOIN", "INTO", "TABLE", "DESCRIBE", "DESC", "VIEW", "COLUMNS"];

/// Completes statements and commands.
pub(super) struct SqlCompleter {
    session: Session,
    samples: Samples,
    files: FilenameCompleter,
    /// Columns of the tables that were asked for.
    columns: Mutex<BTreeMap<String, Vec<String>>>,
}

impl SqlCompleter {
    pub(super) fn new(session: Session, samples: Samples) -> Self {
        Self { session, samples, files: FilenameCompleter::new(), columns: Mutex::default() }
    }

    /// Forgets what was known about tables.
    pub(super) fn forget(&self) {
        self.columns.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// What can stand at `pos`, and where it would start.
    pub(super) fn complete(&self, line: &str, pos: usize) -> (usize, Vec<String>) {
        let before = &line[..pos];
        if before.trim_start().starts_with(['\\', '.']) {
            return self.command(before);
        }
        let all = tokens(before);
        match all.last() {
            Some((Token::String(false) | Token::Quoted(false), range)) => {
                return self.file(&before[range.start + 1..], range.start + 1);
            }
            Some((Token::Comment, _)) => return (pos, Vec::new()),
            _ => {}
        }
        let start = split_statements(before).last().filter(|s| !s.complete).map_or(pos, |s| s.offset);
        let word_at = |text: &str| {
            let in_word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.');
            text.rfind(|c| !in_word(c)).map_or(0, |at| at + text[at..].chars().next().map_or(1, char::len_utf8))
        };
        let word_start = word_at(before).max(start.min(pos));
        let word = &before[word_start..];
        let statement = &line[start.min(word_start)..];
        let previous = previous_word(&before[..word_start]);
        if previous == "SET" || word.starts_with("spark.") || word.starts_with("firesteel.") {
            return (word_start, matching(word, config::SETTINGS.iter().map(|setting| setting.key.to_owned())));
        }
        if let Some((table, prefix)) = word.rsplit_once('.') {
            let names = self.columns_of(&self.resolve(statement, table));
            return (word_start + table.len() + 1, matching(prefix, names.into_iter()));
        }
        if BEFORE_TABLE.contains(&previous.as_str()) {
            return (word_start, matching(word, self.tables().into_iter()));
        }
        if word.is_empty() {
            return (pos, Vec::new());
        }
        (word_start, self.anything(word, statement))
    }

    fn anything(&self, word: &str, statement: &str) -> Vec<String> {
        let columns = self.named_tables(statement).into_iter().flat_map(|(_, table)| self.columns_of(&table));
        let mut found = matching(word, columns);
        let upper = word.chars().any(char::is_uppercase);
        let keywords = KEYWORDS.iter().map(|k| if upper { (*k).to_owned() } else { k.to_lowercase() });
        found.extend(matching(word, keywords));
        let functions = self
            .session
            .function_names()
            .into_iter()
            .filter(|name| name.starts_with(|c: char| c.is_ascii_alphabetic()) && !is_keyword(name));
        found.extend(matching(word, functions.map(|name| format!("{name}("))));
        found
    }

    fn command(&self, before: &str) -> (usize, Vec<String>) {
        let start = before.len() - before.trim_start().len();
        let Some(space) = before[start..].find(char::is_whitespace).map(|at| start + at) else {
            let names = COMMANDS.iter().flat_map(|command| command.names).map(|name| (*name).to_owned());
            return (start, matching(&before[start..], names));
        };
        let at = before.rfind(char::is_whitespace).map_or(space, |at| at + 1);
        let word = &before[at..];
        let command = COMMANDS.iter().find(|command| command.names.contains(&&before[start..space]));
        match command.map(|command| command.argument) {
            None | Some(Argument::Any) => (at, Vec::new()),
            Some(Argument::Table) => (at, matching(word, self.tables().into_iter())),
            Some(Argument::Function) => (at, matching(word, self.session.function_names().into_iter())),
            Some(Argument::Words(words)) => (at, matching(word, words.iter().map(|word| (*word).to_owned()))),
            Some(Argument::File) => self.file(word, at),
        }
    }

    fn file(&self, path: &str, start: usize) -> (usize, Vec<String>) {
        match self.files.complete_path(path, path.len()) {
            Ok((at, pairs)) => (start + at, pairs.into_iter().map(|pair| pair.replacement).collect()),
            Err(_) => (start, Vec::new()),
        }
    }

    fn tables(&self) -> Vec<String> {
        // Sample tables that cannot be read are not offered.
        let _ = block_on(self.samples.provide_all(&self.session));
        self.session.table_names()
    }

    /// The tables that a statement names, with their aliases.
    fn named_tables(&self, statement: &str) -> Vec<(String, String)> {
        let known = self.tables();
        let words: Vec<&str> = tokens(statement)
            .into_iter()
            .filter(|(token, _)| !matches!(token, Token::Blank | Token::Comment))
            .map(|(_, range)| &statement[range])
            .collect();
        let mut found = Vec::new();
        for (i, word) in words.iter().enumerate() {
            let Some(table) = known.iter().find(|table| table.eq_ignore_ascii_case(word.trim_matches('`'))) else {
                continue;
            };
            let after_as = usize::from(words.get(i + 1).is_some_and(|next| next.eq_ignore_ascii_case("as")));
            let alias = words
                .get(i + 1 + after_as)
                .filter(|next| next.starts_with(|c: char| c.is_alphabetic() || c == '_') && !is_keyword(next));
            found.push((alias.map_or(table.clone(), |alias| (*alias).to_owned()), table.clone()));
        }
        found
    }

    /// The table that `name` stands for.
    fn resolve(&self, statement: &str, name: &str) -> String {
        let named = self.named_tables(statement);
        let found = named.into_iter().find(|(alias, _)| alias.eq_ignore_ascii_case(name));
        found.map_or_else(|| name.to_owned(), |(_, table)| table)
    }

    fn columns_of(&self, table: &str) -> Vec<String> {
        let known = |columns: &BTreeMap<String, Vec<String>>| columns.get(table).cloned();
        if let Some(found) = known(&self.columns.lock().unwrap_or_else(PoisonError::into_inner)) {
            return found;
        }
        // A name that is no table has no columns to offer.
        let columns = match block_on(self.session.table(table)) {
            Ok(frame) => frame.schema().fields().iter().map(|field| field.name().clone()).collect(),
            Err(_) => Vec::new(),
        };
        self.columns.lock().unwrap_or_else(PoisonError::into_inner).insert(table.to_owned(), columns.clone());
        columns
    }
}

/// The names that start with `prefix` in any case, each once, sorted.
fn matching(prefix: &str, names: impl Iterator<Item = String>) -> Vec<String> {
    let starts = |name: &String| name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
    let mut found: Vec<String> = names.filter(starts).collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// The last word before the cursor, in upper case.
fn previous_word(text: &str) -> String {
    let last = tokens(text).into_iter().rfind(|(token, _)| !matches!(token, Token::Blank | Token::Comment));
    match last {
        Some((Token::Word, range)) => text[range].to_ascii_uppercase(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complete(text: &str) -> Vec<String> {
        let session = Session::builder().threads(1).build().unwrap();
        let completer = SqlCompleter::new(session, Samples::new(true));
        let pos = text.find('|').unwrap();
        completer.complete(&text.replace('|', ""), pos).1
    }

    #[test]
    fn what_is_offered_depends_on_the_place() {
        for (text, expected) in [
            ("SELECT * FROM na|", vec!["nation"]),
            ("SELECT 1; SELECT * FROM NA|", vec!["nation"]),
            ("SELECT n_na| FROM nation", vec!["n_name", "n_nationkey"]),
            ("SELECT x.r_n| FROM nation JOIN region AS x", vec!["r_name"]),
            ("SELECT * FROM nation n WHERE n.n_c|", vec!["n_comment"]),
            ("SELECT 1 UNIO|", vec!["UNION"]),
            ("SET firesteel.thr|", vec!["firesteel.threads"]),
            (".tab|", vec![".tables"]),
            ("\\d sup|", vec!["supplier"]),
            (".mode c|", vec!["csv"]),
            ("SELECT * FROM nation WHERE |", vec![]),
            ("SELECT 1 -- sel|", vec![]),
        ] {
            assert_eq!(complete(text), expected, "{text}");
        }
        assert!(complete("SELECT upp|").contains(&"upper(".to_owned()));
    }
}
