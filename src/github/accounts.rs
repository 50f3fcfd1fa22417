//! Which account a token belongs to, and the browser's sign-in by OAuth (`src/http/README.md`, "Signing in").

use oauth2::basic::{BasicClient, BasicErrorResponse};
use oauth2::{
    AuthType, AuthUrl, AuthorizationCode, ClientId, ClientSecret, CsrfToken, EndpointNotSet,
    EndpointSet, HttpRequest, HttpResponse, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl,
    RequestTokenError, TokenResponse, TokenUrl,
};
use reqwest::StatusCode;
use serde::Deserialize;

use super::error::{GitHubError, TransportFault};
use super::transport::{Transport, encode_segment, read_bounded};
use crate::config::{OAuthApp, Secret};
use crate::metrics::{CallMetrics, CallOutcome};
use crate::spans;
use crate::user::UserId;

/// Most bytes of a response of the token endpoint.
const MAX_RESPONSE: usize = 64 << 10;

const GET_ACCOUNT: &str = "who a token belongs to";
const CHECK_APP: &str = "whose app a token belongs to";
const EXCHANGE_CODE: &str = "a sign-in's code";

/// A GitHub account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The login in GitHub's spelling.
    pub login: UserId,
    /// GitHub's numeric id. It stays with the account when the login is renamed or reassigned.
    pub number: u64,
}

/// Result of exchanging an authorization code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CodeExchange {
    /// The user's access token.
    Token(Secret),
    /// GitHub rejects the code: it has expired, was used before, or belongs to another sign-in.
    Refused,
}

/// A started OAuth sign-in (authorization code with PKCE, RFC 7636).
#[derive(Debug, Clone)]
pub struct AuthorizationRequest {
    /// The authorization URL to redirect the browser to.
    pub url: String,
    /// CSRF token that the callback must return.
    pub state: Secret,
    /// PKCE verifier: proves that the client that redeems the code is the one that started the sign-in.
    pub verifier: Secret,
}

#[derive(Deserialize)]
struct UserResponse {
    login: String,
    id: u64,
}

/// Response of `POST /applications/{client_id}/token`.
#[derive(Deserialize)]
struct GrantResponse {
    app: GrantAppResponse,
}

#[derive(Deserialize)]
struct GrantAppResponse {
    client_id: String,
}

impl Transport {
    /// The account that the token belongs to; `None` when GitHub rejects the token, or when the login isn't a valid
    /// [`UserId`].
    pub async fn account(&self, token: &Secret) -> Result<Option<Account>, GitHubError> {
        let octocrab = self.for_account(token)?;
        let user = octocrab.get("/user", None::<&()>);
        let user: UserResponse = match self.call(GET_ACCOUNT, user).await {
            Err(error) if error.has_status(StatusCode::UNAUTHORIZED) => return Ok(None),
            user => user?,
        };
        let login = UserId::parse(&user.login).ok();
        let number = user.id;
        Ok(login.map(|login| Account { login, number }))
    }

    /// Whether the token was issued to this app. An error when GitHub doesn't say, as when it rejects the app's secret.
    pub async fn belongs_to_app(
        &self,
        app: &OAuthApp,
        token: &Secret,
    ) -> Result<bool, GitHubError> {
        let octocrab = self.for_app(app);
        let route = format!("/applications/{}/token", encode_segment(&app.client_id));
        let body = serde_json::json!({"access_token": token.reveal()});
        let grant = octocrab.post(route, Some(&body));
        match self.call::<GrantResponse>(CHECK_APP, grant).await {
            Err(error)
                if error.has_status(StatusCode::NOT_FOUND)
                    || error.has_status(StatusCode::UNPROCESSABLE_ENTITY) =>
            {
                Ok(false)
            }
            grant => Ok(grant?.app.client_id == app.client_id),
        }
    }
}

type OAuthClient =
    BasicClient<EndpointSet, EndpointNotSet, EndpointNotSet, EndpointNotSet, EndpointSet>;

/// OAuth client for GitHub's web sign-in.
pub struct OAuth {
    client: OAuthClient,
}

