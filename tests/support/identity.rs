//! The endpoint that App Service runs beside an app and that issues tokens for its identities.
//!
//! Requests and answers follow Microsoft's reference for version 2019-08-01; the storage emulator accepts the tokens.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::Utc;
use codex_miroir::config::{ManagedIdentityConfig, Secret};
use codex_miroir::store::azure::{AzureConnection, AzureStore};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::http::serve_on_thread;
use super::tls::{authority, secure_azurite};

/// The value by which the app authenticates to the endpoint.
pub(crate) const HEADER: &str = "header-of-the-app-that-nobody-may-see";

/// The identity's object id.
pub(crate) const OBJECT_ID: &str = "0b3f7c52-9d1e-4a68-b7c4-5e2a8f90d613";

/// How the endpoint answers.
#[derive(Debug, Clone)]
pub(crate) enum Manner {
    /// With tokens that expire after this time.
    Grants(Duration),
    /// The same, with `expires_on` as a number.
    GrantsInNumbers(Duration),
    /// With tokens that expire after this time but are declared valid for a day: the effect of a clock that is behind,
    /// or of a revoked token.
    Overstates(Duration),
    /// With this status.
    Refuses(u16),
    /// With this status, and this `Retry-After`.
    IsBusy(u16, &'static str),
    /// With 200 and this text.
    Says(&'static str),
    /// Not before another manner is set.
    Waits,
}

/// A running endpoint. It runs until the test process ends.
pub(crate) struct IdentityEndpoint {
    port: u16,
    state: Arc<EndpointState>,
}

struct EndpointState {
    manner: watch::Sender<Manner>,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    /// The client ids of the requests.
    asked: Vec<Option<String>>,
    resources: Vec<String>,
    tokens: Vec<String>,
}

impl IdentityEndpoint {
    /// Issues tokens that are valid for a day, as the platform does.
    pub(crate) fn start() -> Self {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        let (manner, _) = watch::channel(Manner::Grants(Duration::from_secs(24 * 3600)));
        let state = Arc::new(EndpointState {
            manner,
            seen: Mutex::default(),
        });
        let app = Router::new()
            .route("/msi/token", get(answer))
            .with_state(Arc::clone(&state));
        serve_on_thread(listener, app);
        Self { port, state }
    }

    pub(crate) fn set(&self, manner: Manner) {
        self.state.manner.send_replace(manner);
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}/msi/token", self.port)
    }

    /// The settings that the platform provides.
    pub(crate) fn settings(&self) -> [(&'static str, String); 2] {
        let header = HEADER.to_owned();
        [
            ("IDENTITY_ENDPOINT", self.url()),
            ("IDENTITY_HEADER", header),
        ]
    }

    /// The configuration that results from them.
    pub(crate) fn identity(&self, client_id: Option<&str>) -> ManagedIdentityConfig {
        ManagedIdentityConfig {
            endpoint: self.url().parse().unwrap(),
            header: Some(Secret::new(HEADER.to_owned())),
            client_id: client_id.map(str::to_owned),
        }
    }

    /// A store over a container of the emulator by https, with tokens of the app's system-assigned identity.
    pub(crate) fn store(&self, container: &str) -> AzureStore {
        self.store_as(None, container)
    }

    /// The same with tokens of a user-assigned identity.
    pub(crate) fn store_as(&self, client_id: Option<&str>, container: &str) -> AzureStore {
        self.store_at(secure_azurite().port(), client_id, container)
    }

    /// The same through a proxy to the emulator that accepts https.
    pub(crate) fn store_at(
        &self,
        port: u16,
        client_id: Option<&str>,
        container: &str,
    ) -> AzureStore {
        let service = secure_azurite().endpoint(port);
        let identity = self.identity(client_id);
        let connection = AzureConnection::managed_identity(&service, identity).unwrap();
        AzureStore::new(connection, container, &authority().trust()).unwrap()
    }

    /// The client id of each request.
    pub(crate) fn asked(&self) -> Vec<Option<String>> {
        self.state.seen.lock().unwrap().asked.clone()
    }

    /// The resource of each request.
    pub(crate) fn resources(&self) -> Vec<String> {
        self.state.seen.lock().unwrap().resources.clone()
    }

    /// The tokens issued so far.
    pub(crate) fn tokens(&self) -> Vec<String> {
        self.state.seen.lock().unwrap().tokens.clone()
    }
}

#[derive(Deserialize)]
struct Asked {
    #[serde(rename = "api-version")]
    version: String,
    resource: String,
    client_id: Option<String>,
}

async fn answer(
    State(state): State<Arc<EndpointState>>,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
) -> Response {
    let header = headers.get("x-identity-header");
    if header.is_none_or(|value| value != HEADER) || asked.version != "2019-08-01" {
        return refuse(401);
    }
    let mut manner = state.manner.subscribe();
    // A test that sees the request may set another manner, which must apply only to the next one.
    let mut decided = manner.borrow().clone();
    {
        let mut seen = state.seen.lock().unwrap();
        seen.asked.push(asked.client_id);
        seen.resources.push(asked.resource.clone());
    }
    if let Manner::Waits = decided {
        let other = manner.wait_for(|manner| !matches!(manner, Manner::Waits));
        decided = other.await.unwrap().clone();
    }
    match decided {
        Manner::Grants(life) => grant(&state, &asked.resource, life, |end| json!(end.to_string())),
        Manner::GrantsInNumbers(life) => grant(&state, &asked.resource, life, |end| json!(end)),
        Manner::Overstates(life) => grant(&state, &asked.resource, life, |end| {
            json!((end + 24 * 3600).to_string())
        }),
        Manner::Refuses(status) => refuse(status),
        Manner::IsBusy(status, wait) => ([("retry-after", wait)], refuse(status)).into_response(),
        Manner::Says(text) => text.into_response(),
        Manner::Waits => unreachable!("that was waited for"),
    }
}

fn refuse(status: u16) -> Response {
    let text = "No User Assigned or Delegated Managed Identity found for specified ClientId/ResourceId/PrincipalId.";
    let document = json!({
        "statusCode": status,
        "message": text,
        "correlationId": "7a6d1c1e-3c4e-4c7b-8f53-0c1a5d3b9e21",
    });
    let status = StatusCode::from_u16(status).unwrap();
    (status, document.to_string()).into_response()
}

fn grant(
    state: &EndpointState,
    resource: &str,
    life: Duration,
    written: fn(i64) -> Value,
) -> Response {
    let now = Utc::now().timestamp();
    let end = now + i64::try_from(life.as_secs()).unwrap();
    let mut seen = state.seen.lock().unwrap();
    let part = |document: Value| URL_SAFE_NO_PAD.encode(document.to_string());
    let claims = json!({
        "aud": resource,
        "iss": "https://sts.windows.net/6d9e2f7a-1b0c-4d5e-8f3a-2c4b6a8d0e1f/",
        "iat": now - 60,
        "nbf": now - 60,
        "exp": end,
        "oid": OBJECT_ID,
        "uti": seen.tokens.len().to_string(),
    });
    let head = part(json!({"typ": "JWT", "alg": "RS256"}));
    let token = format!("{head}.{}.c2lnbmF0dXJl", part(claims));
    seen.tokens.push(token.clone());
    let document = json!({
        "access_token": token,
        "expires_on": written(end),
        "resource": resource,
        "token_type": "Bearer",
        "client_id": "5e29463d-71da-4fe0-8e69-999b57db23b0",
    });
    let json = [("content-type", "application/json; charset=utf-8")];
    (json, document.to_string()).into_response()
}
