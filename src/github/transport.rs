//! How requests to GitHub travel: octocrab makes them and reads the answers, one HTTP client carries them, with
//! redirects only within the same origin, a cap on an answer's size, and rate limits heeded
//! (`src/codex/git/README.md`, "Rate limits").

use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use chrono::DateTime;
use http::header::{ACCEPT, DATE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use octocrab::{AuthState, OctoBody, Octocrab, OctocrabBuilder};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Url;
use reqwest::redirect::Policy;
use serde::Serialize;
use tokio::time::Instant;
use tower::service_fn;
use utoipa::ToSchema;

use crate::config::{OAuthApp, Secret};
use crate::metrics::{Calls, Outcome};
use crate::net::{self, Trust};

/// GitHub answers within this time, or is away. One try, from connecting to the last byte.
const TRY: Duration = Duration::from_secs(8);

/// Redirects within one origin, as after a repository was renamed.
const MAX_REDIRECTS: usize = 3;

/// How long to wait when GitHub says that there were too many requests, but not until when: its own
/// advice.
const UNSAID_WAIT: Duration = Duration::from_secs(60);

/// However far away a limit's end is said to be, it is asked again after this time.
const MAX_WAIT: Duration = Duration::from_secs(3600);

/// The most bytes of an answer about the repository: GitHub gives at most 7 MB of a tree, in 100,000 entries.
const MAX_ANSWER: usize = 32 << 20;

/// The most bytes of an answer about somebody's account.
const MAX_ACCOUNT: usize = 1 << 20;

/// The version of the API that the requests are written for, whatever octocrab's own is.
const API_VERSION: HeaderValue = HeaderValue::from_static("2022-11-28");

/// How many requests GitHub still grants, by its last answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct RateLimit {
    /// In an hour.
    pub limit: u64,
    /// Left until `reset`.
    pub remaining: u64,
    /// Seconds since 1970, by GitHub's clock.
    pub reset: i64,
}

/// Why GitHub didn't do it. Holds no token, no path and no text of a task.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GitHubError {
    /// No usable answer: refused, reset, timed out, 5xx. A write may or may not have happened.
    #[error("GitHub can't be reached for {operation}: {reason}")]
    Unavailable {
        /// What was asked for.
        operation: &'static str,
        /// What went wrong, for the log.
        reason: String,
    },
    /// There were too many requests. Nothing happened.
    #[error("GitHub grants no more requests for {} s", .retry_after.as_secs())]
    Limited {
        /// When it will again.
        retry_after: Duration,
    },
    /// GitHub won't do it for us until somebody changes something there, or in the settings.
    #[error("GitHub refuses {operation} with {status}")]
    Denied {
        /// What was asked for.
        operation: &'static str,
        /// With which status.
        status: u16,
    },
    /// An answer that GitHub doesn't document.
    #[error("GitHub's answer to {operation} can't be used: {reason}")]
    Unexpected {
        /// What was asked for.
        operation: &'static str,
        /// What is wrong with it.
        reason: &'static str,
    },
}

/// Why a call isn't done.
pub(super) enum CallError {
    /// GitHub's answer is another one than 2xx, and not about it being away or busy.
    Refused {
        /// What was asked for.
        operation: &'static str,
        /// With which status; also 304.
        status: StatusCode,
        /// In which words, in lower case. They may name files.
        says: String,
    },
    /// Anything else.
    Failed(GitHubError),
}

impl CallError {
    /// Whether it is a refusal with this status.
    pub(super) fn is(&self, expected: StatusCode) -> bool {
        matches!(self, Self::Refused { status, .. } if *status == expected)
    }

    /// Whether it is a refusal with this status and these words: statuses alone don't tell refusals apart.
    pub(super) fn says(&self, expected: StatusCode, words: &str) -> bool {
        matches!(self, Self::Refused { status, says, .. } if *status == expected && says.contains(words))
    }
}

impl From<CallError> for GitHubError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Refused {
                operation, status, ..
            } => Self::Denied {
                operation,
                status: status.as_u16(),
            },
            CallError::Failed(error) => error,
        }
    }
}

