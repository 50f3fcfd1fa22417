//! `janitor`: the timer trigger by which what is expired goes.

use axum::extract::{Request, State};
use axum::response::Response;

use super::trigger::{only_the_host, said};
use super::{ApiError, App};
use crate::now::Now;

/// Tidies up after every user; any instance may, and several at once do no harm.
///
/// 200 with what it came to, before the host's five minutes are over, also when the store is away: the host would only count a
/// failure. 404 `not_found` for whoever isn't the host: a proxied request, or one that doesn't name the
/// function.
pub(super) async fn janitor(
    State(app): State<App>,
    now: Now,
    request: Request,
) -> Result<Response, ApiError> {
    only_the_host(&app, "janitor", request).await?;
    Ok(said(match app.codex().tidy_up(now).await {
        Ok(report) => report.to_string(),
        Err(error) => {
            tracing::warn!(%error, "which users there are can't be found out");
            format!("nothing done: {error}")
        }
    }))
}
