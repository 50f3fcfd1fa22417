//! Managed identity tokens, from the local endpoint of the hosting platform.
//!
//! Implements App Service's protocol, version 2019-08-01: `resource` and `client_id` in the query, the app's secret
//! header, and Unix seconds in `expires_on`. The metadata service of virtual machines differs only in the header.
//! `azure_identity` supports both, but every request during a token's last five minutes waits for a new one; without a
//! token, waiting requests retry one after the other; and it reads the endpoint only from the process environment.
//! Also, the SDK's token policy doesn't report to the credential which token storage has rejected.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use azure_core::credentials::{AccessToken, Secret};
use azure_core::error::{Error, ErrorKind};
use azure_core::http::headers::{
    AUTHORIZATION, ERROR_CODE, HeaderName, Headers, RETRY_AFTER, RETRY_AFTER_MS,
    X_MS_RETRY_AFTER_MS,
};
use azure_core::http::policies::{Policy, PolicyResult, get_retry_after};
use azure_core::http::{
    AsyncRawResponse, Context, Method, Pipeline, PipelineSendOptions, Request, StatusCode, Url,
};
use azure_core::json::from_json;
use azure_core::time::{Duration as SdkDuration, OffsetDateTime};
use serde::Deserialize;

use super::connection::BadConnection;
use super::error::reason;
use super::transport;
use crate::config::ManagedIdentityConfig;
use crate::net::TrustStore;
use crate::revalidated::{Freshness, Revalidated};

/// The OAuth resource of storage accounts.
const STORAGE: &str = "https://storage.azure.com";

const VERSION: &str = "2019-08-01";

/// The timeout of all tries together. The endpoint is on this machine or next to it.
const TOTAL_TIMEOUT: Duration = Duration::from_secs(5);

/// The delays between tries, unless the endpoint asks for longer ones.
const RETRY_DELAYS: [Duration; 2] = [Duration::from_millis(200), Duration::from_millis(400)];

/// A token is renewed this long before its expiry, or when half of its lifetime remains, whichever is later.
const RENEW_BEFORE_EXPIRY: SdkDuration = SdkDuration::minutes(5);

/// The minimum interval between a request, with its retries, and the next.
const MIN_REQUEST_INTERVAL: Duration = Duration::from_secs(1);

/// The maximum interval if a busy endpoint asks for more time: without a token, storage is unavailable.
const MAX_REQUEST_INTERVAL: Duration = Duration::from_secs(10);

/// How often the same failure is logged again.
const LOG_REPEAT_INTERVAL: Duration = Duration::from_secs(60);

/// The pipeline policy that adds bearer tokens. Requests that have to wait for a token share one token request; while a
/// token is valid none waits, because it is renewed in the background. Must be the last policy before the transport, so
/// that it runs for each try.
#[derive(Debug)]
pub(super) struct IdentityTokens(Arc<TokenSource>);

/// The tokens of an identity for one resource. While a token is valid nobody waits: it is renewed in the background.
#[derive(Debug)]
pub struct TokenSource {
    pipeline: Pipeline,
    url: Url,
    header: (HeaderName, Secret),
    /// The endpoint, for the log.
    endpoint_label: String,
    tokens: Revalidated<IdentityTokenState>,
}

/// The cached token and the results of token requests.
#[derive(Debug, Default)]
struct IdentityTokenState {
    token: Option<AccessToken>,
    /// Whether the resource has rejected the token since the last token request.
    rejected: bool,
    /// The token is renewed once its remaining lifetime is at most this.
    renew_below: SdkDuration,
    /// The time before which no further token request is made, and whether the last one succeeded.
    last_request: Option<(Instant, bool)>,
    /// When a failure was logged last, and its reason.
    last_logged: Option<(Instant, String)>,
}

/// No token is available. The cause is logged once, not for each waiting request.
#[derive(Debug, thiserror::Error)]
#[error("there is no token to enter it with")]
pub struct NoToken;

/// Why a token request failed.
struct TokenRequestError {
    reason: String,
    /// The minimum delay before a retry; `None` if a retry is pointless.
    retry_after: Option<Duration>,
}

/// The fields used of the endpoint's response.
#[derive(Deserialize)]
struct IdentityTokenResponse {
    access_token: Secret,
    expires_on: UnixSeconds,
}

