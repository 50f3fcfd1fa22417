#![doc = include_str!("README.md")]

mod always;
mod app;
pub mod auth;
mod body;
mod calendar;
mod error;
mod error_code;
mod error_page;
mod extract;
mod github_webhook;
mod hash;
mod header_names;
mod health;
pub mod negotiate;
mod openapi;
mod parse_error;
mod query;
mod render_codex;
mod request_id;
mod response;
pub mod route_table;
mod sign_in;
mod static_response;
mod sync;
mod task_reads;
mod task_writes;
mod trigger;
mod web;

use std::fmt;
use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::routing::{get, post};
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use openapi::serve::DocumentSource;
use request_id::{Outermost, RequestIdService};
use route_table::RouteTable;

pub use app::App;
pub use auth::Authenticator;
pub use error::ApiError;
pub use error_code::Code;
pub use parse_error::{ParseErrorResponse, parse_error_response};

/// Called only by the Functions host, so they exist only under one.
const HOST_ROUTES: [&str; 2] = ["/gitPush", "/janitor"];

/// The pages of the earlier service.
const LEGACY_ROUTES: [&str; 3] = ["/index.html", "/create-task.html", "/login.html"];

/// Every route of the OpenAPI document. The comments repeat the path from each handler's `#[utoipa::path]`, so that
/// this is the whole route table.
fn documented() -> OpenApiRouter<App> {
    let document = OpenApiRouter::new()
        .routes(routes!(openapi::serve::openapi_json)) // GET /openapi.json
        .routes(routes!(openapi::serve::docs)); // GET /docs
    OpenApiRouter::with_openapi(openapi::base_document())
        .merge(document.with_state(DocumentSource(openapi)))
        .routes(routes!(health::root)) // GET /
        .routes(routes!(web::web_asset)) // GET /assets/{name}
        .routes(routes!(web::service_worker)) // GET /sw.js
        .routes(routes!(sign_in::login)) // GET /login
        .routes(routes!(health::healthz)) // GET /healthz
        .routes(routes!(health::readyz)) // GET /readyz
        .routes(routes!(health::metrics)) // GET /metrics
        .routes(routes!(render_codex::render_codex)) // GET /codex
        .routes(routes!(task_reads::list_tasks, task_writes::create_task)) // GET, POST /api/tasks
        .routes(routes!(
            task_reads::get_task,
            task_writes::update_task,
            task_writes::delete_task
        )) // GET, PUT, PATCH, DELETE /api/tasks/{id}
        .routes(routes!(task_writes::complete_task)) // POST /api/tasks/{id}/complete
        .routes(routes!(task_writes::preview)) // POST /api/preview
        .routes(routes!(
            calendar::create_calendar,
            calendar::delete_calendar
        )) // POST, DELETE /api/calendar
        .routes(routes!(calendar::calendar)) // GET /calendar/{token}
        .routes(routes!(sync::sync_state, sync::sync)) // GET, POST /sync
        .routes(routes!(github_webhook::github_webhook)) // POST /github/webhook
        .routes(routes!(sign_in::auth_github)) // GET /auth/github
        .routes(routes!(sign_in::auth_github_callback)) // GET /auth/github/callback
        .routes(routes!(sign_in::me)) // GET /auth/me
        .routes(routes!(sign_in::logout)) // POST /auth/logout
}

/// The OpenAPI document that `/openapi.json` serves.
pub fn openapi() -> OpenApi {
    openapi::complete(documented().into_openapi())
}

/// The whole service. What all routes need wraps the router instead of being layered inside it: inside, each layer costs
/// every request two more allocations.
pub type Routes = RequestIdService<Router>;

/// The service with every route, documented or not.
pub fn router(app: App) -> Routes {
    let (mut routes, document) = documented().split_for_parts();
    for legacy in LEGACY_ROUTES {
        routes = routes.route(legacy, get(web::legacy_page));
    }
    let mut paths = document_paths(&document);
    paths.extend(LEGACY_ROUTES);
    if app.config.hosted {
        let [git_push, janitor] = HOST_ROUTES;
        routes = routes
            .route(git_push, post(trigger::git_push))
            .route(janitor, post(trigger::janitor));
        paths.extend(HOST_ROUTES);
    }
    let table = RouteTable::of(paths);
    LOGGABLE
        .get_or_init(|| RouteTable::of(document_paths(&document).into_iter().chain(HOST_ROUTES)));
    let routes = routes
        .fallback(error::no_such_route)
        .method_not_allowed_fallback(error::no_such_method);
    let routes = match &app.authenticator.cors {
        Some(cors) => routes.layer(cors.clone()),
        None => routes,
    };
    let shared = Outermost {
        metrics: Arc::clone(&app.metrics),
        times: app
            .metrics
            .response_times(table.patterns().map(str::to_owned).collect()),
        routes: table,
        show_path,
        traced: crate::spans::are_on(),
        legacy_cookies: app.authenticator.legacy_cookies(),
    };
    RequestIdService {
        shared: Arc::new(shared),
        inner: routes.with_state(app),
    }
}

fn document_paths(document: &OpenApi) -> Vec<&str> {
    document.paths.paths.keys().map(String::as_str).collect()
}

/// The routes that may be logged, from the first router on.
static LOGGABLE: OnceLock<RouteTable> = OnceLock::new();

/// Writes a path for the log, without what must not be logged.
fn show_path(path: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match (crate::web::at(path), LOGGABLE.get()) {
        (Some(_), _) => f.write_str(path),
        (None, Some(routes)) => routes.write_loggable(path, f),
        (None, None) => f.write_str("…"),
    }
}
