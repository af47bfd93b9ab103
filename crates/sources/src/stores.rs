//! Object stores by URL: which store serves a URL, how it is connected to, and running its requests.
//!
//! A store is connected to when it is first used, with credentials from the environment and from the
//! settings `spark.hadoop.fs.s3a.*`. Requests, and the waiting between their attempts, run on I/O
//! threads of their own, so that it does not matter which runtime, or whether one, polls the caller;
//! a caller that is dropped takes its request with it. Attempts are few and their time is bounded: an
//! endpoint that does not answer is an error within seconds.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;

use firesteel_common::{Error, ErrorKind, Result};
use firesteel_runtime::{TaskScope, Threads};
use object_store::ObjectStore;
use object_store::path::Path;
use parking_lot::RwLock;
use tokio::runtime::Handle;

/// Settings that connecting to S3 obeys, as Hadoop names them.
const S3A: &str = "spark.hadoop.fs.s3a.";
const S3A_SETTINGS: [&str; 7] = [
    "access.key",
    "aws.credentials.provider",
    "connection.ssl.enabled",
    "endpoint",
    "endpoint.region",
    "secret.key",
    "session.token",
];

/// Object stores by the part of the URL that names them, `s3://bucket`. Each is made when it is first
/// used, from the environment and the settings, unless it was registered.
#[derive(Debug)]
pub struct ObjectStores {
    registered: RwLock<BTreeMap<String, Arc<RemoteStore>>>,
    connected: RwLock<BTreeMap<String, Arc<RemoteStore>>>,
    settings: RwLock<BTreeMap<String, String>>,
    threads: Arc<Threads>,
}

impl Default for ObjectStores {
    fn default() -> Self {
        Self {
            registered: RwLock::default(),
            connected: RwLock::default(),
            settings: RwLock::default(),
            // Only the threads for I/O are ever started, with the first request.
            threads: Threads::new(1),
        }
    }
}

/// A store with the threads that its requests run on.
#[derive(Debug)]
pub struct RemoteStore {
    origin: String,
    store: Arc<dyn ObjectStore>,
    threads: Arc<Threads>,
}

impl ObjectStores {
    /// Uses `store` for URLs that begin with `origin`, such as `s3://bucket`.
    pub fn register(&self, origin: &str, store: Arc<dyn ObjectStore>) {
        let origin = origin.trim_end_matches('/').to_string();
        let remote = RemoteStore { origin: origin.clone(), store, threads: self.threads.clone() };
        self.registered.write().insert(origin, Arc::new(remote));
    }

    /// Takes note of a setting, or that it has none any more. Whether connecting to stores obeys it.
    pub fn configure(&self, key: &str, value: Option<&str>) -> bool {
        if !self.obeys(key) {
            return false;
        }
        let name = &key[S3A.len()..];
        let mut settings = self.settings.write();
        match value {
            Some(value) => settings.insert(name.to_owned(), value.to_owned()),
            None => settings.remove(name),
        };
        self.connected.write().clear();
        true
    }

    /// Whether connecting to stores obeys a setting.
    pub fn obeys(&self, key: &str) -> bool {
        key.strip_prefix(S3A).is_some_and(|name| S3A_SETTINGS.contains(&name))
    }

