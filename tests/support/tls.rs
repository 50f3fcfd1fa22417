//! A private certificate authority of this process, and relays between https and plain HTTP.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use codex_miroir::config::Config;
use codex_miroir::net::TrustStore;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::azurite::Azurite;
use super::process::Service;

/// An authority that is trusted only where it is configured, and a loopback server with its certificate.
pub(crate) struct Authority {
    pem: String,
    server: Server,
    accept: TlsAcceptor,
    connect: TlsConnector,
}

/// The server's certificate and its key, PEM.
struct Server {
    certificate: String,
    key: String,
}

/// A file with an authority's certificate, in a folder of its own.
pub(crate) struct AuthorityFile {
    pub(crate) folder: TempDir,
    pub(crate) path: PathBuf,
}

/// This process's authority.
pub(crate) fn authority() -> &'static Authority {
    static MADE: OnceLock<Authority> = OnceLock::new();
    MADE.get_or_init(Authority::new)
}

/// The storage emulator over https, which accepts tokens of identities as well as keys. It is started on first use.
pub(crate) fn secure_azurite() -> &'static Azurite {
    static STARTED: OnceLock<Azurite> = OnceLock::new();
    STARTED.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let [certificate, key] = authority().write_server_files(folder.path());
        let https = ["--cert", &certificate, "--key", &key];
        Azurite::start("https", &[&https[..], &["--oauth", "basic"]].concat())
    })
}

impl Authority {
    fn new() -> Self {
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let name = "Codex Miroir's tests";
        authority.distinguished_name.push(DnType::CommonName, name);
        let authority =
            CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let server = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
        let server = server.signed_by(&key, &authority).unwrap();
        Self {
            pem: authority.pem(),
            accept: acceptor(server.der().clone(), &key),
            connect: connector(authority.der().clone()),
            server: Server {
                certificate: server.pem(),
                key: key.serialize_pem(),
            },
        }
    }

    /// Writes the server's certificate and its key to a folder, and returns their paths.
    pub(crate) fn write_server_files(&self, folder: &Path) -> [String; 2] {
        let Server { certificate, key } = &self.server;
        [("server.pem", certificate), ("server.key", key)].map(|(name, text)| {
            let path = folder.join(name);
            fs::write(&path, text).unwrap();
            path.to_str().unwrap().to_owned()
        })
    }

    /// A new file with its certificate.
    pub(crate) fn file(&self) -> AuthorityFile {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("authority.pem");
        fs::write(&path, &self.pem).unwrap();
        AuthorityFile { folder, path }
    }

    /// Its certificate, PEM.
    pub(crate) fn pem(&self) -> &str {
        &self.pem
    }

    /// The trust store of a service that is configured with it.
    pub(crate) fn trust(&self) -> TrustStore {
        let file = self.file();
        let path = file.path.to_str().unwrap().to_owned();
        let config = Config::from_lookup(|name| (name == "SSL_CERT_FILE").then(|| path.clone()));
        config.unwrap().trust
    }

    /// A port that accepts https for the HTTP server at `port` of this machine.
    pub(crate) fn https_before(&'static self, port: u16) -> u16 {
        relay(move |client| async move {
            let mut client = self.accept.accept(client).await?;
            let mut server = TcpStream::connect(("127.0.0.1", port)).await?;
            copy_bidirectional(&mut client, &mut server).await
        })
    }

    /// The reverse: a port that accepts HTTP for the https server at `port`.
    pub(crate) fn http_before(&'static self, port: u16) -> u16 {
        relay(move |mut client| async move {
            let server = TcpStream::connect(("127.0.0.1", port)).await?;
            let name = ServerName::try_from("127.0.0.1").unwrap();
            let mut server = self.connect.connect(name, server).await?;
            copy_bidirectional(&mut client, &mut server).await
        })
    }
}

fn acceptor(certificate: CertificateDer<'static>, key: &KeyPair) -> TlsAcceptor {
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config =
        ServerConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key);
    Arc::new(config.unwrap()).into()
}

fn connector(authority: CertificateDer<'static>) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add(authority).unwrap();
    let config =
        ClientConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
    Arc::new(config).into()
}

/// Listens on a free port until this process ends, on a thread of its own: a test may block or stop the clock.
fn relay<F>(carry: impl Fn(TcpStream) -> F + Send + 'static) -> u16
where
    F: Future<Output = io::Result<(u64, u64)>> + Send + 'static,
{
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_all().build().unwrap();
    std::thread::spawn(move || {
        runtime.block_on(async move {
            let listener = TcpListener::from_std(listener).unwrap();
            while let Ok((client, _)) = listener.accept().await {
                // An error means that one side has disconnected, or doesn't trust the other.
                tokio::spawn(carry(client));
            }
        });
    });
    port
}

pub(crate) const UNTRUSTED: &str = "its certificate isn't trusted: if its authority is a private one, name that in SSL_CERT_FILE or SSL_CERT_DIR";

/// Whether the log names missing trust as the cause of a refused request.
pub(crate) fn says_why(service: &Service) -> bool {
    let log = service.log().into_iter();
    let causes = log.filter_map(|line| {
        let line: Value = serde_json::from_str(&line).ok()?;
        Some(line["cause"].as_str()?.to_owned())
    });
    { causes }.any(|cause| cause.ends_with(UNTRUSTED))
}
