//! Additional certificate authorities for TLS, by OpenSSL's names of the settings.

use std::error::Error;
use std::path::Path;

use rustls_native_certs::load_certs_from_paths;

use super::lookup::{ConfigError, Lookup};
use crate::net::TrustStore;

const FILE: &str = "SSL_CERT_FILE";
const FOLDERS: &str = "SSL_CERT_DIR";

/// The built-in authorities and every certificate in the file `SSL_CERT_FILE` and in the folders `SSL_CERT_DIR`,
/// which are separated as in `PATH`. Files without certificates in these folders are ignored.
pub(super) fn trust(settings: &Lookup<'_>) -> Result<TrustStore, ConfigError> {
    let mut trust = TrustStore::default();
    if let Some(file) = settings.text(FILE) {
        let bad = |why: &str| {
            let allowed = "a file with certificates in PEM form";
            ConfigError::new(FILE, format!("is {file:?}, which {why}"), allowed)
        };
        let found = load_certs_from_paths(Some(Path::new(&file)), None);
        if let Some(error) = found.errors.first().and_then(Error::source) {
            return Err(bad(&format!("can't be read: {error}")));
        }
        if trust.add(found.certs) == 0 {
            return Err(bad("holds no certificate"));
        }
    }
    let folders = settings.text(FOLDERS).unwrap_or_default();
    for folder in std::env::split_paths(&folders).filter(|it| !it.as_os_str().is_empty()) {
        std::fs::read_dir(&folder).map_err(|error| {
            let was = format!("names {folder:?}, which can't be read: {error}");
            let allowed = "folders of certificates in PEM form, separated as in PATH";
            ConfigError::new(FOLDERS, was, allowed)
        })?;
        trust.add(load_certs_from_paths(None, Some(&folder)).certs);
    }
    Ok(trust)
}
