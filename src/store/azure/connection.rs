//! The storage account and its credential, parsed from settings (src/store/README.md, "Azure").

use std::collections::HashMap;

use azure_core::credentials::Secret;
use azure_core::http::Url;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use derive_more::Display;

use crate::config::ManagedIdentityConfig;

/// The emulator's well-known account.
const EMULATOR: &str = "BlobEndpoint=http://127.0.0.1:10000/devstoreaccount1;AccountName=devstoreaccount1;\
    AccountKey=Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// A storage account with its credential. Neither `Debug` nor `Display` shows a secret; the latter is for the startup
/// log, as in `account codex at codex.blob.core.windows.net`.
#[derive(Debug, Clone, Display)]
#[display("account {account} at {}", endpoint.authority())]
#[non_exhaustive]
pub struct AzureConnection {
    /// The account name.
    pub account: String,
    /// The blob service's URL, without credentials and without a trailing slash.
    pub endpoint: Url,
    /// The credential that authenticates requests.
    pub credential: Credential,
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
    /// The HTTP or storage client can't be built.
    #[error("the storage client can't be set up: {0}")]
    Setup(String),
}

impl BadConnection {
    fn require(fits: bool, part: &'static str, expected: &'static str) -> Result<(), Self> {
        match fits {
            true => Ok(()),
            false => Err(Self::Invalid { part, expected }),
        }
    }
}

impl AzureConnection {
    /// Parses a connection string as shown in the portal: `Name=value` parts separated by `;`, with case-insensitive
    /// names, each split at its first `=` (keys and signatures end in more of them). Quotes around the whole string, as
    /// in settings files, are ignored.
    pub fn parse(text: &str) -> Result<Self, BadConnection> {
        let parts = ConnectionParts::read(unquoted(text))?;
        let development = parts.get("UseDevelopmentStorage");
        if development.is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            let proxy = "DevelopmentStorageProxyUri";
            let expected = "left out; an emulator elsewhere is named by BlobEndpoint";
            BadConnection::require(parts.get(proxy).is_none(), proxy, expected)?;
            return Self::parse(EMULATOR);
        }
        let endpoint = parts.endpoint()?;
        let credential = parts.credential()?;
        let named = parts.get("AccountName");
        let account = match (named, &credential) {
            (Some(name), _) => name.to_owned(),
            (None, Credential::AccountKey(_)) => return Err(BadConnection::Missing("AccountName")),
            (None, _) => account_of(&endpoint),
        };
        // An emulator's account names may break Azure's rules, but must not look like a part that holds a secret.
        let allowed = |c: u8| c.is_ascii_alphanumeric() || b"-_".contains(&c);
        let fits = named.is_none_or(|name| name.bytes().all(allowed));
        BadConnection::require(fits, "AccountName", "of A-Z, a-z, 0-9, '-' and '_'")?;
        refuse_container("BlobEndpoint", &endpoint, named)?;
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
        let endpoint = match service.contains("://") {
            true => endpoint("blobServiceUri", service)?,
            false => {
                check_account("accountName", service)?;
                let url = format!("https://{service}.blob.core.windows.net");
                endpoint("accountName", &url)?
            }
        };
        // A bearer token sent over http could be intercepted.
        let is_https = endpoint.scheme() == "https";
        BadConnection::require(is_https, "blobServiceUri", "an https URL")?;
        refuse_container("blobServiceUri", &endpoint, None)?;
        Ok(Self {
            account: account_of(&endpoint),
            endpoint,
            credential: Credential::ManagedIdentity(identity),
        })
    }

    /// The URL of a container of the account, without credentials.
    pub(super) fn container_url(&self, container: &str) -> Url {
        let mut url = self.endpoint.clone();
        url.set_path(&format!("{}/{container}", url.path().trim_end_matches('/')));
        url
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

    fn endpoint(&self) -> Result<Url, BadConnection> {
        if let Some(url) = self.get("BlobEndpoint") {
            return endpoint("BlobEndpoint", url);
        }
        let name = self.get("AccountName");
        let name = name.ok_or(BadConnection::Missing("AccountName (or BlobEndpoint)"))?;
        check_account("AccountName", name)?;
        let protocol = self.get("DefaultEndpointsProtocol").unwrap_or("https");
        let suffix = self.get("EndpointSuffix").unwrap_or("core.windows.net");
        let suffix = suffix.trim_start_matches('.');
        let suffix = suffix.strip_prefix("blob.").unwrap_or(suffix);
        // Otherwise a signature pasted into the wrong part would become a host name, which is logged.
        let in_a_host = |c: u8| c.is_ascii_alphanumeric() || b".-:".contains(&c);
        let fits = suffix.bytes().all(in_a_host);
        let expected = "a host's name, such as core.windows.net";
        BadConnection::require(fits, "EndpointSuffix", expected)?;
        let url = format!("{protocol}://{name}.blob.{suffix}");
        endpoint("EndpointSuffix", &url)
    }

    fn credential(&self) -> Result<Credential, BadConnection> {
        match (self.get("AccountKey"), self.get("SharedAccessSignature")) {
            (Some(key), _) => {
                let is_key = STANDARD.decode(key).is_ok_and(|bytes| !bytes.is_empty());
                BadConnection::require(is_key, "AccountKey", "base64")?;
                Ok(Credential::AccountKey(Secret::new(key.to_owned())))
            }
            (None, Some(sas)) => {
                let sas = sas.trim_start_matches('?');
                let signed = sas.split('&').any(|pair| pair.starts_with("sig="));
                BadConnection::require(signed, "SharedAccessSignature", "a query with 'sig='")?;
                Ok(Credential::Sas(Secret::new(sas.to_owned())))
            }
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

/// Checks that the endpoint's path names no more than the account (`account`, if given), such as a container. Azure has
/// the account in the host name; an emulator, whose host is an address or a name without dots, as the last path segment.
fn refuse_container(
    part: &'static str,
    endpoint: &Url,
    account: Option<&str>,
) -> Result<(), BadConnection> {
    let path = endpoint.path().trim_matches('/');
    let is_emulator = endpoint.domain().is_none_or(|host| !host.contains('.'));
    let fits = match account {
        _ if path.is_empty() => true,
        Some(account) => path.rsplit('/').next() == Some(account),
        None => is_emulator && !path.contains('/'),
    };
    let expected = "the account's URL; the container is named by AZURE_BLOB_CONTAINER alone";
    BadConnection::require(fits, part, expected)
}

/// Azure's rule for account names.
fn check_account(part: &'static str, name: &str) -> Result<(), BadConnection> {
    let allowed = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
    let fits = (3..=24).contains(&name.len()) && name.bytes().all(allowed);
    BadConnection::require(fits, part, "3 to 24 of a-z and 0-9")
}

/// Parses an http or https URL without credentials, and removes trailing slashes, which would give `//container`.
fn endpoint(part: &'static str, text: &str) -> Result<Url, BadConnection> {
    let expected = "an http or https URL without a query";
    let mut url = Url::parse(text).map_err(|_| BadConnection::Invalid { part, expected })?;
    let allowed = |c: u8| c.is_ascii_alphanumeric() || b".-_".contains(&c);
    let plain = url.query().is_none()
        && url.username().is_empty()
        && url.password().is_none()
        && url.domain().is_none_or(|host| host.bytes().all(allowed))
        && matches!(url.scheme(), "http" | "https");
    BadConnection::require(plain, part, expected)?;
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
