//! How requests to GitHub travel: one HTTP client, redirects only within the same origin, rate limits
//! heeded (`src/codex/git/README.md`, "Rate limits").

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use chrono::DateTime;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::{
    ACCEPT, AUTHORIZATION, CONTENT_TYPE, DATE, ETAG, HeaderMap, HeaderName, HeaderValue,
    IF_NONE_MATCH, RETRY_AFTER, USER_AGENT,
};
use reqwest::redirect::Policy;
use reqwest::{Method, StatusCode, Url};
use serde::Serialize;
use tokio::time::Instant;
use utoipa::ToSchema;

use crate::config::Secret;
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

/// The version of the API that the requests are written for.
const API_VERSION: &str = "2022-11-28";

/// Who a request comes from.
#[derive(Clone, Copy)]
pub enum Sender<'a> {
    /// The service itself, by the token or the installation it has for the repository.
    Service(&'a Secret),
    /// Somebody who signs in, by their token, whose limits are no concern of others.
    User(&'a Secret),
    /// An OAuth app, by its client id and secret.
    App(&'a str, &'a Secret),
}

/// A request to the API.
pub struct Call<'a> {
    /// What it is for, in a log line.
    pub operation: &'static str,
    /// The method.
    pub method: Method,
    /// Path and query below the API's address; see [`segment`].
    pub path: &'a str,
    /// From whom.
    pub sender: Sender<'a>,
    /// `If-None-Match`.
    pub known: Option<&'a str>,
    /// `Accept`, where it isn't GitHub's JSON.
    pub accept: &'static str,
    /// The most bytes an answer may have.
    pub limit: usize,
}

impl<'a> Call<'a> {
    /// A request for a JSON document.
    pub fn get(operation: &'static str, path: &'a str, sender: Sender<'a>) -> Self {
        Self {
            operation,
            method: Method::GET,
            path,
            sender,
            known: None,
            accept: "application/vnd.github+json",
            limit: 1 << 20,
        }
    }

    /// A request that sends a JSON document.
    pub fn sending(
        operation: &'static str,
        method: Method,
        path: &'a str,
        sender: Sender<'a>,
    ) -> Self {
        Self {
            method,
            ..Self::get(operation, path, sender)
        }
    }
}

/// An answer that isn't about GitHub being away or busy.
#[derive(Debug, Clone)]
pub struct Reply {
    /// What became of it; also 304, and what the request is refused with.
    pub status: StatusCode,
    /// To ask with again.
    pub etag: Option<String>,
    /// The document.
    pub bytes: Bytes,
}

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

impl Reply {
    /// The answer to a request that is done, or refused for a reason that doesn't pass by itself.
    ///
    /// # Errors
    /// [`GitHubError::Denied`] for everything but 2xx.
    pub fn success(self, operation: &'static str) -> Result<Self, GitHubError> {
        if self.status.is_success() {
            return Ok(self);
        }
        let status = self.status.as_u16();
        Err(GitHubError::Denied { operation, status })
    }

    /// The document.
    ///
    /// # Errors
    /// [`GitHubError::Unexpected`] when it isn't what GitHub documents.
    pub fn json<T: serde::de::DeserializeOwned>(
        &self,
        operation: &'static str,
    ) -> Result<T, GitHubError> {
        serde_json::from_slice(&self.bytes).map_err(|_| GitHubError::Unexpected {
            operation,
            reason: "not the documented JSON",
        })
    }
}

/// The way to GitHub's API. Holds no token.
pub struct Transport {
    client: reqwest::Client,
    api: String,
    limits: Mutex<Limits>,
    calls: Calls,
}

#[derive(Default)]
struct Limits {
    closed_until: Option<Instant>,
    last: Option<RateLimit>,
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport").field("api", &self.api).finish()
    }
}