    /// The store of a URL, and the key of the object or prefix in it.
    ///
    /// Errors: `INVALID_URL`; `UNSUPPORTED_FEATURE` for schemes that are not known.
    pub(crate) fn find(&self, url: &str) -> Result<(Arc<RemoteStore>, String)> {
        let (scheme, rest) = url.split_once("://").ok_or_else(|| invalid(url, "it has no scheme"))?;
        let (host, key) = rest.split_once('/').unwrap_or((rest, ""));
        let scheme = scheme.to_ascii_lowercase();
        let origin = format!("{scheme}://{host}");
        if let Some(store) = self.registered.read().get(&origin) {
            return Ok((store.clone(), key.to_owned()));
        }
        if !["s3", "s3a", "gs", "az", "abfs", "abfss", "http", "https"].contains(&scheme.as_str()) {
            return Err(Error::unsupported(format!("The file system `{scheme}` of {url} is not supported."))
                .with_hint(
                    "paths of this machine, and URLs with s3://, s3a://, gs://, az://, abfs://, abfss://, http:// and \
                 https:// are",
                ));
        }
        if host.is_empty() {
            return Err(invalid(url, "it names no host or bucket"));
        }
        if scheme.starts_with("http") && key.contains(['?', '#']) {
            return Err(Error::unsupported(format!("URLs with a query, as in {url}, are not supported.")).with_hint(
                "name the file without `?` and `#`; credentials of object stores go with s3://, gs:// or az://",
            ));
        }
        if let Some(store) = self.connected.read().get(&origin) {
            return Ok((store.clone(), key.to_owned()));
        }
        let store = connect(&scheme, &origin, &self.settings.read());
        let store = store.map_err(|why| match scheme.starts_with("http") {
            true => invalid(url, &why),
            false => invalid(url, &why).with_hint(hint(url, false)),
        })?;
        let remote = Arc::new(RemoteStore { origin: origin.clone(), store, threads: self.threads.clone() });
        self.connected.write().insert(origin, remote.clone());
        Ok((remote, key.to_owned()))
    }
}

fn invalid(url: &str, why: &str) -> Error {
    Error::bind("INVALID_URL", "22P02", format!("The url is invalid: {url}: {why}."))
        .with_hint("URLs look like s3://bucket/path/file.parquet or https://host/path/file.csv")
}

#[cfg(feature = "cloud")]
fn connect(
    scheme: &str,
    origin: &str,
    settings: &BTreeMap<String, String>,
) -> std::result::Result<Arc<dyn ObjectStore>, String> {
    use object_store::{
        ClientOptions, azure::MicrosoftAzureBuilder, gcp::GoogleCloudStorageBuilder, http::HttpBuilder,
    };
    // It fails if the program that embeds us has chosen a provider, which then serves as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let why = |e: object_store::Error| reason(&e);
    Ok(match scheme {
        "s3" | "s3a" => Arc::new(s3(origin, settings).with_retry(patience()).build().map_err(why)?),
        "gs" => {
            let builder = GoogleCloudStorageBuilder::from_env().with_url(origin).with_retry(patience());
            Arc::new(builder.build().map_err(why)?)
        }
        "http" | "https" => {
            let options = ClientOptions::new().with_allow_http(true);
            let builder = HttpBuilder::new().with_url(origin).with_client_options(options).with_retry(patience());
            Arc::new(builder.build().map_err(why)?)
        }
        _ => {
            let builder = MicrosoftAzureBuilder::from_env().with_url(origin).with_retry(patience());
            Arc::new(builder.build().map_err(why)?)
        }
    })
}

/// Five attempts within some seconds.
#[cfg(feature = "cloud")]
fn patience() -> object_store::RetryConfig {
    use std::time::Duration;
    object_store::RetryConfig {
        backoff: object_store::BackoffConfig {
            init_backoff: Duration::from_millis(100),
            max_backoff: Duration::from_secs(2),
            base: 2.0,
        },
        max_retries: 4,
        retry_timeout: Duration::from_secs(15),
    }
}

