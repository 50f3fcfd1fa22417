//! The storage account and its credential, parsed from settings (src/store/README.md, "Azure").

use std::collections::HashMap;
use std::fmt;

use azure_core::credentials::Secret;
use azure_core::http::Url;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::config::ManagedIdentityConfig;

/// The emulator's well-known account: name, endpoint, key.
const EMULATOR: (&str, &str, &str) = (
    "devstoreaccount1",
    "http://127.0.0.1:10000/devstoreaccount1",
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==",
);

const WITHOUT_CONTAINER: &str =
    "the account's URL; the container is named by AZURE_BLOB_CONTAINER alone";

/// A storage account with its credential. Neither `Debug` nor `Display` shows a secret.
#[derive(Debug, Clone)]
pub struct AzureConnection {
    account: String,
    endpoint: Url,
    credential: Credential,
}

/// How requests are authenticated.
#[derive(Debug, Clone)]
pub enum Credential {
    /// The base64 account key, which signs each request.
    AccountKey(Secret),
    /// A shared access signature, the query string that is appended to each URL.
    Sas(Secret),
    /// A managed identity: system-assigned, or user-assigned with its client id.
    ManagedIdentity(ManagedIdentityConfig),
}

/// Why the connection settings are invalid. Contains no secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadConnection {
    /// A part isn't of the form `Name=value`.
    #[error("part {0} of the connection string has no '='")]
    NotAPair(usize),
    /// A required part is missing.
    #[error("the connection string has no {0}")]
    Missing(&'static str),
    /// A part has an invalid value.
    #[error("{part} must be {expected}")]
    Invalid {
        /// The part's name.
        part: &'static str,
        /// The allowed values.
        expected: &'static str,
    },
    /// The container name violates Azure's naming rules.
    #[error(
        "a container's name is 3 to 63 of a-z, 0-9 and single '-' between them, which '{0}' isn't"
    )]
    Container(String),
    /// The HTTP or storage client can't be built.
    #[error("the storage client can't be set up: {0}")]
    Setup(String),
}

impl AzureConnection {
    /// Parses a connection string as shown in the portal: `Name=value` parts separated by `;`, with case-insensitive
    /// names, each split at its first `=` (keys and signatures end in more of them). Quotes around the whole string, as
    /// in settings files, are ignored.
    pub fn parse(text: &str) -> Result<Self, BadConnection> {
        let parts = ConnectionParts::read(unquoted(text))?;
        if parts
            .get("UseDevelopmentStorage")
            .is_some_and(|value| value.eq_ignore_ascii_case("true"))
        {
            return parts.emulator();
        }
        let endpoint = parts.endpoint()?;
        let credential = parts.credential()?;
        let account = match (parts.get("AccountName"), &credential) {
            (Some(name), _) => emulated_name(name)?.to_owned(),
            (None, Credential::AccountKey(_)) => return Err(BadConnection::Missing("AccountName")),
            (None, _) => account_of(&endpoint),
        };
        if names_container(&endpoint, parts.get("AccountName")) {
            return Err(BadConnection::Invalid {
                part: "BlobEndpoint",
                expected: WITHOUT_CONTAINER,
            });
        }
        Ok(Self {
            account,
            endpoint,
            credential,
        })
    }

    /// A connection by managed identity. `service` is the blob service's https URI or just the account name.
    pub fn managed_identity(
        service: &str,
        identity: ManagedIdentityConfig,
    ) -> Result<Self, BadConnection> {
        let endpoint = if service.contains("://") {
            endpoint("blobServiceUri", service)?
        } else {
            let name = account_name("accountName", service)?;
            endpoint(
                "accountName",
                &format!("https://{name}.blob.core.windows.net"),
            )?
        };
        if endpoint.scheme() != "https" {
            // A bearer token sent over http could be intercepted.
            return Err(BadConnection::Invalid {
                part: "blobServiceUri",
                expected: "an https URL",
            });
        }
        let account = account_of(&endpoint);
        if names_container(&endpoint, None) {
            return Err(BadConnection::Invalid {
                part: "blobServiceUri",
                expected: WITHOUT_CONTAINER,
            });
        }
        Ok(Self {
            account,
            endpoint,
            credential: Credential::ManagedIdentity(identity),
        })
    }

    /// The account name.
    pub fn account(&self) -> &str {
        &self.account
    }

    /// The blob service's URL, without credentials and without a trailing slash.
    pub fn endpoint(&self) -> &Url {
        &self.endpoint
    }

    /// The credential that authenticates requests.
    pub fn credential(&self) -> &Credential {
        &self.credential
    }
}

/// For the startup log, as in `account codex at codex.blob.core.windows.net`.
impl fmt::Display for AzureConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self.endpoint.host_str().unwrap_or_default();
        write!(f, "account {} at {host}", self.account)?;
        match self.endpoint.port() {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}

/// The parts of a connection string by their lower-case names.
struct ConnectionParts<'a>(HashMap<String, &'a str>);

impl<'a> ConnectionParts<'a> {
    fn read(text: &'a str) -> Result<Self, BadConnection> {
        let mut parts = HashMap::new();
        for (at, part) in text.split(';').map(str::trim).enumerate() {
            if !part.is_empty() {
                let (name, value) = part
                    .split_once('=')
                    .ok_or(BadConnection::NotAPair(at + 1))?;
                parts.insert(name.trim().to_ascii_lowercase(), value.trim());
            }
        }
        Ok(Self(parts))
    }

