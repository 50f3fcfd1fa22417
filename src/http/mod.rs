//! The edge: what a request means, and how an answer looks. [`router`] is the whole route table.

mod answer;
mod body;
mod complete_task;
mod create_task;
mod error;
mod extract;
mod get_task;
mod health;
mod list_tasks;
mod preview;
mod render_codex;
mod request_id;
mod update_task;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};

use crate::codex::Codex;
use crate::config::Auth;
use request_id::RequestIds;

pub use error::{ApiError, Code};

/// What every handler may use. Shared, so that handing it to a handler touches one counter.
#[derive(Clone)]
pub struct App(Arc<Shared>);

struct Shared {
    codex: Codex,
    auth: Auth,
    github_base_path: String,
}

impl App {
    /// An application over `codex` that lets in whom `auth` says. `github_base_path` is where task
    /// files lie in the repository.
    pub fn new(codex: Codex, auth: Auth, github_base_path: &str) -> Self {
        Self(Arc::new(Shared {
            codex,
            auth,
            github_base_path: github_base_path.to_owned(),
        }))
    }

    fn codex(&self) -> &Codex {
        &self.0.codex
    }

    fn auth(&self) -> &Auth {
        &self.0.auth
    }

    fn github_base_path(&self) -> &str {
        &self.0.github_base_path
    }
}

/// Every route there is.
pub fn router(app: App) -> Router {
    Router::new()
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
        .fallback(error::no_such_route)
        .method_not_allowed_fallback(error::no_such_method)
        .layer(RequestIds)
        .with_state(app)
}