#[cfg(feature = "cloud")]
fn s3(origin: &str, settings: &BTreeMap<String, String>) -> object_store::aws::AmazonS3Builder {
    use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
    let mut builder = AmazonS3Builder::from_env().with_url(origin.replacen("s3a://", "s3://", 1));
    let keys = [
        ("access.key", AmazonS3ConfigKey::AccessKeyId),
        ("endpoint.region", AmazonS3ConfigKey::Region),
        ("secret.key", AmazonS3ConfigKey::SecretAccessKey),
        ("session.token", AmazonS3ConfigKey::Token),
    ];
    for (name, key) in keys {
        if let Some(value) = settings.get(name) {
            builder = builder.with_config(key, value);
        }
    }
    if settings.get("aws.credentials.provider").is_some_and(|v| v.contains("AnonymousAWSCredentialsProvider")) {
        builder = builder.with_skip_signature(true);
    }
    if let Some(endpoint) = settings.get("endpoint") {
        let plain = settings.get("connection.ssl.enabled").is_some_and(|v| v.eq_ignore_ascii_case("false"));
        let scheme = if plain { "http" } else { "https" };
        builder = builder.with_endpoint(match endpoint.contains("://") {
            true => endpoint.clone(),
            false => format!("{scheme}://{endpoint}"),
        });
    }
    // Who names an endpoint without TLS means it.
    let endpoint = builder.get_config_value(&AmazonS3ConfigKey::Endpoint);
    if endpoint.is_some_and(|e| e.starts_with("http://")) { builder.with_allow_http(true) } else { builder }
}

#[cfg(not(feature = "cloud"))]
fn connect(_: &str, origin: &str, _: &BTreeMap<String, String>) -> std::result::Result<Arc<dyn ObjectStore>, String> {
    Err(format!("reading from {origin} needs a build with the feature `cloud`"))
}

impl RemoteStore {
    /// Scheme and bucket or host: what stands before the key in URLs.
    pub(crate) fn origin(&self) -> &str {
        &self.origin
    }

    /// Whether it is a server of files rather than a store: it cannot be written to.
    pub(crate) fn is_http(&self) -> bool {
        self.origin.starts_with("http")
    }

    /// The path of a key. Keys of HTTP servers are percent-encoded, as in all their URLs.
    pub(crate) fn path(&self, key: &str) -> Result<Path> {
        let parsed = if self.is_http() { Path::from_url_path(key) } else { Path::parse(key) };
        parsed.map_err(|e| invalid(&format!("{}/{key}", self.origin), &e.to_string()))
    }

    /// The threads for requests.
    pub(crate) fn handle(&self) -> Result<Handle> {
        self.threads.io()
    }

    pub(crate) fn store(&self) -> Arc<dyn ObjectStore> {
        self.store.clone()
    }

    /// Runs a request. Errors name `location`.
    pub(crate) async fn run<T, F>(&self, location: &str, request: F) -> Result<T>
    where
        T: Send + 'static,
        F: Future<Output = object_store::Result<T>> + Send + 'static,
    {
        let mut scope = TaskScope::new(self.handle()?);
        let location = location.to_owned();
        scope.spawn(async move { request.await.map_err(|e| failure(&location, e)) });
        scope.next().await.unwrap_or_else(|| Err(Error::internal("a request has no result")))
    }
}

/// The error of a request on `location`.
pub(crate) fn failure(location: &str, error: object_store::Error) -> Error {
    use object_store::Error as E;
    let why = reason(&error);
    let reading = |kind| {
        let message = format!("Encountered error while reading file {location}. {why}");
        Error::new(kind, "FAILED_READ_FILE.NO_HINT", "KD001", message)
    };
    let bucket = why.contains("NoSuchBucket") || why.contains("ContainerNotFound");
    let found = match &error {
        // Listing a bucket that is not there is a failure without a kind.
        _ if bucket => not_found(location).with_hint("the bucket does not exist"),
        E::NotFound { .. } => not_found(location),
        E::PermissionDenied { .. } | E::Unauthenticated { .. } => reading(ErrorKind::Data),
        E::NotSupported { .. } | E::NotImplemented { .. } => Error::unsupported(format!("{location}: {why}")),
        _ => reading(ErrorKind::Io),
    };
    let found = if found.hint().is_some() {
        found
    } else {
        found.with_hint(hint(location, matches!(error, E::NotSupported { .. })))
    };
    found.with_source(error)
}

/// `PATH_NOT_FOUND`.
pub(crate) fn not_found(path: &str) -> Error {
    Error::bind("PATH_NOT_FOUND", "42K03", format!("Path does not exist: {path}."))
}