/// What keeps a request from an answer that octocrab can read.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error("no usable answer: {0}")]
    Away(String),
    #[error("no more requests for {} s", .0.as_secs())]
    Limited(Duration),
    #[error("it is too long")]
    TooLong,
}

impl Fault {
    pub(super) fn of(self, operation: &'static str) -> GitHubError {
        match self {
            Self::Away(reason) => GitHubError::Unavailable { operation, reason },
            Self::Limited(retry_after) => GitHubError::Limited { retry_after },
            Self::TooLong => GitHubError::Unexpected {
                operation,
                reason: "it is too long",
            },
        }
    }
}

impl From<reqwest::Error> for Fault {
    fn from(error: reqwest::Error) -> Self {
        Self::Away(match net::certificate_fault(&error) {
            Some(fault) => fault,
            None if error.is_timeout() => "no answer in time".to_owned(),
            None if error.is_connect() => "no connection".to_owned(),
            None => "the connection broke".to_owned(),
        })
    }
}

/// The most bytes that the answer to one request may have, where that isn't the usual: an extension of the request.
#[derive(Debug, Clone, Copy)]
pub(super) struct MaxBytes(pub(super) usize);

/// The way to GitHub's API. Holds no token.
pub struct Transport {
    line: Line,
    service: Octocrab,
    accounts: Octocrab,
    calls: Calls,
}

/// What requests share.
#[derive(Clone)]
struct Line {
    client: reqwest::Client,
    api: Arc<str>,
    limits: Arc<Mutex<Limits>>,
}

#[derive(Default)]
struct Limits {
    closed_until: Option<Instant>,
    last: Option<RateLimit>,
}

/// Whose requests they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sender {
    /// The service's own, by the token or the installation it has for the repository.
    Service,
    /// Somebody's who signs in, whose limits are no concern of others.
    Account,
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport")
            .field("api", &self.line.api)
            .finish()
    }
}

/// One part of a path, with nothing but unreserved characters and `%XX`.
pub(super) fn segment(text: &str) -> impl fmt::Display + '_ {
    const OTHERS: &AsciiSet = &NON_ALPHANUMERIC
        .remove(b'-')
        .remove(b'.')
        .remove(b'_')
        .remove(b'~');
    utf8_percent_encode(text, OTHERS)
}

const RATE_LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
const RATE_REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const RATE_RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");

impl Transport {
    /// A way to the API at `api`, an absolute URL that the settings have checked. To be called within a runtime.
    ///
    /// # Errors
    /// When no client can be made, in words.
    pub fn new(api: &str, trust: &Trust) -> Result<Self, String> {
        let url = Url::parse(api).map_err(|error| error.to_string())?;
        let client = trust.client(&url).map_err(|error| error.to_string())?;
        let json = HeaderValue::from_static("application/vnd.github+json");
        let client = client
            .user_agent("codex-miroir")
            .default_headers(HeaderMap::from_iter([(ACCEPT, json)]))
            .redirect(Policy::custom(within_one_origin))
            .timeout(TRY);
        let line = Line {
            client: client.build().map_err(|error| error.to_string())?,
            api: api.trim_end_matches('/').into(),
            limits: Arc::default(),
        };
        Ok(Self {
            service: line.octocrab(Sender::Service, AuthState::None),
            accounts: line.octocrab(Sender::Account, AuthState::None),
            line,
            calls: Calls::default(),
        })
    }

    /// What it counts.
    pub fn calls(&self) -> &Calls {
        &self.calls
    }

    /// The client, for GitHub's pages beside the API.
    pub(super) fn client(&self) -> &reqwest::Client {
        &self.line.client
    }

    /// What GitHub last said of its limits.
    pub fn rate_limit(&self) -> Option<RateLimit> {
        self.line.limits().last
    }

    /// How long GitHub grants the service no requests; nothing when it does.
    pub fn wait(&self) -> Duration {
        let until = self.line.limits().closed_until;
        until.map_or(Duration::ZERO, |until| {
            until.saturating_duration_since(Instant::now())
        })
    }

