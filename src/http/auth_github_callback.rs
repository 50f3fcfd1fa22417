//! `authGithubCallback`: GET `/auth/github/callback`.

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::HeaderValue;
use http::header::{REFERRER_POLICY, SET_COOKIE};

use super::App;
use super::answer::redirect;
use super::auth::{Denial, Flight};
use super::openapi::refusals;
use crate::now::Now;

/// What GitHub's page sends back.
#[derive(Default)]
struct Back {
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
    let back = Back::of(parts.uri.query());
    let resumed = app.gate().resume(&parts.headers, &back.state, now);
    let landed = match resumed.flight {
        Ok(flight) => land(&app, &flight, &back, now).await,
        Err(denial) => Err(denial),
    };
    let refused = |denial| app.denied(denial).page_for(&parts.headers).into_response();
    let mut response = landed.unwrap_or_else(refused);
    let headers = response.headers_mut();
    // The address holds a code.
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    let cookie = app.gate().cookies().expire_flight();
    if let Some(cookie) = cookie.filter(|_| resumed.is_over) {
        headers.append(SET_COOKIE, cookie);
    }
    response
}

async fn land(app: &App, flight: &Flight, back: &Back, now: Now) -> Result<Response, Denial> {
    let gate = app.gate();
    match back.error.as_deref() {
        Some("access_denied") => return Err(Denial::SaidNo),
        Some(_) => return Err(Denial::CodeRefused),
        None => {}
    }
    let session = gate.land(app.codex(), flight, &back.code, now).await?;
    let mut response = redirect(flight.return_to().as_str());
    response.headers_mut().append(SET_COOKIE, session);
    Ok(response)
}

impl Back {
    fn of(query: Option<&str>) -> Self {
        let mut back = Self::default();
        for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            match &*name {
                "code" => back.code = value.into_owned(),
                "state" => back.state = value.into_owned(),
                "error" => back.error = Some(value.into_owned()),
                _ => {}
            }
        }
        back
    }
}
