//! A browser's sign-in: `web`, GET `/login`; `authGithub`, GET `/auth/github`; `authGithubCallback`, GET
//! `/auth/github/callback`. `session`: GET `/auth/me` and POST `/auth/logout`.

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::header::{REFERRER_POLICY, SET_COOKIE};
use http::{HeaderName, HeaderValue, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use super::always::Always;
use super::app::App;
use super::auth::ReturnTo;
use super::auth::callback::CallbackQuery;
use super::error::{Answer, ApiError};
use super::error_code::Code;
use super::extract::caller;
use super::openapi::error_responses::refusals;
use super::openapi::parameters::{LocalPath, StorageKind, Way};
use super::query::invalid;
use super::response::{json, no_store, redirect};
use crate::now::Now;

refusals!(LoginRefusals as page:;
    InvalidQuery = return_to(Some("return_to=elsewhere")).err(), OauthNotConfigured = tokens_only());

/// Redirects a browser to the sign-in of this deployment, which returns to `return_to`.
///
/// 302; straight to `return_to` where no sign-in is needed. A browser gets an error as a page.
#[utoipa::path(
    get,
    path = "/login",
    tag = "sign-in",
    params(("return_to" = inline(Option<LocalPath>), Query, description = "The path to return to.")),
    responses((status = 302, description = "To the sign-in."), LoginRefusals),
    security(()),
)]
pub(super) async fn login(State(app): State<App>, request: Request) -> Answer {
    let headers = request.headers();
    let return_path = return_to(request.uri().query()).map_err(|it| it.into_page_for(headers))?;
    let authenticator = &app.authenticator;
    match authenticator.sign_in_url(headers, return_path.as_str()) {
        Some(page) => Ok(redirect(&page)),
        None if authenticator.takes_only_tokens() => Err(tokens_only().into_page_for(headers)),
        None => Ok(redirect(return_path.as_str())),
    }
}

fn tokens_only() -> ApiError {
    let message =
        "Only tokens are taken here: for a sign-in set GITHUB_OAUTH_CLIENT_ID with its secret.";
    ApiError::new(Code::OauthNotConfigured, message)
}

refusals!(BeginRefusals as page:;
    InvalidQuery = return_to(Some("return_to=elsewhere")).err(), OauthNotConfigured);

/// Begins a sign-in by GitHub's pages.
///
/// 302 to GitHub, with a sealed cookie that ends after ten minutes. `return_to` is a path of this service
/// to go on to, default `/`. A browser gets a refusal as a page.
#[utoipa::path(
    get,
    path = "/auth/github",
    tag = "sign-in",
    params(("return_to" = inline(Option<LocalPath>), Query, description = "The path to return to.")),
    responses((status = 302, description = "To GitHub."), BeginRefusals),
    security(()),
)]
pub(super) async fn auth_github(State(app): State<App>, now: Now, request: Request) -> Answer {
    let page = |error: ApiError| error.into_page_for(request.headers());
    let return_to = return_to(request.uri().query()).map_err(page)?;
    let begun = app.authenticator.begin_sign_in(return_to, now);
    let (url, cookie) = begun.map_err(page)?;
    let mut response = redirect(&url);
    response.headers_mut().append(SET_COOKIE, cookie);
    Ok(response)
}

refusals!(CallbackRefusals as page:; SignInExpired, SignInFailed, AccessDenied, LoginNotAllowed, LoginReassigned,
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
    responses((status = 302, description = "To where the person wanted to go."), CallbackRefusals),
    security(()),
)]
pub(super) async fn auth_github_callback(
    State(app): State<App>,
    now: Now,
    request: Request,
) -> Response {
    let headers = request.headers();
    let query = CallbackQuery::parse(request.uri().query());
    let authenticator = &app.authenticator;
    let called_back = authenticator.call_back(headers, &query, now).await;
    let mut response = match called_back.session {
        Ok((return_to, session)) => {
            let mut response = redirect(return_to.as_str());
            response.headers_mut().append(SET_COOKIE, session);
            response
        }
        Err(error) => error.into_page_for(headers).into_response(),
    };
    let headers = response.headers_mut();
    // The URL contains the code: don't leak it by `Referer`.
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    let cookie = authenticator.cookies.expire_sign_in();
    if let Some(cookie) = cookie.filter(|_| called_back.expires_cookie) {
        headers.append(SET_COOKIE, cookie);
    }
    response
}