/// Documented as a string; some endpoints return a number.
#[derive(Deserialize)]
#[serde(untagged)]
enum UnixSeconds {
    Number(i64),
    Text(String),
}

impl IdentityTokens {
    /// Sends no request yet.
    pub(super) fn new(
        identity: &ManagedIdentityConfig,
        trust: &TrustStore,
    ) -> Result<Self, BadConnection> {
        let source = TokenSource::new(identity, STORAGE, trust)?;
        Ok(Self(Arc::new(source)))
    }
}

#[async_trait]
impl Policy for IdentityTokens {
    async fn send(
        &self,
        context: &Context,
        request: &mut Request,
        next: &[Arc<dyn Policy>],
    ) -> PolicyResult {
        let token = self.0.token().await;
        let token = token.map_err(|refusal| Error::new(ErrorKind::Credential, refusal))?;
        let answer = self.send_with(&token, context, request, next).await?;
        if !is_token_rejected(&answer) {
            return Ok(answer);
        }
        match self.0.token().await {
            Ok(other) if other.token != token.token => {
                // Storage does nothing for a request it can't authenticate, so any request may be retried.
                request.body_mut().reset().await?;
                self.send_with(&other, context, request, next).await
            }
            _ => Ok(answer),
        }
    }
}

impl IdentityTokens {
    async fn send_with(
        &self,
        token: &AccessToken,
        context: &Context<'_>,
        request: &mut Request,
        next: &[Arc<dyn Policy>],
    ) -> PolicyResult {
        request.insert_header(AUTHORIZATION, format!("Bearer {}", token.token.secret()));
        let answer = next[0].send(context, request, &next[1..]).await?;
        if is_token_rejected(&answer) {
            self.0.reject(token);
        }
        Ok(answer)
    }
}

/// Whether storage rejected the token itself, as opposed to an identity without the required role.
fn is_token_rejected(answer: &AsyncRawResponse) -> bool {
    // Without storage's own error code, a 401 or 403 may come from a proxy or gateway and says nothing about the token.
    let code = answer.headers().get_optional_str(&ERROR_CODE);
    match (answer.status(), code.unwrap_or_default()) {
        (StatusCode::Unauthorized, code) => !code.is_empty(),
        // Returned by the emulator, and by Azure for older API versions.
        (StatusCode::Forbidden, code) => code == "AuthenticationFailed",
        _ => false,
    }
}

impl TokenSource {
    /// Tokens for `resource`, such as `https://storage.azure.com`. Sends no request yet.
    ///
    /// # Errors
    /// If the HTTP client can't be built.
    pub fn new(
        identity: &ManagedIdentityConfig,
        resource: &str,
        trust: &TrustStore,
    ) -> Result<Self, BadConnection> {
        let options = transport::identity_options(trust, &identity.endpoint)?;
        let mut url = identity.endpoint.clone();
        url.query_pairs_mut()
            .append_pair("api-version", VERSION)
            .append_pair("resource", resource)
            .extend_pairs(identity.client_id.iter().map(|id| ("client_id", id)));
        let host = url.authority();
        let (header, endpoint_label) = match &identity.header {
            Some(secret) => {
                let secret = Secret::new(secret.reveal().to_owned());
                let name = HeaderName::from_static("x-identity-header");
                ((name, secret), host.to_owned())
            }
            None => (
                (HeaderName::from_static("metadata"), Secret::new("true")),
                format!("{host} (IDENTITY_ENDPOINT is not set)"),
            ),
        };
        let (name, version) = (
            option_env!("CARGO_PKG_NAME"),
            option_env!("CARGO_PKG_VERSION"),
        );
        Ok(Self {
            pipeline: Pipeline::new(name, version, options, vec![], vec![], None),
            url,
            header,
            endpoint_label,
            tokens: Revalidated::default(),
        })
    }

    /// The resource has refused this token, so another is requested whatever is left of its life.
    pub fn reject(&self, token: &AccessToken) {
        self.tokens.state().record_rejection(token);
    }

