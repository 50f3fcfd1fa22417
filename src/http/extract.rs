//! What handlers extract from a request.

use std::convert::Infallible;
use std::mem;

use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::{CACHE_CONTROL, COOKIE};
use http::request::Parts;
use http::{Extensions, HeaderMap, HeaderValue, Method};

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
pub(super) fn arrival(extensions: &Extensions) -> Now {
    context::arrived().unwrap_or_else(|| arrival_or_now(extensions))
}

impl<S: Sync> FromRequestParts<S> for Now {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(arrival(&parts.extensions))
    }
}

/// The authenticated user. The errors are those of `error_responses::CALLER`.
pub(super) async fn caller(
    app: &App,
    method: &Method,
    headers: &HeaderMap,
    now: Now,
) -> Answer<Caller> {
    let caller = app.authenticator.caller(method, headers, now).await?;
    context::set_user(&caller.user);
    Ok(caller)
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
/// the errors are those of [`caller`].
pub(super) struct Admitted {
    asked: Asked,
    renewal: Option<Box<SessionRenewal>>,
}

impl FromRequest<App> for Admitted {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &App) -> Answer<Self> {
        let (head, body) = request.into_parts();
        let now = arrival(&head.extensions);
        let caller = caller(app, &head.method, &head.headers, now).await?;
        let Caller { user, renewal, .. } = caller;
        let asked = Asked {
            app: app.clone(),
            reader: read_request(user, &head.headers, now),
            head,
            body,
        };
        Ok(Self { asked, renewal })
    }
}

/// Whose files a request with these headers is about, and how current they must be.
pub(super) fn read_request(user: UserId, headers: &HeaderMap, now: Now) -> ReadRequest {
    let (mut seen, mut consistency) = (None, Consistency::Bounded);
    // One pass: a request has few headers, and each look-up of one hashes its name.
    for (name, value) in headers {
        if *name == X_CODEX_VERSION {
            let version = negotiate::ascii(value).and_then(|it| it.trim().parse().ok());
            seen = seen.max(version.map(Version));
        } else if *name == COOKIE {
            seen = seen.max(seen_by_cookie(value, &user));
        } else if *name == CACHE_CONTROL && requires_strong(value) {
            consistency = Consistency::Strict;
        }
    }
    ReadRequest {
        seen,
        user,
        consistency,
        now,
    }
}

/// The highest version in the cookies of this line. Another user's cookie and values that aren't numbers are ignored.
fn seen_by_cookie(cookies: &HeaderValue, user: &UserId) -> Option<Version> {
    let versions = negotiate::cookies_in(cookies, VERSION).filter_map(|cookie| {
        // Some clients quote a cookie's value (RFC 6265, 4.1.1).
        let cookie = str::from_utf8(cookie).ok()?.trim_matches('"');
        let (owner, version) = cookie.split_once(':')?;
        (owner == user.as_str()).then(|| version.parse().ok())?
    });
    versions.max().map(Version)
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
