//! CSV files, with Spark's options and defaults: `header`, `sep`/`delimiter`, `quote`, `escape`,
//! `comment`, `nullValue`, `emptyValue`, `ignoreLeadingWhiteSpace`, `ignoreTrailingWhiteSpace`,
//! `multiLine`, `inferSchema`, `mode`.

use std::collections::BTreeMap;
use std::sync::Arc;

use firesteel_catalog::Field;
use firesteel_common::{Error, Result, SqlType};

use crate::infer::TypeGuess;
use crate::storage::SourceFile;
use crate::text::{Options, Record, RecordParser, TextTable};

/// Opens CSV files.
#[derive(Debug)]
pub struct CsvTable;

impl CsvTable {
    /// A table of `files`. Without `schema`, columns are those of the first file, STRING unless
    /// `inferSchema` is set, and named by the header or `_c0`, `_c1`, ….
    pub async fn open(
        files: Vec<SourceFile>,
        schema: Option<Vec<Field>>,
        options: &BTreeMap<String, String>,
        location: String,
    ) -> Result<TextTable> {
        let options = Options::new(options);
        for name in ["dateFormat", "timestampFormat", "timestampNTZFormat", "encoding", "charset"] {
            let utf8 = options.get(name).is_some_and(|v| v.eq_ignore_ascii_case("utf-8"));
            if options.get(name).is_some() && !utf8 {
                return Err(Error::unsupported(format!("The CSV option `{name}` is not supported.")));
            }
        }
        let mut parser = CsvParser::new(&options)?;
        let fields = match schema {
            Some(fields) => fields,
            None => infer(&files, &parser, options.flag("inferSchema")?).await?,
        };
        parser.columns = Some(fields.len());
        TextTable::new("csv", fields, files, Box::new(parser), options.mode()?, location)
    }
}

async fn infer(files: &[SourceFile], parser: &CsvParser, types: bool) -> Result<Vec<Field>> {
    let mut names: Vec<String> = Vec::new();
    let mut guesses: Vec<TypeGuess> = Vec::new();
    for (index, file) in files.iter().enumerate() {
        if index > 0 && !types {
            break;
        }
        let bytes = file.read_all().await?;
        let text = String::from_utf8_lossy(&bytes);
        let mut text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        let mut record = Record::default();
        let mut first = true;
        while !text.is_empty() {
            record.empty = false;
            let length = parser.parse(text, &mut record).max(1);
            text = &text[length..];
            if record.empty {
                continue;
            }
            if first && index == 0 {
                names = column_names(&record.values, parser.header);
                guesses.resize_with(names.len(), TypeGuess::default);
            }
            let is_header = std::mem::take(&mut first) && parser.header;
            if !is_header {
                record.values.iter().zip(&mut guesses).for_each(|(value, guess)| guess.see(value.as_deref()));
            }
            if !types && !is_header {
                break;
            }
        }
    }
    let ty = |guess: &TypeGuess| if types { guess.csv_type() } else { SqlType::String };
    let fields = names.iter().zip(&guesses);
    Ok(fields.map(|(name, guess)| Field { name: Arc::from(name.as_str()), ty: ty(guess), nullable: true }).collect())
}

/// Names of the header, those that repeat with their position, as Spark does.
fn column_names(first: &[Option<String>], header: bool) -> Vec<String> {
    if !header {
        return (0..first.len()).map(|i| format!("_c{i}")).collect();
    }
    let repeats = |name: &str| first.iter().flatten().filter(|n| n.eq_ignore_ascii_case(name)).count() > 1;
    let name = |(i, name): (usize, &Option<String>)| match name.as_deref() {
        None | Some("") => format!("_c{i}"),
        Some(name) if repeats(name) => format!("{name}{i}"),
        Some(name) => name.to_string(),
    };
    first.iter().enumerate().map(name).collect()
}

#[derive(Debug)]
struct CsvParser {
    separator: char,
    quote: Option<char>,
    escape: Option<char>,
    comment: Option<char>,
    null: String,
    empty: String,
    header: bool,
    multi_line: bool,
    trim_start: bool,
    trim_end: bool,
    /// Number of columns that a record should have, once it is known.
    columns: Option<usize>,
}

