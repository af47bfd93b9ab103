//! The layers of the workspace: which crate may use which, and which libraries.

/// A crate, the crates of the workspace that it may use, and the libraries among [`GUARDED`] that it may use.
pub(crate) struct Layer {
    pub(crate) name: &'static str,
    pub(crate) uses: &'static [&'static str],
    pub(crate) libraries: &'static [&'static str],
}

/// Libraries that only the named layers may use.
pub(crate) const GUARDED: &[&str] = &["tokio", "sqlparser", "parquet", "object_store"];

const fn layer(name: &'static str, uses: &'static [&'static str], libraries: &'static [&'static str]) -> Layer {
    Layer { name, uses, libraries }
}

/// From the bottom up; `docs/ARCHITECTURE.md` says what each is for.
pub(crate) const LAYERS: &[Layer] = &[
    layer("firesteel-allocator", &[], &[]),
    layer("firesteel-common", &[], &[]),
    layer("firesteel-runtime", &["common"], &["tokio"]),
    layer("firesteel-expr", &["common"], &[]),
    layer("firesteel-functions", &["common", "expr"], &[]),
    layer("firesteel-catalog", &["common", "expr"], &[]),
    layer("firesteel-plan", &["common", "expr", "catalog"], &[]),
    layer("firesteel-sql", &["common", "expr", "catalog", "plan"], &["sqlparser"]),
    layer("firesteel-optimizer", &["common", "expr", "catalog", "plan"], &[]),
    layer("firesteel-shuffle", &["common", "runtime"], &[]),
    layer("firesteel-exec", &["common", "expr", "catalog", "plan", "shuffle", "runtime"], &["tokio"]),
    layer("firesteel-sources", &["common", "expr", "catalog", "runtime"], &["parquet", "object_store", "tokio"]),
    layer(
        "firesteel-scheduler",
        &["common", "expr", "catalog", "plan", "optimizer", "exec", "shuffle", "runtime"],
        &["tokio"],
    ),
    layer(
        "firesteel",
        &[
            "common",
            "expr",
            "functions",
            "catalog",
            "plan",
            "sql",
            "optimizer",
            "shuffle",
            "exec",
            "sources",
            "scheduler",
            "runtime",
        ],
        &["tokio"],
    ),
    layer("firesteel-cli", &["firesteel", "allocator"], &["tokio"]),
    layer("firesteel-sql-tests", &["firesteel"], &["tokio"]),
    layer("firesteel-bench", &["firesteel", "allocator"], &["tokio", "parquet"]),
    layer("xtask", &[], &[]),
];
