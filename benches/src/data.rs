//! The tables of a folder: each sub-folder of Parquet files, or Parquet file, is one.

use std::fs::File;
use std::path::{Path, PathBuf};

use parquet::file::reader::{FileReader, SerializedFileReader};
use serde::{Deserialize, Serialize};

use crate::failure::Failure;

/// Suppliers at scale 1; they grow with the scale exactly, unlike lines of orders.
const SUPPLIERS: f64 = 10_000.0;

/// A table: its name, and the file or folder that has its rows.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Table {
    pub(crate) name: String,
    pub(crate) path: PathBuf,
    pub(crate) files: usize,
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
}

/// The tables of `folder`, sorted by name.
pub(crate) fn tables(folder: &Path) -> Result<Vec<Table>, Failure> {
    let listing = std::fs::read_dir(folder)
        .map_err(|error| Failure::usage(format!("cannot read the data folder {}: {error}", folder.display())))?;
    let mut tables = Vec::new();
    for entry in listing {
        let path = std::path::absolute(entry?.path())?;
        let files = if path.is_dir() { parquet_files(&path)? } else { vec![path.clone()] };
        let files: Vec<PathBuf> = files.into_iter().filter(|f| is_parquet(f)).collect();
        let Some(name) = path.file_stem().and_then(|n| n.to_str()).map(str::to_owned) else { continue };
        if files.is_empty() {
            continue;
        }
        let mut table = Table { name, path, files: files.len(), rows: 0, bytes: 0 };
        for file in files {
            let reader = SerializedFileReader::new(File::open(&file)?)?;
            table.rows += reader.metadata().file_metadata().num_rows().max(0) as u64;
            table.bytes += file.metadata()?.len();
        }
        tables.push(table);
    }
    if tables.is_empty() {
        return Err(Failure::usage(format!("there are no Parquet files in {}", folder.display())));
    }
    tables.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(tables)
}

fn parquet_files(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    Ok(std::fs::read_dir(folder)?.map(|entry| entry.map(|e| e.path())).collect::<Result<_, _>>()?)
}

fn is_parquet(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "parquet")
}

/// The scale of TPC-H data, from the number of suppliers.
pub(crate) fn scale(tables: &[Table]) -> Option<f64> {
    tables.iter().find(|t| t.name == "supplier").map(|t| t.rows as f64 / SUPPLIERS)
}
