//! Writing frames to files, by the API and by commands.

use std::collections::BTreeMap;
use std::path::PathBuf;

use firesteel_catalog::Field;
use firesteel_common::{Batch, Error, Result};
use firesteel_sources::{FileSink, Target};
use futures::StreamExt;

use crate::dataframe::DataFrame;

/// What writing does where there are files already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SaveMode {
    /// Adds files.
    Append,
    /// Replaces the files, once the new ones are complete.
    Overwrite,
    /// Fails.
    #[default]
    ErrorIfExists,
    /// Writes nothing.
    Ignore,
}

/// Writes the rows of a frame to a folder, with Spark's options. Made by [`DataFrame::write`].
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # futures::executor::block_on(async {
/// use firesteel::SaveMode;
/// # let session = firesteel::Session::builder().threads(1).build()?;
/// # let folder = std::env::temp_dir().join(format!("firesteel-writer-{}", std::process::id()));
/// # let folder = folder.to_string_lossy();
/// let df = session.sql("SELECT id, id * id AS square FROM range(10)").await?;
/// df.write().mode(SaveMode::Overwrite).option("compression", "zstd").parquet(&folder).await?;
/// assert_eq!(session.read().parquet(&folder).await?.count().await?, 10);
/// # std::fs::remove_dir_all(folder.as_ref())?;
/// # Ok(())
/// # })
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct DataFrameWriter {
    frame: DataFrame,
    mode: SaveMode,
    options: BTreeMap<String, String>,
}

impl DataFrameWriter {
    pub(crate) fn new(frame: DataFrame) -> Self {
        Self { frame, mode: SaveMode::default(), options: BTreeMap::new() }
    }

    /// What to do where there are files already; by default it is an error.
    #[must_use]
    pub fn mode(mut self, mode: SaveMode) -> Self {
        self.mode = mode;
        self
    }

    /// An option of the format, such as `compression` of Parquet.
    #[must_use]
    pub fn option(mut self, key: &str, value: impl ToString) -> Self {
        self.options.insert(key.to_owned(), value.to_string());
        self
    }

    /// Writes Parquet; returns the number of rows.
    pub async fn parquet(&self, path: impl AsRef<str>) -> Result<u64> {
        self.save("parquet", path).await
    }

    /// Writes CSV; returns the number of rows.
    pub async fn csv(&self, path: impl AsRef<str>) -> Result<u64> {
        self.save("csv", path).await
    }

    /// Writes JSON, a value per line; returns the number of rows.
    pub async fn json(&self, path: impl AsRef<str>) -> Result<u64> {
        self.save("json", path).await
    }

    /// Runs the query and writes its rows into a folder; returns their number.
    ///
    /// Errors: `PATH_ALREADY_EXISTS`, and those of the query and of writing.
    pub async fn save(&self, format: &str, path: impl AsRef<str>) -> Result<u64> {
        let path = path.as_ref();
        let exists = self.frame.session().stores().target(path)?.exists().await?;
        match self.mode {
            SaveMode::Ignore if exists => Ok(0),
            SaveMode::ErrorIfExists if exists => {
                let message =
                    format!("Path {path} already exists. Set mode as \"overwrite\" to overwrite the existing path.");
                Err(Error::bind("PATH_ALREADY_EXISTS", "42K04", message))
            }
            mode => write_folder(&self.frame, path, format, &self.options, mode == SaveMode::Overwrite).await,
        }
    }
}

/// A folder that is removed again if nothing comes of it; stores have none.
struct NewFolder(Option<PathBuf>);

impl NewFolder {
    fn create(target: &Target) -> Result<Self> {
        let Target::Local(path) = target else { return Ok(Self(None)) };
        let is_new = !path.exists();
        std::fs::create_dir_all(path)?;
        Ok(Self(is_new.then(|| path.clone())))
    }

    fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for NewFolder {
    fn drop(&mut self) {
        if let Some(path) = self.0.take() {
            // Fails if somebody else has put something there, and then it should stay.
            let _ = std::fs::remove_dir(path);
        }
    }
}

/// Writes the rows of a query into a folder. When overwriting, the files that were there are removed once the new one
/// is complete, so that a failure leaves them as they were.
pub(crate) async fn write_folder(
    query: &DataFrame,
    location: &str,
    format: &str,
    options: &BTreeMap<String, String>,
    overwrite: bool,
) -> Result<u64> {
    let target = query.session().stores().target(location)?;
    let before = if overwrite { target.files().await? } else { Vec::new() };
    let folder = NewFolder::create(&target)?;
    let rows = write_rows(query, &target, format, options).await?;
    folder.keep();
    for old in before {
        old.remove().await?;
    }
    Ok(rows)
}

/// Writes the rows of a query to a file, or to a new file of a folder.
pub(crate) async fn write_rows(
    query: &DataFrame,
    target: &Target,
    format: &str,
    options: &BTreeMap<String, String>,
) -> Result<u64> {
    let mut stream = query.stream()?;
    let mut reservation = stream.reserve("the file being written");
    let mut sink = FileSink::create(format, target, &fields(query), options, 0)?;
    while let Some(batch) = stream.next().await {
        let batch = batch?;
        sink.write(&Batch::new(batch.columns().to_vec(), batch.num_rows())).await?;
        if reservation.try_resize(sink.memory()).is_err() {
            sink.flush().await?;
            reservation.try_resize(sink.memory())?;
        }
        // Rows may always be ready, and who waits for this future may want to give it up.
        tokio::task::yield_now().await;
    }
    Ok(sink.finish().await?.rows)
}

/// The columns of a frame as those of a table.
pub(crate) fn fields(query: &DataFrame) -> Vec<Field> {
    let columns = query.named_columns().iter();
    columns.map(|c| Field { name: c.name.clone(), ty: c.column.ty.clone(), nullable: true }).collect()
}
