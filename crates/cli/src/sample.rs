//! The sample tables: TPC-H at scale factor 0.01, inside the binary, so that a newcomer can type a query at once.
//!
//! A table is registered when a statement names it and no table or view of that name is known, so that a start costs
//! nothing and the user's own tables win. The files are generated data (see `data/`), read in place.

use firesteel::{Error, Result, Session};

macro_rules! tables {
    ($($name:literal),*) => {
        const TABLES: &[(&str, &[u8])] = &[$((
            $name,
            include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../data/tpch-sf0.01/", $name, ".parquet")),
        )),*];
    };
}

tables!("customer", "lineitem", "nation", "orders", "part", "partsupp", "region", "supplier");

/// The sample tables that have not been registered yet.
pub(crate) struct Samples(Vec<(&'static str, &'static [u8])>);

impl Samples {
    /// All tables, or none.
    pub(crate) fn new(wanted: bool) -> Self {
        Self(if wanted { TABLES.to_vec() } else { Vec::new() })
    }

    /// Registers the table that `error` says is missing; whether there was one, so that trying again makes sense.
    pub(crate) async fn provide(&mut self, session: &Session, error: &Error) -> Result<bool> {
        if self.0.is_empty() || error.condition() != "TABLE_OR_VIEW_NOT_FOUND" {
            return Ok(false);
        }
        let message = error.message().to_ascii_lowercase();
        let Some(at) = self.0.iter().position(|(name, _)| message.contains(&format!("`{name}`"))) else {
            return Ok(false);
        };
        let (name, bytes) = self.0.swap_remove(at);
        session.register_parquet_bytes(name, bytes).await?;
        Ok(true)
    }

    /// Registers those that are left, before tables are listed.
    pub(crate) async fn provide_all(&mut self, session: &Session) -> Result<()> {
        if self.0.is_empty() {
            return Ok(());
        }
        let known = session.table_names();
        for (name, bytes) in self.0.drain(..) {
            if !known.iter().any(|table| table.eq_ignore_ascii_case(name)) {
                session.register_parquet_bytes(name, bytes).await?;
            }
        }
        Ok(())
    }
}
