//! The sample tables: TPC-H at scale factor 0.01, inside the binary, so that a newcomer can type a query at once.
//!
//! A table is registered when a statement names it and no table or view of that name is known, so that a start costs
//! nothing and the user's own tables win. The files are generated data (see `data/`), read in place.

use std::sync::{Arc, Mutex, PoisonError};

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

/// The sample tables that have not been registered yet. Clones share them.
#[derive(Clone)]
pub(crate) struct Samples(Arc<Mutex<Vec<Sample>>>);

type Sample = (&'static str, &'static [u8]);

impl Samples {
    /// All tables, or none.
    pub(crate) fn new(wanted: bool) -> Self {
        Self(Arc::new(Mutex::new(if wanted { TABLES.to_vec() } else { Vec::new() })))
    }

    /// Registers the table that `error` says is missing; whether there was one, so that trying again makes sense.
    pub(crate) async fn provide(&self, session: &Session, error: &Error) -> Result<bool> {
        if error.condition() != "TABLE_OR_VIEW_NOT_FOUND" {
            return Ok(false);
        }
        let message = error.message().to_ascii_lowercase();
        match self.take(|name| message.contains(&format!("`{name}`"))) {
            Some((name, bytes)) => session.register_parquet_bytes(name, bytes).await.map(|()| true),
            None => Ok(false),
        }
    }

    /// Registers those that are left, before tables are listed.
    pub(crate) async fn provide_all(&self, session: &Session) -> Result<()> {
        while let Some((name, bytes)) = self.take(|_| true) {
            if !session.table_names().iter().any(|table| table.eq_ignore_ascii_case(name)) {
                session.register_parquet_bytes(name, bytes).await?;
            }
        }
        Ok(())
    }

    fn take(&self, wanted: impl Fn(&str) -> bool) -> Option<Sample> {
        // The list is whole even if a thread panicked while it had the lock.
        let mut left = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = left.iter().position(|(name, _)| wanted(name))?;
        Some(left.swap_remove(at))
    }
}
