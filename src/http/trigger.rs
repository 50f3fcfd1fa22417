//! `gitPush` and `janitor`: timer triggers, which only the Functions host may call (`src/functions/README.md`, "Who may
//! call a trigger").

use axum::extract::{Request, State};
use axum::response::Response;
use http::StatusCode;

use super::app::App;
use super::auth::X_FORWARDED_HOST;
use super::body;
use super::error::Answer;
use super::error_code::Code;
use super::response::json;
use crate::functions::{self, triggered_function};
use crate::now::Now;

/// Pulls from and pushes to Git whatever is pending. Any instance may run it; concurrent runs are harmless.
///
/// 200 with a summary, also when GitHub mode is off or during a storage outage. 404 as of [`require_host`].
pub(super) async fn git_push(State(app): State<App>, now: Now, request: Request) -> Answer {
    require_host(&app, "gitPush", request).await?;
    let Ok(git) = app.codex.git() else {
        return Ok(trigger_response("GitHub mode is off".to_owned()));
    };
    let line = match git.tick(now).await {
        Ok(report) => format!(
            "{} users brought up to date, {} drained, {} left in the queue",
            report.fetched, report.drained, report.left
        ),
        Err(error) => {
            tracing::warn!(%error, "the queue can't be read");
            format!("nothing done: {error}")
        }
    };
    Ok(trigger_response(line))
}

/// Cleans up the files of all users. Any instance may run it; concurrent runs are harmless.
///
/// 200 with a summary within the host's limit of five minutes, also during a storage outage. 404 as of [`require_host`].
pub(super) async fn janitor(State(app): State<App>, now: Now, request: Request) -> Answer {
    require_host(&app, "janitor", request).await?;
    let line = match app.codex.janitor().run(now).await {
        Ok(report) => report.to_string(),
        Err(error) => {
            tracing::warn!(%error, "the users can't be listed");
            format!("nothing done: {error}")
        }
    };
    Ok(trigger_response(line))
}

/// Checks that the request is the host's call of `function`.
///
/// Else 404 `not_found`: for a proxied request, whose body isn't read, and for one that doesn't name the function,
/// whatever else it contains.
async fn require_host(app: &App, function: &str, request: Request) -> Answer<()> {
    let (parts, body) = request.into_parts();
    let is_proxied = parts.headers.contains_key(X_FORWARDED_HOST);
    if !is_proxied
        && let Ok(bytes) = body::read(&parts.headers, body, app.config.body).await
        && triggered_function(&bytes).as_deref() == Some(function)
    {
        return Ok(());
    }
    Err(Code::NotFound.into())
}

/// 200 with one line for the host's invocation log; the host would only count a failure.
fn trigger_response(line: String) -> Response {
    json(StatusCode::OK, &functions::trigger_response(&line))
}
