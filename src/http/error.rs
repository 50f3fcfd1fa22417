//! The only place where an error becomes a status and a body (`src/http/README.md`, "Refusals").

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{
    CACHE_CONTROL, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY,
    RETRY_AFTER, WWW_AUTHENTICATE,
};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use super::Code;
use super::answer::Always;
use super::auth::{Denial, Door, platform_page};
use super::extract::{X_CODEX_VERSION, accepted_language, wants_page};
use super::refusal_page;
use crate::codex::{
    GitTrouble, Limited, OwnerError, ReadError, Refusal, TaskError, Version, WeekError,
};
use crate::github::GitHubError;
use crate::task::{EditError, GitSha};
use crate::view::Language;

/// A refusal, as the client is told: no internal message, path or key. What led to it is kept for the
/// log.
#[derive(Debug, Clone)]
pub struct ApiError(Box<Told>);

#[derive(Debug, Clone)]
struct Told {
    code: Code,
    message: Cow<'static, str>,
    field: Option<Cow<'static, str>>,
    stems: Option<Arc<[String]>>,
    line: Option<u32>,
    count: Option<usize>,
    head: Option<GitSha>,
    retry_after: Option<Duration>,
    version: Option<Version>,
    cause: Option<Arc<str>>,
    as_page: Option<Language>,
}

/// When a client may try again what failed for a reason that passes.
const SOON: Duration = Duration::from_secs(2);

/// When a client may try again what somebody has to mend first.
const LATER: Duration = Duration::from_secs(60);

impl ApiError {
    /// A refusal; `message` is one sentence that says what to do.
    pub fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Told {
            code,
            message: message.into(),
            field: None,
            stems: None,
            line: None,
            count: None,
            head: None,
            retry_after: None,
            version: None,
            cause: None,
            as_page: None,
        }))
    }

    /// Something that must not happen.
    pub(super) fn defect() -> Self {
        let message = "Something broke: try again, and report the requestId.";
        Self::new(Code::Internal, message)
    }

    /// Names the parameter or member at fault.
    pub fn field(mut self, field: impl Into<Cow<'static, str>>) -> Self {
        self.0.field = Some(field.into());
        self
    }

    /// Says when to come back.
    pub fn retry_after(mut self, after: Duration) -> Self {
        self.0.retry_after = Some(after);
        self
    }

    /// Names the stems that can be asked for instead.
    fn stems(mut self, stems: Vec<String>) -> Self {
        self.0.stems = Some(stems.into());
        self
    }

    /// Names how many it is about.
    fn count(mut self, count: usize) -> Self {
        self.0.count = Some(count);
        self
    }

    /// Names the commit it is about.
    fn head(mut self, head: GitSha) -> Self {
        self.0.head = Some(head);
        self
    }

    /// Names the line of the file at fault.
    fn line(mut self, line: Option<u32>) -> Self {
        self.0.line = line;
        self
    }

    /// Names the version of the user's data it is about.
    fn version(mut self, version: Option<Version>) -> Self {
        self.0.version = version;
        self
    }

    /// Keeps for the log what led to it.
    pub fn caused_by(mut self, cause: &impl fmt::Display) -> Self {
        self.0.cause = Some(cause.to_string().into());
        self
    }

    /// Tells it as a page where a person reads the answer.
    pub(super) fn page_for(mut self, headers: &HeaderMap) -> Self {
        self.0.as_page = wants_page(headers).then(|| accepted_language(headers));
        self
    }

    /// Its stable code.
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// What led to it; nothing for what the client did wrong.
    pub(super) fn cause(&self) -> Option<&str> {
        self.0.cause.as_deref()
    }

    /// The status it is answered with.
    pub fn status(&self) -> StatusCode {
        self.0.code.status()
    }

    /// What it says, with the request's id where it helps the operator to find the reason.
    pub(super) fn document<'a>(&'a self, request_id: &'a str) -> ErrorDocument<'a> {
        let told = &self.0;
        ErrorDocument {
            ok: Always,
            code: told.code,
            error: &told.message,
            field: told.field.as_deref(),
            stems: told.stems.as_deref(),
            line: told.line,
            count: told.count,
            head: told.head,
            request_id: self.status().is_server_error().then_some(request_id),
        }
    }

    /// The response: what it says, or a page.
    pub(super) fn respond(&self, request_id: &str) -> Response {
        let status = self.status();
        let told = &self.0;
        let (bytes, kind) = match told.as_page {
            Some(language) => {
                let name = serde_json::to_value(told.code).unwrap_or_default();
                let name = name.as_str().unwrap_or_default();
                let page = refusal_page::page(told.code, name, language);
                (page, "text/html; charset=utf-8")
            }
            // Strings and a flag: nothing in it can fail to serialise.
            None => (
                serde_json::to_vec(&self.document(request_id)).unwrap_or_default(),
                "application/json; charset=utf-8",
            ),
        };
        let mut response = (status, bytes).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        if told.as_page.is_some() {
            headers.insert(CONTENT_SECURITY_POLICY, refusal_page::POLICY.clone());
            headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(version) = told.version {
            headers.insert(X_CODEX_VERSION, HeaderValue::from(version.0));
        }
        if let Some(after) = told.retry_after {
            // Rounded up: who obeys must not come too early.
            headers.insert(
                RETRY_AFTER,
                HeaderValue::from(after.as_millis().div_ceil(1000).max(1) as u64),
            );
        }
        response
    }
}