impl OAuth {
    /// A client for `app` at the GitHub whose web pages are at `web_url`, with the redirect URI `callback`.
    pub fn new(app: &OAuthApp, web_url: &str, callback: &str) -> Result<Self, String> {
        let page = |name: &str| format!("{web_url}/login/oauth/{name}");
        let bad = |error: url::ParseError| error.to_string();
        let client = BasicClient::new(ClientId::new(app.client_id.clone()))
            .set_client_secret(ClientSecret::new(app.client_secret.reveal().to_owned()))
            // GitHub documents the client's credentials as body parameters, not as Basic authentication.
            .set_auth_type(AuthType::RequestBody)
            .set_auth_uri(AuthUrl::new(page("authorize")).map_err(bad)?)
            .set_token_uri(TokenUrl::new(page("access_token")).map_err(bad)?)
            .set_redirect_uri(RedirectUrl::new(callback.to_owned()).map_err(bad)?);
        Ok(Self { client })
    }

    /// Starts a sign-in. It requests no scope: login and id are public.
    pub fn begin(&self) -> AuthorizationRequest {
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let (url, state) = self
            .client
            .authorize_url(CsrfToken::new_random)
            .set_pkce_challenge(challenge)
            .url();
        AuthorizationRequest {
            url: url.into(),
            state: Secret::new(state.into_secret()),
            verifier: Secret::new(verifier.into_secret()),
        }
    }

    /// Exchanges the code of the browser's callback for a token.
    pub async fn exchange(
        &self,
        transport: &Transport,
        code: &str,
        verifier: &Secret,
    ) -> Result<CodeExchange, GitHubError> {
        // The future owns the client and the metrics: with borrows of them, rustc can't prove the handler's `Send`.
        let send = |request| {
            let (client, calls) = (transport.client().clone(), transport.calls().clone());
            send_counted(client, calls, request)
        };
        let answer = self
            .client
            .exchange_code(AuthorizationCode::new(code.to_owned()))
            .set_pkce_verifier(PkceCodeVerifier::new(verifier.reveal().to_owned()))
            .request_async(&send)
            .await;
        let reason = match answer {
            Ok(answer) => {
                let token = answer.access_token().secret().clone();
                return Ok(CodeExchange::Token(Secret::new(token)));
            }
            Err(RequestTokenError::Request(error)) => return Err(error),
            Err(RequestTokenError::ServerResponse(refusal)) => match refusal.error().as_ref() {
                "invalid_grant" | "bad_verification_code" => return Ok(CodeExchange::Refused),
                "incorrect_client_credentials" => "GITHUB_OAUTH_CLIENT_SECRET isn't the app's",
                "redirect_uri_mismatch" => "the redirect URI isn't the one configured for the app",
                _ => "an unknown error code",
            },
            Err(RequestTokenError::Parse(..) | RequestTokenError::Other(_)) => {
                "neither a token nor an error"
            }
        };
        Err(GitHubError::unexpected(EXCHANGE_CODE, reason))
    }
}

async fn send_counted(
    client: reqwest::Client,
    calls: CallMetrics,
    request: HttpRequest,
) -> Result<HttpResponse, GitHubError> {
    let running = calls.begin(EXCHANGE_CODE);
    let span = spans::client("github", EXCHANGE_CODE);
    let answer = send(client, request).await;
    if let (Some(span), Err(error)) = (&span, &answer) {
        span.fail(error.class());
    }
    running.end(CallOutcome::of(&answer));
    answer
}

/// Sends one request of the `oauth2` crate. GitHub reports errors as 200 with a member `error`, where RFC 6749,
/// section 5.2, requires 400; the status is set to that.
async fn send(client: reqwest::Client, request: HttpRequest) -> Result<HttpResponse, GitHubError> {
    let failed =
        |error: reqwest::Error| TransportFault::from(error).into_github_error(EXCHANGE_CODE);
    let request = reqwest::Request::try_from(request).map_err(failed)?;
    let response = client.execute(request).await.map_err(failed)?;
    let mut status = response.status();
    if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
        return Err(TransportFault::server_error(status).into_github_error(EXCHANGE_CODE));
    }
    let bytes = read_bounded(response, MAX_RESPONSE).await;
    let bytes = bytes.map_err(|fault| fault.into_github_error(EXCHANGE_CODE))?;
    if status.is_success() && serde_json::from_slice::<BasicErrorResponse>(&bytes).is_ok() {
        status = StatusCode::BAD_REQUEST;
    }
    let mut response = HttpResponse::new(bytes.to_vec());
    *response.status_mut() = status;
    Ok(response)
}
