//! `web`: the web app's page and its files, and the way to the sign-in.

use std::sync::LazyLock;

use axum::extract::{Request, State};
use axum::response::Response;
use http::header::{CONTENT_SECURITY_POLICY, REFERRER_POLICY, VARY};
use http::{HeaderMap, HeaderName, HeaderValue, Uri};

use super::answer::redirect;
use super::auth::Door;
use super::auth_github::return_to;
use super::error::not_found;
use super::extract::accepted_language;
use super::fixed::Fixed;
use super::openapi::refusals;
use super::openapi::requests::{Cached, LocalPath};
use super::{ApiError, App, Code};
use crate::view::Language;
use crate::web::{self, SERVICE_WORKER};

/// Kept, and asked for again each time: a new version shows at once.
const ASK_FIRST: &str = "no-cache";
/// The path changes with the content.
const FOR_EVER: &str = "public, max-age=31536000, immutable";

/// What the page may do: run its own script and style, ask its own service. Markup becomes nodes only by the
/// script's one policy, which parses it where nothing runs.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; manifest-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types codex";

const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
const PERMISSIONS_POLICY: HeaderName = HeaderName::from_static("permissions-policy");
const NOTHING: &str = "camera=(), geolocation=(), microphone=(), payment=(), usb=()";

static GERMAN: LazyLock<Fixed> = LazyLock::new(|| web::page(Language::German).into());
static ENGLISH: LazyLock<Fixed> = LazyLock::new(|| web::page(Language::English).into());

/// The page, in the language that is wished. The same for everybody: whose week it is, its script asks.
pub(super) fn page(request: &HeaderMap) -> Response {
    let page = match accepted_language(request) {
        Language::German => &GERMAN,
        Language::English => &ENGLISH,
    };
    let mut response = page.answer(request, ASK_FIRST);
    let headers = response.headers_mut();
    let mut set = |name, value| headers.insert(name, HeaderValue::from_static(value));
    set(VARY, "Accept, Accept-Encoding, Accept-Language");
    set(CONTENT_SECURITY_POLICY, POLICY);
    set(REFERRER_POLICY, "no-referrer");
    set(OPENER_POLICY, "same-origin");
    set(RESOURCE_POLICY, "same-origin");
    set(PERMISSIONS_POLICY, NOTHING);
    response
}

refusals!(AssetRefusals:; NotFound);

/// A file of the web app. Its name changes with its content, so it may be kept for ever.
///
/// 200, or 304 when `If-None-Match` names it.
#[utoipa::path(
    get,
    path = "/assets/{name}",
    tag = "service",
    params(("name" = String, Path, description = "As the page names it."), Cached),
    responses(
        (status = 200, description = "The file.", content(
            (String = "text/javascript"),
            (String = "text/css"),
            (String = "image/svg+xml"),
            (Object = "application/manifest+json", example = json!({"name": "CodexMiroir", "start_url": "/"})),
        )),
        (status = 304, description = "The client has it already."),
        AssetRefusals,
    ),
    security(()),
)]
pub(super) async fn web_asset(uri: Uri, headers: HeaderMap) -> Result<Response, ApiError> {
    match web::at(uri.path()) {
        Some(asset) => Ok(Fixed::from(asset).answer(&headers, FOR_EVER)),
        None => Err(not_found()),
    }
}

/// The web app's service worker, which keeps the page for when there is no connection.
///
/// 200, or 304 when `If-None-Match` names it.
#[utoipa::path(
    get,
    path = "/sw.js",
    tag = "service",
    params(Cached),
    responses(
        (status = 200, description = "The script.", body = String, content_type = "text/javascript"),
        (status = 304, description = "The client has it already."),
    ),
    security(()),
)]
pub(super) async fn service_worker(headers: HeaderMap) -> Response {
    Fixed::from(SERVICE_WORKER).answer(&headers, ASK_FIRST)
}

refusals!(LoginRefusals as page:;
    InvalidQuery = return_to(Some("return_to=elsewhere")).err(), OauthNotConfigured = tokens_only());

/// Sends a browser to where people sign in here, and from there on to `return_to`.
///
/// 302; without a sign-in straight on. A browser gets a refusal as a page.
#[utoipa::path(
    get,
    path = "/login",
    tag = "sign-in",
    params(("return_to" = inline(Option<LocalPath>), Query, description = "Where to go on.")),
    responses((status = 302, description = "To the sign-in."), LoginRefusals),
    security(()),
)]
pub(super) async fn login(State(app): State<App>, request: Request) -> Result<Response, ApiError> {
    let headers = request.headers();
    let on = return_to(request.uri().query()).map_err(|it| it.page_for(headers))?;
    let gate = app.gate();
    match (gate.sign_in_page(headers, on.as_str()), gate.door()) {
        (Some(page), _) => Ok(redirect(&page)),
        (None, Door::Tokens) => Err(tokens_only().page_for(headers)),
        (None, _) => Ok(redirect(on.as_str())),
    }
}

fn tokens_only() -> ApiError {
    let message =
        "Only tokens are taken here: for a sign-in set GITHUB_OAUTH_CLIENT_ID with its secret.";
    ApiError::new(Code::OauthNotConfigured, message)
}

/// The older service's pages lead to the new ones.
pub(super) async fn older_page(uri: Uri) -> Response {
    redirect(match uri.path() {
        "/create-task.html" => "/#/new",
        "/login.html" => "/login",
        _ => "/",
    })
}