/// What every refusal says.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Refusal, examples(json!({
    "ok": false, "code": "invalid_field", "field": "kategorie",
    "error": "kategorie can't be that: kategorie must be one of arbeit, privat.",
})))]
pub(super) struct ErrorDocument<'a> {
    #[schema(inline)]
    ok: Always<false>,
    code: Code,
    error: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    field: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    stems: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    line: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    count: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    head: Option<GitSha>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    request_id: Option<&'a str>,
}

/// The body is written where the request's id is known: in `request_id`.
impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = self.status();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<WeekError> for ApiError {
    fn from(error: WeekError) -> Self {
        TaskError::from(error).into()
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        Self::from(refusal.error).version(refusal.version)
    }
}

impl From<TaskError> for ApiError {
    fn from(error: TaskError) -> Self {
        match error {
            TaskError::Read(error) => error.into(),
            TaskError::OutcomeUnknown => Self::new(
                Code::OutcomeUnknown,
                "Whether it was written can't be known yet: repeat it soon, with the same Idempotency-Key if it had one.",
            )
            .retry_after(SOON)
            .caused_by(&error),
            TaskError::TooMany { retry_after, of } => {
                let message = match of {
                    Limited::Rebuilds => "Too many rebuilds in a minute: read without nocache, or try again later.",
                    Limited::Writes => "Too many changes in a minute: try again later.",
                };
                Self::new(Code::TooManyRequests, message).retry_after(retry_after)
            }
            TaskError::NotFound => {
                Self::new(Code::TaskNotFound, "There is no such task: look for it in /api/tasks?status=alle.")
            }
            TaskError::Ambiguous { stems } => Self::new(
                Code::AmbiguousId,
                "Several tasks have this number: ask by one of the stems.",
            )
            .stems(stems),
            TaskError::Unreadable(problem) => {
                let why = problem.message.trim_end_matches('.');
                let message = format!("The task's file can't be read, so mend it by hand: {why}.");
                Self::new(Code::TaskUnreadable, message).line(problem.line)
            }
            TaskError::Edit(error) => error.into(),
            TaskError::PreconditionFailed => Self::new(
                Code::PreconditionFailed,
                "The task has changed: get it again, and decide anew.",
            ),
            TaskError::Conflict => Self::new(
                Code::Conflict,
                "Others kept changing the task, and nothing was written: try again.",
            ),
            TaskError::IdsExhausted => Self::new(
                Code::IdsExhausted,
                "All 10,000 task numbers are taken: remove files of tasks that are long done.",
            ),
            TaskError::KeyReused => Self::new(
                Code::IdempotencyKeyReused,
                "This Idempotency-Key came with another body before: use a new key.",
            ),
        }
    }
}

