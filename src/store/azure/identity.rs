//! Tokens of a managed identity, from the endpoint that the platform runs beside the app.
//!
//! The contract is that of App Service for version 2019-08-01: `resource` and `client_id` in the query, the app's
//! header, and seconds since 1970 in `expires_on`. The metadata service of virtual machines differs in the header
//! alone. `azure_identity` speaks both, but with it every request in the last five minutes of a token waits for a new
//! one; while there is none, each that waits tries for itself, one after the other; and it takes the endpoint from
//! the process's environment alone. And the SDK's policy for tokens doesn't tell who gives them which one storage has
//! refused.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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
use super::failure::reason;
use super::transport;
use crate::config::Identity;
use crate::net::Trust;

/// What the tokens open: storage accounts.
const RESOURCE: &str = "https://storage.azure.com";

const VERSION: &str = "2019-08-01";

/// The endpoint is on this machine or next to it. All tries together.
const LIMIT: Duration = Duration::from_secs(5);

/// Between the tries, where the endpoint doesn't ask for more.
const BETWEEN: [Duration; 2] = [Duration::from_millis(200), Duration::from_millis(400)];

/// A token that lives for hours is renewed so long before its end; one that doesn't, after half of its life.
const AHEAD: SdkDuration = SdkDuration::minutes(5);

/// After a token, or the few tries for one, nobody asks again sooner.
const PAUSE: Duration = Duration::from_secs(1);

/// Nor while a busy endpoint asks for more time, up to this much: without a token there is no storage.
const MOST_PAUSE: Duration = Duration::from_secs(10);

/// How often the log says that there is no token, while the reason is the same.
const REMIND: Duration = Duration::from_secs(60);

/// Gives requests their token. Whoever has to wait for one waits for the same answer, and while there is one nobody
/// does: it is renewed beside the requests. Goes last before the transport and runs for every try.
#[derive(Debug)]
pub(super) struct IdentityTokens(Arc<Source>);

#[derive(Debug)]
struct Source {
    pipeline: Pipeline,
    url: Url,
    header: (HeaderName, Secret),
    /// The endpoint, for the log.
    shown: String,
    /// Held by the one that asks.
    asking: Arc<tokio::sync::Mutex<()>>,
    known: Mutex<Known>,
}

/// What was answered so far.
#[derive(Debug, Default)]
struct Known {
    token: Option<AccessToken>,
    /// Whether storage has refused the token, and nobody has asked for another since.
    refused: bool,
    /// When less than this is left of the token, it is renewed.
    renew_within: SdkDuration,
    /// When somebody may ask again, and whether the last answer was a token.
    answered: Option<(Instant, bool)>,
    /// What the log was told last, and when.
    told: Option<(Instant, String)>,
}

/// What to do for a request.
enum Next {
    Use(AccessToken),
    UseAndRenew(AccessToken),
    Refuse,
    Ask,
}

/// The endpoint gives no token. Why is a line of the log, one for all whom it keeps waiting.
#[derive(Debug, thiserror::Error)]
#[error("there is no token to enter it with")]
struct NoToken;

/// Why a request to the endpoint gave no token.
struct Trouble {
    reason: String,
    /// The least time until another may give one; none if it wouldn't.
    again: Option<Duration>,
}

/// Of the endpoint's answer what is used.
#[derive(Deserialize)]
struct Answer {
    access_token: Secret,
    expires_on: Seconds,
}

/// Documented as text; some endpoints give the number itself.
#[derive(Deserialize)]
#[serde(untagged)]
enum Seconds {
    Number(i64),
    Text(String),
}

