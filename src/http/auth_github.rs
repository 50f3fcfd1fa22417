//! `authGithub`: GET `/auth/github`.

use axum::extract::{Request, State};
use axum::response::Response;
use http::header::SET_COOKIE;

use super::auth::ReturnTo;
use super::openapi::parameters::LocalPath;
use super::openapi::refusals;
use super::response::redirect;
use super::{ApiError, App, Code};
use crate::now::Now;

refusals!(Refusals as page:;
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
    responses((status = 302, description = "To GitHub."), Refusals),
    security(()),
)]
pub(super) async fn auth_github(
    State(app): State<App>,
    now: Now,
    request: Request,
) -> Result<Response, ApiError> {
    let page = |error: ApiError| error.into_page_for(request.headers());
    let return_to = return_to(request.uri().query()).map_err(page)?;
    let begun = app.authenticator().begin_sign_in(return_to, now);
    let (url, cookie) = begun.map_err(|error| page(app.denied(error)))?;
    let mut response = redirect(&url);
    response.headers_mut().append(SET_COOKIE, cookie);
    Ok(response)
}

/// The query's `return_to`, default `/`.
pub(super) fn return_to(query: Option<&str>) -> Result<ReturnTo, ApiError> {
    let mut pairs = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
    let Some((_, path)) = pairs.find(|(name, _)| name == "return_to") else {
        return Ok(ReturnTo::default());
    };
    ReturnTo::parse(&path).ok_or_else(|| {
        let message = "return_to must be a path of this service, as in /codex?format=html.";
        ApiError::new(Code::InvalidQuery, message).field("return_to")
    })
}