impl CsvParser {
    fn new(options: &Options) -> Result<Self> {
        let separator = options.character(&["sep", "delimiter"], ',')?;
        Ok(Self {
            separator: separator.ok_or_else(|| Error::config("The option `sep` is empty."))?,
            quote: options.character(&["quote"], '"')?,
            escape: options.character(&["escape"], '\\')?,
            comment: options.character(&["comment"], '\0')?.filter(|c| *c != '\0'),
            null: options.get("nullValue").unwrap_or_default().to_string(),
            empty: options.get("emptyValue").unwrap_or_default().to_string(),
            header: options.flag("header")?,
            multi_line: options.flag("multiLine")?,
            trim_start: options.flag("ignoreLeadingWhiteSpace")?,
            trim_end: options.flag("ignoreTrailingWhiteSpace")?,
            columns: None,
        })
    }

    fn push(&self, record: &mut Record, value: &mut String, quoted: bool) {
        let text = match (quoted, self.trim_start, self.trim_end) {
            (true, _, _) | (_, false, false) => std::mem::take(value),
            (_, true, true) => std::mem::take(value).trim().to_string(),
            (_, true, false) => std::mem::take(value).trim_start().to_string(),
            (_, false, true) => std::mem::take(value).trim_end().to_string(),
        };
        record.values.push(if quoted && text.is_empty() {
            Some(self.empty.clone())
        } else {
            Some(text).filter(|t| *t != self.null)
        });
    }
}

impl RecordParser for CsvParser {
    fn parse(&self, text: &str, record: &mut Record) -> usize {
        record.values.clear();
        let line = text.find('\n').map_or(text.len(), |i| i + 1);
        let bare = text[..line].trim_end_matches(['\n', '\r']);
        if bare.trim().is_empty() || self.comment.is_some_and(|c| bare.starts_with(c)) {
            record.empty = true;
            return line;
        }
        let text = if self.multi_line { text } else { bare };
        let (mut value, mut quoted, mut inside) = (String::new(), false, false);
        let mut chars = text.char_indices().peekable();
        let mut end = text.len();
        while let Some((at, c)) = chars.next() {
            if inside {
                let next = chars.peek().map(|(_, next)| *next);
                // A quote is written as escape and quote; an escape that precedes neither stands for itself.
                let escaped = Some(c) == self.escape && next.is_some() && (next == self.quote || next == self.escape);
                if escaped || (Some(c) == self.quote && next == self.quote) {
                    value.extend(chars.next().map(|(_, next)| next));
                } else if Some(c) == self.quote {
                    inside = false;
                } else {
                    value.push(c);
                }
            } else if c == self.separator {
                self.push(record, &mut value, std::mem::take(&mut quoted));
            } else if Some(c) == self.quote && value.is_empty() && !quoted {
                (quoted, inside) = (true, true);
            } else if c == '\n' {
                end = at + 1;
                break;
            } else if c == '\r' && text[at + 1..].starts_with('\n') {
            } else {
                value.push(c);
            }
        }
        self.push(record, &mut value, quoted);
        record.malformed = self.columns.is_some_and(|columns| columns != record.values.len());
        if self.multi_line { end } else { line }
    }

    fn spans_lines(&self) -> bool {
        self.multi_line
    }

    fn has_header(&self) -> bool {
        self.header
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(options: &[(&str, &str)], text: &str) -> (Vec<Option<String>>, usize) {
        let options = options.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        let mut record = Record::default();
        let length = CsvParser::new(&Options::new(&options)).unwrap().parse(text, &mut record);
        (record.values, length)
    }

    fn some(values: &[&str]) -> Vec<Option<String>> {
        values.iter().map(|v| Some(v.to_string())).collect()
    }

    #[test]
    fn quotes_and_escapes() {
        assert_eq!(parse(&[], "a,\"b,\\\"c\\\"\",\"d\"\"e\"\nx").0, some(&["a", "b,\"c\"", "d\"e"]));
        assert_eq!(parse(&[("sep", "\\t")], "a\tb\r\n"), (some(&["a", "b"]), 5));
    }

    #[test]
    fn empty_is_null_unless_quoted() {
        assert_eq!(parse(&[], ",\"\",x").0, vec![None, Some(String::new()), Some("x".into())]);
        assert_eq!(parse(&[("nullValue", "NA")], "NA,").0, vec![None, Some(String::new())]);
    }

    #[test]
    fn a_quoted_line_end_only_if_multi_line() {
        assert_eq!(parse(&[("multiLine", "true")], "\"a\nb\",c\nd"), (some(&["a\nb", "c"]), 8));
        assert_eq!(parse(&[], "\"a\nb\",c").1, 3);
    }
}
