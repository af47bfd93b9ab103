//! `gen skew`: tables with skewed keys, and twins of the same size with uniform ones.
//!
//! Both folders, `skewed` and `uniform`, have the same tables with the same columns and numbers of rows; the smallest
//! table, `dim`, has the same rows. A query that takes longer on the first than on the second pays for skew.
//!
//! | table | skewed keys |
//! |---|---|
//! | `zipf` | the key of rank i has a share of 1 / i^1.1 |
//! | `hot` | one key has 40 % of the rows |
//! | `nulls` | 70 % of the rows have none |
//! | `block` | one key has 40 % of the rows, all in one row group of one file |
//! | `two_left`, `two_right` | one key is frequent on both sides of a join; the twin's join returns as many rows |
//!
//! Every file has its own seed, so files are independent and the data is the same on every machine.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use firesteel::arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use firesteel::arrow::datatypes::{DataType, Field, Schema};
use firesteel::arrow::error::ArrowError;

use crate::args::GenArgs;
use crate::failure::Failure;
use crate::r#gen::{Rows, empty_folder, write_all};

/// Rows for each key, where keys are uniform.
const ROWS_PER_KEY: u64 = 20;
/// The key that has more rows than others.
const HOT: i64 = 7;
/// Its share of the rows, in percent.
const HOT_SHARE: u64 = 40;
/// The share of rows without a key, in percent.
const NULL_SHARE: u64 = 70;
/// The exponent of Zipf's law.
const ZIPF: f64 = 1.1;
/// Rows of the hot key in `two_right`: its other keys have one each.
const TWO_RIGHT_HOT: u64 = 25;
/// Files of a large table, of which `block` has one for its hot rows.
const FILES: u64 = 8;
const BATCH: u64 = 8192;

/// How the keys of a file are drawn.
#[derive(Clone, Debug)]
enum Keys {
    /// All of so many keys are as likely.
    Uniform(u64),
    /// By the cumulated shares of the ranks.
    Zipf(Arc<Vec<f64>>),
    /// The hot key, or one of so many.
    Hot(u64),
    /// None, or one of so many.
    Nulls(u64),
    /// The hot key only.
    OnlyHot,
    /// The row's number, but for so many first rows: they have the hot key.
    Count { hot: u64 },
    /// The row's number, modulo.
    Modulo(u64),
}

/// SplitMix64: any seed gives an independent sequence.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n.max(1)
    }

    fn share(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}

impl Keys {
    fn draw(&self, random: &mut Random, row: u64) -> Option<i64> {
        let key = match self {
            Keys::Uniform(keys) => random.below(*keys) as i64,
            Keys::Zipf(shares) => {
                let share = random.share();
                shares.partition_point(|upto| *upto < share).min(shares.len() - 1) as i64
            }
            Keys::Hot(_) if random.below(100) < HOT_SHARE => HOT,
            Keys::Nulls(_) if random.below(100) < NULL_SHARE => return None,
            Keys::Hot(keys) | Keys::Nulls(keys) => random.below(*keys) as i64,
            Keys::OnlyHot => HOT,
            Keys::Count { hot } if row < *hot => HOT,
            Keys::Count { .. } => row as i64,
            Keys::Modulo(keys) => (row % keys) as i64,
        };
        Some(key)
    }
}

/// The cumulated shares of `keys` ranks.
fn zipf(keys: u64) -> Arc<Vec<f64>> {
    let mut sum = 0.0;
    let mut shares: Vec<f64> = (1..=keys).map(|rank| (rank as f64).powf(-ZIPF)).collect();
    for share in &mut shares {
        sum += *share;
        *share = sum;
    }
    shares.iter_mut().for_each(|share| *share /= sum);
    Arc::new(shares)
}

/// A file to write.
#[derive(Clone, Debug)]
struct Part {
    keys: Keys,
    rows: u64,
    seed: u64,
}

/// The parts of a table with uniform and with skewed keys.
struct Table {
    name: &'static str,
    uniform: Vec<Part>,
    skewed: Vec<Part>,
}

fn parts(keys: &Keys, rows: u64, files: u64, seed: u64) -> Vec<Part> {
    let bound = |file: u64| rows * file / files;
    let part = |file| Part { keys: keys.clone(), rows: bound(file + 1) - bound(file), seed: seed + file };
    (0..files).map(part).collect()
}

fn tables(rows: u64) -> Vec<Table> {
    let keys = (rows / ROWS_PER_KEY).max(100);
    let large = |name, seed, skewed: &Keys| Table {
        name,
        uniform: parts(&Keys::Uniform(keys), rows, FILES, seed),
        skewed: parts(skewed, rows, FILES, seed),
    };
    let hot_rows = rows * HOT_SHARE / 100;
    let block = Table {
        name: "block",
        uniform: parts(&Keys::Uniform(keys), rows, FILES, 400),
        skewed: std::iter::once(Part { keys: Keys::OnlyHot, rows: hot_rows, seed: 400 })
            .chain(parts(&Keys::Uniform(keys), rows - hot_rows, FILES - 1, 401))
            .collect(),
    };
    // A row of the left side meets so many on average: the hot ones all of theirs, the others one.
    let (left, right) = ((rows / 10).max(100), (rows / 100).max(100));
    let met = (HOT_SHARE * TWO_RIGHT_HOT + (100 - HOT_SHARE)) as f64 / 100.0;
    let two_keys = ((right as f64 / met).round() as u64).max(1);
    let two_left = Table {
        name: "two_left",
        uniform: parts(&Keys::Uniform(two_keys), left, 2, 500),
        skewed: parts(&Keys::Hot(right), left, 2, 500),
    };
    let two_right = Table {
        name: "two_right",
        uniform: parts(&Keys::Modulo(two_keys), right, 1, 600),
        skewed: parts(&Keys::Count { hot: TWO_RIGHT_HOT }, right, 1, 600),
    };
    let dim = parts(&Keys::Modulo(keys), keys, 1, 700);
    vec![
        large("zipf", 100, &Keys::Zipf(zipf(keys))),
        large("hot", 200, &Keys::Hot(keys)),
        large("nulls", 300, &Keys::Nulls(keys)),
        block,
        two_left,
        two_right,
        Table { name: "dim", uniform: dim.clone(), skewed: dim },
    ]
}

