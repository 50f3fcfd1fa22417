//! `web`: the web app's page and files.

use std::sync::LazyLock;

use axum::response::Response;
use http::header::{CONTENT_SECURITY_POLICY, REFERRER_POLICY, VARY};
use http::{HeaderMap, HeaderName, HeaderValue, Uri};

use super::error::{Answer, ApiError};
use super::error_code::Code;
use super::negotiate::accepted_language;
use super::openapi::error_responses::refusals;
use super::openapi::parameters::IfNoneMatchParam;
use super::response::redirect;
use super::static_response::StaticResponse;
use crate::view::Language;
use crate::web::{self, SERVICE_WORKER};

/// Stored, and revalidated before each use: a new version shows at once.
const REVALIDATE: &str = "no-cache";
/// Never revalidated: the path changes with the content.
const IMMUTABLE: &str = "public, max-age=31536000, immutable";

/// The page may load its own script and style, and connect to its own origin. Markup becomes DOM nodes only through the
/// script's single Trusted Types policy, which parses it in an inert document.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; manifest-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types codex";

const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
const PERMISSIONS_POLICY: HeaderName = HeaderName::from_static("permissions-policy");
const NO_DEVICE_FEATURES: &str = "camera=(), geolocation=(), microphone=(), payment=(), usb=()";

static GERMAN: LazyLock<StaticResponse> = LazyLock::new(|| web::page(Language::German).into());
static ENGLISH: LazyLock<StaticResponse> = LazyLock::new(|| web::page(Language::English).into());

/// The page, in the language of `Accept-Language`. The same for all users: its script requests the user's week.
pub(super) fn page(request: &HeaderMap) -> Response {
    let page = match accepted_language(request) {
        Language::German => &GERMAN,
        Language::English => &ENGLISH,
    };
    let mut response = page.answer(request, REVALIDATE);
    let headers = response.headers_mut();
    let mut set = |name, value| headers.insert(name, HeaderValue::from_static(value));
    set(VARY, "Accept, Accept-Encoding, Accept-Language");
    set(CONTENT_SECURITY_POLICY, POLICY);
    set(REFERRER_POLICY, "no-referrer");
    set(OPENER_POLICY, "same-origin");
    set(RESOURCE_POLICY, "same-origin");
    set(PERMISSIONS_POLICY, NO_DEVICE_FEATURES);
    response
}

refusals!(AssetRefusals as page:; NotFound);

/// A file of the web app. Its name changes with its content, so it may be cached forever.
///
/// 200, or 304 when `If-None-Match` matches.
#[utoipa::path(
    get,
    path = "/assets/{name}",
    tag = "app",
    params(("name" = String, Path, description = "The name as the page references it.", example = "app-0123456789abcdef.js"), IfNoneMatchParam),
    responses(
        (status = 200, description = "The file.", content(
            (String = "text/javascript"),
            (String = "text/css"),
            (String = "image/svg+xml"),
            (Vec<u8> = "image/png"),
            (Object = "application/manifest+json", example = json!({"name": "CodexMiroir", "start_url": "/"})),
        )),
        (status = 304, description = "Not modified."),
        AssetRefusals,
    ),
    security(()),
)]
pub(super) async fn web_asset(uri: Uri, headers: HeaderMap) -> Answer {
    match web::at(uri.path()) {
        Some(asset) => Ok(StaticResponse::from(asset).answer(&headers, IMMUTABLE)),
        None => Err(ApiError::from(Code::NotFound).into_page_for(&headers)),
    }
}

/// The web app's service worker, which caches the page for offline use.
///
/// 200, or 304 when `If-None-Match` matches.
#[utoipa::path(
    get,
    path = "/sw.js",
    tag = "app",
    params(IfNoneMatchParam),
    responses(
        (status = 200, description = "The script.", body = String, content_type = "text/javascript", example = "// Service worker…"),
        (status = 304, description = "Not modified."),
    ),
    security(()),
)]
pub(super) async fn service_worker(headers: HeaderMap) -> Response {
    StaticResponse::from(SERVICE_WORKER).answer(&headers, REVALIDATE)
}

/// Redirects the pages of the earlier service to the new ones.
pub(super) async fn legacy_page(uri: Uri) -> Response {
    redirect(match uri.path() {
        "/create-task.html" => "/#/new",
        "/login.html" => "/login",
        _ => "/",
    })
}
