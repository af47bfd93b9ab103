//! The drawn table: names, types, rows.
//!
//! For a reader that is no terminal every row is written at its full width. On a terminal the table fits: of many rows
//! the first and the last are shown, long texts are cut, and columns in the middle left out if that is not enough. The
//! footer says what is not shown. Only the rows that can be shown are kept.

use std::collections::VecDeque;
use std::ops::Range;

use firesteel::arrow::array::RecordBatch;
use firesteel::arrow::datatypes::{Schema, SchemaRef};
use firesteel::{Result, SqlType};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::cell::{self, Cells, Kind, kind_of};
use super::{Summary, Writer};

/// Texts are not cut below this width.
const NARROWEST: usize = 12;

/// How much room there is.
#[derive(Clone, Debug, Default)]
pub(crate) struct Layout {
    /// Columns of the terminal; unset is no limit.
    pub(crate) width: Option<usize>,
    /// Greatest number of rows; unset is no limit.
    pub(crate) rows: Option<usize>,
    /// Whether to use colours.
    pub(crate) color: bool,
    /// Whether to write the line below the table.
    pub(crate) footer: bool,
}

/// Collects the rows to show, and draws them at the end.
pub(crate) struct Table {
    layout: Layout,
    zone: String,
    schema: Option<SchemaRef>,
    first: Vec<RecordBatch>,
    last: VecDeque<RecordBatch>,
    kept_first: usize,
    kept_last: usize,
    total: usize,
}

impl Table {
    pub(crate) fn new(layout: Layout) -> Self {
        Self {
            layout,
            zone: String::new(),
            schema: None,
            first: Vec::new(),
            last: VecDeque::new(),
            kept_first: 0,
            kept_last: 0,
            total: 0,
        }
    }

    /// Keeps the first rows up to the limit, and of the others the last.
    fn keep(&mut self, batch: &RecordBatch) {
        self.total += batch.num_rows();
        let Some(limit) = self.layout.rows else {
            self.first.push(batch.clone());
            return;
        };
        let head = batch.num_rows().min(limit - self.kept_first);
        if head > 0 {
            self.first.push(batch.slice(0, head));
            self.kept_first += head;
        }
        if head < batch.num_rows() {
            self.last.push_back(batch.slice(head, batch.num_rows() - head));
            self.kept_last += batch.num_rows() - head;
        }
        while let Some(oldest) = self.last.front().map(RecordBatch::num_rows)
            && self.kept_last - oldest >= limit.div_ceil(2)
        {
            self.last.pop_front();
            self.kept_last -= oldest;
        }
    }

    /// The rows to show, in pieces, and the number of the piece before which rows are left out.
    fn shown(&self) -> (Vec<(&RecordBatch, Range<usize>)>, Option<usize>) {
        let all: Vec<&RecordBatch> = self.first.iter().chain(&self.last).collect();
        let limit = match self.layout.rows {
            Some(limit) if self.total > limit => limit,
            _ => return (all.into_iter().map(|batch| (batch, 0..batch.num_rows())).collect(), None),
        };
        let mut pieces = Vec::new();
        let mut left = limit / 2;
        for batch in &all {
            let rows = batch.num_rows().min(left);
            if rows > 0 {
                pieces.push((*batch, 0..rows));
            }
            left -= rows;
        }
        let gap = pieces.len();
        let mut tail = Vec::new();
        let mut left = limit.div_ceil(2);
        for batch in all.iter().rev() {
            let rows = batch.num_rows().min(left);
            if rows > 0 {
                tail.push((*batch, batch.num_rows() - rows..batch.num_rows()));
            }
            left -= rows;
        }
        pieces.extend(tail.into_iter().rev());
        (pieces, Some(gap))
    }
}

impl Writer for Table {
    fn start(&mut self, schema: &Schema, _: &mut Vec<u8>) {
        self.schema = Some(SchemaRef::new(schema.clone()));
    }

    fn rows(&mut self, batch: &RecordBatch, zone: &str, _: &mut Vec<u8>) -> Result<()> {
        zone.clone_into(&mut self.zone);
        self.keep(batch);
        Ok(())
    }