    /// The current token. Waits only if there is none.
    ///
    /// # Errors
    /// If the endpoint gives none, which it is asked for at most once a second.
    pub async fn token(self: &Arc<Self>) -> Result<AccessToken, NoToken> {
        let look =
            |state: &IdentityTokenState| state.freshness(OffsetDateTime::now_utc(), Instant::now());
        // Spawned, so that it completes even if this caller is cancelled: its result is logged, and serves the next
        // caller.
        let renew = |flight| {
            let this = Arc::clone(self);
            let fetch = tokio::spawn(async move {
                let answer = this.fetch().await;
                drop(flight);
                answer
            });
            async move { fetch.await.unwrap_or(Err(NoToken)) }
        };
        self.tokens.get(look, renew).await
    }

    async fn fetch(&self) -> Result<AccessToken, NoToken> {
        let answer = self.request_with_retries().await;
        let (now, instant) = (OffsetDateTime::now_utc(), Instant::now());
        let mut state = self.tokens.state();
        let left = state.record_result(answer.as_ref(), now, instant);
        if let Err(TokenRequestError { reason, .. }) = answer
            && state.should_log(&reason, instant)
        {
            let (endpoint, left_s) = (&self.endpoint_label, left.whole_seconds().max(0));
            tracing::warn!(
                endpoint,
                reason,
                left_s,
                "no token from the identity endpoint"
            );
        }
        state
            .freshness(now, instant)
            .usable()
            .unwrap_or(Err(NoToken))
    }

    /// Sends the request, with up to two retries of transient failures. If the last try times out, the failure before
    /// it is reported.
    async fn request_with_retries(&self) -> Result<AccessToken, TokenRequestError> {
        let began = Instant::now();
        let left = || TOTAL_TIMEOUT.saturating_sub(began.elapsed());
        let mut error = TokenRequestError::new(format!("no answer within {TOTAL_TIMEOUT:?}"), None);
        let mut pauses = RETRY_DELAYS.into_iter();
        loop {
            match tokio::time::timeout(left(), self.request()).await {
                Ok(Ok(token)) => return Ok(token),
                Ok(Err(latest)) => error = latest,
                Err(_) => return Err(error),
            }
            match (pauses.next(), error.retry_after) {
                (Some(pause), Some(retry_after)) if pause.max(retry_after) < left() => {
                    tokio::time::sleep(pause.max(retry_after)).await;
                }
                _ => return Err(error),
            }
        }
    }

    async fn request(&self) -> Result<AccessToken, TokenRequestError> {
        let mut request = Request::new(self.url.clone(), Method::Get);
        let (name, value) = &self.header;
        request.insert_header(name.clone(), value.secret().to_owned());
        let options = PipelineSendOptions {
            // The body of an error response is arbitrary and ignored.
            skip_checks: true,
            ..Default::default()
        };
        let context = Context::new();
        let sent = self.pipeline.send(&context, &mut request, Some(options));
        let answer = sent
            .await
            .map_err(|error| TokenRequestError::from_transport(&error))?;
        let status = answer.status();
        if status != StatusCode::Ok {
            return Err(TokenRequestError::from_status(status, answer.headers()));
        }
        let answer: Option<IdentityTokenResponse> = from_json(answer.into_body()).ok();
        let token = answer.and_then(|it| {
            let expires_on = it.expires_on.into_date_time()?;
            Some(AccessToken::new(it.access_token, expires_on))
        });
        token.ok_or_else(|| {
            let reason = "its answer isn't a token and when it ends";
            TokenRequestError::new(reason.to_owned(), None)
        })
    }
}

impl IdentityTokenState {
    fn freshness(
        &self,
        now: OffsetDateTime,
        instant: Instant,
    ) -> Freshness<Result<AccessToken, NoToken>> {
        let recent = self.last_request.filter(|(until, _)| instant < *until);
        let left = self.token.as_ref().map(|token| token.expires_on - now);
        let is_valid = left.is_some_and(SdkDuration::is_positive);
        match (&self.token, recent) {
            // Also a token that the resource has rejected: there is no other yet, and the rejection may be spurious. Also a
            // new one that seems expired, as by a local clock that is fast. The resource decides whether it is valid.
            (Some(token), Some((_, granted))) if is_valid || granted => {
                Freshness::Fresh(Ok(token.clone()))
            }
            (_, Some(_)) => Freshness::Fresh(Err(NoToken)),
            (Some(token), None) if is_valid && !self.rejected => {
                match left <= Some(self.renew_below) {
                    true => Freshness::Stale(Ok(token.clone())),
                    false => Freshness::Fresh(Ok(token.clone())),
                }
            }
            _ => Freshness::Expired,
        }
    }

