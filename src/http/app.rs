//! The state of every handler.

use std::ops::Deref;
use std::sync::Arc;

use super::auth::Authenticator;
use crate::codex::Codex;
use crate::config::Config;
use crate::metrics::Metrics;

/// The state of every handler. One shared allocation: cloning it for a handler increments one reference count.
#[derive(Clone)]
pub struct App(Arc<AppParts>);

/// What the handlers share.
pub struct AppParts {
    pub(super) codex: Codex,
    pub(super) authenticator: Authenticator,
    pub(super) config: Config,
    pub(super) metrics: Arc<Metrics>,
}

impl App {
    /// An application over `codex` whose callers `authenticator` admits.
    pub fn new(
        codex: Codex,
        authenticator: Authenticator,
        config: &Config,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self(Arc::new(AppParts {
            codex,
            authenticator,
            config: config.clone(),
            metrics,
        }))
    }
}

impl Deref for App {
    type Target = AppParts;

    fn deref(&self) -> &AppParts {
        &self.0
    }
}
