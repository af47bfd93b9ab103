//! Places to write to: a file or folder of this machine, or an object or prefix of a store.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use firesteel_common::{Error, Result};
use firesteel_runtime::threads::spawn_orderly;
use futures::StreamExt;
use futures::future::BoxFuture;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload, WriteMultipart};
use parking_lot::Mutex;
use tokio::sync::mpsc;

use crate::location::local_path;
use crate::stores::{ObjectStores, RemoteStore, failure};

/// A place to write to.
#[derive(Clone, Debug)]
pub enum Target {
    /// A path of this machine.
    Local(PathBuf),
    /// A key of a store.
    Remote(Arc<RemoteStore>, Path),
}

/// Bytes after which an object is uploaded in parts; stores want parts of 5 MiB at least.
const PART_BYTES: usize = 10 << 20;
/// Parts that are uploaded at the same time.
const PARTS_AT_ONCE: usize = 4;

impl ObjectStores {
    /// The place that a path or URL names.
    ///
    /// Errors: those of the URL; `UNSUPPORTED_FEATURE` for HTTP servers.
    pub fn target(&self, location: &str) -> Result<Target> {
        if let Some(path) = local_path(location) {
            return Ok(Target::Local(path));
        }
        let (store, key) = self.find(location)?;
        if store.is_http() {
            return Err(Error::unsupported(format!("Writing to {location} is not supported."))
                .with_hint("files of this machine and objects of s3://, gs:// and az:// can be written"));
        }
        let path = store.path(key.trim_end_matches('/'))?;
        Ok(Target::Remote(store, path))
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Local(path) => write!(f, "{}", path.display()),
            Self::Remote(store, path) => write!(f, "{}/{path}", store.origin()),
        }
    }
}

impl Target {
    /// Whether there is something: a file, a folder, an object, or objects below.
    pub async fn exists(&self) -> Result<bool> {
        match self {
            Self::Local(path) => Ok(path.exists()),
            Self::Remote(store, path) => {
                let (inner, path) = (store.store(), path.clone());
                let found = async move {
                    match inner.head(&path).await {
                        Ok(_) => return Ok(true),
                        Err(object_store::Error::NotFound { .. }) => {}
                        Err(error) => return Err(error),
                    }
                    inner.list(Some(&path)).next().await.transpose().map(|first| first.is_some())
                };
                store.run(&self.to_string(), found).await
            }
        }
    }

    /// Whether something is in the folder or below the prefix.
    pub async fn has_entries(&self) -> Result<bool> {
        match self {
            Self::Local(path) => Ok(path.read_dir().is_ok_and(|mut entries| entries.next().is_some())),
            Self::Remote(..) => self.exists().await,
        }
    }

    /// The files that are directly in the folder.
    pub async fn files(&self) -> Result<Vec<Target>> {
        match self {
            Self::Local(path) => {
                let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
                Ok(entries.map(|e| e.path()).filter(|p| p.is_file()).map(Self::Local).collect())
            }
            Self::Remote(store, path) => {
                let (inner, path) = (store.store(), path.clone());
                let listed = async move { inner.list_with_delimiter(Some(&path)).await };
                let listed = store.run(&self.to_string(), listed).await?;
                Ok(listed.objects.into_iter().map(|o| Self::Remote(store.clone(), o.location)).collect())
            }
        }
    }

    /// Removes the file or object.
    pub async fn remove(&self) -> Result<()> {
        match self {
            Self::Local(path) => Ok(std::fs::remove_file(path)?),
            Self::Remote(store, path) => {
                let (inner, path) = (store.store(), path.clone());
                store.run(&self.to_string(), async move { inner.delete(&path).await }).await
            }
        }
    }

    /// Makes the folder; stores have none.
    pub fn create_folder(&self) -> Result<()> {
        match self {
            Self::Local(path) => Ok(std::fs::create_dir_all(path)?),
            Self::Remote(..) => Ok(()),
        }
    }