    /// For one call of the service itself.
    ///
    /// # Errors
    /// While a limit lasts: then nothing is to be sent.
    pub(super) fn for_service(&self, token: &Secret) -> Result<Octocrab, GitHubError> {
        match self.wait() {
            Duration::ZERO => with_token(&self.service, token),
            retry_after => Err(GitHubError::Limited { retry_after }),
        }
    }

    /// For a call about an account, by its own token.
    ///
    /// # Errors
    /// When the token can't be sent.
    pub(super) fn for_account(&self, token: &Secret) -> Result<Octocrab, GitHubError> {
        with_token(&self.accounts, token)
    }

    /// For a call about an account, by an OAuth app.
    pub(super) fn for_app(&self, app: &OAuthApp) -> Octocrab {
        let auth = AuthState::BasicAuth {
            username: app.client_id.clone(),
            password: app.client_secret.reveal().to_owned(),
        };
        self.line.octocrab(Sender::Account, auth)
    }

    /// Waits for a call and counts it.
    ///
    /// # Errors
    /// When it isn't done.
    pub(super) async fn call<T>(
        &self,
        operation: &'static str,
        request: impl Future<Output = octocrab::Result<T>> + Send,
    ) -> Result<T, CallError> {
        let running = self.calls.begin(operation);
        let result = request.await.map_err(|error| failure(operation, error));
        running.end(match &result {
            Ok(_) | Err(CallError::Refused { .. }) => Outcome::Answered,
            Err(CallError::Failed(_)) => Outcome::Failed,
        });
        match &result {
            Ok(_) => tracing::debug!(operation, "GitHub answered"),
            Err(CallError::Refused { status, .. }) => {
                let status = status.as_u16();
                tracing::debug!(operation, status, "GitHub answered");
            }
            Err(CallError::Failed(GitHubError::Limited { retry_after })) => {
                let seconds = retry_after.as_secs();
                tracing::warn!(operation, seconds, "GitHub grants no more requests for now");
            }
            Err(CallError::Failed(_)) => {}
        }
        result
    }
}

fn with_token(octocrab: &Octocrab, token: &Secret) -> Result<Octocrab, GitHubError> {
    let octocrab = octocrab.user_access_token(token.reveal().to_owned());
    octocrab.map_err(|_| GitHubError::Unexpected {
        operation: "use a token",
        reason: "it can't be sent",
    })
}

/// What an error of octocrab's means. None of its words are kept: they may name addresses and files.
fn failure(operation: &'static str, error: octocrab::Error) -> CallError {
    let unexpected = |reason| CallError::Failed(GitHubError::Unexpected { operation, reason });
    match error {
        octocrab::Error::GitHub { source, .. } => CallError::Refused {
            operation,
            status: source.status_code,
            says: source.to_string().to_lowercase(),
        },
        octocrab::Error::Service { source, .. } => match source.downcast::<Fault>() {
            Ok(fault) => CallError::Failed(fault.of(operation)),
            Err(_) => {
                let reason = "the process is ending".to_owned();
                CallError::Failed(GitHubError::Unavailable { operation, reason })
            }
        },
        octocrab::Error::Json { .. } | octocrab::Error::Serde { .. } => {
            unexpected("not the documented JSON")
        }
        _ => unexpected("it can't be asked"),
    }
}

impl Line {
    fn octocrab(&self, sender: Sender, auth: AuthState) -> Octocrab {
        let line = self.clone();
        let carry = move |request| line.clone().carry(sender, request);
        let built = OctocrabBuilder::new_empty()
            .with_service(service_fn(carry))
            .with_auth(auth)
            .build();
        match built {
            Ok(octocrab) => octocrab,
            Err(never) => match never {},
        }
    }

