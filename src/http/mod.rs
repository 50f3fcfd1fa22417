//! The edge: what a request means, and how an answer looks. [`router`] is the whole route table.

mod answer;
mod auth;
mod auth_github;
mod auth_github_callback;
mod body;
mod complete_task;
mod create_task;
mod error;
mod extract;
mod get_task;
mod git_push;
mod github_webhook;
mod health;
mod janitor;
mod list_tasks;
mod metrics;
mod preview;
mod render_codex;
mod request_id;
mod session;
mod sync;
mod trigger;
mod update_task;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};

use crate::codex::Codex;
use crate::config::{Config, GitHubConfig, Secret};
use crate::metrics::Metrics;
use request_id::RequestIds;

pub use auth::Gate;
pub use error::{ApiError, Code};

/// What every handler may use. Shared, so that handing it to a handler touches one counter.
#[derive(Clone)]
pub struct App(Arc<Shared>);

struct Shared {
    codex: Codex,
    gate: Gate,
    github: GitHubConfig,
    hosted: bool,
    metrics: Arc<Metrics>,
    metrics_token: Option<Secret>,
}

impl App {
    /// An application over `codex` that lets in whom `gate` does. Of the settings it heeds those on GitHub,
    /// on the Functions host and on who may read `metrics`.
    pub fn new(codex: Codex, gate: Gate, config: &Config, metrics: Arc<Metrics>) -> Self {
        Self(Arc::new(Shared {
            codex,
            gate,
            github: config.github.clone(),
            hosted: config.hosted,
            metrics,
            metrics_token: config.metrics_token.clone(),
        }))
    }

    fn codex(&self) -> &Codex {
        &self.0.codex
    }

    fn gate(&self) -> &Gate {
        &self.0.gate
    }

    /// Tells why somebody isn't let in.
    fn denied(&self, denial: auth::Denial) -> ApiError {
        ApiError::denied(denial, self.gate().door())
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
    let (cors, upkeep) = (app.gate().cors(), app.gate().upkeep());
    let ids = RequestIds(Arc::clone(&app.0.metrics));
    let mut routes = Router::new();
    if app.0.hosted {
        // Only the host calls them, and only where there is one.
        routes = routes
            .route("/gitPush", post(git_push::git_push))
            .route("/janitor", post(janitor::janitor));
    }
    let routes = routes
        .route("/", get(health::root))
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .route("/metrics", get(metrics::metrics))
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
        .route("/auth/github", get(auth_github::auth_github))
        .route(
            "/auth/github/callback",
            get(auth_github_callback::auth_github_callback),
        )
        .route("/auth/me", get(session::me))
        .route("/auth/logout", post(session::logout))
        .fallback(error::no_such_route)
        .method_not_allowed_fallback(error::no_such_method);
    let routes = match upkeep {
        Some(upkeep) => routes.layer(upkeep),
        None => routes,
    };
    let routes = match cors {
        Some(cors) => routes.layer(cors),
        None => routes,
    };
    routes.layer(ids).with_state(app)
}