    /// Whether a file of `format` of just this name is meant, rather than a folder of files.
    pub(crate) fn is_file(&self, format: &str) -> bool {
        let extension = |name: &std::path::Path| name.extension().is_some_and(|e| e.eq_ignore_ascii_case(format));
        match self {
            Self::Local(path) => extension(path) && !path.is_dir(),
            Self::Remote(_, path) => extension(std::path::Path::new(path.as_ref())),
        }
    }

    /// What is called `name` in the folder.
    pub(crate) fn child(&self, name: &str) -> Self {
        match self {
            Self::Local(path) => Self::Local(path.join(name)),
            Self::Remote(store, path) => Self::Remote(store.clone(), path.clone().join(name)),
        }
    }
}

/// An object being written. It appears when it is complete.
pub(crate) struct Upload {
    /// What the encoder has written and was not sent yet.
    buffer: Arc<Mutex<Vec<u8>>>,
    sender: mpsc::Sender<Message>,
    task: BoxFuture<'static, Result<u64>>,
}

#[derive(Debug)]
enum Message {
    Bytes(Bytes),
    Commit,
}

/// The end of an upload that an encoder writes to.
#[derive(Clone, Debug)]
pub(crate) struct UploadBuffer(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for UploadBuffer {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Upload {
    /// Starts to write the object at `path`.
    pub(crate) fn start(store: &RemoteStore, path: Path) -> Result<Self> {
        let (sender, receiver) = mpsc::channel(2);
        let location = format!("{}/{path}", store.origin());
        let inner = store.store();
        // When its owner gives up, it has to end the upload at the store.
        let task = spawn_orderly(&store.handle()?, async move {
            upload(&*inner, path, receiver).await.map_err(|error| failure(&location, error))
        });
        Ok(Self { buffer: Arc::default(), sender, task })
    }

    pub(crate) fn buffer(&self) -> UploadBuffer {
        UploadBuffer(self.buffer.clone())
    }

    /// Sends what has been written, when it is much; waits while the store is slower than the query.
    pub(crate) async fn send(&mut self) -> Result<()> {
        let bytes = {
            let mut buffer = self.buffer.lock();
            if buffer.len() < PART_BYTES / 4 {
                return Ok(());
            }
            std::mem::take(&mut *buffer)
        };
        match self.sender.send(Message::Bytes(bytes.into())).await {
            Ok(()) => Ok(()),
            Err(_) => (&mut self.task).await.map(|_| ()),
        }
    }

    /// Completes the object and returns its bytes.
    pub(crate) async fn commit(self) -> Result<u64> {
        let rest = std::mem::take(&mut *self.buffer.lock());
        // If the upload has failed nobody receives, and its result says why.
        let _ = self.sender.send(Message::Bytes(rest.into())).await;
        let _ = self.sender.send(Message::Commit).await;
        self.task.await
    }
}

async fn upload(
    store: &dyn ObjectStore,
    path: Path,
    mut receiver: mpsc::Receiver<Message>,
) -> object_store::Result<u64> {
    let mut first: Vec<Bytes> = Vec::new();
    let mut parts: Option<WriteMultipart> = None;
    let mut length = 0;
    while let Some(message) = receiver.recv().await {
        match (message, parts.take()) {
            (Message::Bytes(bytes), Some(mut upload)) => {
                length += bytes.len();
                if let Err(error) = upload.wait_for_capacity(PARTS_AT_ONCE).await {
                    upload.abort().await?;
                    return Err(error);
                }
                upload.put(bytes);
                parts = Some(upload);
            }
            (Message::Bytes(bytes), None) => {
                length += bytes.len();
                first.push(bytes);
                if length >= PART_BYTES {
                    let upload = store.put_multipart(&path).await?;
                    let mut upload = WriteMultipart::new_with_chunk_size(upload, PART_BYTES);
                    first.drain(..).for_each(|bytes| upload.put(bytes));
                    parts = Some(upload);
                }
            }
            (Message::Commit, Some(upload)) => return upload.finish().await.map(|_| length as u64),
            (Message::Commit, None) => {
                return store.put(&path, PutPayload::from_iter(first)).await.map(|_| length as u64);
            }
        }
    }
    // The owner gave up. Without parts, the store knows nothing of it.
    match parts {
        Some(upload) => upload.abort().await.map(|()| 0),
        None => Ok(0),
    }
}
