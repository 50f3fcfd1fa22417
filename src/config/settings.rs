//! All settings, read once.

use std::cell::RefCell;
use std::error::Error;
use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::path::Path;
use std::time::Duration;

use chrono::TimeDelta;
use chrono_tz::Tz;
use rustls_native_certs::load_certs_from_paths;

use super::auth::{self, Auth};
use super::github::{self, GitHubConfig};
use super::lookup::{ConfigError, Flags, Lookup, Secret};
use super::otel::{self, OtelConfig};
use super::public_url::{self, PublicUrl};
use super::redis::{self, RedisConfig};
use super::storage::{self, StorageChoice};
use crate::net::TrustStore;

/// All settings of a process, validated.
#[derive(Debug, Clone)]
pub struct Config {
    /// The blob store and its address.
    pub storage: StorageChoice,
    /// `AZURE_BLOB_CONTAINER`, default `codex-cache`.
    pub container: String,
    /// `CODEX_REDIS_URL` or `AZURE_REDIS_CONNECTION_STRING`, with `CODEX_REDIS_ENTRA`: the cache that instances share.
    pub redis: Option<RedisConfig>,
    /// `CODEX_BIND`, default 127.0.0.1.
    pub bind: IpAddr,
    /// `FUNCTIONS_CUSTOMHANDLER_PORT`, else `--port`, else `PORT`, else 7071.
    pub port: u16,
    /// `CODEX_TIME_ZONE`, default `Europe/Berlin`.
    pub time_zone: Tz,
    /// `CODEX_CALENDAR_MINUTES`, default 60: how long a task in a slot takes in the calendar.
    pub calendar_slot: TimeDelta,
    /// `CODEX_AUTH`.
    pub auth: Auth,
    /// `CODEX_PUBLIC_URL`, default `https://$WEBSITE_HOSTNAME`, else the loopback address.
    pub public_url: PublicUrl,
    /// `CODEX_ALLOWED_ORIGINS`, none by default.
    pub allowed_origins: Vec<String>,
    /// `CODEX_MEMORY_TTL_SECONDS`, default 300.
    pub memory_ttl: Duration,
    /// `CODEX_ARTIFACT_TTL_SECONDS`, default 900.
    pub artifact_ttl: Duration,
    /// `CODEX_REVALIDATE_SECONDS`, default 5.
    pub revalidate: Duration,
    /// `CODEX_PENDING_EXPIRY_SECONDS`, default 60: after this time other instances recover an unfinished write intent.
    pub pending_expiry: Duration,
    /// `CODEX_STALE_IF_ERROR_SECONDS`, default 3600.
    pub stale_if_error: Duration,
    /// `CODEX_MEMORY_MAX_BYTES`, default 128 MiB.
    pub memory_max_bytes: u64,
    /// `CODEX_REBUILDS_PER_MINUTE`, default 60: `nocache` and strongly consistent reads, per user and
    /// instance.
    pub rebuilds_per_minute: u32,
    /// `CODEX_WRITES_PER_MINUTE`, default 600, per user and instance.
    pub writes_per_minute: u32,
    /// `CODEX_MAX_CONNECTIONS`, default 16,384: concurrent connections; more wait in the accept queue.
    pub max_connections: NonZeroUsize,
    /// `CODEX_IDLE_SECONDS`, default 75: how long a connection may be without a complete request head.
    pub idle: Duration,
    /// `CODEX_BODY_SECONDS`, default 30: timeout of reading a request's body.
    pub body: Duration,
    /// `CODEX_METRICS_TOKEN`: the bearer token for `/metrics`, which is off without it.
    pub metrics_token: Option<Secret>,
    /// `OTEL_…`: where traces and metrics are sent; none by default.
    pub otel: Option<OtelConfig>,
    /// GitHub's URLs, the webhook's secret and the repository that mirrors the tasks.
    pub github: GitHubConfig,
    /// Trust anchors of TLS: `SSL_CERT_FILE` and `SSL_CERT_DIR` add to the built-in certificate authorities.
    pub trust: TrustStore,
    /// Whether a Functions host has started the service (`FUNCTIONS_CUSTOMHANDLER_PORT` is set) and triggers the
    /// periodic work.
    pub hosted: bool,
}

