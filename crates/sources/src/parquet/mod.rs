//! Parquet tables.
//!
//! Planning reads footers only. A scan is cut into morsels, runs of rows of a row group along page
//! boundaries, so that any number of tasks share the work of a few large row groups. A morsel is read
//! in chunks of a few thousand rows, late: filter columns first, then runtime filter keys, then the
//! rest, each only if rows are left. Pages without such rows are neither read nor decompressed.

mod assemble;
pub(crate) mod bounds;
mod codes;
mod column;
mod dictionary;
mod distinct;
mod file;
mod morsel;
mod native;
mod pages;
mod rle;
mod scan;
mod snappy;
mod stored;
mod table;
mod unpack;
mod views;

pub use table::ParquetTable;
