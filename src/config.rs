#![doc = include_str!("config/README.md")]

mod auth;
mod github;
mod trust;
mod unknown_settings;

use std::fmt;
use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use chrono_tz::Tz;
use url::Url;

pub use auth::{Allowlist, Auth, OAuthApp, PublicUrl};
pub use github::{Credentials, GitHubConfig, RepositoryConfig};
pub use unknown_settings::{UnknownSetting, unknown_settings};

use crate::net::TrustStore;

/// All settings of a process, validated.
#[derive(Debug, Clone)]
pub struct Config {
    /// The blob store and its address.
    pub storage: StorageChoice,
    /// `AZURE_BLOB_CONTAINER`, default `codex-cache`.
    pub container: String,
    /// `CODEX_BIND`, default 127.0.0.1.
    pub bind: IpAddr,
    /// `FUNCTIONS_CUSTOMHANDLER_PORT`, else `--port`, else `PORT`, else 7071.
    pub port: u16,
    /// `CODEX_TIME_ZONE`, default `Europe/Berlin`.
    pub time_zone: Tz,
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
    /// GitHub's URLs, the webhook's secret and the repository that mirrors the tasks.
    pub github: GitHubConfig,
    /// Trust anchors of TLS: `SSL_CERT_FILE` and `SSL_CERT_DIR` add to the built-in certificate authorities.
    pub trust: TrustStore,
    /// Whether a Functions host has started the service (`FUNCTIONS_CUSTOMHANDLER_PORT` is set) and triggers the
    /// periodic work.
    pub hosted: bool,
}

/// Settings on the command line. They take precedence over the corresponding variables.
#[derive(Debug, Clone, Default)]
pub struct Flags {
    /// `--port`, in place of `PORT`.
    pub port: Option<u16>,
    /// `--folder`, in place of `CODEX_DATA_DIR`.
    pub folder: Option<PathBuf>,
}

/// The blob store, and the variable that selected it.
#[derive(Debug, Clone)]
pub enum StorageChoice {
    /// An Azure connection string.
    ConnectionString {
        /// Its variable.
        variable: String,
        /// The connection string, with the account's key or a SAS.
        value: Secret,
    },
    /// An Azure storage account, accessed by managed identity.
    ManagedIdentity {
        /// Its variable.
        variable: String,
        /// The blob service's URL, or the account's name.
        account: String,
        /// The identity and its token endpoint.
        identity: ManagedIdentityConfig,
    },
    /// A folder on disk.
    Directory {
        /// `CODEX_DATA_DIR`, `--folder`, or a text that says that it is the default.
        variable: String,
        /// Its path.
        path: PathBuf,
    },
}

/// A managed identity, and the endpoint that issues its tokens.
#[derive(Debug, Clone)]
pub struct ManagedIdentityConfig {
    /// `IDENTITY_ENDPOINT`, which App Service sets; else the instance metadata service of virtual machines.
    pub endpoint: Url,
    /// `IDENTITY_HEADER`, which authenticates the app at App Service's endpoint.
    pub header: Option<Secret>,
    /// `…__clientId` of a user-assigned identity; none for the system-assigned one.
    pub client_id: Option<String>,
}

/// A secret value; `Debug` doesn't print it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps `value`.
    pub fn new(value: String) -> Self {
        Self(value)
    }

    /// The value itself. Never log it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// A setting has an invalid value, or is missing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{variable} {was}; it must be {allowed}")]
pub struct ConfigError {
    variable: String,
    was: String,
    allowed: String,
}

impl ConfigError {
    /// The message is "`variable` `was`; it must be `allowed`", with `was` as in `is "7"`. `was` must not contain a
    /// secret.
    pub fn new(variable: &str, was: impl Into<String>, allowed: impl Into<String>) -> Self {
        Self {
            variable: variable.to_owned(),
            was: was.into(),
            allowed: allowed.into(),
        }
    }
}

