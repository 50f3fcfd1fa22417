//! `gitPush`: the timer trigger by which Git and the store come together.

use axum::extract::{Request, State};
use axum::response::Response;

use super::trigger::{only_the_host, said};
use super::{ApiError, App};
use crate::codex::GitTrouble;
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
    only_the_host(&app, "gitPush", request).await?;
    Ok(said(match app.codex().tick(now).await {
        Ok(report) => format!(
            "{} users brought up to date, {} drained, {} left in the queue",
            report.fetched, report.drained, report.left
        ),
        Err(GitTrouble::Off) => "GitHub mode is off".to_owned(),
        Err(error) => {
            tracing::warn!(%error, "the queue can't be read");
            format!("nothing done: {error}")
        }
    }))
}