    fn finish(&mut self, summary: &Summary, out: &mut Vec<u8>) -> Result<()> {
        let Some(schema) = self.schema.clone() else { return Ok(()) };
        let (pieces, gap) = self.shown();
        let mut columns = headers(&schema)?;
        let prepared =
            pieces.iter().map(|(batch, _)| cell::columns(batch, &self.zone)).collect::<Result<Vec<Vec<Cells>>>>()?;
        let mut text = String::new();
        for ((_, rows), cells) in pieces.iter().zip(&prepared) {
            for row in rows.clone() {
                for (column, cells) in columns.iter_mut().zip(cells) {
                    cell_text(cells, row, &mut text);
                    column.width = column.width.max(text.width());
                }
            }
        }
        let widths: Vec<usize> = columns.iter().map(|column| column.width).collect();
        let visible = fit(&mut columns, self.layout.width);
        let cut = visible.iter().any(|index| columns[*index].width < widths[*index]);
        let drawing = Drawing { columns: &columns, visible: &visible, color: self.layout.color };
        drawing.head(out);
        for (piece, ((_, rows), cells)) in pieces.iter().zip(&prepared).enumerate() {
            if gap == Some(piece) {
                drawing.gap(out);
            }
            for row in rows.clone() {
                drawing.row(cells, row, out);
            }
        }
        drawing.rule(out, ["╰", "┴", "╯"]);
        if self.layout.footer {
            let shown: usize = pieces.iter().map(|(_, rows)| rows.len()).sum();
            let footer = footer((self.total, shown), (columns.len(), visible.len()), cut, summary);
            paint(out, self.layout.color, DIM, &footer);
            out.push(b'\n');
        }
        Ok(())
    }
}

/// What the line below a table says: sizes, what is not shown, and the time.
fn footer(
    (rows, shown_rows): (usize, usize),
    (columns, shown_columns): (usize, usize),
    cut: bool,
    summary: &Summary,
) -> String {
    let count = |n: usize, shown: usize, what: &str| {
        let part = if shown < n { format!(" ({shown} shown)") } else { String::new() };
        format!("{n} {what}{}{part}", if n == 1 { "" } else { "s" })
    };
    let mut text = format!("{}, {}", count(rows, shown_rows, "row"), count(columns, shown_columns, "column"));
    if cut {
        text.push_str(", long values are cut");
    }
    if let Some(time) = &summary.time {
        text.push_str(&format!(", {time}"));
    }
    text
}

struct Column {
    name: String,
    ty: String,
    right: bool,
    width: usize,
}

fn headers(schema: &Schema) -> Result<Vec<Column>> {
    let column = |field: &firesteel::arrow::datatypes::FieldRef| {
        let ty = SqlType::from_arrow(field.data_type())?.to_string().to_lowercase();
        let mut name = String::new();
        sanitize(field.name(), &mut name);
        let width = name.width().max(ty.width());
        let right = matches!(kind_of(field.data_type()), Kind::Number | Kind::Float);
        Ok(Column { name, ty, right, width })
    };
    schema.fields().iter().map(column).collect()
}

/// Cuts texts and leaves out columns so that the table is at most `limit` wide; returns the columns to show, in which
/// a jump of the index is a gap.
fn fit(columns: &mut [Column], limit: Option<usize>) -> Vec<usize> {
    let all = (0..columns.len()).collect();
    let Some(limit) = limit else { return all };
    let frame = |n: usize| 3 * n + 1;
    let total = |columns: &[Column]| columns.iter().map(|c| c.width).sum::<usize>() + frame(columns.len());
    while total(columns) > limit {
        let texts = || columns.iter().filter(|c| !c.right && c.width > NARROWEST);
        let Some(widest) = texts().map(|c| c.width).max() else { break };
        let next = texts().map(|c| c.width).filter(|w| *w < widest).max().unwrap_or(NARROWEST);
        let count = texts().filter(|c| c.width == widest).count();
        let cut = (total(columns) - limit).div_ceil(count).min(widest - next).max(1);
        columns.iter_mut().filter(|c| !c.right && c.width == widest).for_each(|c| c.width = widest - cut);
    }
    if total(columns) <= limit || columns.len() < 2 {
        if let [only] = columns {
            only.width = only.width.min(limit.saturating_sub(frame(1))).max(1);
        }
        return all;
    }
    // From both ends; the gap takes the room of one narrow column.
    let mut room = limit.saturating_sub(frame(0) + 4);
    let (mut front, mut back) = (Vec::new(), Vec::new());
    let (mut low, mut high) = (0, columns.len());
    while low < high {
        let from_front = front.len() <= back.len();
        let index = if from_front { low } else { high - 1 };
        let need = columns[index].width + 3;
        if need > room {
            break;
        }
        room -= need;
        if from_front {
            front.push(index);
            low += 1;
        } else {
            back.push(index);
            high -= 1;
        }
    }
    if front.is_empty() {
        columns[0].width = columns[0].width.min(room.saturating_sub(3)).max(1);
        front.push(0);
    }
    front.extend(back.into_iter().rev());
    front
}

const BOLD: &str = "\x1b[1m";
const DIM: &str = "\x1b[2m";
const RESET: &str = "\x1b[0m";

struct Drawing<'a> {
    columns: &'a [Column],
    visible: &'a [usize],
    color: bool,
}

