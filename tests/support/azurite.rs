//! One real Azurite per test process, and a second one over https.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use codex_miroir::net::TrustStore;
use codex_miroir::store::azure::{AzureConnection, AzureStore};
use hmac::{Hmac, Mac};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The emulator's fixed account and its well-known key.
pub(crate) const ACCOUNT: &str = "devstoreaccount1";
pub(crate) const KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// Runs Azurite until standard input closes, which happens when the test process ends, however it does. An interrupt
/// from the keyboard reaches the whole process group and must not end the watcher first. Only Azurite holds the output
/// pipe, so that it closes when Azurite ends, and no reader waits for a dead process.
const WATCHER: &str = r#"trap '' INT HUP; "$@" & exec >&-; read -r _; kill -9 $!"#;

/// A running emulator.
pub(crate) struct Azurite {
    scheme: &'static str,
    port: u16,
    // The end of this process closes its pipes, which ends the watcher and with it the emulator.
    _watcher: Child,
    _output: Box<dyn BufRead + Send + Sync>,
}

/// This process's emulator, started on first use.
pub(crate) fn azurite() -> &'static Azurite {
    static STARTED: OnceLock<Azurite> = OnceLock::new();
    STARTED.get_or_init(|| Azurite::start("http", &[]))
}

impl Azurite {
    /// Starts an emulator over `scheme`, with these extra arguments.
    pub(crate) fn start(scheme: &'static str, more: &[&str]) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/node_modules/azurite/dist/src/blob/main.js");
        assert!(
            script.exists(),
            "Azurite isn't installed: tests/run installs it (npm ci in tests/)"
        );
        let mut watcher = Command::new("sh")
            .args(["-c", WATCHER, "sh", "node"])
            .arg(script)
            .args([
                "--blobHost",
                "127.0.0.1",
                "--blobPort",
                "0",
                "--inMemoryPersistence",
            ])
            .args(["--skipApiVersionCheck", "--disableTelemetry", "--silent"])
            .args(more)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Shows the reason if it exits.
            .stderr(Stdio::inherit())
            .spawn()
            .expect("sh and node are there");
        let mut output = BufReader::new(watcher.stdout.take().unwrap());
        let port = read_port(&mut output, scheme);
        Self {
            scheme,
            port,
            _watcher: watcher,
            _output: Box::new(output),
        }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The account's URL, at the emulator or a proxy in front of it.
    pub(crate) fn endpoint(&self, port: u16) -> String {
        format!("{}://127.0.0.1:{port}/{ACCOUNT}", self.scheme)
    }

    /// A store over a container, authorised by the account's key.
    pub(crate) fn store(&self, container: &str) -> AzureStore {
        let connection = AzureConnection::parse(&self.with_key(self.port)).unwrap();
        AzureStore::new(connection, container, &TrustStore::default()).unwrap()
    }

    /// A connection string with the account's key, for the emulator or a proxy in front of it.
    pub(crate) fn with_key(&self, port: u16) -> String {
        format!(
            "AccountName={ACCOUNT};AccountKey={KEY};BlobEndpoint={}/",
            self.endpoint(port)
        )
    }

    /// A connection string with a shared access signature instead.
    pub(crate) fn with_sas(&self, port: u16) -> String {
        format!(
            "BlobEndpoint={}/;SharedAccessSignature=?{}",
            self.endpoint(port),
            account_sas()
        )
    }

    /// A container name that no other test uses.
    pub(crate) fn container(&self) -> String {
        static LAST: AtomicU32 = AtomicU32::new(0);
        format!("test-{}", LAST.fetch_add(1, Ordering::Relaxed))
    }

    /// Sends a fully authorised request past the store, and returns status and headers. `path` is below the account,
    /// percent-encoded, perhaps with a query.
    pub(crate) async fn send(&self, method: &str, path: &str, headers: &str) -> String {
        let and = if path.contains('?') { '&' } else { '?' };
        self.exchange(
            &format!("{method} /{ACCOUNT}/{path}{and}{}", account_sas()),
            headers,
        )
        .await
    }

    /// Sends a request without credentials.
    pub(crate) async fn send_anonymously(&self, method: &str, path: &str) -> String {
        self.exchange(&format!("{method} /{ACCOUNT}/{path}"), "")
            .await
    }

    async fn exchange(&self, line: &str, headers: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await.unwrap();
        let host =
            "Host: 127.0.0.1\r\nConnection: close\r\nContent-Length: 0\r\nx-ms-version: 2020-08-04";
        let request = format!("{line} HTTP/1.1\r\n{host}\r\n{headers}\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        String::from_utf8_lossy(&answer).to_lowercase()
    }
}

/// The port that the emulator chose, from its log line about listening.
fn read_port(output: &mut impl BufRead, scheme: &str) -> u16 {
    let mut lines = output.lines().map_while(Result::ok);
    let line = lines.find(|line| line.contains(&format!("{scheme}://")));
    let line = line.expect("Azurite ended before it listened; start it by hand to see why");
    line.rsplit(':').next().unwrap().trim().parse().unwrap()
}

/// A signature with all permissions, as generated by the portal's "Shared access signature" page.
fn account_sas() -> String {
    let (version, expiry) = ("2020-08-04", "2099-01-01T00:00:00Z");
    let text = format!("{ACCOUNT}\nrwdlac\nb\nsco\n\n{expiry}\n\nhttps,http\n{version}\n");
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(&STANDARD.decode(KEY).unwrap()).unwrap();
    mac.update(text.as_bytes());
    let signature = STANDARD.encode(mac.finalize().into_bytes());
    let signature = utf8_percent_encode(&signature, NON_ALPHANUMERIC);
    let expiry = utf8_percent_encode(expiry, NON_ALPHANUMERIC);
    format!("sv={version}&ss=b&srt=sco&sp=rwdlac&se={expiry}&spr=https,http&sig={signature}")
}
