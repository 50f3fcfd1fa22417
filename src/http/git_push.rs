//! `gitPush`: the timer trigger, which the Functions host calls (FUNCTIONS_HOST.md, "Which form a call
//! takes").

use axum::extract::{Request, State};
use axum::response::Response;
use http::StatusCode;

use super::answer::json;
use super::auth::X_FORWARDED_HOST;
use super::body;
use super::error::no_such_route;
use super::{ApiError, App};
use crate::codex::GitTrouble;
use crate::functions::{TriggerAnswer, triggered};
use crate::now::Now;

/// Shares with Git what isn't shared yet, either way; any instance may, and several at once do no harm.
///
/// 200 with what it came to, also when GitHub mode is off or the store is away: the host would only count
/// a failure. 404 `not_found` for whoever isn't the host: a proxied request, or one that doesn't name the
/// function.
pub(super) async fn git_push(
    State(app): State<App>,
    now: Now,
    request: Request,
) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    let forwarded = parts.headers.contains_key(X_FORWARDED_HOST);
    let bytes = body::read(&parts.headers, body).await?;
    if forwarded || triggered(&bytes).as_deref() != Ok("gitPush") {
        return Err(no_such_route().await);
    }
    let said = match app.codex().tick(now).await {
        Ok(report) => format!(
            "{} users brought up to date, {} drained, {} left in the queue",
            report.fetched, report.drained, report.left
        ),
        Err(GitTrouble::Off) => "GitHub mode is off".to_owned(),
        Err(error) => {
            tracing::warn!(%error, "the queue can't be read");
            format!("nothing done: {error}")
        }
    };
    Ok(json(StatusCode::OK, &TriggerAnswer::saying(said)))
}
