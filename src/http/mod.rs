//! The edge: what a request means, and how an answer looks. [`router`] is the whole route table.

mod error;
mod extract;
mod health;
mod render_codex;
mod request_id;

use std::sync::Arc;

use axum::Router;
use axum::routing::get;

use crate::codex::Codex;
use crate::config::Auth;

pub use error::{ApiError, Code};

/// What every handler may use.
#[derive(Clone)]
pub struct App {
    codex: Codex,
    auth: Arc<Auth>,
}

impl App {
    /// An application over `codex` that lets in whom `auth` says.
    pub fn new(codex: Codex, auth: Auth) -> Self {
        Self {
            codex,
            auth: Arc::new(auth),
        }
    }
}

/// Every route there is.
pub fn router(app: App) -> Router {
    Router::new()
        .route("/", get(health::root))
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .route("/codex", get(render_codex::render_codex))
        .fallback(error::no_such_route)
        .method_not_allowed_fallback(error::no_such_method)
        .layer(axum::middleware::from_fn(request_id::wrap))
        .with_state(app)
}