/// The query's `return_to`, default `/`.
fn return_to(query: Option<&str>) -> Answer<ReturnTo> {
    let mut pairs = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
    let Some((_, path)) = pairs.find(|(name, _)| name == "return_to") else {
        return Ok(ReturnTo::default());
    };
    ReturnTo::parse(&path).ok_or_else(|| {
        let message = "return_to must be a path of this service, as in /codex?format=html.";
        invalid("return_to", message)
    })
}

const CLEAR_SITE_DATA: HeaderName = HeaderName::from_static("clear-site-data");

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Me<'a> {
    #[schema(inline)]
    ok: Always<true>,
    login: &'a str,
    user_id: &'a str,
    #[schema(value_type = Way)]
    auth: &'static str,
    allowed: bool,
    #[schema(value_type = StorageKind)]
    storage: &'static str,
}

#[derive(Serialize, ToSchema)]
struct LoggedOut {
    #[schema(inline)]
    ok: Always<true>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    next: Option<&'static str>,
}

refusals!(MeRefusals: CALLER);

/// The caller: `{ok, login, userId, auth, allowed, storage}`; `auth` is `github`, `easyauth` or `dev`, `storage` is
/// `folder` or `azure`.
///
/// Returns 200.
#[utoipa::path(
    get,
    path = "/auth/me",
    tag = "sign-in",
    responses(
        (status = 200, description = "The caller.", body = Me, example = json!({
            "ok": true, "login": "anna", "userId": "anna", "auth": "github", "allowed": true,
            "storage": "azure",
        })),
        MeRefusals,
    ),
)]
pub(super) async fn me(State(app): State<App>, now: Now, request: Request) -> Answer {
    let caller = caller(&app, request.method(), request.headers(), now).await?;
    let document = Me {
        ok: Always,
        login: caller.login(),
        user_id: caller.user.as_str(),
        auth: app.config.auth.as_str(),
        allowed: true,
        storage: app.config.storage.kind(),
    };
    let mut response = no_store(json(StatusCode::OK, &document));
    if let Some(renewal) = caller.renewal {
        renewal.add_to(&mut response);
    }
    Ok(response)
}

refusals!(LogoutRefusals:; CrossOrigin, HostNotAllowed, StorageUnavailable, NewerFormat, OwnerUnreadable);

/// Signs the user out in every browser: copies of their sessions are no longer valid. This browser deletes its cookies
/// and what it has stored of the service's pages. The session ends on this instance at once, and on every other
/// instance within 20 minutes while the storage is available.
///
/// 200 `{ok}`, also without a session; behind the platform's authentication with `next`, the path that ends its own
/// session. When the storage is unavailable, nothing is ended and the cookies stay, so that the request can be
/// repeated.
#[utoipa::path(
    post,
    path = "/auth/logout",
    tag = "sign-in",
    responses(
        (status = 200, description = "The session is ended, or there was none.", body = LoggedOut, example = json!({"ok": true})),
        LogoutRefusals,
    ),
    security(()),
)]
pub(super) async fn logout(State(app): State<App>, now: Now, request: Request) -> Answer {
    let authenticator = &app.authenticator;
    let (method, headers) = (request.method(), request.headers());
    authenticator.sign_out(method, headers, now).await?;
    let next = authenticator.platform_logout();
    let mut response = no_store(json(StatusCode::OK, &LoggedOut { ok: Always, next }));
    let headers = response.headers_mut();
    let everything = HeaderValue::from_static(r#""cache", "cookies", "storage""#);
    headers.insert(CLEAR_SITE_DATA, everything);
    for cookie in authenticator.cookies.expire_all() {
        headers.append(SET_COOKIE, cookie);
    }
    Ok(response)
}
