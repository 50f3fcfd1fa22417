#![doc = include_str!("README.md")]

mod answer;
mod auth;
mod auth_github;
mod auth_github_callback;
mod body;
mod code;
mod complete_task;
mod create_task;
mod error;
mod extract;
mod fixed;
mod get_task;
mod git_push;
mod github_webhook;
mod health;
mod janitor;
mod list_tasks;
mod metrics;
mod openapi;
mod preview;
mod refusal_page;
mod render_codex;
mod request_id;
mod session;
mod spelling;
mod sync;
mod trigger;
mod unreadable;
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
use auth::WithUpkeep;
use request_id::{RequestIds, WithRequestId};
use spelling::Spelling;

pub use auth::Gate;
pub use code::Code;
pub use error::ApiError;
pub use unreadable::{Unreadable, unreadable};

/// What every handler may use. Shared, so that handing it to a handler touches one counter.
#[derive(Clone)]
pub struct App(Arc<Shared>);

struct Shared {
    codex: Codex,
    gate: Gate,
    github: GitHubConfig,
    hosted: bool,
    body_span: Duration,
    metrics: Arc<Metrics>,
    metrics_token: Option<Secret>,
}

impl App {
    /// An application over `codex` that lets in whom `gate` does. Of the settings it heeds those on GitHub,
    /// on the Functions host, on who may read `metrics` and on how long a body may take.
    pub fn new(codex: Codex, gate: Gate, config: &Config, metrics: Arc<Metrics>) -> Self {
        Self(Arc::new(Shared {
            codex,
            gate,
            github: config.github.clone(),
            hosted: config.hosted,
            body_span: config.body,
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

    /// How long a request's body may take to come.
    fn body_span(&self) -> Duration {
        self.0.body_span
    }

    fn webhook_secret(&self) -> Option<&Secret> {
        self.0.github.webhook_secret.as_ref()
    }
}

/// Every route that the API's document tells of. The path stands in each handler's `#[utoipa::path]`, and
/// again here, so that the table can be read.
fn documented() -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(openapi::frame())
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

/// The API's document, as `/openapi.json` gives it.
pub fn openapi() -> OpenApi {
    openapi::complete(documented().into_openapi())
}

/// The whole service. What is around every route is around the router, and not in it: there each layer
/// would cost every request two allocations more.
pub type Routes = WithRequestId<WithUpkeep<Router>>;

/// Every route there is.
pub fn router(app: App) -> Routes {
    let (cors, upkeep) = (app.gate().cors(), app.gate().upkeep());
    let (mut routes, document) = documented().split_for_parts();
    let mut paths: Vec<&str> = document.paths.paths.keys().map(String::as_str).collect();
    if app.0.hosted {
        // Only the host calls them, and only where there is one.
        routes = routes
            .route("/gitPush", post(git_push::git_push))
            .route("/janitor", post(janitor::janitor));
        paths.extend(["/gitPush", "/janitor"]);
    }
    for older in ["/index.html", "/create-task.html", "/login.html"] {
        routes = routes.route(older, get(web::older_page));
        paths.push(older);
    }
    let ids = RequestIds {
        metrics: Arc::clone(&app.0.metrics),
        spelling: Arc::new(Spelling::of(paths)),
    };
    let routes = routes
        .fallback(error::no_such_route)
        .method_not_allowed_fallback(error::no_such_method);
    let routes = match cors {
        Some(cors) => routes.layer(cors),
        None => routes,
    };
    ids.layer(upkeep.layer(routes.with_state(app)))
}
