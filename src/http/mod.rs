#![doc = include_str!("README.md")]

mod auth;
mod auth_github;
mod auth_github_callback;
mod body;
mod complete_task;
mod create_task;
mod error;
mod error_code;
mod error_page;
mod extract;
mod get_task;
mod git_push;
mod github_webhook;
mod health;
mod janitor;
mod list_tasks;
mod metrics;
mod openapi;
mod parse_error;
mod path_normalizer;
mod preview;
mod render_codex;
mod request_id;
mod response;
mod session;
mod static_response;
mod sync;
mod trigger;
mod update_task;
mod web;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::{get, post};
use tower::Layer;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::codex::Codex;
use crate::config::{Config, GitHubConfig, Secret};
use crate::metrics::Metrics;
use auth::ExpireLegacyCookie;
use path_normalizer::PathNormalizer;
use request_id::{RequestIdLayer, RequestIdService};

pub use auth::Authenticator;
pub use error::ApiError;
pub use error_code::Code;
pub use parse_error::{ParseErrorResponse, parse_error_response};

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

    fn codex(&self) -> &Codex {
        &self.0.codex
    }

    fn authenticator(&self) -> &Authenticator {
        &self.0.authenticator
    }

    /// The error response for a failed authentication, with advice that fits the sign-in method.
    fn denied(&self, error: auth::AuthError) -> ApiError {
        ApiError::denied(error, self.authenticator().sign_in_method())
    }

    fn github_base_path(&self) -> &str {
        &self.0.github.base_path
    }

    /// The time within which a request body must arrive in full.
    fn body_timeout(&self) -> Duration {
        self.0.body_timeout
    }

    fn webhook_secret(&self) -> Option<&Secret> {
        self.0.github.webhook_secret.as_ref()
    }
}

/// Every route of the OpenAPI document. The comments repeat the path from each handler's `#[utoipa::path]`, so that
/// this is the whole route table.
fn documented() -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(openapi::base_document())
        .routes(routes!(health::root)) // GET /
        .routes(routes!(web::web_asset)) // GET /assets/{name}
        .routes(routes!(web::service_worker)) // GET /sw.js
        .routes(routes!(web::login)) // GET /login
        .routes(routes!(health::healthz)) // GET /healthz
        .routes(routes!(health::readyz)) // GET /readyz
        .routes(routes!(metrics::metrics)) // GET /metrics
        .routes(routes!(openapi::serve::openapi_json)) // GET /openapi.json
        .routes(routes!(openapi::serve::docs)) // GET /docs
        .routes(routes!(render_codex::render_codex)) // GET /codex
        .routes(routes!(list_tasks::list_tasks, create_task::create_task)) // GET, POST /api/tasks
        .routes(routes!(get_task::get_task, update_task::update_task)) // GET, PUT, PATCH /api/tasks/{id}
        .routes(routes!(complete_task::complete_task)) // POST /api/tasks/{id}/complete
        .routes(routes!(preview::preview)) // POST /api/preview
        .routes(routes!(sync::sync_state, sync::sync)) // GET, POST /sync
        .routes(routes!(github_webhook::github_webhook)) // POST /github/webhook
        .routes(routes!(auth_github::auth_github)) // GET /auth/github
        .routes(routes!(auth_github_callback::auth_github_callback)) // GET /auth/github/callback
        .routes(routes!(session::me)) // GET /auth/me
        .routes(routes!(session::logout)) // POST /auth/logout
}

/// The OpenAPI document that `/openapi.json` serves.
pub fn openapi() -> OpenApi {
    openapi::complete(documented().into_openapi())
}

/// The whole service. Middleware for all routes wraps the router instead of being layered inside it: inside, each layer
/// costs every request two more allocations.
pub type Routes = RequestIdService<ExpireLegacyCookie<Router>>;

/// The service with every route, documented or not.
pub fn router(app: App) -> Routes {
    let (cors, legacy_cookie_layer) = (
        app.authenticator().cors(),
        app.authenticator().legacy_cookie_layer(),
    );
    let (mut routes, document) = documented().split_for_parts();
    let mut paths: Vec<&str> = document.paths.paths.keys().map(String::as_str).collect();
    if app.0.hosted {
        // Called only by the Functions host, so they exist only under one.
        routes = routes
            .route("/gitPush", post(git_push::git_push))
            .route("/janitor", post(janitor::janitor));
        paths.extend(["/gitPush", "/janitor"]);
    }
    for legacy in ["/index.html", "/create-task.html", "/login.html"] {
        routes = routes.route(legacy, get(web::legacy_page));
        paths.push(legacy);
    }
    let ids = RequestIdLayer {
        metrics: Arc::clone(&app.0.metrics),
        normalizer: Arc::new(PathNormalizer::of(paths)),
    };
    let routes = routes
        .fallback(error::no_such_route)
        .method_not_allowed_fallback(error::no_such_method);
    let routes = match cors {
        Some(cors) => routes.layer(cors),
        None => routes,
    };
    ids.layer(legacy_cookie_layer.layer(routes.with_state(app)))
}
