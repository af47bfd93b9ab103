//! From paths to tables: files, globs, directories and URLs of object stores.
//!
//! Names that begin with `_` or `.` are not data, as in Spark, except `_k=v` directories. Files are
//! sorted by path, so that a table is the same on every run.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use firesteel_catalog::{Field, TableProvider};
use firesteel_common::{Error, Result};
use futures::TryStreamExt;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};

use crate::glob;
use crate::parquet::ParquetTable;
use crate::partition::parse_directory;
use crate::storage::{SourceFile, Storage};
use crate::stores::{ObjectStores, RemoteStore, not_found};

/// Opens the files at `paths` as a table of `format` (`parquet`, `csv` or `json`). Columns are those
/// of `schema`, or are found in the files.
///
/// Errors: `PATH_NOT_FOUND`, `UNABLE_TO_INFER_SCHEMA`, `DATA_SOURCE_NOT_FOUND`, and those of reading.
pub async fn open_table(
    format: &str,
    paths: &[String],
    schema: Option<Vec<Field>>,
    options: &BTreeMap<String, String>,
    stores: &ObjectStores,
) -> Result<Arc<dyn TableProvider>> {
    let format = format.to_lowercase();
    if !["parquet", "csv", "json"].contains(&format.as_str()) {
        let message = format!("Failed to find the data source: {format}. Make sure the provider name is correct.");
        return Err(Error::bind("DATA_SOURCE_NOT_FOUND", "42K02", message));
    }
    let mut files = Vec::new();
    for path in paths {
        files.extend(list(path, stores).await?);
    }
    if files.is_empty() {
        let Some(schema) = schema else {
            let name = if format == "parquet" { "Parquet".to_string() } else { format.to_uppercase() };
            let message = format!("Unable to infer schema for {name}. It must be specified manually.");
            return Err(Error::bind("UNABLE_TO_INFER_SCHEMA", "42KD9", message));
        };
        return Ok(Arc::new(crate::memory::MemoryTable::new(schema, Vec::new())?));
    }
    let location = match paths {
        [path] => local_path(path).map_or_else(|| path.clone(), |p| p.display().to_string()),
        paths => paths.join(", "),
    };
    Ok(match format.as_str() {
        "csv" => Arc::new(crate::csv::CsvTable::open(files, schema, options, location).await?),
        "json" => Arc::new(crate::json::JsonTable::open(files, schema, options, location).await?),
        _ => Arc::new(ParquetTable::open(files, schema, location).await?),
    })
}

/// The path on this machine that `path` names, without `file:`; `None` for other URLs.
pub fn local_path(path: &str) -> Option<PathBuf> {
    let bare = path.strip_prefix("file://").or_else(|| path.strip_prefix("file:")).unwrap_or(path);
    if bare.len() == path.len() && path.contains("://") {
        return None;
    }
    std::path::absolute(bare).ok()
}

/// The data files that a path names.
async fn list(path: &str, stores: &ObjectStores) -> Result<Vec<SourceFile>> {
    let Some(local) = local_path(path) else { return list_remote(path, stores).await };
    let text = local.to_string_lossy();
    let roots = if local.exists() || !glob::is_pattern(&text) { vec![local.clone()] } else { glob::expand(&text)? };
    let mut files = Vec::new();
    for root in &roots {
        let metadata = std::fs::metadata(root).map_err(|_| not_found(&format!("file:{text}")))?;
        if metadata.is_dir() {
            walk(root, &mut Vec::new(), &mut files)?;
        } else {
            files.push(local_file(root, &metadata, &[]));
        }
    }
    if roots.is_empty() {
        return Err(not_found(&format!("file:{text}")));
    }
    Ok(files)
}

fn local_file(path: &Path, metadata: &std::fs::Metadata, partitions: &[(String, Option<String>)]) -> SourceFile {
    let modified = metadata.modified().ok().and_then(|t| t.duration_since(UNIX_EPOCH).ok());
    SourceFile {
        location: Arc::from(path.to_string_lossy().as_ref()),
        storage: Storage::Local(path.to_path_buf()),
        size: metadata.len(),
        modified: modified.map_or(0, |d| d.as_nanos() as i128),
        partitions: partitions.to_vec(),
    }
}