impl Config {
    /// Reads every setting through `lookup`. A blank value counts as not set.
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        Self::from_flags(Flags::default(), lookup)
    }

    /// Like [`Self::from_lookup`], with the command line's flags, which take precedence.
    ///
    /// # Errors
    /// Also for a value that the platform should have replaced: its text is known to others, and would be used as the
    /// secret that it stands for.
    pub fn from_flags(
        flags: Flags,
        lookup: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, ConfigError> {
        let unresolved = RefCell::new(None);
        let variable = |name: &str| {
            let value = lookup(name)?;
            if value.trim_start().starts_with(KEY_VAULT_REFERENCE) {
                unresolved
                    .borrow_mut()
                    .get_or_insert_with(|| name.to_owned());
            }
            Some(value)
        };
        let config = Self::read(&Lookup {
            variable: &variable,
            flags,
        });
        match unresolved.take() {
            Some(name) => Err(ConfigError::new(
                &name,
                "is a Key Vault reference that the platform didn't resolve",
                "a reference to a secret that exists and that the app's identity may read",
            )),
            None => config,
        }
    }

    fn read(settings: &Lookup<'_>) -> Result<Self, ConfigError> {
        let bind = settings.parsed("CODEX_BIND", IpAddr::from([127, 0, 0, 1]), "an IP address")?;
        let port = port(settings)?;
        let count = |name, default| settings.parsed(name, default, "a whole number");
        let public_url = public_url::public_url(settings, bind, port)?;
        Ok(Self {
            storage: storage::storage(settings)?,
            container: storage::container(settings)?,
            redis: redis::redis(settings)?,
            bind,
            port,
            time_zone: settings.parsed(
                "CODEX_TIME_ZONE",
                Tz::Europe__Berlin,
                "a zone as in Europe/Berlin",
            )?,
            calendar_slot: calendar_slot(settings)?,
            auth: auth::auth(settings, bind, &public_url)?,
            public_url,
            allowed_origins: public_url::allowed_origins(settings)?,
            memory_ttl: settings.seconds("CODEX_MEMORY_TTL_SECONDS", 300)?,
            artifact_ttl: settings.seconds("CODEX_ARTIFACT_TTL_SECONDS", 900)?,
            revalidate: settings.seconds("CODEX_REVALIDATE_SECONDS", 5)?,
            // A write that takes longer than this must renew its write intent.
            pending_expiry: settings.positive_seconds("CODEX_PENDING_EXPIRY_SECONDS", 60)?,
            stale_if_error: settings.seconds("CODEX_STALE_IF_ERROR_SECONDS", 3600)?,
            memory_max_bytes: settings.parsed(
                "CODEX_MEMORY_MAX_BYTES",
                128 << 20,
                "a number of bytes",
            )?,
            rebuilds_per_minute: count("CODEX_REBUILDS_PER_MINUTE", 60)?,
            writes_per_minute: count("CODEX_WRITES_PER_MINUTE", 600)?,
            max_connections: settings.parsed(
                "CODEX_MAX_CONNECTIONS",
                NonZeroUsize::MIN.saturating_add((1 << 14) - 1),
                "a whole number, at least 1",
            )?,
            idle: settings.positive_seconds("CODEX_IDLE_SECONDS", 75)?,
            body: settings.positive_seconds("CODEX_BODY_SECONDS", 30)?,
            metrics_token: metrics_token(settings)?,
            otel: otel::otel(settings)?,
            github: github::github(settings)?,
            trust: trust(settings)?,
            hosted: settings.is_set("FUNCTIONS_CUSTOMHANDLER_PORT"),
        })
    }
}

/// How a value begins that Azure replaces by a secret from a vault, if it can.
const KEY_VAULT_REFERENCE: &str = "@Microsoft.KeyVault(";

/// At most so long that what begins at 19:00 ends on its day.
fn calendar_slot(settings: &Lookup<'_>) -> Result<TimeDelta, ConfigError> {
    let allowed = "a number of minutes, 1 to 300";
    let minutes = settings.read("CODEX_CALENDAR_MINUTES", allowed, |text| {
        text.parse().ok().filter(|it| (1..=300).contains(it))
    })?;
    Ok(TimeDelta::minutes(minutes.unwrap_or(60)))
}

fn metrics_token(settings: &Lookup<'_>) -> Result<Option<Secret>, ConfigError> {
    /// In bytes; a shorter token could be guessed.
    const MIN_TOKEN_BYTES: usize = 16;
    let name = "CODEX_METRICS_TOKEN";
    let allowed = "at least 16 visible ASCII characters";
    let fits =
        |text: &str| text.len() >= MIN_TOKEN_BYTES && text.bytes().all(|c| c.is_ascii_graphic());
    match settings.text(name) {
        Some(token) if !fits(&token) => Err(ConfigError::new(name, "can't be used", allowed)),
        token => Ok(token.map(Secret::new)),
    }
}

fn port(settings: &Lookup<'_>) -> Result<u16, ConfigError> {
    let by_host = settings.is_set("FUNCTIONS_CUSTOMHANDLER_PORT");
    let name = match (by_host, settings.flags.port) {
        (false, Some(port)) => return Ok(port),
        // The host connects only to the port that it has chosen.
        (true, Some(_)) => {
            let was = "is given while FUNCTIONS_CUSTOMHANDLER_PORT is set";
            let allowed = "left out where a Functions host says the port";
            return Err(ConfigError::new("--port", was, allowed));
        }
        (true, None) => "FUNCTIONS_CUSTOMHANDLER_PORT",
        (false, None) => "PORT",
    };
    settings.parsed(name, 7071, "a port, 0 to 65535")
}

/// By OpenSSL's names.
const SSL_FILE: &str = "SSL_CERT_FILE";
const SSL_FOLDERS: &str = "SSL_CERT_DIR";

/// The built-in authorities and every certificate in the file `SSL_CERT_FILE` and in the folders `SSL_CERT_DIR`,
/// which are separated as in `PATH`. Files without certificates in these folders are ignored.
fn trust(settings: &Lookup<'_>) -> Result<TrustStore, ConfigError> {
    let mut trust = TrustStore::default();
    if let Some(file) = settings.text(SSL_FILE) {
        let bad = |why: &str| {
            let allowed = "a file with certificates in PEM form";
            ConfigError::new(SSL_FILE, format!("is {file:?}, which {why}"), allowed)
        };
        let found = load_certs_from_paths(Some(Path::new(&file)), None);
        if let Some(error) = found.errors.first().and_then(Error::source) {
            return Err(bad(&format!("can't be read: {error}")));
        }
        if trust.add(found.certs) == 0 {
            return Err(bad("holds no certificate"));
        }
    }
    let folders = settings.text(SSL_FOLDERS).unwrap_or_default();
    for folder in std::env::split_paths(&folders).filter(|it| !it.as_os_str().is_empty()) {
        std::fs::read_dir(&folder).map_err(|error| {
            let was = format!("names {folder:?}, which can't be read: {error}");
            let allowed = "folders of certificates in PEM form, separated as in PATH";
            ConfigError::new(SSL_FOLDERS, was, allowed)
        })?;
        trust.add(load_certs_from_paths(None, Some(&folder)).certs);
    }
    Ok(trust)
}