impl From<GitTrouble> for ApiError {
    fn from(trouble: GitTrouble) -> Self {
        let away = "GitHub can't be reached, or grants no more requests for now: try again later.";
        match &trouble {
            GitTrouble::Off => Self::new(
                Code::GithubNotConfigured,
                "GitHub mode is off: set GITHUB_OWNER, GITHUB_REPO and credentials.",
            ),
            GitTrouble::GitHub(GitHubError::Limited { retry_after }) => {
                Self::new(Code::GithubUnavailable, away).retry_after(*retry_after)
            }
            GitTrouble::GitHub(GitHubError::Denied { .. }) => Self::new(
                Code::GithubDenied,
                "GitHub doesn't let the service at the repository: check the repository's name, the branch and the credentials.",
            )
            .retry_after(LATER)
            .caused_by(&trouble),
            GitTrouble::GitHub(_) => Self::new(Code::GithubUnavailable, away)
                .retry_after(SOON)
                .caused_by(&trouble),
            GitTrouble::Read(error) => error.clone().into(),
            GitTrouble::Write(error) => Refusal::from(error.clone()).into(),
            GitTrouble::TooMany { retry_after } => {
                let (retry_after, of) = (*retry_after, Limited::Rebuilds);
                TaskError::TooMany { retry_after, of }.into()
            }
            GitTrouble::NewerFormat => Self::new(
                Code::NewerFormat,
                "A newer version of the service wrote what Git is known to hold: use that version.",
            )
            .retry_after(LATER),
            GitTrouble::Contended => TaskError::Conflict.into(),
            GitTrouble::MassDelete(count) => Self::new(
                Code::MassDelete,
                format!("{count} files have gone from Git, which is more than half: send clean=true&confirm={count} to remove them here."),
            )
            .count(*count),
            GitTrouble::HistoryRewritten { head, .. } => {
                Self::new(Code::HistoryRewritten, trouble.told()).head(*head)
            }
        }
    }
}

impl From<EditError> for ApiError {
    fn from(error: EditError) -> Self {
        match error {
            EditError::BadText { field } => Self::new(
                Code::InvalidField,
                "This text holds a control character, a line break where one line is meant, or a non-character: remove it.",
            )
            .field(field),
            EditError::TooLarge => Self::new(
                Code::TaskTooLarge,
                "The task would be larger than 1 MiB, or have more tags than can be read: shorten it.",
            ),
            EditError::NotEditable { line } => Self::new(
                Code::FrontMatterNotEditable,
                "The front matter can't be changed here without touching something else: edit the file by hand.",
            )
            .line(Some(line)),
            EditError::Unreadable(problem) => TaskError::Unreadable(problem).into(),
            EditError::NotATask => TaskError::NotFound.into(),
        }
    }
}

impl From<ReadError> for ApiError {
    fn from(error: ReadError) -> Self {
        let refusal = match error {
            ReadError::Store(_) | ReadError::TimedOut => Self::new(
                Code::StorageUnavailable,
                "The storage can't be reached: try again soon.",
            )
            .retry_after(SOON),
            ReadError::Contended => Self::new(
                Code::Busy,
                "Tasks kept changing while they were read: try again.",
            )
            .retry_after(SOON),
            ReadError::NewerFormat(_) => Self::new(
                Code::NewerFormat,
                "The data was written by a newer version of the service: update this one.",
            ),
            ReadError::Broken => Self::defect(),
        };
        refusal.caused_by(&error)
    }
}