    /// Records the result of a token request and returns the remaining lifetime of the current token.
    fn record_result(
        &mut self,
        answer: Result<&AccessToken, &TokenRequestError>,
        now: OffsetDateTime,
        instant: Instant,
    ) -> SdkDuration {
        let requested = answer.err().and_then(|error| error.retry_after);
        let pause = requested
            .unwrap_or_default()
            .clamp(MIN_REQUEST_INTERVAL, MAX_REQUEST_INTERVAL);
        self.last_request = Some((instant + pause, answer.is_ok()));
        // If no other token was obtained, the rejected one is tried again.
        let rejected = std::mem::take(&mut self.rejected);
        if let Ok(token) = answer {
            self.last_logged = None;
            // The endpoint may return an older token from its cache.
            let longer_lived = self
                .token
                .take()
                .filter(|it| !rejected && it.expires_on > token.expires_on);
            self.token = longer_lived.or_else(|| Some(token.clone()));
        }
        let left = self.token.as_ref().map(|token| token.expires_on - now);
        let left = left.unwrap_or_default();
        // Renew again after half of the remaining lifetime: if renewals fail, they are retried more often towards the
        // expiry.
        self.renew_below = RENEW_BEFORE_EXPIRY.min(left / 2);
        left
    }

    /// Marks the current token as rejected by its resource, so that another is requested regardless of its expiry.
    fn record_rejection(&mut self, rejected: &AccessToken) {
        let current = self.token.as_ref();
        self.rejected |= current.is_some_and(|current| current.token == rejected.token);
    }

    /// Whether this failure should be logged now; limits repetitions.
    fn should_log(&mut self, reason: &str, instant: Instant) -> bool {
        let recently_logged = self.last_logged.as_ref().is_some_and(|(at, last_logged)| {
            last_logged == reason && instant.saturating_duration_since(*at) < LOG_REPEAT_INTERVAL
        });
        if !recently_logged {
            self.last_logged = Some((instant, reason.to_owned()));
        }
        !recently_logged
    }
}

impl TokenRequestError {
    fn new(reason: String, retry_after: Option<Duration>) -> Self {
        Self {
            reason,
            retry_after,
        }
    }

    /// The request got no response.
    fn from_transport(error: &Error) -> Self {
        let passes = matches!(error.kind(), ErrorKind::Io | ErrorKind::Connection);
        Self::new(reason(error), passes.then_some(Duration::ZERO))
    }

    /// The response isn't 200.
    fn from_status(status: StatusCode, headers: &Headers) -> Self {
        let answers = format!("it answers {}", u16::from(status));
        match status {
            StatusCode::TooManyRequests | StatusCode::ServiceUnavailable => {
                let wait = requested_delay(headers);
                let reason = match wait.as_millis().div_ceil(1_000) {
                    0 => answers,
                    seconds => format!("it is busy: {answers} and asks to wait {seconds} s"),
                };
                Self::new(reason, Some(wait))
            }
            StatusCode::RequestTimeout
            | StatusCode::InternalServerError
            | StatusCode::BadGateway
            | StatusCode::GatewayTimeout => Self::new(answers, Some(Duration::ZERO)),
            StatusCode::BadRequest => {
                let reason = format!("{answers}: is the identity assigned to this app?");
                Self::new(reason, None)
            }
            _ => Self::new(answers, None),
        }
    }
}

/// The delay that a busy endpoint asks for.
fn requested_delay(headers: &Headers) -> Duration {
    let names = [X_MS_RETRY_AFTER_MS, RETRY_AFTER_MS, RETRY_AFTER];
    let wait = get_retry_after(headers, OffsetDateTime::now_utc, &names);
    // A negative delay counts as none.
    wait.and_then(|wait| wait.try_into().ok())
        .unwrap_or_default()
}

impl UnixSeconds {
    fn into_date_time(self) -> Option<OffsetDateTime> {
        let seconds = match self {
            Self::Number(seconds) => seconds,
            Self::Text(text) => text.parse().ok()?,
        };
        OffsetDateTime::from_unix_timestamp(seconds).ok()
    }
}