impl Config {
    /// Reads every setting through `lookup`. A blank value counts as not set.
    ///
    /// # Errors
    /// For the first setting that can't be used.
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        Self::from_flags(Flags::default(), lookup)
    }

    /// Like [`Self::from_lookup`], with the command line's flags, which take precedence.
    ///
    /// # Errors
    /// As there.
    pub fn from_flags(
        flags: Flags,
        lookup: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, ConfigError> {
        let settings = Lookup {
            variable: |name: &str| lookup(name).filter(|value| !value.trim().is_empty()),
            flags,
        };
        let bind = settings.parsed("CODEX_BIND", IpAddr::from([127, 0, 0, 1]), "an IP address")?;
        let port = settings.port()?;
        let public_url = settings.public_url(bind, port)?;
        Ok(Self {
            storage: settings.storage()?,
            container: settings.container()?,
            bind,
            port,
            time_zone: settings.parsed(
                "CODEX_TIME_ZONE",
                Tz::Europe__Berlin,
                "a zone as in Europe/Berlin",
            )?,
            auth: settings.auth(bind, &public_url)?,
            public_url,
            allowed_origins: settings.allowed_origins()?,
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
            rebuilds_per_minute: settings.parsed(
                "CODEX_REBUILDS_PER_MINUTE",
                60,
                "a whole number",
            )?,
            writes_per_minute: settings.parsed("CODEX_WRITES_PER_MINUTE", 600, "a whole number")?,
            max_connections: settings.parsed(
                "CODEX_MAX_CONNECTIONS",
                NonZeroUsize::MIN.saturating_add((1 << 14) - 1),
                "a whole number, at least 1",
            )?,
            idle: settings.positive_seconds("CODEX_IDLE_SECONDS", 75)?,
            body: settings.positive_seconds("CODEX_BODY_SECONDS", 30)?,
            metrics_token: settings.metrics_token()?,
            github: settings.github()?,
            trust: settings.trust()?,
            hosted: settings.text("FUNCTIONS_CUSTOMHANDLER_PORT").is_some(),
        })
    }
}

/// Azure's rule for container names: 3 to 63 of `a-z`, `0-9` and single `-`, which is neither first nor last.
pub fn is_container_name(name: &str) -> bool {
    let letters = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
    let dashes = !name.starts_with('-') && !name.ends_with('-') && !name.contains("--");
    (3..=63).contains(&name.len()) && name.bytes().all(letters) && dashes
}

/// The sources of the settings: the command line, and the environment or a test's replacement for it.
struct Lookup<F> {
    variable: F,
    flags: Flags,
}

impl<F: Fn(&str) -> Option<String>> Lookup<F> {
    fn text(&self, name: &str) -> Option<String> {
        (self.variable)(name)
    }

    fn parsed<T: FromStr>(&self, name: &str, default: T, allowed: &str) -> Result<T, ConfigError> {
        match self.text(name) {
            None => Ok(default),
            Some(text) => text
                .trim()
                .parse()
                .map_err(|_| ConfigError::new(name, format!("is {text:?}"), allowed)),
        }
    }

    fn seconds(&self, name: &str, default: u64) -> Result<Duration, ConfigError> {
        /// A larger value is a typing error, and could overflow the arithmetic on instants.
        const MAX: u64 = 366 * 24 * 3600;
        let allowed = "a whole number of seconds, at most a year";
        match self.parsed(name, default, allowed)? {
            seconds @ 0..=MAX => Ok(Duration::from_secs(seconds)),
            seconds => Err(ConfigError::new(name, format!("is \"{seconds}\""), allowed)),
        }
    }

    /// A timeout, which can't be zero.
    fn positive_seconds(&self, name: &str, default: u64) -> Result<Duration, ConfigError> {
        match self.seconds(name, default)? {
            Duration::ZERO => Err(ConfigError::new(name, "is \"0\"", "at least 1 second")),
            span => Ok(span),
        }
    }

    fn metrics_token(&self) -> Result<Option<Secret>, ConfigError> {
        /// In bytes; a shorter token could be guessed.
        const MIN_TOKEN_BYTES: usize = 16;
        let name = "CODEX_METRICS_TOKEN";
        let Some(token) = self.text(name) else {
            return Ok(None);
        };
        if token.len() >= MIN_TOKEN_BYTES && token.bytes().all(|c| c.is_ascii_graphic()) {
            return Ok(Some(Secret(token)));
        }
        let allowed = "at least 16 visible ASCII characters";
        Err(ConfigError::new(name, "can't be used", allowed))
    }