    /// The part's value; `None` if missing or empty.
    fn get(&self, name: &str) -> Option<&'a str> {
        self.0
            .get(&name.to_ascii_lowercase())
            .copied()
            .filter(|value| !value.is_empty())
    }

    fn emulator(&self) -> Result<AzureConnection, BadConnection> {
        if self.get("DevelopmentStorageProxyUri").is_some() {
            return Err(BadConnection::Invalid {
                part: "DevelopmentStorageProxyUri",
                expected: "left out; an emulator elsewhere is named by BlobEndpoint",
            });
        }
        let (account, url, key) = EMULATOR;
        Ok(AzureConnection {
            account: account.to_owned(),
            endpoint: endpoint("BlobEndpoint", url)?,
            credential: Credential::AccountKey(Secret::new(key)),
        })
    }

    fn endpoint(&self) -> Result<Url, BadConnection> {
        if let Some(url) = self.get("BlobEndpoint") {
            return endpoint("BlobEndpoint", url);
        }
        let name = self
            .get("AccountName")
            .ok_or(BadConnection::Missing("AccountName (or BlobEndpoint)"))?;
        let name = account_name("AccountName", name)?;
        let protocol = self.get("DefaultEndpointsProtocol").unwrap_or("https");
        let suffix = self.get("EndpointSuffix").unwrap_or("core.windows.net");
        let suffix = suffix.trim_start_matches('.');
        let suffix = suffix.strip_prefix("blob.").unwrap_or(suffix);
        // Otherwise a signature pasted into the wrong part would become a host name, which is logged.
        let in_a_host = |c: u8| c.is_ascii_alphanumeric() || b".-:".contains(&c);
        if !suffix.bytes().all(in_a_host) {
            return Err(BadConnection::Invalid {
                part: "EndpointSuffix",
                expected: "a host's name, such as core.windows.net",
            });
        }
        endpoint(
            "EndpointSuffix",
            &format!("{protocol}://{name}.blob.{suffix}"),
        )
    }

    fn credential(&self) -> Result<Credential, BadConnection> {
        match (self.get("AccountKey"), self.get("SharedAccessSignature")) {
            (Some(key), _) => account_key(key),
            (None, Some(sas)) => signature(sas),
            (None, None) => Err(BadConnection::Missing(
                "AccountKey or SharedAccessSignature",
            )),
        }
    }
}

fn unquoted(text: &str) -> &str {
    let text = text.trim();
    let inside = |quote| text.strip_prefix(quote)?.strip_suffix(quote);
    inside('"').or_else(|| inside('\'')).unwrap_or(text)
}

/// Whether the endpoint's path names more than the account (`account`, if given), such as a container. Azure has the
/// account in the host name; an emulator, whose host is an address or a name without dots, as the last path segment.
fn names_container(endpoint: &Url, account: Option<&str>) -> bool {
    let path = endpoint.path().trim_matches('/');
    let last = path.rsplit('/').next();
    let is_emulator = endpoint.domain().is_none_or(|host| !host.contains('.'));
    match account {
        _ if path.is_empty() => false,
        Some(account) => last != Some(account),
        None => !is_emulator || path.contains('/'),
    }
}

fn account_key(key: &str) -> Result<Credential, BadConnection> {
    match STANDARD.decode(key) {
        Ok(bytes) if !bytes.is_empty() => Ok(Credential::AccountKey(Secret::new(key.to_owned()))),
        _ => Err(BadConnection::Invalid {
            part: "AccountKey",
            expected: "base64",
        }),
    }
}

fn signature(sas: &str) -> Result<Credential, BadConnection> {
    let sas = sas.trim_start_matches('?');
    if sas.split('&').any(|pair| pair.starts_with("sig=")) {
        Ok(Credential::Sas(Secret::new(sas.to_owned())))
    } else {
        Err(BadConnection::Invalid {
            part: "SharedAccessSignature",
            expected: "a query with 'sig='",
        })
    }
}

fn account_name<'a>(part: &'static str, name: &'a str) -> Result<&'a str, BadConnection> {
    let allowed = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
    if (3..=24).contains(&name.len()) && name.bytes().all(allowed) {
        Ok(name)
    } else {
        Err(BadConnection::Invalid {
            part,
            expected: "3 to 24 of a-z and 0-9",
        })
    }
}

/// An emulator's account names may break Azure's rules, but must not look like a part that holds a secret.
fn emulated_name(name: &str) -> Result<&str, BadConnection> {
    let allowed = |c: u8| c.is_ascii_alphanumeric() || b"-_".contains(&c);
    match name.bytes().all(allowed) {
        true => Ok(name),
        false => Err(BadConnection::Invalid {
            part: "AccountName",
            expected: "of A-Z, a-z, 0-9, '-' and '_'",
        }),
    }
}

/// Parses an http or https URL without credentials, and removes trailing slashes, which would give `//container`.
fn endpoint(part: &'static str, text: &str) -> Result<Url, BadConnection> {
    let bad = BadConnection::Invalid {
        part,
        expected: "an http or https URL without a query",
    };
    let Ok(mut url) = Url::parse(text) else {
        return Err(bad);
    };
    let named = |host: &str| {
        host.bytes()
            .all(|c| c.is_ascii_alphanumeric() || b".-_".contains(&c))
    };
    let plain = url.query().is_none()
        && url.username().is_empty()
        && url.password().is_none()
        && url.domain().is_none_or(named);
    if !plain || !matches!(url.scheme(), "http" | "https") {
        return Err(bad);
    }
    let path = url.path().trim_end_matches('/').to_owned();
    url.set_path(&path);
    url.set_fragment(None);
    Ok(url)
}

/// The account name in an endpoint: the path segment (emulator), else the host's first label.
fn account_of(endpoint: &Url) -> String {
    let first_segment = endpoint.path().split('/').find(|part| !part.is_empty());
    let first_label = endpoint.domain().and_then(|host| host.split('.').next());
    first_segment.or(first_label).unwrap_or_default().to_owned()
}
