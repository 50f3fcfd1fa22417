//! Requests from outside: which function they target, and whether the client may call it.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::response::Response;
use http::StatusCode;

use super::function::{Trigger, of_request};
use super::worker::Standing;
use super::{Shared, hand_on};

/// Serves until the runtime ends.
pub(super) async fn serve(shared: Arc<Shared>, listener: std::net::TcpListener) {
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    let app = Router::new().fallback(handle).with_state(shared);
    let service = app.into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, service).await.unwrap();
}

async fn handle(
    State(host): State<Arc<Shared>>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    request: Request,
) -> Response {
    if request.uri().path() == "/" && !host.homepage_disabled {
        return Response::new("Your Functions 4.0 app is up and running".into());
    }
    if let Some(status) = refusal(&host, &request) {
        return bare(status);
    }
    hand_on(host.form, host.worker.port(), from, request).await
}

/// The host's own answer, without the process.
fn refusal(host: &Shared, request: &Request) -> Option<StatusCode> {
    let function = of_request(&host.functions, request.method(), request.uri().path());
    match function.map(|it| &it.trigger) {
        Some(Trigger::Http {
            anonymous: true, ..
        }) => {}
        Some(_) => return Some(StatusCode::UNAUTHORIZED),
        None => return Some(StatusCode::NOT_FOUND),
    }
    let gone = matches!(host.worker.standing(), Standing::Ended | Standing::Stopped);
    gone.then_some(StatusCode::SERVICE_UNAVAILABLE)
}

fn bare(status: StatusCode) -> Response {
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = status;
    answer
}