impl Drawing<'_> {
    /// Calls `part` for each visible column, and with `None` where columns are left out.
    fn each(&self, mut part: impl FnMut(Option<usize>)) {
        let mut next = 0;
        for index in self.visible {
            if *index != next {
                part(None);
            }
            part(Some(*index));
            next = index + 1;
        }
        if next != self.columns.len() {
            part(None);
        }
    }

    fn rule(&self, out: &mut Vec<u8>, [left, middle, right]: [&str; 3]) {
        let mut separator = left;
        self.each(|column| {
            out.extend_from_slice(separator.as_bytes());
            let width = column.map_or(1, |index| self.columns[index].width) + 2;
            (0..width).for_each(|_| out.extend_from_slice("─".as_bytes()));
            separator = middle;
        });
        out.extend_from_slice(right.as_bytes());
        out.push(b'\n');
    }

    fn line(&self, out: &mut Vec<u8>, mut text: impl FnMut(usize, &mut String) -> Option<&'static str>) {
        let mut buffer = String::new();
        self.each(|column| {
            out.extend_from_slice("│ ".as_bytes());
            match column {
                None => out.extend_from_slice("…".as_bytes()),
                Some(index) => {
                    buffer.clear();
                    let style = text(index, &mut buffer);
                    let column = &self.columns[index];
                    cut(&mut buffer, column.width);
                    let pad = column.width - buffer.width().min(column.width);
                    if column.right {
                        out.resize(out.len() + pad, b' ');
                    }
                    paint(out, self.color && style.is_some(), style.unwrap_or_default(), &buffer);
                    if !column.right {
                        out.resize(out.len() + pad, b' ');
                    }
                }
            }
            out.push(b' ');
        });
        out.extend_from_slice("│\n".as_bytes());
    }

    fn head(&self, out: &mut Vec<u8>) {
        self.rule(out, ["╭", "┬", "╮"]);
        self.line(out, |index, text| {
            text.push_str(&self.columns[index].name);
            Some(BOLD)
        });
        self.line(out, |index, text| {
            text.push_str(&self.columns[index].ty);
            Some(DIM)
        });
        self.rule(out, ["├", "┼", "┤"]);
    }

    fn row(&self, cells: &[Cells], row: usize, out: &mut Vec<u8>) {
        self.line(out, |index, text| {
            cell_text(&cells[index], row, text);
            cells[index].is_null(row).then_some(DIM)
        });
    }

    fn gap(&self, out: &mut Vec<u8>) {
        self.line(out, |_, text| {
            text.push('·');
            Some(DIM)
        });
    }
}

fn paint(out: &mut Vec<u8>, color: bool, style: &str, text: &str) {
    if color {
        out.extend_from_slice(style.as_bytes());
    }
    out.extend_from_slice(text.as_bytes());
    if color {
        out.extend_from_slice(RESET.as_bytes());
    }
}

/// The text of a cell on one line.
fn cell_text(cells: &Cells, row: usize, text: &mut String) {
    text.clear();
    if cells.is_null(row) {
        text.push_str("NULL");
        return;
    }
    let mut bytes = Vec::new();
    cells.write(row, &mut bytes);
    sanitize(&String::from_utf8_lossy(&bytes), text);
}

/// Appends `value` with control characters written as escapes, so that a cell stays on its line.
fn sanitize(value: &str, text: &mut String) {
    for c in value.chars() {
        match c {
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            c if c.is_control() => text.extend(c.escape_unicode()),
            c => text.push(c),
        }
    }
}

/// Cuts `text` to `width` columns, with `…` at the end where something is missing.
fn cut(text: &mut String, width: usize) {
    if text.width() <= width {
        return;
    }
    let mut used = 0;
    let fits = |(_, c): &(usize, char)| {
        used += c.width().unwrap_or(0);
        used < width
    };
    let end = text.char_indices().take_while(fits).last().map_or(0, |(at, c)| at + c.len_utf8());
    text.truncate(end);
    text.push('…');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(width: usize, right: bool) -> Column {
        Column { name: String::new(), ty: String::new(), right, width }
    }

    #[test]
    fn texts_are_cut_before_columns_are_left_out() {
        let mut columns = [column(10, true), column(50, false), column(20, false)];
        assert_eq!(fit(&mut columns, Some(60)), [0, 1, 2]);
        assert_eq!(columns.iter().map(|c| c.width).collect::<Vec<_>>(), [10, 20, 20]);
        assert_eq!(fit(&mut columns, Some(40)), [0, 2]);
        assert_eq!(fit(&mut columns, None), [0, 1, 2]);
    }

    #[test]
    fn cutting_counts_columns_of_the_terminal() {
        for (text, width, expected) in [("abc", 3, "abc"), ("abcd", 3, "ab…"), ("日本語", 4, "日…"), ("x", 1, "x")]
        {
            let mut text = text.to_owned();
            cut(&mut text, width);
            assert_eq!(text, expected);
        }
    }
}
