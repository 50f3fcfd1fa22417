//! The state of every handler.

use std::sync::Arc;
use std::time::Duration;

use super::auth::Authenticator;
use crate::codex::Codex;
use crate::config::{Config, GitHubConfig, Secret};
use crate::metrics::Metrics;

/// The state of every handler. One shared allocation: cloning it for a handler increments one reference count.
#[derive(Clone)]
pub struct App(Arc<Shared>);

struct Shared {
    codex: Codex,
    authenticator: Authenticator,
    github: GitHubConfig,
    hosted: bool,
    body_timeout: Duration,
    metrics: Arc<Metrics>,
    metrics_token: Option<Secret>,
}

impl App {
    /// An application over `codex` whose callers `authenticator` admits. Of `config` it uses the settings of GitHub,
    /// the Functions host, the metrics token and the timeout for bodies.
    pub fn new(
        codex: Codex,
        authenticator: Authenticator,
        config: &Config,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self(Arc::new(Shared {
            codex,
            authenticator,
            github: config.github.clone(),
            hosted: config.hosted,
            body_timeout: config.body,
            metrics,
            metrics_token: config.metrics_token.clone(),
        }))
    }

    pub(super) fn codex(&self) -> &Codex {
        &self.0.codex
    }

    pub(super) fn authenticator(&self) -> &Authenticator {
        &self.0.authenticator
    }

    pub(super) fn github_base_path(&self) -> &str {
        &self.0.github.base_path
    }

    /// Whether a Functions host runs it.
    pub(super) fn is_hosted(&self) -> bool {
        self.0.hosted
    }

    /// The time within which a request body must arrive in full.
    pub(super) fn body_timeout(&self) -> Duration {
        self.0.body_timeout
    }

    pub(super) fn metrics(&self) -> &Arc<Metrics> {
        &self.0.metrics
    }

    pub(super) fn metrics_token(&self) -> Option<&Secret> {
        self.0.metrics_token.as_ref()
    }

    pub(super) fn webhook_secret(&self) -> Option<&Secret> {
        self.0.github.webhook_secret.as_ref()
    }
}
