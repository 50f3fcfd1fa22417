//! Sends to an OTLP endpoint over HTTP, and says in the log once that it is away.

use std::error::Error;
use std::iter;
use std::sync::Arc;
use std::time::Duration;

use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use parking_lot::Mutex;
use prost::Message;
use reqwest::redirect::Policy;
use tokio::runtime::Handle;
use url::Url;

use crate::config::OtelConfig;
use crate::net::{TrustStore, certificate_error};

/// Waits before further attempts, if the endpoint can't be reached or asks for another attempt. A batch that fails them
/// all is lost.
const RETRY_DELAYS: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(4)];

/// What is sent, by the last segment of its path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, derive_more::Display)]
#[display(rename_all = "lowercase")]
pub(super) enum Signal {
    Traces,
    Metrics,
}

/// Clones share the connections and what the log was told.
#[derive(Debug, Clone)]
pub(super) struct OtlpClient(Arc<ClientParts>);

#[derive(Debug)]
struct ClientParts {
    http: reqwest::Client,
    endpoint: String,
    /// The signals whose last batch wasn't delivered.
    undelivered: Mutex<Vec<Signal>>,
    /// Spans are sent by a thread outside of it.
    runtime: Handle,
}

/// Why a batch wasn't delivered.
struct SendError {
    reason: String,
    is_final: bool,
}

impl OtlpClient {
    /// Must be called within a runtime.
    pub(super) fn new(config: &OtelConfig, trust: &TrustStore) -> Result<Self, Box<dyn Error>> {
        let http = trust
            .client(&Url::parse(&config.endpoint)?)?
            .default_headers(config.headers.clone())
            .timeout(config.timeout)
            // The headers, which are credentials, must not reach another host.
            .redirect(Policy::none())
            .build()?;
        Ok(Self(Arc::new(ClientParts {
            http,
            endpoint: config.endpoint.clone(),
            undelivered: Mutex::default(),
            runtime: Handle::current(),
        })))
    }

    /// Sends a batch. May be called on any thread. Whether it was delivered.
    pub(super) async fn send(&self, signal: Signal, batch: &impl Message) -> bool {
        let (parts, body) = (Arc::clone(&self.0), batch.encode_to_vec());
        let sending = self.0.runtime.spawn(async move {
            let sent = parts.send_with_retries(signal, body).await;
            parts.note(signal, sent.as_ref().err());
            sent.is_ok()
        });
        // An error only while the process ends.
        sending.await.unwrap_or(false)
    }
}

impl ClientParts {
    async fn send_with_retries(&self, signal: Signal, body: Vec<u8>) -> Result<(), SendError> {
        let body = bytes::Bytes::from(body);
        let mut delays = RETRY_DELAYS.iter();
        loop {
            match self.send_once(signal, body.clone()).await {
                Err(error) if !error.is_final => match delays.next() {
                    Some(delay) => {
                        // So that the log says it at the first failure.
                        self.note(signal, Some(&error));
                        tokio::time::sleep(*delay).await;
                    }
                    None => return Err(error),
                },
                sent => return sent,
            }
        }
    }

    async fn send_once(&self, signal: Signal, body: bytes::Bytes) -> Result<(), SendError> {
        let protobuf = HeaderValue::from_static("application/x-protobuf");
        let request = self.http.post(format!("{}/v1/{signal}", self.endpoint));
        let request = request.header(CONTENT_TYPE, protobuf).body(body);
        let response = request.send().await.map_err(|error| SendError {
            reason: describe(&error.without_url()),
            is_final: false,
        })?;
        let status = response.status();
        match status.is_success() {
            true => Ok(()),
            false => Err(SendError {
                reason: format!("status {}", status.as_u16()),
                is_final: !asks_for_retry(status),
            }),
        }
    }

    /// Logs when the first signal isn't delivered, and when all are again.
    fn note(&self, signal: Signal, error: Option<&SendError>) {
        let mut undelivered = self.undelivered.lock();
        let was_away = !undelivered.is_empty();
        undelivered.retain(|it| *it != signal);
        if error.is_some() {
            undelivered.push(signal);
        }
        let endpoint = &self.endpoint;
        match error {
            Some(SendError { reason, .. }) if !was_away => {
                tracing::warn!(%endpoint, %signal, reason, "OpenTelemetry isn't delivered");
            }
            None if was_away && undelivered.is_empty() => {
                tracing::info!(%endpoint, "OpenTelemetry is delivered again");
            }
            _ => {}
        }
    }
}

/// The statuses after which OTLP over HTTP asks clients to try again.
fn asks_for_retry(status: StatusCode) -> bool {
    matches!(status.as_u16(), 429 | 502 | 503 | 504)
}

/// The error with its causes, of which the outermost says little.
fn describe(error: &(dyn Error + 'static)) -> String {
    certificate_error(error).unwrap_or_else(|| {
        let chain = iter::successors(Some(error), |error| (*error).source());
        let texts: Vec<String> = chain.map(ToString::to_string).collect();
        texts.join(": ")
    })
}