impl ApiError {
    /// Why somebody isn't let in, with what helps where people get in by this door.
    pub(super) fn denied(denial: Denial, door: Door<'_>) -> Self {
        let (code, message) = match denial {
            Denial::Owner(error) => return error.into(),
            Denial::NotSignedIn => return Self::new(Code::NotSignedIn, not_signed_in(door)),
            Denial::Unavailable { retry_after, cause } => {
                let message = "GitHub can't say now who you are: try again soon.";
                let refusal = Self::new(Code::AuthUnavailable, message);
                return refusal.retry_after(retry_after).caused_by(&cause);
            }
            Denial::TokenInvalid => (
                Code::TokenInvalid,
                match door {
                    Door::TokensAndPages => {
                        "GitHub doesn't know this token: make a new one, or sign in again."
                    }
                    _ => "GitHub doesn't know this token: make a new one.",
                },
            ),
            Denial::TokenForeign => (
                Code::TokenForeign,
                match door {
                    Door::TokensAndPages => {
                        "This token wasn't given to this service: use a personal access token, or sign in at /auth/github."
                    }
                    _ => "Tokens of apps aren't taken here: use a personal access token of GitHub.",
                },
            ),
            Denial::NotAllowed => (
                Code::LoginNotAllowed,
                "This login may not enter: ask the operator to name it in CODEX_ALLOWED_LOGINS.",
            ),
            Denial::CrossOrigin => (
                Code::CrossOrigin,
                match door {
                    Door::Tokens | Door::TokensAndPages => {
                        "A page of another site can't change tasks: open this service's own page, or send Authorization: Bearer."
                    }
                    Door::Dev | Door::Platform(_) => {
                        "A page of another site can't change tasks: open this service's own page."
                    }
                },
            ),
            Denial::Host => (
                Code::HostNotAllowed,
                "Without sign-in only this machine may ask: use localhost or 127.0.0.1 in the address.",
            ),
            Denial::NoBrowserSignIn => (
                Code::OauthNotConfigured,
                "Nobody signs in by GitHub's pages here: that takes CODEX_AUTH=github and GITHUB_OAUTH_CLIENT_ID with its secret.",
            ),
            Denial::NoSignIn => (
                Code::SignInExpired,
                "This sign-in wasn't begun in this browser, took too long or was ended before: begin again at /auth/github.",
            ),
            Denial::SaidNo => (
                Code::AccessDenied,
                "The sign-in was declined at GitHub: begin again at /auth/github to allow it.",
            ),
            Denial::CodeRefused => (
                Code::SignInFailed,
                "GitHub didn't confirm this sign-in: begin again at /auth/github.",
            ),
        };
        Self::new(code, message)
    }
}

/// What to do where nothing says who asks.
fn not_signed_in(door: Door<'_>) -> Cow<'static, str> {
    match door {
        Door::TokensAndPages => "Nobody is signed in: send Authorization: Bearer with a GitHub token, or sign in at /auth/github.".into(),
        Door::Dev | Door::Tokens => {
            "Nobody is signed in: send Authorization: Bearer with a personal access token of GitHub."
                .into()
        }
        Door::Platform(provider) => {
            let page = platform_page(provider);
            format!("Nobody is signed in by {provider}: sign in at {page}.").into()
        }
    }
}

impl From<OwnerError> for ApiError {
    fn from(error: OwnerError) -> Self {
        let refusal = match &error {
            OwnerError::Reassigned => {
                let message = "This login belonged to another account when its tasks were made: ask the operator whose they are.";
                return Self::new(Code::LoginReassigned, message);
            }
            OwnerError::NewerFormat => Self::new(
                Code::NewerFormat,
                "The data was written by a newer version of the service: update this one.",
            ),
            OwnerError::Unreadable => Self::new(
                Code::OwnerUnreadable,
                "Whose these tasks are can't be read: the operator must mend owner.json.",
            ),
            OwnerError::SessionEnded => {
                return Self::new(Code::NotSignedIn, "The session was ended: sign in again.");
            }
            OwnerError::Store(_) | OwnerError::TimedOut | OwnerError::Contended => Self::new(
                Code::StorageUnavailable,
                "The storage can't be reached: try again soon.",
            )
            .retry_after(SOON),
        };
        refusal.caused_by(&error)
    }
}

/// Any path that isn't a route.
pub(super) async fn no_such_route(headers: HeaderMap) -> ApiError {
    not_found().page_for(&headers)
}

/// There is nothing at the path, or nothing for who asks.
pub(super) fn not_found() -> ApiError {
    ApiError::new(
        Code::NotFound,
        "There is nothing at this path; the week is at /codex.",
    )
}

/// A route asked with a method it doesn't know; `Allow` names those it does.
pub(super) async fn no_such_method() -> ApiError {
    wrong_method()
}

/// The path is asked with other methods.
pub(super) fn wrong_method() -> ApiError {
    ApiError::new(
        Code::MethodNotAllowed,
        "This path knows other methods: see the Allow header.",
    )
}

/// The empty body that [`IntoResponse`] left has a length of its own.
pub(super) fn replace_error(response: Response, request_id: &str) -> Response {
    let Some(error) = response.extensions().get::<ApiError>() else {
        return response;
    };
    let mut told = error.respond(request_id);
    let own = told.headers().clone();
    for (name, value) in response.headers() {
        if name != CONTENT_LENGTH && !own.contains_key(name) {
            told.headers_mut().append(name, value.clone());
        }
    }
    told
}