    /// One request of octocrab's. Its own connector isn't used: that one's bodies can't be sent again where a
    /// redirect asks for it, and its layer for the base address leaves the address's path out where a route begins
    /// with the same letters.
    async fn carry(
        self,
        sender: Sender,
        request: Request<OctoBody>,
    ) -> Result<Response<Full<Bytes>>, Fault> {
        let cap = match (request.extensions().get(), sender) {
            (Some(MaxBytes(bytes)), _) => *bytes,
            (None, Sender::Service) => MAX_ANSWER,
            (None, Sender::Account) => MAX_ACCOUNT,
        };
        let (mut parts, body) = request.into_parts();
        parts.headers.insert("x-github-api-version", API_VERSION);
        let unsendable = |_| Fault::Away("the request can't be made".to_owned());
        let body = body.collect().await.map_err(unsendable)?.to_bytes();
        let answer = self
            .client
            .request(parts.method, format!("{}{}", self.api, parts.uri))
            .headers(parts.headers)
            .body(body)
            .send()
            .await?;
        let status = answer.status();
        if let Some(wait) = self.heed(status, answer.headers(), sender) {
            return Err(self.limited(wait, sender));
        }
        if status.is_server_error() {
            return Err(Fault::Away(format!("it answers {}", status.as_u16())));
        }
        let headers = answer.headers().clone();
        let bytes = bounded(answer, cap).await?;
        if status == StatusCode::FORBIDDEN && says_limit(&bytes) {
            return Err(self.limited(UNSAID_WAIT, sender));
        }
        let mut response = Response::new(Full::new(bytes));
        (*response.status_mut(), *response.headers_mut()) = (status, headers);
        Ok(response)
    }

    /// Remembers the limits, and tells how long to wait when this answer is about them.
    fn heed(&self, status: StatusCode, headers: &HeaderMap, sender: Sender) -> Option<Duration> {
        let limit = rate_limit(headers);
        if limit.is_some() && sender == Sender::Service {
            self.limits().last = limit;
        }
        let limited = status == StatusCode::TOO_MANY_REQUESTS
            || status == StatusCode::FORBIDDEN
                && (headers.contains_key(RETRY_AFTER) || limit.is_some_and(|it| it.remaining == 0));
        limited.then(|| said_wait(headers, limit).unwrap_or(UNSAID_WAIT))
    }

    fn limited(&self, wait: Duration, sender: Sender) -> Fault {
        let retry_after = wait.clamp(Duration::from_secs(1), MAX_WAIT);
        if sender == Sender::Service {
            self.limits().closed_until = Some(Instant::now() + retry_after);
        }
        Fault::Limited(retry_after)
    }

    fn limits(&self) -> std::sync::MutexGuard<'_, Limits> {
        self.limits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A token must not travel to another host.
fn within_one_origin(attempt: reqwest::redirect::Attempt<'_>) -> reqwest::redirect::Action {
    let first = attempt.previous().first().map(Url::origin);
    if attempt.previous().len() <= MAX_REDIRECTS && first == Some(attempt.url().origin()) {
        attempt.follow()
    } else {
        attempt.stop()
    }
}

/// The body, as long as it isn't larger than it may be.
pub(super) async fn bounded(mut answer: reqwest::Response, cap: usize) -> Result<Bytes, Fault> {
    let mut bytes = BytesMut::new();
    while let Some(chunk) = answer.chunk().await? {
        if bytes.len() + chunk.len() > cap {
            return Err(Fault::TooLong);
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes.freeze())
}

fn rate_limit(headers: &HeaderMap) -> Option<RateLimit> {
    Some(RateLimit {
        limit: number(headers, &RATE_LIMIT)?,
        remaining: number(headers, &RATE_REMAINING)?,
        reset: number(headers, &RATE_RESET)?,
    })
}

fn number<T: std::str::FromStr>(headers: &HeaderMap, name: &HeaderName) -> Option<T> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok()
}

/// `Retry-After`, else the limit's end, by GitHub's own clock.
fn said_wait(headers: &HeaderMap, limit: Option<RateLimit>) -> Option<Duration> {
    if let Some(seconds) = number(headers, &RETRY_AFTER) {
        return Some(Duration::from_secs(seconds));
    }
    let limit = limit.filter(|it| it.remaining == 0)?;
    let date = headers.get(DATE)?.to_str().ok()?;
    let date = DateTime::parse_from_rfc2822(date).ok()?.timestamp();
    u64::try_from(limit.reset - date)
        .ok()
        .map(Duration::from_secs)
}

/// A secondary limit may come without any header that says so.
fn says_limit(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    text.contains("secondary rate limit") || text.contains("API rate limit exceeded")
}
