//! What everything that speaks HTTP to the outside has in common.

use std::error::Error;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use reqwest::ClientBuilder;
use rustls::pki_types::CertificateDer;
use rustls::{CertificateError, ClientConfig, RootCertStore};
use url::Url;

/// A host that doesn't take a connection by then won't take it soon.
const CONNECT: Duration = Duration::from_secs(3);

/// Whom TLS trusts: the authorities that browsers trust, brought along so that a machine without CA files is none
/// the worse, and those that the settings add. Clones share them.
#[derive(Debug, Clone)]
pub struct Trust {
    roots: Arc<RootCertStore>,
}

impl Default for Trust {
    fn default() -> Self {
        let roots = webpki_roots::TLS_SERVER_ROOTS.iter().cloned();
        let roots = Arc::new(RootCertStore::from_iter(roots));
        Self { roots }
    }
}

impl Trust {
    /// Trusts these authorities, too, and tells how many of the certificates can be used.
    pub fn add(&mut self, certificates: Vec<CertificateDer<'static>>) -> usize {
        let roots = Arc::make_mut(&mut self.roots);
        roots.add_parsable_certificates(certificates).0
    }

    /// The beginnings of a client for the host of `url`.
    ///
    /// # Errors
    /// When the TLS provider can't do the protocol versions, which is a defect of the build.
    pub fn client(&self, url: &Url) -> Result<ClientBuilder, rustls::Error> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(Arc::clone(&self.roots))
            .with_no_client_auth();
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .connect_timeout(CONNECT);
        Ok(match is_loopback(url.host_str().unwrap_or_default()) {
            // What runs on this machine is never behind the proxy that the environment may name.
            true => client.no_proxy(),
            false => client,
        })
    }
}

/// Whether a host as in a URL, without its port, is this machine by its name.
pub fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || address.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

/// What is wrong with the other side's certificate, and what helps, when that is why a request failed.
pub fn certificate_fault(error: &(dyn Error + 'static)) -> Option<String> {
    let mut chain = std::iter::successors(Some(error), |error| inner(*error));
    let fault = chain.find_map(|error| match error.downcast_ref() {
        Some(rustls::Error::InvalidCertificate(fault)) => Some(fault),
        _ => None,
    })?;
    Some(match fault {
        CertificateError::UnknownIssuer => {
            "its certificate isn't trusted: if its authority is a private one, name that in SSL_CERT_FILE or SSL_CERT_DIR".to_owned()
        }
        fault => format!("its certificate can't be accepted: {fault}"),
    })
}

/// What led to an error. An [`io::Error`] hides what it was made from behind that one's own source.
fn inner<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    let io = error.downcast_ref::<io::Error>();
    let made_from = io.and_then(io::Error::get_ref);
    made_from.map_or_else(|| error.source(), |error| Some(error))
}
