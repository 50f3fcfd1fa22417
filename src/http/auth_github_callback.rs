//! `authGithubCallback`: GET `/auth/github/callback`.

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::HeaderValue;
use http::header::{REFERRER_POLICY, SET_COOKIE};

use super::App;
use super::auth::{AuthError, PendingSignIn};
use super::openapi::refusals;
use super::response::redirect;
use crate::now::Now;

/// The callback's query parameters.
#[derive(Default)]
struct CallbackQuery {
    code: String,
    state: String,
    error: Option<String>,
}

refusals!(Refusals as page:; SignInExpired, SignInFailed, AccessDenied, LoginNotAllowed, LoginReassigned,
    OauthNotConfigured, AuthUnavailable, StorageUnavailable, NewerFormat, OwnerUnreadable);

/// Ends a sign-in: turns in the code, sees who it is, drops the token, and gives the browser a session.
///
/// 302 to where the person wanted to go. 400 `sign_in_expired`: this browser hasn't begun it, has ended it
/// before, or took over ten minutes; `sign_in_failed`: GitHub doesn't take the code. A browser gets a
/// refusal as a page. The sign-in is over then; one with another state, begun in another window, goes on.
#[utoipa::path(
    get,
    path = "/auth/github/callback",
    tag = "sign-in",
    params(
        ("code" = Option<String>, Query, description = "What GitHub gives the browser."),
        ("state" = Option<String>, Query, description = "What the sign-in was begun with."),
        ("error" = Option<String>, Query, description = "What GitHub says instead of `code`."),
    ),
    responses((status = 302, description = "To where the person wanted to go."), Refusals),
    security(()),
)]
pub(super) async fn auth_github_callback(
    State(app): State<App>,
    now: Now,
    request: Request,
) -> Response {
    let (parts, _) = request.into_parts();
    let query = CallbackQuery::parse(parts.uri.query());
    let resumed = app
        .authenticator()
        .resume_sign_in(&parts.headers, &query.state, now);
    let completed = match resumed.sign_in {
        Ok(sign_in) => complete(&app, &sign_in, &query, now).await,
        Err(error) => Err(error),
    };
    let refused = |error| {
        app.denied(error)
            .into_page_for(&parts.headers)
            .into_response()
    };
    let mut response = completed.unwrap_or_else(refused);
    let headers = response.headers_mut();
    // The URL contains the code: don't leak it by `Referer`.
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    let cookie = app.authenticator().cookies().expire_sign_in();
    if let Some(cookie) = cookie.filter(|_| resumed.expires_cookie) {
        headers.append(SET_COOKIE, cookie);
    }
    response
}

async fn complete(
    app: &App,
    sign_in: &PendingSignIn,
    query: &CallbackQuery,
    now: Now,
) -> Result<Response, AuthError> {
    let authenticator = app.authenticator();
    match query.error.as_deref() {
        Some("access_denied") => return Err(AuthError::AccessDenied),
        Some(_) => return Err(AuthError::SignInFailed),
        None => {}
    }
    let session = authenticator.complete_sign_in(app.codex(), sign_in, &query.code, now);
    let session = session.await?;
    let mut response = redirect(sign_in.return_to().as_str());
    response.headers_mut().append(SET_COOKIE, session);
    Ok(response)
}

impl CallbackQuery {
    fn parse(query: Option<&str>) -> Self {
        let mut parsed = Self::default();
        for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            match &*name {
                "code" => parsed.code = value.into_owned(),
                "state" => parsed.state = value.into_owned(),
                "error" => parsed.error = Some(value.into_owned()),
                _ => {}
            }
        }
        parsed
    }
}
