//! The edge: what a request means, and how an answer looks. [`router`] is the whole route table.

mod answer;
mod body;
mod complete_task;
mod create_task;
mod error;
mod extract;
mod get_task;
mod git_push;
mod github_webhook;
mod health;
mod list_tasks;
mod preview;
mod render_codex;
mod request_id;
mod sync;
mod update_task;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};

use crate::codex::Codex;
use crate::config::{Auth, GitHubConfig, Secret};
use request_id::RequestIds;

pub use error::{ApiError, Code};

/// What every handler may use. Shared, so that handing it to a handler touches one counter.
#[derive(Clone)]
pub struct App(Arc<Shared>);

struct Shared {
    codex: Codex,
    auth: Auth,
    github: GitHubConfig,
    hosted: bool,
}

impl App {
    /// An application over `codex` that lets in whom `auth` says. `hosted` says that a Functions host
    /// calls for what its timers trigger.
    pub fn new(codex: Codex, auth: Auth, github: GitHubConfig, hosted: bool) -> Self {
        Self(Arc::new(Shared {
            codex,
            auth,
            github,
            hosted,
        }))
    }

    fn codex(&self) -> &Codex {
        &self.0.codex
    }

    fn auth(&self) -> &Auth {
        &self.0.auth
    }

    fn github_base_path(&self) -> &str {
        &self.0.github.base_path
    }

    fn webhook_secret(&self) -> Option<&Secret> {
        self.0.github.webhook_secret.as_ref()
    }
}

/// Every route there is.
pub fn router(app: App) -> Router {
    let mut router = Router::new();
    if app.0.hosted {
        // Only the host calls them, and only where there is one.
        router = router.route("/gitPush", post(git_push::git_push));
    }
    router
        .route("/", get(health::root))
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .route("/codex", get(render_codex::render_codex))
        .route(
            "/api/tasks",
            get(list_tasks::list_tasks).post(create_task::create_task),
        )
        .route(
            "/api/tasks/{id}",
            get(get_task::get_task)
                .put(update_task::update_task)
                .patch(update_task::update_task),
        )
        .route(
            "/api/tasks/{id}/complete",
            post(complete_task::complete_task),
        )
        .route("/api/preview", post(preview::preview))
        .route("/sync", get(sync::sync_state).post(sync::sync))
        .route("/github/webhook", post(github_webhook::github_webhook))
        .fallback(error::no_such_route)
        .method_not_allowed_fallback(error::no_such_method)
        .layer(RequestIds)
        .with_state(app)
}
