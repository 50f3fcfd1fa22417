//! `gitPush`: the timer trigger that synchronizes the store with Git.

use axum::extract::{Request, State};
use axum::response::Response;

use super::trigger::{require_host, trigger_response};
use super::{ApiError, App};
use crate::now::Now;

/// Pulls from and pushes to Git whatever is pending. Any instance may run it; concurrent runs are harmless.
///
/// 200 with a summary, also when GitHub mode is off or during a storage outage: the host would only count a failure.
/// 404 `not_found` for a request that isn't from the host: a proxied one, or one that doesn't name the function.
pub(super) async fn git_push(
    State(app): State<App>,
    now: Now,
    request: Request,
) -> Result<Response, ApiError> {
    require_host(&app, "gitPush", request).await?;
    let Ok(git) = app.codex().git() else {
        return Ok(trigger_response("GitHub mode is off".to_owned()));
    };
    Ok(trigger_response(match git.tick(now).await {
        Ok(report) => format!(
            "{} users brought up to date, {} drained, {} left in the queue",
            report.fetched, report.drained, report.left
        ),
        Err(error) => {
            tracing::warn!(%error, "the queue can't be read");
            format!("nothing done: {error}")
        }
    }))
}