fn is_hidden(name: &str) -> bool {
    name.starts_with('.') || (name.starts_with('_') && !name.contains('='))
}

fn walk(directory: &Path, partitions: &mut Vec<(String, Option<String>)>, files: &mut Vec<SourceFile>) -> Result<()> {
    let entries = std::fs::read_dir(directory).and_then(Iterator::collect::<std::io::Result<Vec<_>>>);
    let mut entries = entries.map_err(|e| Error::io(format!("{}: {e}", directory.display())).with_source(e))?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let name = entry.file_name().to_string_lossy().into_owned();
        if is_hidden(&name) {
            continue;
        }
        let path = entry.path();
        // A file may vanish while the directory is read; it is then not part of the table.
        let Ok(metadata) = std::fs::metadata(&path) else { continue };
        if metadata.is_dir() {
            let partition = parse_directory(&name);
            let depth = partitions.len();
            partitions.extend(partition);
            walk(&path, partitions, files)?;
            partitions.truncate(depth);
        } else if metadata.len() > 0 {
            files.push(local_file(&path, &metadata, partitions));
        }
    }
    Ok(())
}

async fn list_remote(url: &str, stores: &ObjectStores) -> Result<Vec<SourceFile>> {
    let (store, key) = stores.find(url)?;
    let pattern = glob::is_pattern(&key);
    if !pattern && !key.is_empty() && !key.ends_with('/') {
        let (path, inner) = (store.path(&key)?, store.store());
        let found = store.run(url, async move {
            match inner.head(&path).await {
                Err(object_store::Error::NotFound { .. }) => Ok(None),
                found => found.map(Some),
            }
        });
        match found.await? {
            Some(meta) => return Ok(vec![remote_file(&store, meta, Vec::new())]),
            // Servers of files have no folders that could be listed.
            None if store.is_http() => return Err(not_found(url)),
            None => {}
        }
    }
    let fixed = if pattern { glob::fixed_prefix(&key) } else { key.trim_end_matches('/') };
    let objects = list_prefix(&store, url, fixed).await?;
    let mut files = Vec::new();
    for object in objects {
        let name = object.location.to_string();
        // Under a pattern, what matches may be the object or a directory above it.
        let below = if pattern {
            let ends = name.match_indices('/').map(|(i, _)| i).chain([name.len()]);
            ends.into_iter().find(|end| glob::matches(&key, &name[..*end])).map(|end| &name[end..])
        } else {
            name.strip_prefix(fixed)
        };
        let Some(below) = below else { continue };
        let mut parts: Vec<&str> = below.split('/').filter(|p| !p.is_empty()).collect();
        if parts.iter().any(|part| is_hidden(part)) || object.size == 0 {
            continue;
        }
        parts.pop();
        let partitions = parts.into_iter().filter_map(parse_directory).collect();
        files.push(remote_file(&store, object, partitions));
    }
    if files.is_empty() { Err(not_found(url)) } else { Ok(files) }
}

fn remote_file(store: &Arc<RemoteStore>, meta: ObjectMeta, partitions: Vec<(String, Option<String>)>) -> SourceFile {
    SourceFile {
        location: Arc::from(format!("{}/{}", store.origin(), meta.location)),
        size: meta.size,
        modified: i128::from(meta.last_modified.timestamp_micros()) * 1_000,
        storage: Storage::Remote(store.clone(), meta.location),
        partitions,
    }
}

/// All objects below a prefix, sorted.
async fn list_prefix(store: &RemoteStore, url: &str, prefix: &str) -> Result<Vec<ObjectMeta>> {
    if store.is_http() {
        return Err(Error::unsupported(format!("Listing {url}: files of HTTP servers cannot be listed."))
            .with_hint("name the files one by one"));
    }
    let (prefix, inner) = (store.path(prefix)?, store.store());
    let objects = store.run(url, async move { inner.list(Some(&prefix)).try_collect::<Vec<_>>().await });
    let mut objects = objects.await?;
    objects.sort_by(|a, b| a.location.cmp(&b.location));
    Ok(objects)
}