impl IdentityTokens {
    /// Asks nobody yet.
    pub(super) fn new(identity: &Identity, trust: &Trust) -> Result<Self, BadConnection> {
        let options = transport::identity_options(trust, &identity.endpoint)?;
        let mut url = identity.endpoint.clone();
        url.query_pairs_mut()
            .append_pair("api-version", VERSION)
            .append_pair("resource", RESOURCE)
            .extend_pairs(identity.client_id.iter().map(|id| ("client_id", id)));
        let host = url.authority();
        let (header, shown) = match &identity.header {
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
        Ok(Self(Arc::new(Source {
            pipeline: Pipeline::new(name, version, options, vec![], vec![], None),
            url,
            header,
            shown,
            asking: Arc::default(),
            known: Mutex::default(),
        })))
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
        if !refuses_token(&answer) {
            return Ok(answer);
        }
        match self.0.token().await {
            Ok(other) if other.token != token.token => {
                // Whom storage doesn't know it does nothing for: the request may be repeated, whatever it is.
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
        if refuses_token(&answer) {
            self.0.known().note_refusal(token);
        }
        Ok(answer)
    }
}

/// Whether storage doesn't take the token, which is another thing than its owner's having no role.
fn refuses_token(answer: &AsyncRawResponse) -> bool {
    // Without storage's own code a refusal may be anybody's, a proxy's or a gateway's, and says nothing of the token.
    let code = answer.headers().get_optional_str(&ERROR_CODE);
    match (answer.status(), code.unwrap_or_default()) {
        (StatusCode::Unauthorized, code) => !code.is_empty(),
        // So the emulator says it, and Azure to clients of older versions.
        (StatusCode::Forbidden, code) => code == "AuthenticationFailed",
        _ => false,
    }
}

impl Source {
    async fn token(self: &Arc<Self>) -> Result<AccessToken, NoToken> {
        match self.next() {
            Next::Use(token) => return Ok(token),
            Next::UseAndRenew(token) => {
                self.renew();
                return Ok(token);
            }
            Next::Refuse => return Err(NoToken),
            Next::Ask => {}
        }
        let turn = Arc::clone(&self.asking).lock_owned().await;
        // Whoever had the turn before may have the answer already.
        match self.next() {
            Next::Use(token) | Next::UseAndRenew(token) => return Ok(token),
            Next::Refuse => return Err(NoToken),
            Next::Ask => {}
        }
        // It goes on to its end when whoever asked has given up, so that the log and the next one have the answer.
        let this = Arc::clone(self);
        let asked = tokio::spawn(async move {
            let answer = this.ask().await;
            drop(turn);
            answer
        });
        asked.await.unwrap_or(Err(NoToken))
    }

    /// Asks beside the requests, unless somebody does already.
    fn renew(self: &Arc<Self>) {
        let Ok(turn) = Arc::clone(&self.asking).try_lock_owned() else {
            return;
        };
        let this = Arc::clone(self);
        tokio::spawn(async move {
            if let Next::UseAndRenew(_) = this.next() {
                let _ = this.ask().await;
            }
            drop(turn);
        });
    }

    async fn ask(&self) -> Result<AccessToken, NoToken> {
        let answer = self.few_tries().await;
        let (now, instant) = (OffsetDateTime::now_utc(), Instant::now());
        let mut known = self.known();
        let left = known.note(answer.as_ref(), now, instant);
        if let Err(Trouble { reason, .. }) = answer
            && known.is_news(&reason, instant)
        {
            let (endpoint, left_s) = (&self.shown, left.whole_seconds().max(0));
            tracing::warn!(
                endpoint,
                reason,
                left_s,
                "no token from the identity endpoint"
            );
        }
        match known.next(now, instant) {
            Next::Use(token) | Next::UseAndRenew(token) => Ok(token),
            Next::Refuse | Next::Ask => Err(NoToken),
        }
    }

    /// A request, and one or two more where its trouble may pass in time. What the endpoint said last is the reason,
    /// even if it is silent then.
    async fn few_tries(&self) -> Result<AccessToken, Trouble> {
        let began = Instant::now();
        let left = || LIMIT.saturating_sub(began.elapsed());
        let mut trouble = Trouble::lasting(format!("no answer within {LIMIT:?}"));
        let mut pauses = BETWEEN.into_iter();
        loop {
            match tokio::time::timeout(left(), self.request()).await {
                Ok(Ok(token)) => return Ok(token),
                Ok(Err(latest)) => trouble = latest,
                Err(_) => return Err(trouble),
            }
            match (pauses.next(), trouble.again) {
                (Some(pause), Some(again)) if pause.max(again) < left() => {
                    tokio::time::sleep(pause.max(again)).await;
                }
                _ => return Err(trouble),
            }
        }
    }

    async fn request(&self) -> Result<AccessToken, Trouble> {
        let mut request = Request::new(self.url.clone(), Method::Get);
        let (name, value) = &self.header;
        request.insert_header(name.clone(), value.secret().to_owned());
        let options = PipelineSendOptions {
            // A refusal's text is the endpoint's own, and may be anything.
            skip_checks: true,
            ..Default::default()
        };
        let context = Context::new();
        let answer = self.pipeline.send(&context, &mut request, Some(options));
        let answer = answer.await.map_err(|error| Trouble::on_the_way(&error))?;
        if answer.status() != StatusCode::Ok {
            return Err(Trouble::refused(answer.status(), answer.headers()));
        }
        let answer: Option<Answer> = from_json(answer.into_body()).ok();
        let token =
            answer.and_then(|it| Some(AccessToken::new(it.access_token, it.expires_on.read()?)));
        token
            .ok_or_else(|| Trouble::lasting("its answer isn't a token and when it ends".to_owned()))
    }

    fn next(&self) -> Next {
        self.known().next(OffsetDateTime::now_utc(), Instant::now())
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn next(&self, now: OffsetDateTime, instant: Instant) -> Next {
        let just = self.answered.filter(|(until, _)| instant < *until);
        let left = self.token.as_ref().map(|token| token.expires_on - now);
        let holds = left.is_some_and(SdkDuration::is_positive);
        match (&self.token, just) {
            // One that storage refuses, too: there is no other yet, and it may have been a mistake. Nor does it matter
            // that a new one has ended before it came, by a clock that is ahead. What that is for, storage says.
            (Some(token), Some((_, granted))) if holds || granted => Next::Use(token.clone()),
            (_, Some(_)) => Next::Refuse,
            (Some(token), None) if holds && !self.refused => {
                match left <= Some(self.renew_within) {
                    true => Next::UseAndRenew(token.clone()),
                    false => Next::Use(token.clone()),
                }
            }
            _ => Next::Ask,
        }
    }

    /// Takes an answer, and tells how long the token is good for that there is now.
    fn note(
        &mut self,
        answer: Result<&AccessToken, &Trouble>,
        now: OffsetDateTime,
        instant: Instant,
    ) -> SdkDuration {
        let asked = answer.err().and_then(|trouble| trouble.again);
        let pause = asked.unwrap_or_default().clamp(PAUSE, MOST_PAUSE);
        self.answered = Some((instant + pause, answer.is_ok()));
        // If there is no other, the one that storage has refused gets another chance.
        let refused = std::mem::take(&mut self.refused);
        if let Ok(token) = answer {
            self.told = None;
            // An endpoint may give an older one again, from a memory of its own.
            let known = self
                .token
                .take()
                .filter(|it| !refused && it.expires_on > token.expires_on);
            self.token = known.or_else(|| Some(token.clone()));
        }
        let left = self.token.as_ref().map(|token| token.expires_on - now);
        let left = left.unwrap_or_default();
        // Again when half of what is left has passed: a token that can't be renewed is asked for a few times, the
        // oftener the nearer its end.
        self.renew_within = AHEAD.min(left / 2);
        left
    }

    /// Another is asked for instead of a token that storage refuses, whatever it says of its end.
    fn note_refusal(&mut self, refused: &AccessToken) {
        let known = self.token.as_ref();
        self.refused |= known.is_some_and(|known| known.token == refused.token);
    }

    /// Whether the log is to be told this reason.
    fn is_news(&mut self, reason: &str, instant: Instant) -> bool {
        let known = self.told.as_ref().is_some_and(|(at, told)| {
            told == reason && instant.saturating_duration_since(*at) < REMIND
        });
        if !known {
            self.told = Some((instant, reason.to_owned()));
        }
        !known
    }
}

impl Trouble {
    fn lasting(reason: String) -> Self {
        let again = None;
        Self { reason, again }
    }

    /// There is no answer.
    fn on_the_way(error: &Error) -> Self {
        let passes = matches!(error.kind(), ErrorKind::Io | ErrorKind::Connection);
        Self {
            reason: reason(error),
            again: passes.then_some(Duration::ZERO),
        }
    }

    /// The answer is another one than a token.
    fn refused(status: StatusCode, headers: &Headers) -> Self {
        let answers = format!("it answers {}", u16::from(status));
        match status {
            StatusCode::TooManyRequests | StatusCode::ServiceUnavailable => {
                let wait = wanted_pause(headers);
                let reason = match wait.as_millis().div_ceil(1_000) {
                    0 => answers,
                    seconds => format!("it is busy: {answers} and asks to wait {seconds} s"),
                };
                let again = Some(wait);
                Self { reason, again }
            }
            StatusCode::RequestTimeout
            | StatusCode::InternalServerError
            | StatusCode::BadGateway
            | StatusCode::GatewayTimeout => Self {
                reason: answers,
                again: Some(Duration::ZERO),
            },
            StatusCode::BadRequest => {
                Self::lasting(format!("{answers}: is the identity assigned to this app?"))
            }
            _ => Self::lasting(answers),
        }
    }
}

/// How long a busy endpoint asks to be left alone.
fn wanted_pause(headers: &Headers) -> Duration {
    let names = [X_MS_RETRY_AFTER_MS, RETRY_AFTER_MS, RETRY_AFTER];
    let wait = get_retry_after(headers, OffsetDateTime::now_utc, &names);
    // What is below zero is none.
    wait.and_then(|wait| wait.try_into().ok())
        .unwrap_or_default()
}

impl Seconds {
    fn read(self) -> Option<OffsetDateTime> {
        let seconds = match self {
            Self::Number(seconds) => seconds,
            Self::Text(text) => text.parse().ok()?,
        };
        OffsetDateTime::from_unix_timestamp(seconds).ok()
    }
}