/// What to look at when requests to a location fail, or when they do for want of ranges.
fn hint(location: &str, ranges: bool) -> &'static str {
    match location.split("://").next().unwrap_or_default() {
        "http" | "https" if ranges => "the server does not serve ranges of files, which reading Parquet needs",
        "http" | "https" => "the server must be reachable and answer HEAD requests for the file",
        "s3" | "s3a" => {
            "credentials are AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_REGION of the environment or the settings \
             spark.hadoop.fs.s3a.access.key and .secret.key; AWS_ENDPOINT_URL or .endpoint names another service, and \
             AWS_SKIP_SIGNATURE=true reads public buckets"
        }
        "gs" => {
            "credentials are GOOGLE_SERVICE_ACCOUNT (a file), GOOGLE_APPLICATION_CREDENTIALS or those of gcloud; \
             GOOGLE_SKIP_SIGNATURE=true reads public buckets"
        }
        "az" | "abfs" | "abfss" => {
            "the account is AZURE_STORAGE_ACCOUNT_NAME, credentials are AZURE_STORAGE_ACCOUNT_KEY, AZURE_STORAGE_SAS_KEY \
             or AZURE_CLIENT_ID with its secret and tenant; AZURE_SKIP_SIGNATURE=true reads public containers"
        }
        _ => "the store must be reachable",
    }
}

/// The innermost reason of an error: there the cause stands that a user can mend. Of the XML that
/// stores answer with, code and message.
pub(crate) fn reason(error: &object_store::Error) -> String {
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    let text = innermost.to_string();
    let element = |name: &str| {
        let (_, rest) = text.split_once(&format!("<{name}>"))?;
        rest.split_once('<').map(|(value, _)| value.to_owned())
    };
    if let Some(code) = element("Code") {
        return element("Message").map_or(code.clone(), |message| format!("{code}: {message}"));
    }
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").chars().take(300).collect::<String>().trim_end_matches([' ', ':', '.']).to_owned()
}

#[cfg(test)]
#[cfg(feature = "cloud")]
mod tests {
    use super::*;

    fn error(url: &str) -> Error {
        ObjectStores::default().find(url).unwrap_err()
    }

    #[test]
    fn urls_that_name_no_store() {
        assert_eq!(error("s3:///key").condition(), "INVALID_URL");
        assert_eq!(error("http://host:999999/a.csv").condition(), "INVALID_URL");
        let unknown = error("hdfs://host/a");
        assert_eq!((unknown.kind(), unknown.hint().is_some()), (ErrorKind::Unsupported, true));
        assert_eq!(error("https://host/a.csv?sig=1").kind(), ErrorKind::Unsupported);
    }

    #[test]
    fn settings_of_s3() {
        let stores = ObjectStores::default();
        assert!(!stores.configure("spark.hadoop.fs.s3a.nope", Some("1")));
        assert!(stores.configure("spark.hadoop.fs.s3a.endpoint", Some("localhost:9000")));
        assert!(stores.configure("spark.hadoop.fs.s3a.connection.ssl.enabled", Some("false")));
        let builder = s3("s3a://bucket", &stores.settings.read());
        let value = |key| builder.get_config_value(&key);
        use object_store::aws::AmazonS3ConfigKey as Key;
        assert_eq!(value(Key::Endpoint).as_deref(), Some("http://localhost:9000"));
        assert!(stores.configure("spark.hadoop.fs.s3a.endpoint", None));
    }

    #[test]
    fn the_reason_is_the_innermost() {
        let body = "status 404: <?xml?><Error><Code>NoSuchBucket</Code><Message>It is not there</Message></Error>";
        let source: Box<dyn std::error::Error + Send + Sync> = body.into();
        let error = object_store::Error::NotFound { path: "a".into(), source };
        assert_eq!(reason(&error), "NoSuchBucket: It is not there");
        let error = failure("s3://bucket/a", error);
        assert_eq!((error.condition(), error.hint()), ("PATH_NOT_FOUND", Some("the bucket does not exist")));
    }
}
