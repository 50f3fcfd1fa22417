//! Builds the parts of the service from the settings.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use codex_miroir::cache::CacheSettings;
use codex_miroir::codex::{Codex, CodexSettings};
use codex_miroir::config::{Config, ConfigError, StorageChoice};
use codex_miroir::git_sync::GitSettings;
use codex_miroir::github::{GitHubRepository, Transport};
use codex_miroir::metrics::SharedCacheMetrics;
use codex_miroir::now::Now;
use codex_miroir::rules::Rules;
use codex_miroir::shared_cache::{Hint, RedisCache, RedisSettings, RedisSnapshots};
use codex_miroir::store::BlobStore;
use codex_miroir::store::azure::{AzureConnection, AzureStore};
use codex_miroir::store::directory::DirectoryStore;
use tokio::sync::mpsc::Receiver;

/// Why the command failed, as a one-line message.
pub(crate) type Failure = Box<dyn Error>;

/// Deadline of a read; after it the read's storage requests are cancelled.
const READ_DEADLINE: Duration = Duration::from_secs(30);

/// The time limit of each storage request of a command that doesn't serve.
pub(crate) const CALL_LIMIT: Duration = Duration::from_secs(20);

/// A random id from the operating system. Ids must be unique: otherwise an instance could take another's write for its
/// own.
#[expect(
    clippy::expect_used,
    reason = "without randomness the service can't run"
)]
pub(crate) fn random_id() -> u64 {
    getrandom::u64().expect("the operating system gives random numbers")
}

/// What the service is built with.
pub(crate) fn settings(config: &Config, github: &Arc<Transport>) -> Result<CodexSettings, Failure> {
    let git = GitHubRepository::new(&config.github, github)?.map(|repository| GitSettings {
        repository,
        base_path: config.github.base_path.clone(),
        clock: Now::read,
        rules: Rules::default(),
    });
    Ok(CodexSettings {
        cache: CacheSettings {
            memory_ttl: config.memory_ttl,
            artifact_ttl: config.artifact_ttl,
            revalidate: config.revalidate,
            stale_if_error: config.stale_if_error,
            memory_max_bytes: config.memory_max_bytes,
            deadline: READ_DEADLINE,
            pending_expiry: config.pending_expiry,
            zone: config.time_zone,
            ids: random_id,
            rules: Rules::default(),
        },
        rebuilds_per_minute: config.rebuilds_per_minute,
        writes_per_minute: config.writes_per_minute,
        git,
        shared: None,
    })
}

/// The cache that instances share.
pub(crate) struct SharedCacheClient {
    pub(crate) cache: Arc<RedisCache>,
    /// What it hears of other instances' changes.
    pub(crate) hints: Receiver<Hint>,
    pub(crate) metrics: SharedCacheMetrics,
}

/// The client of Redis, if a server is configured. It connects in the background.
pub(crate) fn shared_cache(
    config: &Config,
    store: &StoreName,
) -> Result<Option<SharedCacheClient>, Failure> {
    let Some(server) = &config.redis else {
        return Ok(None);
    };
    let metrics = SharedCacheMetrics::default();
    let (cache, hints) = RedisCache::new(RedisSettings {
        server: server.clone(),
        scope: store.scope.clone(),
        life: config.artifact_ttl,
        trust: config.trust.clone(),
        metrics: metrics.clone(),
        clock: Now::read,
    })?;
    Ok(Some(SharedCacheClient {
        cache,
        hints,
        metrics,
    }))
}

/// What Redis has, for a command that doesn't serve, if a server is configured.
pub(crate) fn shared_snapshots(
    config: &Config,
    store: &StoreName,
) -> Result<Option<RedisSnapshots>, Failure> {
    let Some(server) = &config.redis else {
        return Ok(None);
    };
    let snapshots = RedisSnapshots::new(server.clone(), store.scope.clone(), &config.trust)?;
    Ok(Some(snapshots))
}

/// The client of GitHub.
pub(crate) fn transport(config: &Config) -> Result<Arc<Transport>, Failure> {
    let transport = Transport::new(&config.github.api_url, &config.trust)?;
    Ok(Arc::new(transport))
}

