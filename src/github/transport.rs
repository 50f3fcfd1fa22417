//! HTTP transport for GitHub's API: octocrab builds requests and parses responses, one reqwest client sends them. It
//! follows redirects only within one origin, caps response sizes and tracks rate limits
//! (`src/git_sync/README.md`, "Rate limits").

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use chrono::DateTime;
use http::header::{ACCEPT, DATE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use octocrab::{AuthState, OctoBody, Octocrab, OctocrabBuilder};
use parking_lot::Mutex;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Url;
use reqwest::redirect::Policy;
use serde::Serialize;
use tokio::time::Instant;
use tower::service_fn;
use utoipa::ToSchema;

use super::error::{CallError, GitHubError, TransportFault, classify_error};
use crate::config::{OAuthApp, Secret};
use crate::metrics::{CallMetrics, CallOutcome};
use crate::net::TrustStore;
use crate::spans;

/// Timeout of one request, from connecting to the last byte of the response. Nothing is retried here.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(8);

/// Redirects followed within one origin, such as after a repository was renamed.
const MAX_REDIRECTS: usize = 3;

/// Wait after a rate-limit response without a usable `Retry-After` or reset time: what GitHub documents.
const DEFAULT_RETRY_AFTER: Duration = Duration::from_secs(60);

/// Upper bound for a wait, whatever reset time GitHub reports.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(3600);

/// Most bytes of a response about the repository. GitHub limits a tree to 7 MB and 100,000 entries.
const MAX_RESPONSE: usize = 32 << 20;

const MAX_ACCOUNT_RESPONSE: usize = 1 << 20;

/// The API version that the requests are written for; it overrides octocrab's default.
const API_VERSION: HeaderValue = HeaderValue::from_static("2022-11-28");

/// GitHub's rate limit, as of its latest response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct RateLimit {
    /// Requests per hour.
    pub limit: u64,
    /// Requests left until `reset`.
    pub remaining: u64,
    /// Unix time in seconds, by GitHub's clock.
    pub reset: i64,
}

/// Request extension: a limit for the response's size in bytes in place of the default.
#[derive(Debug, Clone, Copy)]
pub(super) struct MaxBytes(pub(super) usize);

/// Client for GitHub's API. Holds no token: each call brings its own.
pub struct Transport {
    http: HttpSender,
    service: Octocrab,
    accounts: Octocrab,
    calls: CallMetrics,
}

/// Sends octocrab's requests. Clones share the connection pool and the rate-limit state.
#[derive(Clone)]
struct HttpSender {
    client: reqwest::Client,
    api: Arc<str>,
    limits: Arc<Mutex<RateLimitState>>,
}

#[derive(Default)]
struct RateLimitState {
    blocked_until: Option<Instant>,
    last: Option<RateLimit>,
}

/// Whose rate limit a request counts against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RateLimitScope {
    /// The service: its token or app installation for the repository. Its rate limit is tracked.
    Service,
    /// A user who signs in. That user's rate limit must not block the service's requests.
    Account,
}

/// All but the unreserved characters (RFC 3986).
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

pub(super) fn encode_segment(text: &str) -> impl fmt::Display + '_ {
    utf8_percent_encode(text, RESERVED)
}

/// Percent-encodes a path or a branch name; its slashes stay.
pub(super) fn encode_path(path: &str) -> impl fmt::Display + '_ {
    const RESERVED_IN_PATHS: &AsciiSet = &RESERVED.remove(b'/');
    utf8_percent_encode(path, RESERVED_IN_PATHS)
}

const RATE_LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
const RATE_REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const RATE_RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");

impl Transport {
    /// A client for the API at `api`, an absolute URL that the settings have checked. Must be called within a runtime.
    pub fn new(api: &str, trust: &TrustStore) -> Result<Self, String> {
        let url = Url::parse(api).map_err(|error| error.to_string())?;
        let client = trust.client(&url).map_err(|error| error.to_string())?;
        let json = HeaderValue::from_static("application/vnd.github+json");
        let client = client
            .user_agent("codex-miroir")
            .default_headers(HeaderMap::from_iter([(ACCEPT, json)]))
            .redirect(Policy::custom(same_origin_only))
            .timeout(REQUEST_TIMEOUT);
        let http = HttpSender {
            client: client.build().map_err(|error| error.to_string())?,
            api: api.trim_end_matches('/').into(),
            limits: Arc::default(),
        };
        Ok(Self {
            service: http.octocrab(RateLimitScope::Service, AuthState::None),
            accounts: http.octocrab(RateLimitScope::Account, AuthState::None),
            http,
            calls: CallMetrics::default(),
        })
    }

