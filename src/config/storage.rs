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

impl StorageChoice {
    /// What it is, as clients are told: `folder` or `azure`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Directory { .. } => "folder",
            Self::ConnectionString { .. } | Self::ManagedIdentity { .. } => "azure",
        }
    }
}

/// A managed identity, and the endpoint that issues its tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
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
    let named = |it: &str| is_container_name(it).then(|| it.to_owned());
    valid(name, &container, allowed, named)
}

/// The first that is set: `AZURE_BLOB_CONN` in its three forms, the Functions host's `AzureWebJobsStorage` in its
/// three forms, then the folder.
pub(super) fn storage(settings: &Lookup<'_>) -> Result<StorageChoice, ConfigError> {
    for name in ["AZURE_BLOB_CONN", "AzureWebJobsStorage"] {
        if let Some(choice) = azure(settings, name)? {
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

/// The account that a setting names in one of its three forms.
fn azure(settings: &Lookup<'_>, name: &str) -> Result<Option<StorageChoice>, ConfigError> {
    let mut forms = ["", "__blobServiceUri", "__accountName"]
        .map(|form| format!("{name}{form}"))
        .into_iter();
    let set = forms.find_map(|form| settings.text(&form).map(|text| (form, text)));
    let Some((variable, text)) = set else {
        return Ok(None);
    };
    let was = format!("is given while {variable} names a storage account");
    let choice = if variable == name {
        let value = Secret::new(text);
        StorageChoice::ConnectionString { variable, value }
    } else {
        StorageChoice::ManagedIdentity {
            variable,
            account: text,
            identity: identity(settings, &format!("{name}__clientId"))?,
        }
    };
    match settings.flags.folder {
        None => Ok(Some(choice)),
        // Either choice would ignore the other one silently.
        Some(_) => {
            let allowed = "left out where the files are in an account";
            Err(ConfigError::new("--folder", was, allowed))
        }
    }
}

/// The identity that `client_id` names, or the system-assigned one.
pub(super) fn identity(
    settings: &Lookup<'_>,
    client_id: &str,
) -> Result<ManagedIdentityConfig, ConfigError> {
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
        client_id: settings.read(client_id, allowed, |id| {
            let fits = id.len() == 36 && id.bytes().all(|c| c.is_ascii_hexdigit() || c == b'-');
            fits.then(|| id.to_owned())
        })?,
    })
}
