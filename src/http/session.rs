//! `session`: GET `/auth/me` and POST `/auth/logout`.

use axum::extract::{Request, State};
use axum::response::Response;
use http::header::{CACHE_CONTROL, SET_COOKIE};
use http::{HeaderName, HeaderValue, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use super::answer::{Always, json};
use super::auth::Door;
use super::openapi::refusals;
use super::{ApiError, App};
use crate::now::Now;
use crate::user::UserId;

const CLEAR_SITE_DATA: HeaderName = HeaderName::from_static("clear-site-data");

/// Where the platform ends its own session, which isn't this service's to end.
const PLATFORM_LOGOUT: &str = "/.auth/logout";

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
}

/// By what somebody is known.
#[expect(dead_code, reason = "for the API's document")]
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
enum Way {
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

/// Who asks: `{ok, login, userId, auth, allowed}`; `auth` is `github`, `easyauth` or `dev`.
///
/// Answers 200.
#[utoipa::path(
    get,
    path = "/auth/me",
    tag = "sign-in",
    responses(
        (status = 200, description = "Who asks.", body = Me, example = json!({
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
    let gate = app.gate();
    let person = gate.person(app.codex(), &parts, now).await;
    let person = person.map_err(|denial| app.denied(denial))?;
    let user: &UserId = &person.user;
    let document = Me {
        ok: Always,
        login: &person.login,
        user_id: user.as_str(),
        auth: gate.mode(),
        allowed: true,
    };
    Ok(no_store(json(StatusCode::OK, &document)))
}

refusals!(LogoutRefusals:; CrossOrigin, HostNotAllowed, StorageUnavailable, NewerFormat, OwnerUnreadable);

/// Signs the person out, in every browser: a copy of a session opens nothing any more. This browser's cookies go, and
/// whatever it has kept of the service's pages. The instance that is asked knows it at once, each other one within 20
/// minutes while the storage answers.
///
/// 200 `{ok}`, also without a session; behind the platform's authentication with `next`, where its own
/// session is ended. When the storage can't be asked nothing is ended and no cookie goes, so that it can be tried again.
#[utoipa::path(
    post,
    path = "/auth/logout",
    tag = "sign-in",
    responses(
        (status = 200, description = "Ended, or there was none.", body = LoggedOut, example = json!({"ok": true})),
        LogoutRefusals,
    ),
    security(()),
)]
pub(super) async fn logout(
    State(app): State<App>,
    now: Now,
    request: Request,
) -> Result<Response, ApiError> {
    let (parts, _) = request.into_parts();
    let gate = app.gate();
    let admitted = gate.admit(&parts.method, &parts.headers);
    admitted.map_err(|denial| app.denied(denial))?;
    let ended = gate.sign_out(app.codex(), &parts.headers, now).await;
    ended.map_err(|denial| app.denied(denial))?;
    let by_platform = matches!(gate.door(), Door::Platform(_));
    let next = by_platform.then_some(PLATFORM_LOGOUT);
    let mut response = no_store(json(StatusCode::OK, &LoggedOut { ok: Always, next }));
    let headers = response.headers_mut();
    let everything = HeaderValue::from_static(r#""cache", "cookies", "storage""#);
    headers.insert(CLEAR_SITE_DATA, everything);
    for cookie in gate.cookies().expire_all() {
        headers.append(SET_COOKIE, cookie);
    }
    Ok(response)
}

fn no_store(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
