//! `janitor`: the timer trigger that deletes expired data.

use axum::extract::{Request, State};
use axum::response::Response;

use super::trigger::{require_host, trigger_response};
use super::{ApiError, App};
use crate::now::Now;

/// Cleans up the files of all users. Any instance may run it; concurrent runs are harmless.
///
/// 200 with a summary within the host's limit of five minutes, also during a storage outage: the host would only count
/// a failure. 404 `not_found` for a request that isn't from the host: a proxied one, or one that doesn't name the
/// function.
pub(super) async fn janitor(
    State(app): State<App>,
    now: Now,
    request: Request,
) -> Result<Response, ApiError> {
    require_host(&app, "janitor", request).await?;
    Ok(trigger_response(
        match app.codex().janitor().run(now).await {
            Ok(report) => report.to_string(),
            Err(error) => {
                tracing::warn!(%error, "the users can't be listed");
                format!("nothing done: {error}")
            }
        },
    ))
}
