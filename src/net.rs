//! Shared configuration of outgoing connections.

use std::error::Error;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use reqwest::ClientBuilder;
use rustls::pki_types::CertificateDer;
use rustls::{CertificateError, ClientConfig, RootCertStore};
use url::Url;

/// The connect timeout: a host that hasn't accepted a connection by then is unlikely to.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Trusted root certificates: the Mozilla roots, bundled so that a machine without CA files works, and those added by
/// the settings. Clones share them.
#[derive(Debug, Clone)]
pub struct TrustStore {
    roots: Arc<RootCertStore>,
}

impl Default for TrustStore {
    fn default() -> Self {
        let roots = webpki_roots::TLS_SERVER_ROOTS.iter().cloned();
        let roots = Arc::new(RootCertStore::from_iter(roots));
        Self { roots }
    }
}

impl TrustStore {
    /// Adds root certificates and returns how many of them are usable.
    pub fn add(&mut self, certificates: Vec<CertificateDer<'static>>) -> usize {
        let roots = Arc::make_mut(&mut self.roots);
        roots.add_parsable_certificates(certificates).0
    }

    /// TLS by which a server must show a certificate that these roots trust.
    ///
    /// # Errors
    /// If the TLS provider doesn't support the protocol versions, which is a defect of the build.
    pub fn tls(&self) -> Result<ClientConfig, rustls::Error> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let versions =
            ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let trusting = versions.with_root_certificates(Arc::clone(&self.roots));
        Ok(trusting.with_no_client_auth())
    }

    /// An HTTP client builder for the host of `url`, with TLS and the connect timeout configured.
    ///
    /// # Errors
    /// As [`Self::tls`].
    pub fn client(&self, url: &Url) -> Result<ClientBuilder, rustls::Error> {
        let tls = self.tls()?;
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .connect_timeout(CONNECT_TIMEOUT);
        Ok(match is_loopback(url.host_str().unwrap_or_default()) {
            // A local service is never reached through the proxy that the environment may name.
            true => client.no_proxy(),
            false => client,
        })
    }
}

/// Whether a URL host (without port) is `localhost` or a loopback address.
pub fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || address.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

/// Explains a rejected server certificate and its remedy; `None` if that isn't why the request failed.
pub fn certificate_error(error: &(dyn Error + 'static)) -> Option<String> {
    let mut chain = std::iter::successors(Some(error), |error| cause(*error));
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

/// The cause of an error. An [`io::Error`] made from another error skips that error in its own `source`.
fn cause<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    let io = error.downcast_ref::<io::Error>();
    let made_from = io.and_then(io::Error::get_ref);
    made_from.map_or_else(|| error.source(), |error| Some(error))
}