    fn port(&self) -> Result<u16, ConfigError> {
        let by_host = self.text("FUNCTIONS_CUSTOMHANDLER_PORT").is_some();
        let name = match (by_host, self.flags.port) {
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
        self.parsed(name, 7071, "a port, 0 to 65535")
    }

    fn container(&self) -> Result<String, ConfigError> {
        let name = "AZURE_BLOB_CONTAINER";
        let container = self.text(name).unwrap_or_else(|| "codex-cache".to_owned());
        if is_container_name(&container) {
            return Ok(container);
        }
        let allowed = "3 to 63 of a-z, 0-9 and single '-', as Azure wants container names";
        Err(ConfigError::new(name, format!("is {container:?}"), allowed))
    }

    /// The first that is set: `AZURE_BLOB_CONN` in its three forms, the Functions host's `AzureWebJobsStorage` in its
    /// three forms, then the folder.
    fn storage(&self) -> Result<StorageChoice, ConfigError> {
        for name in ["AZURE_BLOB_CONN", "AzureWebJobsStorage"] {
            if let Some(choice) = self.azure(name)? {
                return self.reject_folder_flag(choice);
            }
        }
        if let Some(path) = &self.flags.folder {
            return Ok(StorageChoice::Directory {
                variable: "--folder".to_owned(),
                path: path.clone(),
            });
        }
        if let Some(path) = self.text("CODEX_DATA_DIR") {
            return Ok(StorageChoice::Directory {
                variable: "CODEX_DATA_DIR".to_owned(),
                path: path.into(),
            });
        }
        if self.is_hosted() {
            let was = "is not set, nor is AZURE_BLOB_CONN or AzureWebJobsStorage";
            let allowed = "named explicitly where a Functions host starts the service: a folder that outlives it, \
                           or better a storage account in AZURE_BLOB_CONN";
            return Err(ConfigError::new("CODEX_DATA_DIR", was, allowed));
        }
        let variable = "default; CODEX_DATA_DIR and AZURE_BLOB_CONN are not set".to_owned();
        Ok(StorageChoice::Directory {
            variable,
            path: "./codex-data".into(),
        })
    }

    /// Rejects `--folder` beside a configured account, since either choice would ignore the other one silently.
    fn reject_folder_flag(&self, account: StorageChoice) -> Result<StorageChoice, ConfigError> {
        let (StorageChoice::ConnectionString { variable, .. }
        | StorageChoice::ManagedIdentity { variable, .. }
        | StorageChoice::Directory { variable, .. }) = &account;
        match self.flags.folder {
            None => Ok(account),
            Some(_) => {
                let was = format!("is given while {variable} names a storage account");
                let allowed = "left out where the files are in an account";
                Err(ConfigError::new("--folder", was, allowed))
            }
        }
    }

    fn azure(&self, name: &str) -> Result<Option<StorageChoice>, ConfigError> {
        if let Some(value) = self.text(name) {
            return Ok(Some(StorageChoice::ConnectionString {
                variable: name.to_owned(),
                value: Secret(value),
            }));
        }
        let named = ["blobServiceUri", "accountName"].iter().find_map(|part| {
            let variable = format!("{name}__{part}");
            self.text(&variable).map(|account| (variable, account))
        });
        let Some((variable, account)) = named else {
            return Ok(None);
        };
        Ok(Some(StorageChoice::ManagedIdentity {
            variable,
            account,
            identity: self.identity(&format!("{name}__clientId"))?,
        }))
    }

    fn identity(&self, client_id: &str) -> Result<ManagedIdentityConfig, ConfigError> {
        /// Azure's instance metadata service, at the same address on every virtual machine.
        const METADATA_SERVICE: &str = "http://169.254.169.254/metadata/identity/oauth2/token";
        let names = ["IDENTITY_ENDPOINT", "IDENTITY_HEADER"];
        let header = self.header_secret(names[1])?;
        let endpoint = self.text(names[0]);
        let (missing, other) = match endpoint {
            None => (names[0], names[1]),
            Some(_) => (names[1], names[0]),
        };
        if endpoint.is_some() != header.is_some() {
            let allowed = format!("set together with {other}, or neither of them");
            return Err(ConfigError::new(missing, "is not set", allowed));
        }
        let url = endpoint.as_deref().unwrap_or(METADATA_SERVICE).trim();
        let url = Url::parse(url).ok();
        let http =
            |url: &Url| matches!(url.scheme(), "http" | "https") && !url.authority().contains('@');
        let endpoint = url.filter(http).ok_or_else(|| {
            let allowed = "the http address that the platform sets";
            ConfigError::new(names[0], "is something else", allowed)
        })?;
        Ok(ManagedIdentityConfig {
            endpoint,
            header,
            client_id: self.client_id(client_id)?,
        })
    }

    /// The client id of a user-assigned identity.
    fn client_id(&self, name: &str) -> Result<Option<String>, ConfigError> {
        let id = self.text(name).map(|id| id.trim().to_owned());
        let fits =
            |id: &String| id.len() == 36 && id.bytes().all(|c| c.is_ascii_hexdigit() || c == b'-');
        match id {
            Some(id) if !fits(&id) => {
                let allowed =
                    "a managed identity's client id, as in 1f7a0c2e-0000-0000-0000-000000000000";
                Err(ConfigError::new(name, format!("is {id:?}"), allowed))
            }
            id => Ok(id),
        }
    }

    fn is_hosted(&self) -> bool {
        ["FUNCTIONS_CUSTOMHANDLER_PORT", "WEBSITE_SITE_NAME"]
            .iter()
            .any(|name| self.text(name).is_some())
    }
}