/// One part of a path, with nothing but unreserved characters and `%XX`.
pub fn segment(text: &str) -> impl fmt::Display + '_ {
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
    /// A way to the API at `api`, an absolute URL that the settings have checked.
    ///
    /// # Errors
    /// When no client can be made, in words.
    pub fn new(api: &str, trust: &Trust) -> Result<Self, String> {
        let url = Url::parse(api).map_err(|error| error.to_string())?;
        let client = trust.client(&url).map_err(|error| error.to_string())?;
        let client = client
            .redirect(Policy::custom(within_one_origin))
            .timeout(TRY);
        Ok(Self {
            client: client.build().map_err(|error| error.to_string())?,
            api: api.trim_end_matches('/').to_owned(),
            limits: Mutex::default(),
            calls: Calls::default(),
        })
    }

    /// What it counts.
    pub fn calls(&self) -> &Calls {
        &self.calls
    }

    /// The client, for GitHub's pages beside the API.
    pub fn client(&self) -> &reqwest::Client {
        &self.client
    }

    /// What GitHub last said of its limits.
    pub fn rate_limit(&self) -> Option<RateLimit> {
        self.limits().last
    }

    /// Sends a request, with a JSON body if there is one.
    ///
    /// # Errors
    /// [`GitHubError::Unavailable`] and [`GitHubError::Limited`]; what GitHub refuses for another reason
    /// is an answer. While a limit of the service's own credentials lasts nothing is sent.
    pub async fn send(
        &self,
        call: Call<'_>,
        body: Option<&(impl Serialize + Sync)>,
    ) -> Result<Reply, GitHubError> {
        let of_service = matches!(call.sender, Sender::Service(_));
        if of_service {
            self.wait_is_over()?;
        }
        let running = self.calls.begin(call.operation);
        let reply = self.sent(call, body, of_service).await;
        running.end(Outcome::of(&reply));
        reply
    }

    async fn sent(
        &self,
        call: Call<'_>,
        body: Option<&(impl Serialize + Sync)>,
        of_service: bool,
    ) -> Result<Reply, GitHubError> {
        let operation = call.operation;
        let answer = self.request(&call, body).send().await;
        let answer = answer.map_err(|error| unavailable(operation, &error))?;
        let status = answer.status();
        if let Some(wait) = self.heed(status, answer.headers(), of_service) {
            return Err(self.limited(operation, wait, of_service));
        }
        if status.is_server_error() {
            let reason = format!("it answers {}", status.as_u16());
            return Err(GitHubError::Unavailable { operation, reason });
        }
        let etag = answer.headers().get(ETAG);
        let etag = etag.and_then(|it| it.to_str().ok()).map(str::to_owned);
        let bytes = bounded(answer, operation, call.limit).await?;
        if status == StatusCode::FORBIDDEN && says_limit(&bytes) {
            return Err(self.limited(operation, UNSAID_WAIT, of_service));
        }
        tracing::debug!(operation, status = status.as_u16(), "GitHub answered");
        Ok(Reply {
            status,
            etag,
            bytes,
        })
    }

    fn request(
        &self,
        call: &Call<'_>,
        body: Option<&(impl Serialize + Sync)>,
    ) -> reqwest::RequestBuilder {
        let url = format!("{}{}", self.api, call.path);
        let mut request = self.client.request(call.method.clone(), url);
        request = match call.sender {
            Sender::Service(token) | Sender::User(token) => {
                let mut value = HeaderValue::try_from(format!("Bearer {}", token.reveal()))
                    .unwrap_or_else(|_| HeaderValue::from_static("Bearer unusable"));
                value.set_sensitive(true);
                request.header(AUTHORIZATION, value)
            }
            Sender::App(id, secret) => request.basic_auth(id, Some(secret.reveal())),
        };
        request = request
            .header(ACCEPT, call.accept)
            .header(USER_AGENT, "codex-miroir")
            .header("x-github-api-version", API_VERSION);
        if let Some(etag) = call.known {
            request = request.header(IF_NONE_MATCH, etag);
        }
        match body {
            // The documents are strings, numbers and lists of them: nothing in them can fail to serialise.
            Some(body) => request
                .header(CONTENT_TYPE, "application/json")
                .body(serde_json::to_vec(body).unwrap_or_default()),
            None => request,
        }
    }

    /// Remembers the limits, and tells how long to wait when this answer is about them.
    fn heed(&self, status: StatusCode, headers: &HeaderMap, of_service: bool) -> Option<Duration> {
        let limit = rate_limit(headers);
        if limit.is_some() && of_service {
            self.limits().last = limit;
        }
        let limited = status == StatusCode::TOO_MANY_REQUESTS
            || status == StatusCode::FORBIDDEN
                && (headers.contains_key(RETRY_AFTER) || limit.is_some_and(|it| it.remaining == 0));
        limited.then(|| said_wait(headers, limit).unwrap_or(UNSAID_WAIT))
    }

    fn limited(&self, operation: &'static str, wait: Duration, of_service: bool) -> GitHubError {
        let retry_after = wait.clamp(Duration::from_secs(1), MAX_WAIT);
        let seconds = retry_after.as_secs();
        tracing::warn!(operation, seconds, "GitHub grants no more requests for now");
        if of_service {
            self.limits().closed_until = Some(Instant::now() + retry_after);
        }
        GitHubError::Limited { retry_after }
    }

    /// How long GitHub grants the service no requests; nothing when it does.
    pub fn wait(&self) -> Duration {
        let until = self.limits().closed_until;
        until.map_or(Duration::ZERO, |until| {
            until.saturating_duration_since(Instant::now())
        })
    }

    fn wait_is_over(&self) -> Result<(), GitHubError> {
        match self.wait() {
            Duration::ZERO => Ok(()),
            retry_after => Err(GitHubError::Limited { retry_after }),
        }
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

pub(super) fn unavailable(operation: &'static str, error: &reqwest::Error) -> GitHubError {
    let reason = match net::certificate_fault(error) {
        Some(fault) => fault,
        None if error.is_timeout() => "no answer in time".to_owned(),
        None if error.is_connect() => "no connection".to_owned(),
        None => "the connection broke".to_owned(),
    };
    GitHubError::Unavailable { operation, reason }
}

/// The body, as long as it isn't larger than it may be.
pub(super) async fn bounded(
    mut answer: reqwest::Response,
    operation: &'static str,
    limit: usize,
) -> Result<Bytes, GitHubError> {
    let mut bytes = BytesMut::new();
    loop {
        let chunk = answer.chunk().await;
        match chunk.map_err(|error| unavailable(operation, &error))? {
            Some(chunk) if bytes.len() + chunk.len() > limit => {
                let reason = "it is too long";
                return Err(GitHubError::Unexpected { operation, reason });
            }
            Some(chunk) => bytes.extend_from_slice(&chunk),
            None => return Ok(bytes.freeze()),
        }
    }
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