/// Writes both folders.
pub(crate) fn generate(args: &GenArgs) -> Result<(), Failure> {
    if args.rows < 1000 {
        return Err(Failure::usage("at least 1000 rows are needed for shares to show"));
    }
    let mut jobs: Vec<(PathBuf, Part)> = Vec::new();
    for table in tables(args.rows) {
        for (folder, parts) in [("uniform", &table.uniform), ("skewed", &table.skewed)] {
            let folder = args.out.join(folder).join(table.name);
            empty_folder(&folder)?;
            let path = |file: usize| folder.join(format!("{}.{file}.parquet", table.name));
            jobs.extend(parts.iter().enumerate().map(|(file, part)| (path(file + 1), part.clone())));
        }
    }
    // The block of hot rows is one row group, however large.
    let group = |part: &Part| if matches!(part.keys, Keys::OnlyHot) { usize::MAX } else { args.row_group_rows };
    write_all(&jobs, args.threads, |(path, part)| (path.as_path(), rows_of(part), group(part)))?;
    Ok(())
}

fn rows_of(part: &Part) -> Rows {
    let field = |name, ty, nullable| Field::new(name, ty, nullable);
    let schema = Arc::new(Schema::new(vec![
        field("k", DataType::Int64, true),
        field("v", DataType::Int64, false),
        field("d", DataType::Int64, false),
        field("s", DataType::Utf8, false),
    ]));
    let (part, columns) = (part.clone(), schema.clone());
    let mut random = Random(part.seed.wrapping_mul(0xa076_1d64_78bd_642f));
    let batches = (0..part.rows.div_ceil(BATCH)).map(move |batch| {
        let rows = batch * BATCH..((batch + 1) * BATCH).min(part.rows);
        batch_of(&part, rows, &mut random, columns.clone())
    });
    Box::new(firesteel::arrow::array::RecordBatchIterator::new(batches, schema))
}

fn batch_of(
    part: &Part,
    rows: std::ops::Range<u64>,
    random: &mut Random,
    schema: Arc<Schema>,
) -> Result<RecordBatch, ArrowError> {
    let n = rows.clone().count();
    let keys: Int64Array = rows.map(|row| part.keys.draw(random, row)).collect();
    let values: Int64Array = (0..n).map(|_| Some(random.below(1000) as i64)).collect();
    let details: Int64Array = (0..n).map(|_| Some(random.below(100_000) as i64)).collect();
    let texts: StringArray = (0..n).map(|_| Some(format!("text {:04}", random.below(5000)))).collect();
    let columns: Vec<ArrayRef> = vec![Arc::new(keys), Arc::new(values), Arc::new(details), Arc::new(texts)];
    RecordBatch::try_new(schema, columns)
}

/// The folders that `generate` has written below `data`: uniform and skewed.
pub(crate) fn folders(data: &Path) -> [PathBuf; 2] {
    ["uniform", "skewed"].map(|name| data.join(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(part: &[Part]) -> std::collections::BTreeMap<Option<i64>, u64> {
        let mut counts = std::collections::BTreeMap::new();
        for part in part {
            let mut random = Random(part.seed);
            (0..part.rows).for_each(|row| *counts.entry(part.keys.draw(&mut random, row)).or_default() += 1);
        }
        counts
    }

    #[test]
    fn twins_have_the_same_size_and_the_skew_that_their_names_say() {
        for Table { name, uniform, skewed } in tables(100_000) {
            let (uniform, skewed) = (counts(&uniform), counts(&skewed));
            let rows = uniform.values().sum::<u64>();
            assert_eq!(rows, skewed.values().sum::<u64>(), "{name}");
            let most = *skewed.values().max().unwrap() as f64 / rows as f64;
            match name {
                "hot" | "block" | "two_left" => assert!((most - 0.4).abs() < 0.01, "{name}: {most}"),
                "nulls" => assert!((most - 0.7).abs() < 0.01 && skewed.contains_key(&None)),
                "zipf" => assert!(most > 0.1),
                "two_right" => assert_eq!(skewed[&Some(HOT)], TWO_RIGHT_HOT),
                _ => assert_eq!(uniform, skewed),
            }
            assert!(*uniform.values().max().unwrap() < rows / 100 + 50, "{name}");
        }
    }

    #[test]
    fn the_join_of_two_skewed_sides_is_as_large_as_that_of_its_twins() {
        let tables = tables(1_000_000);
        let [left, right] = ["two_left", "two_right"].map(|n| tables.iter().find(|t| t.name == n).unwrap());
        let joined = |left: &[Part], right: &[Part]| {
            let right = counts(right);
            counts(left).into_iter().map(|(key, n)| n * right.get(&key).copied().unwrap_or(0)).sum::<u64>() as f64
        };
        let ratio = joined(&left.skewed, &right.skewed) / joined(&left.uniform, &right.uniform);
        assert!((ratio - 1.0).abs() < 0.03, "{ratio}");
    }
}