/// The service over `store`, for a command that doesn't serve.
pub(crate) fn codex(config: &Config, store: Arc<dyn BlobStore>) -> Result<Codex, Failure> {
    Ok(Codex::new(store, settings(config, &transport(config)?)?))
}

/// A store that is open. Shown for the log and the output, with the variable that selected it.
#[derive(derive_more::Display)]
#[display("{label} ({variable})")]
pub(crate) struct StoreName {
    label: String,
    pub(crate) variable: String,
    /// What tells it from any other store.
    pub(crate) scope: String,
}

impl StoreName {
    pub(crate) fn folder(variable: &str, path: &Path) -> Self {
        Self {
            label: format!("folder {}", path.display()),
            variable: variable.to_owned(),
            scope: folder_scope(path),
        }
    }
}

/// Only processes on one machine share a folder's snapshots: elsewhere the same path may be another folder.
fn folder_scope(path: &Path) -> String {
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    #[cfg(unix)]
    let machine = {
        use std::os::unix::fs::MetadataExt;
        let inode = std::fs::metadata(&path).map_or((0, 0), |it| (it.dev(), it.ino()));
        let system = rustix::system::uname();
        let name = system.nodename().to_string_lossy().into_owned();
        format!("{name}/{}-{}", inode.0, inode.1)
    };
    #[cfg(not(unix))]
    let machine = std::env::var("COMPUTERNAME").unwrap_or_default();
    format!("{machine}{}", path.display())
}

/// Opens the configured store.
pub(crate) fn open_store(config: &Config) -> Result<(Arc<dyn BlobStore>, StoreName), Failure> {
    match open_storage(config)? {
        OpenStorage::Account(account) => Ok((account.store, account.name)),
        OpenStorage::Folder(variable, path) => {
            let allowed = "a folder that the service may make and write to";
            let store = DirectoryStore::open(path, Utc::now);
            let store = store.map_err(|error| unusable(variable, &error, allowed))?;
            Ok((Arc::new(store), StoreName::folder(variable, path)))
        }
    }
}

/// The configured storage.
pub(crate) enum OpenStorage<'a> {
    Account(Box<OpenAccount>),
    /// The variable that names a folder, and its path. Nothing was opened.
    Folder(&'a str, &'a Path),
}

/// A container of an account. No request was sent.
pub(crate) struct OpenAccount {
    pub(crate) store: Arc<AzureStore>,
    pub(crate) connection: AzureConnection,
    pub(crate) name: StoreName,
}

/// Builds the client, if the configured storage is an account.
pub(crate) fn open_storage(config: &Config) -> Result<OpenStorage<'_>, Failure> {
    let (variable, connection, allowed) = match &config.storage {
        StorageChoice::ConnectionString { variable, value } => {
            let connection = AzureConnection::parse(value.reveal());
            (variable, connection, "an Azure Storage connection string")
        }
        StorageChoice::ManagedIdentity {
            variable,
            account,
            identity,
        } => {
            let connection = AzureConnection::managed_identity(account, identity.clone());
            (variable, connection, "an account name or https URL")
        }
        StorageChoice::Directory { variable, path } => {
            return Ok(OpenStorage::Folder(variable, path));
        }
    };
    let connection = connection.map_err(|error| unusable(variable, &error, allowed))?;
    let endpoint = &connection.endpoint;
    let scope = format!(
        "{}{}/{}",
        endpoint.authority(),
        endpoint.path().trim_end_matches('/'),
        config.container
    );
    let store = AzureStore::new(connection.clone(), &config.container, &config.trust)?;
    let name = StoreName {
        scope,
        label: store.to_string(),
        variable: variable.clone(),
    };
    Ok(OpenStorage::Account(Box::new(OpenAccount {
        store: Arc::new(store),
        connection,
        name,
    })))
}

fn unusable(variable: &str, error: &dyn Error, allowed: &str) -> ConfigError {
    ConfigError::new(variable, format!("can't be used: {error}"), allowed)
}
