//! The blob store (`src/config/README.md`, "Storage").

use std::path::PathBuf;

use url::Url;

use super::lookup::{ConfigError, Lookup, Secret, both, valid};

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

/// Azure's rule for container names: 3 to 63 of `a-z`, `0-9` and single `-`, which is neither first nor last.
pub fn is_container_name(name: &str) -> bool {
    let letters = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
    let dashes = !name.starts_with('-') && !name.ends_with('-') && !name.contains("--");
    (3..=63).contains(&name.len()) && name.bytes().all(letters) && dashes
}

pub(super) fn container(settings: &Lookup<'_>) -> Result<String, ConfigError> {
    let name = "AZURE_BLOB_CONTAINER";
    let container = settings.text_or(name, "codex-cache");
    let allowed = "3 to 63 of a-z, 0-9 and single '-', as Azure wants container names";
    valid(name, container, allowed, is_container_name)
}

/// The first that is set: `AZURE_BLOB_CONN` in its three forms, the Functions host's `AzureWebJobsStorage` in its
/// three forms, then the folder.
pub(super) fn storage(settings: &Lookup<'_>) -> Result<StorageChoice, ConfigError> {
    for name in ["AZURE_BLOB_CONN", "AzureWebJobsStorage"] {
        if let Some((variable, choice)) = azure(settings, name)? {
            // Either choice would ignore the other one silently.
            if settings.flags.folder.is_some() {
                let was = format!("is given while {variable} names a storage account");
                let allowed = "left out where the files are in an account";
                return Err(ConfigError::new("--folder", was, allowed));
            }
            return Ok(choice);
        }
    }
    let folder = |variable: &str, path: PathBuf| StorageChoice::Directory {
        variable: variable.to_owned(),
        path,
    };
    if let Some(path) = &settings.flags.folder {
        return Ok(folder("--folder", path.clone()));
    }
    if let Some(path) = settings.text("CODEX_DATA_DIR") {
        return Ok(folder("CODEX_DATA_DIR", path.into()));
    }
    if settings.is_hosted() {
        let was = "is not set, nor is AZURE_BLOB_CONN or AzureWebJobsStorage";
        let allowed = "named explicitly where a Functions host starts the service: a folder that outlives it, \
                       or better a storage account in AZURE_BLOB_CONN";
        return Err(ConfigError::new("CODEX_DATA_DIR", was, allowed));
    }
    let variable = "default; CODEX_DATA_DIR and AZURE_BLOB_CONN are not set";
    Ok(folder(variable, "./codex-data".into()))
}

/// The account that a setting names in one of its three forms, with the form's variable.
fn azure(
    settings: &Lookup<'_>,
    name: &str,
) -> Result<Option<(String, StorageChoice)>, ConfigError> {
    if let Some(value) = settings.text(name) {
        let choice = StorageChoice::ConnectionString {
            variable: name.to_owned(),
            value: Secret::new(value),
        };
        return Ok(Some((name.to_owned(), choice)));
    }
    let forms = ["blobServiceUri", "accountName"].map(|part| format!("{name}__{part}"));
    for variable in forms {
        if let Some(account) = settings.text(&variable) {
            let choice = StorageChoice::ManagedIdentity {
                variable: variable.clone(),
                account,
                identity: identity(settings, &format!("{name}__clientId"))?,
            };
            return Ok(Some((variable, choice)));
        }
    }
    Ok(None)
}

fn identity(settings: &Lookup<'_>, client_id: &str) -> Result<ManagedIdentityConfig, ConfigError> {
    /// Azure's instance metadata service, at the same address on every virtual machine.
    const METADATA_SERVICE: &str = "http://169.254.169.254/metadata/identity/oauth2/token";
    let names = ["IDENTITY_ENDPOINT", "IDENTITY_HEADER"];
    let header = settings.header_secret(names[1])?;
    let (endpoint, header) = both(names, (settings.text(names[0]), header))?.unzip();
    let url = Url::parse(endpoint.as_deref().unwrap_or(METADATA_SERVICE).trim()).ok();
    let http =
        |url: &Url| matches!(url.scheme(), "http" | "https") && !url.authority().contains('@');
    let endpoint = url.filter(http).ok_or_else(|| {
        let allowed = "the http address that the platform sets";
        ConfigError::new(names[0], "is something else", allowed)
    })?;
    let allowed = "a managed identity's client id, as in 1f7a0c2e-0000-0000-0000-000000000000";
    Ok(ManagedIdentityConfig {
        endpoint,
        header,
        client_id: settings.checked(client_id, allowed, |id| {
            id.len() == 36 && id.bytes().all(|c| c.is_ascii_hexdigit() || c == b'-')
        })?,
    })
}
