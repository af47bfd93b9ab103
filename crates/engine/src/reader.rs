//! Reading files into frames.

use std::collections::BTreeMap;

use firesteel_catalog::Field;
use firesteel_common::Result;

use crate::dataframe::DataFrame;
use crate::session::Session;

/// Reads files, with Spark's options. Made by [`Session::read`].
#[derive(Clone, Debug)]
pub struct DataFrameReader {
    session: Session,
    options: BTreeMap<String, String>,
    schema: Option<String>,
}

impl Session {
    /// A reader of files.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # futures::executor::block_on(async {
    /// # let session = firesteel::Session::builder().threads(1).build()?;
    /// # let path = std::env::temp_dir().join(format!("firesteel-reader-{}.csv", std::process::id()));
    /// std::fs::write(&path, "id,name\n1,Ann\n2,Bob\n")?;
    /// let people = session
    ///     .read()
    ///     .option("header", true)
    ///     .schema("id INT, name STRING")
    ///     .csv(path.to_string_lossy())
    ///     .await?;
    /// assert_eq!(people.filter("id > 1")?.count().await?, 1);
    /// # std::fs::remove_file(&path)?;
    /// # Ok(())
    /// # })
    /// # }
    /// ```
    pub fn read(&self) -> DataFrameReader {
        DataFrameReader { session: self.clone(), options: BTreeMap::new(), schema: None }
    }
}

impl DataFrameReader {
    /// An option of the format, such as `header` of CSV.
    #[must_use]
    pub fn option(mut self, key: &str, value: impl ToString) -> Self {
        self.options.insert(key.to_owned(), value.to_string());
        self
    }

    /// Columns and types, as `a INT, b STRING`; otherwise they are found in the files.
    #[must_use]
    pub fn schema(mut self, columns: &str) -> Self {
        self.schema = Some(columns.to_owned());
        self
    }

    /// Reads Parquet files: a file, a folder, a glob, a URL.
    ///
    /// Errors: `PATH_NOT_FOUND`, and those of the format.
    pub async fn parquet(&self, path: impl AsRef<str>) -> Result<DataFrame> {
        self.load("parquet", &[path]).await
    }

    /// Reads CSV files.
    pub async fn csv(&self, path: impl AsRef<str>) -> Result<DataFrame> {
        self.load("csv", &[path]).await
    }

    /// Reads JSON files with a value per line.
    pub async fn json(&self, path: impl AsRef<str>) -> Result<DataFrame> {
        self.load("json", &[path]).await
    }

    /// Reads files of a format (`parquet`, `csv`, `json`) at several paths as one frame.
    ///
    /// Errors: `DATA_SOURCE_NOT_FOUND`, `PATH_NOT_FOUND`, `UNABLE_TO_INFER_SCHEMA`, and those of the schema.
    pub async fn load<P: AsRef<str>>(&self, format: &str, paths: &[P]) -> Result<DataFrame> {
        let paths: Vec<String> = paths.iter().map(|path| path.as_ref().to_owned()).collect();
        let schema: Option<Vec<Field>> = self.schema.as_deref().map(firesteel_sql::parse_schema).transpose()?;
        let stores = self.session.stores();
        let table = firesteel_sources::open_table(format, &paths, schema, &self.options, stores).await?;
        self.session.frame_of(table, &format!("{format}.`{}`", paths.join(",")))
    }
}