    /// Metrics of the calls.
    pub fn calls(&self) -> &CallMetrics {
        &self.calls
    }

    /// The HTTP client, for GitHub's web endpoints outside the API.
    pub(super) fn client(&self) -> &reqwest::Client {
        &self.http.client
    }

    /// The service's rate limit, as of the latest response.
    pub fn rate_limit(&self) -> Option<RateLimit> {
        self.http.limits.lock().last
    }

    /// How long the service is still rate-limited; zero when it isn't.
    pub fn wait(&self) -> Duration {
        let until = self.http.limits.lock().blocked_until;
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        left.unwrap_or_default()
    }

    /// A client for the service's own calls; [`GitHubError::Limited`] while the service is rate-limited.
    pub(super) fn for_service(&self, token: &Secret) -> Result<Octocrab, GitHubError> {
        match self.wait() {
            Duration::ZERO => with_token(&self.service, token),
            retry_after => Err(GitHubError::Limited { retry_after }),
        }
    }

    /// A client for calls about an account, with that user's token.
    pub(super) fn for_account(&self, token: &Secret) -> Result<Octocrab, GitHubError> {
        with_token(&self.accounts, token)
    }

    /// A client for calls about an account, authenticated as the OAuth app.
    pub(super) fn for_app(&self, app: &OAuthApp) -> Octocrab {
        let auth = AuthState::BasicAuth {
            username: app.client_id.clone(),
            password: app.client_secret.reveal().to_owned(),
        };
        self.http.octocrab(RateLimitScope::Account, auth)
    }

    /// Awaits a call, records it in the metrics and as a span, and logs it.
    pub(super) async fn call<T>(
        &self,
        operation: &'static str,
        request: impl Future<Output = octocrab::Result<T>> + Send,
    ) -> Result<T, CallError> {
        let running = self.calls.begin(operation);
        let span = spans::client("github", operation);
        let result = request.await;
        let result = result.map_err(|error| classify_error(operation, error));
        running.end(match &result {
            Err(CallError::Failed(_)) => CallOutcome::Failed,
            _ => CallOutcome::Answered,
        });
        if let (Some(span), Err(error)) = (&span, &result) {
            match error {
                // Expected in places, as a 404 is for what may not exist.
                CallError::Refused { status, .. } => {
                    span.set("http.response.status_code", i64::from(status.as_u16()));
                }
                CallError::Failed(error) => span.fail(error.class()),
            }
        }
        match &result {
            Ok(_) => tracing::debug!(operation, "GitHub answered"),
            Err(CallError::Refused { status, .. }) => {
                let status = status.as_u16();
                tracing::debug!(operation, status, "GitHub answered");
            }
            Err(CallError::Failed(GitHubError::Limited { retry_after })) => {
                let seconds = retry_after.as_secs();
                tracing::warn!(operation, seconds, "GitHub's rate limit is exhausted");
            }
            Err(CallError::Failed(_)) => {}
        }
        result
    }
}

fn with_token(octocrab: &Octocrab, token: &Secret) -> Result<Octocrab, GitHubError> {
    let reason = "the token isn't a valid header value";
    let octocrab = octocrab.user_access_token(token.reveal().to_owned());
    octocrab.map_err(|_| GitHubError::unexpected("use a token", reason))
}

impl HttpSender {
    fn octocrab(&self, scope: RateLimitScope, auth: AuthState) -> Octocrab {
        let http = self.clone();
        let send = move |request| http.clone().send(scope, request);
        let built = OctocrabBuilder::new_empty()
            .with_service(service_fn(send))
            .with_auth(auth)
            .build();
        match built {
            Ok(octocrab) => octocrab,
            Err(never) => match never {},
        }
    }

