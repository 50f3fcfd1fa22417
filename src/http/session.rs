//! `session`: GET `/auth/me` and POST `/auth/logout`.

use axum::extract::{Request, State};
use axum::response::Response;
use http::header::{CACHE_CONTROL, SET_COOKIE};
use http::{HeaderName, HeaderValue, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use super::always::Always;
use super::app::App;
use super::auth::SignInMethod;
use super::error::ApiError;
use super::openapi::error_responses::refusals;
use super::response::json;
use crate::now::Now;

const CLEAR_SITE_DATA: HeaderName = HeaderName::from_static("clear-site-data");

/// Where the platform ends its own session, which this service can't end.
const PLATFORM_LOGOUT: &str = "/.auth/logout";

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Me<'a> {
    #[schema(inline)]
    ok: Always<true>,
    login: &'a str,
    user_id: &'a str,
    #[schema(value_type = AuthModeName)]
    auth: &'static str,
    allowed: bool,
}

/// How the caller is authenticated.
#[expect(dead_code, reason = "only for the OpenAPI document")]
#[derive(ToSchema)]
#[schema(as = Way, rename_all = "lowercase")]
enum AuthModeName {
    GitHub,
    EasyAuth,
    Dev,
}

#[derive(Serialize, ToSchema)]
struct LoggedOut {
    #[schema(inline)]
    ok: Always<true>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    next: Option<&'static str>,
}

refusals!(Refusals: CALLER);

/// The caller: `{ok, login, userId, auth, allowed}`; `auth` is `github`, `easyauth` or `dev`.
///
/// Returns 200.
#[utoipa::path(
    get,
    path = "/auth/me",
    tag = "sign-in",
    responses(
        (status = 200, description = "The caller.", body = Me, example = json!({
            "ok": true, "login": "anna", "userId": "anna", "auth": "github", "allowed": true,
        })),
        Refusals,
    ),
)]
pub(super) async fn me(
    State(app): State<App>,
    now: Now,
    request: Request,
) -> Result<Response, ApiError> {
    let (parts, _) = request.into_parts();
    let authenticator = app.authenticator();
    let caller = authenticator.caller(app.codex(), &parts, now).await?;
    let document = Me {
        ok: Always,
        login: caller.login(),
        user_id: caller.user.as_str(),
        auth: authenticator.mode(),
        allowed: true,
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
pub(super) async fn logout(
    State(app): State<App>,
    now: Now,
    request: Request,
) -> Result<Response, ApiError> {
    let authenticator = app.authenticator();
    let (codex, method, headers) = (app.codex(), request.method(), request.headers());
    authenticator.sign_out(codex, method, headers, now).await?;
    let by_platform = matches!(authenticator.sign_in_method(), SignInMethod::EasyAuth(_));
    let next = by_platform.then_some(PLATFORM_LOGOUT);
    let mut response = no_store(json(StatusCode::OK, &LoggedOut { ok: Always, next }));
    let headers = response.headers_mut();
    let everything = HeaderValue::from_static(r#""cache", "cookies", "storage""#);
    headers.insert(CLEAR_SITE_DATA, everything);
    for cookie in authenticator.cookies().expire_all() {
        headers.append(SET_COOKIE, cookie);
    }
    Ok(response)
}

fn no_store(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
