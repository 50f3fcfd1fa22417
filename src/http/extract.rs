//! What handlers extract from a request.

use std::convert::Infallible;
use std::mem;

use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::request::Parts;
use http::{Extensions, HeaderMap};

use super::app::App;
use super::auth::{Caller, SessionRenewal, VERSION};
use super::body;
use super::error::{Answer, ApiError};
use super::error_code::Code;
use super::header_names::X_CODEX_VERSION;
use super::negotiate::{self, requires_strong};
use crate::codex::{Consistency, ReadRequest, Version};
use crate::context;
use crate::now::Now;
use crate::task::TaskRef;
use crate::user::UserId;

/// When the request arrived: as set in its extensions by the caller of the service (tests; no client can), else now.
/// The only place where a request's time is read, once per request.
pub(super) fn arrival_or_now(extensions: &Extensions) -> Now {
    let arrival = extensions.get().copied();
    arrival.unwrap_or_else(Now::read)
}

/// When the request arrived, as the request-id layer recorded it; outside of that layer [`arrival_or_now`].
fn arrival(parts: &Parts) -> Now {
    context::arrived().unwrap_or_else(|| arrival_or_now(&parts.extensions))
}

impl<S: Sync> FromRequestParts<S> for Now {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(arrival(parts))
    }
}

/// The authenticated user. The errors are those of `error_responses::CALLER`.
impl FromRequestParts<App> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Answer<Self> {
        let caller = app.authenticator.caller(parts, arrival(parts)).await?;
        context::set_user(&caller.user);
        Ok(caller)
    }
}

/// A request of an authenticated user.
pub(super) struct Asked {
    pub(super) app: App,
    /// Whose files, and how current.
    pub(super) reader: ReadRequest,
    pub(super) head: Parts,
    body: Body,
}

/// An authenticated request that isn't answered yet. A handler that extracts it can't be reached without authentication;
/// the errors are those of [`Caller`].
pub(super) struct Admitted {
    asked: Asked,
    renewal: Option<Box<SessionRenewal>>,
}

impl FromRequest<App> for Admitted {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &App) -> Answer<Self> {
        let (mut head, body) = request.into_parts();
        let Caller { user, renewal, .. } = Caller::from_request_parts(&mut head, app).await?;
        let asked = Asked {
            app: app.clone(),
            reader: read_request(user, &head.headers, arrival(&head)),
            head,
            body,
        };
        Ok(Self { asked, renewal })
    }
}

/// Whose files a request with these headers is about, and how current they must be.
pub(super) fn read_request(user: UserId, headers: &HeaderMap, now: Now) -> ReadRequest {
    ReadRequest {
        seen: client_version(headers, &user),
        user,
        consistency: match requires_strong(headers) {
            true => Consistency::Strict,
            false => Consistency::Bounded,
        },
        now,
    }
}

impl Admitted {
    /// Answers by `answer`. Whatever the answer is, a renewed session's cookie is added to it.
    pub(super) async fn answer(self, answer: impl AsyncFnOnce(Asked) -> Answer) -> Response {
        let mut response = answer(self.asked).await.into_response();
        if let Some(renewal) = self.renewal {
            renewal.add_to(&mut response);
        }
        response
    }
}

impl Asked {
    pub(super) fn headers(&self) -> &HeaderMap {
        &self.head.headers
    }

    pub(super) fn query(&self) -> &str {
        self.head.uri.query().unwrap_or_default()
    }

    /// The task that the path names, else 400 `invalid_id`.
    pub(super) async fn task(&mut self) -> Answer<TaskRef> {
        let path = Path::<String>::from_request_parts(&mut self.head, &()).await;
        let task = path.ok().and_then(|Path(id)| id.parse().ok());
        task.ok_or_else(bad_id)
    }

    /// The JSON body; the errors are those of [`body::read`].
    pub(super) async fn body(&mut self) -> Answer<Bytes> {
        let body = mem::take(&mut self.body);
        body::read(&self.head.headers, body, self.app.config.body).await
    }
}

/// 400 `invalid_id`: the path segment is no possible task id or stem.
pub(super) fn bad_id() -> ApiError {
    ApiError::from(Code::InvalidId).field("id")
}

/// The highest version that the client has seen: the maximum of header and cookie. Another user's cookie and values
/// that aren't numbers are ignored.
fn client_version(headers: &HeaderMap, user: &UserId) -> Option<Version> {
    let by_header = negotiate::text(headers, X_CODEX_VERSION);
    let by_header = by_header.and_then(|version| version.trim().parse().ok());
    let by_cookie = negotiate::cookies(headers, VERSION).filter_map(|cookie| {
        // Some clients quote a cookie's value (RFC 6265, 4.1.1).
        let (owner, version) = cookie.trim_matches('"').split_once(':')?;
        (owner == user.as_str()).then(|| version.parse().ok())?
    });
    by_header.into_iter().chain(by_cookie).max().map(Version)
}