    /// Sends one of octocrab's requests. octocrab's own connector isn't used, because its bodies can't be resent on a
    /// redirect that asks for it, and because its base-URI layer drops the base URI's path where a route begins with
    /// the same letters.
    async fn send(
        self,
        scope: RateLimitScope,
        request: Request<OctoBody>,
    ) -> Result<Response<Full<Bytes>>, TransportFault> {
        let max_bytes = match (request.extensions().get(), scope) {
            (Some(MaxBytes(bytes)), _) => *bytes,
            (None, RateLimitScope::Service) => MAX_RESPONSE,
            (None, RateLimitScope::Account) => MAX_ACCOUNT_RESPONSE,
        };
        let (mut parts, body) = request.into_parts();
        parts.headers.insert("x-github-api-version", API_VERSION);
        let body_error =
            |_| TransportFault::Unavailable("the request's body can't be read".to_owned());
        let body = body.collect().await.map_err(body_error)?.to_bytes();
        let response = self
            .client
            .request(parts.method, format!("{}{}", self.api, parts.uri))
            .headers(parts.headers)
            .body(body)
            .send()
            .await?;
        let status = response.status();
        if let Some(wait) = self.update_rate_limit(status, response.headers(), scope) {
            return Err(self.rate_limited(wait, scope));
        }
        if status.is_server_error() {
            return Err(TransportFault::server_error(status));
        }
        let headers = response.headers().clone();
        let bytes = read_bounded(response, max_bytes).await?;
        if status == StatusCode::FORBIDDEN && mentions_rate_limit(&bytes) {
            return Err(self.rate_limited(DEFAULT_RETRY_AFTER, scope));
        }
        let mut response = Response::new(Full::new(bytes));
        (*response.status_mut(), *response.headers_mut()) = (status, headers);
        Ok(response)
    }

    /// Records a response's rate limit. Returns how long to wait if status and headers make it a rate-limit refusal.
    fn update_rate_limit(
        &self,
        status: StatusCode,
        headers: &HeaderMap,
        scope: RateLimitScope,
    ) -> Option<Duration> {
        let limit = rate_limit(headers);
        if limit.is_some() && scope == RateLimitScope::Service {
            self.limits.lock().last = limit;
        }
        let rate_limited = status == StatusCode::TOO_MANY_REQUESTS
            || status == StatusCode::FORBIDDEN
                && (headers.contains_key(RETRY_AFTER) || limit.is_some_and(|it| it.remaining == 0));
        rate_limited.then(|| retry_after(headers, limit).unwrap_or(DEFAULT_RETRY_AFTER))
    }

    fn rate_limited(&self, wait: Duration, scope: RateLimitScope) -> TransportFault {
        let retry_after = wait.clamp(Duration::from_secs(1), MAX_RETRY_AFTER);
        if scope == RateLimitScope::Service {
            self.limits.lock().blocked_until = Some(Instant::now() + retry_after);
        }
        TransportFault::Limited(retry_after)
    }
}

/// Follows redirects within the first request's origin only: a token must not reach another host.
fn same_origin_only(attempt: reqwest::redirect::Attempt<'_>) -> reqwest::redirect::Action {
    let first = attempt.previous().first().map(Url::origin);
    if attempt.previous().len() <= MAX_REDIRECTS && first == Some(attempt.url().origin()) {
        attempt.follow()
    } else {
        attempt.stop()
    }
}

/// Reads the body; [`TransportFault::TooLong`] when it exceeds `max_bytes`.
pub(super) async fn read_bounded(
    mut response: reqwest::Response,
    max_bytes: usize,
) -> Result<Bytes, TransportFault> {
    let mut bytes = BytesMut::new();
    while let Some(chunk) = response.chunk().await? {
        if bytes.len() + chunk.len() > max_bytes {
            return Err(TransportFault::TooLong);
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes.freeze())
}

fn rate_limit(headers: &HeaderMap) -> Option<RateLimit> {
    Some(RateLimit {
        limit: parse_header(headers, &RATE_LIMIT)?,
        remaining: parse_header(headers, &RATE_REMAINING)?,
        reset: parse_header(headers, &RATE_RESET)?,
    })
}

fn parse_header<T: std::str::FromStr>(headers: &HeaderMap, name: &HeaderName) -> Option<T> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok()
}

/// `Retry-After`, else the time until the rate limit resets, relative to the response's `Date` (GitHub's clock).
fn retry_after(headers: &HeaderMap, limit: Option<RateLimit>) -> Option<Duration> {
    if let Some(seconds) = parse_header(headers, &RETRY_AFTER) {
        return Some(Duration::from_secs(seconds));
    }
    let limit = limit.filter(|it| it.remaining == 0)?;
    let date = headers.get(DATE)?.to_str().ok()?;
    let date = DateTime::parse_from_rfc2822(date).ok()?.timestamp();
    let seconds = u64::try_from(limit.reset - date).ok();
    seconds.map(Duration::from_secs)
}

/// Whether a 403 body reports a rate limit: a secondary one may come without any header that reveals it.
fn mentions_rate_limit(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    text.contains("secondary rate limit") || text.contains("API rate limit exceeded")
}
