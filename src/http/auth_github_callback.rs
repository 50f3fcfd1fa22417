//! `authGithubCallback`: GET `/auth/github/callback` (SPEC.md 6).

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::HeaderMap;
use http::header::SET_COOKIE;

use super::answer::redirect;
use super::auth::Denial;
use super::{ApiError, App};
use crate::now::Now;

/// What GitHub's page sends back.
#[derive(Default)]
struct Back {
    code: String,
    state: String,
    error: Option<String>,
}

/// Ends a sign-in: turns in the code, sees who it is, drops the token, and gives the browser a session.
///
/// 302 to where the person wanted to go. 400 `sign_in_expired`: this browser hasn't begun it, has ended it
/// before, or took over ten minutes; `sign_in_failed`: GitHub doesn't take the code. 403 `access_denied`:
/// the person said no; `login_not_allowed`, `login_reassigned`. 409 `oauth_not_configured`. 503
/// `auth_unavailable`, `storage_unavailable`, `newer_format`, `owner_unreadable`. A browser gets a
/// refusal as a page. In any case the sign-in is over.
pub(super) async fn auth_github_callback(
    State(app): State<App>,
    now: Now,
    request: Request,
) -> Response {
    let (parts, _) = request.into_parts();
    let back = Back::of(parts.uri.query());
    let mut response = match land(&app, &parts.headers, &back, now).await {
        Ok(response) => response,
        Err(denial) => {
            let error = ApiError::from(denial).page_for(&parts.headers);
            error.into_response()
        }
    };
    if let Some(cookie) = app.gate().cookies().expire_flight() {
        response.headers_mut().append(SET_COOKIE, cookie);
    }
    response
}

async fn land(app: &App, headers: &HeaderMap, back: &Back, now: Now) -> Result<Response, Denial> {
    let gate = app.gate();
    let flight = gate.resume(headers, &back.state, now)?;
    match back.error.as_deref() {
        Some("access_denied") => return Err(Denial::SaidNo),
        Some(_) => return Err(Denial::CodeRefused),
        None => {}
    }
    let session = gate.land(app.codex(), &flight, &back.code, now).await?;
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
