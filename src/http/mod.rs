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
use request_id::RequestIds;

pub use error::{ApiError, Code};

/// What every handler may use. Shared, so that handing it to a handler touches one counter.
#[derive(Clone)]
pub struct App(Arc<Shared>);

struct Shared {
    codex: Codex,
    auth: Auth,
}

impl App {
    /// An application over `codex` that lets in whom `auth` says.
    pub fn new(codex: Codex, auth: Auth) -> Self {
        Self(Arc::new(Shared { codex, auth }))
    }

    fn codex(&self) -> &Codex {
        &self.0.codex
    }

    fn auth(&self) -> &Auth {
        &self.0.auth
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
        .layer(RequestIds)
        .with_state(app)
}
