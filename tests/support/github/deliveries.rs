//! The hook: queued deliveries, and posting them.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Duration;

use hmac::{Hmac, Mac};
use serde_json::Value;
use sha2::Sha256;
use tokio::runtime::Handle;

/// GitHub's timeout for an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// A delivery as it would be posted, identical on each redelivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Delivery {
    /// `X-GitHub-Delivery`, which a redelivery keeps.
    pub(crate) id: String,
    pub(crate) event: String,
    pub(crate) body: Vec<u8>,
    /// `X-Hub-Signature-256`, if the hook has a secret.
    pub(crate) signature: Option<String>,
}

/// The outcome of posting a delivery to an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) id: String,
    pub(crate) url: String,
    /// `None` without an answer in time.
    pub(crate) status: Option<u16>,
    pub(crate) body: String,
}

/// The queue of deliveries.
pub(super) struct Deliveries {
    handle: Handle,
    client: reqwest::Client,
    inner: Mutex<Inner>,
}

struct Inner {
    secret: Option<String>,
    pending: VecDeque<Delivery>,
    made: u64,
}

impl Delivery {
    /// All headers, for a test that posts the delivery itself.
    pub(crate) fn headers(&self) -> Vec<(&'static str, String)> {
        let mut headers = vec![
            ("content-type", "application/json".to_owned()),
            ("user-agent", "GitHub-Hookshot/madeup0".to_owned()),
            ("x-github-hook-id", "1".to_owned()),
            ("x-github-event", self.event.clone()),
            ("x-github-delivery", self.id.clone()),
            (
                "x-github-hook-installation-target-type",
                "repository".to_owned(),
            ),
            ("x-github-hook-installation-target-id", "1".to_owned()),
        ];
        let signature = self.signature.clone();
        headers.extend(signature.map(|signature| ("x-hub-signature-256", signature)));
        headers
    }
}

/// `sha256=` and the HMAC of these bytes.
pub(crate) fn sign(secret: &str, bytes: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(bytes);
    let digest = mac.finalize().into_bytes();
    let digits: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256={digits}")
}

/// A client for loopback that follows no redirects.
pub(crate) fn http_client() -> reqwest::Client {
    // Every client requires a provider, though nothing is encrypted here. An error means that it is already installed.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .build()
        .unwrap()
}

impl Deliveries {
    pub(super) fn new(handle: Handle) -> Self {
        Self {
            handle,
            client: http_client(),
            inner: Mutex::new(Inner {
                secret: None,
                pending: VecDeque::new(),
                made: 0,
            }),
        }
    }

    /// Queues a new delivery.
    pub(super) fn queue(&self, event: &str, payload: &Value) -> Delivery {
        let body = serde_json::to_vec(payload).unwrap();
        let mut inner = self.inner.lock().unwrap();
        inner.made += 1;
        let (low, high) = (inner.made, fastrand::u32(..));
        let delivery = Delivery {
            id: format!("{high:08x}-0000-11ef-8000-{low:012x}"),
            event: event.to_owned(),
            signature: inner.secret.as_ref().map(|secret| sign(secret, &body)),
            body,
        };
        inner.pending.push_back(delivery.clone());
        delivery
    }

    /// Posts on the hub's own threads.
    pub(super) fn post(&self, delivery: Delivery, url: String) -> tokio::task::JoinHandle<Outcome> {
        let client = self.client.clone();
        self.handle.spawn(async move {
            let mut request = client.post(&url).timeout(PATIENCE);
            for (name, value) in delivery.headers() {
                request = request.header(name, value);
            }
            let answer = request.body(delivery.body).send().await;
            let (status, body) = match answer {
                Ok(answer) => {
                    let status = answer.status().as_u16();
                    (Some(status), answer.text().await.unwrap_or_default())
                }
                Err(error) => (None, error.to_string()),
            };
            Outcome {
                id: delivery.id,
                url,
                status,
                body,
            }
        })
    }

    pub(super) fn set_secret(&self, secret: Option<&str>) {
        self.inner.lock().unwrap().secret = secret.map(str::to_owned);
    }

    pub(super) fn pending(&self) -> Vec<Delivery> {
        self.inner.lock().unwrap().pending.iter().cloned().collect()
    }

    pub(super) fn take(&self) -> Vec<Delivery> {
        self.inner.lock().unwrap().pending.drain(..).collect()
    }

    pub(super) fn take_first(&self) -> Option<Delivery> {
        self.inner.lock().unwrap().pending.pop_front()
    }

    /// Replaces the queue with these deliveries.
    pub(super) fn replace(&self, deliveries: Vec<Delivery>) {
        self.inner.lock().unwrap().pending = deliveries.into();
    }
}
