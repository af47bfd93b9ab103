//! The sample tables: TPC-H at scale factor 0.01, inside the binary, so that a newcomer can type a query at once.
//!
//! A table is offered when a statement names it and no table or view of that name is known, so that a start costs
//! nothing. The user's own tables win: an offer gives way to them, and comes back when they are dropped. The files are
//! generated data (see `data/`), read in place.

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

/// The sample tables, as far as they are wanted.
#[derive(Clone, Copy)]
pub(crate) struct Samples(&'static [(&'static str, &'static [u8])]);

impl Samples {
    /// All tables, or none.
    pub(crate) fn new(wanted: bool) -> Self {
        Self(if wanted { TABLES } else { &[] })
    }

    /// Offers the table that `error` says is missing; whether there was one, so that trying again makes sense.
    pub(crate) async fn provide(self, session: &Session, error: &Error) -> Result<bool> {
        if error.condition() != "TABLE_OR_VIEW_NOT_FOUND" {
            return Ok(false);
        }
        let message = error.message().to_ascii_lowercase();
        let known = session.table_names();
        let missing = |name: &str| !known.iter().any(|table| table.eq_ignore_ascii_case(name));
        match self.0.iter().find(|(name, _)| message.contains(&format!("`{name}`")) && missing(name)) {
            Some((name, bytes)) => session.offer_parquet_bytes(name, *bytes).await.map(|()| true),
            None => Ok(false),
        }
    }

    /// Offers all of them, before tables are listed.
    pub(crate) async fn provide_all(self, session: &Session) -> Result<()> {
        let known = session.table_names();
        for (name, bytes) in self.0 {
            if !known.iter().any(|table| table == name) {
                session.offer_parquet_bytes(name, *bytes).await?;
            }
        }
        Ok(())
    }
}
