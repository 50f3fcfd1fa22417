//! Whose a token is, and how a browser's user signs in (`src/http/README.md`, "Signing in").

use oauth2::basic::{BasicClient, BasicErrorResponse, BasicErrorResponseType, BasicTokenResponse};
use oauth2::{
    AuthType, AuthUrl, AuthorizationCode, ClientId, ClientSecret, CsrfToken, EndpointNotSet,
    EndpointSet, HttpRequest, HttpResponse, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl,
    RequestTokenError, TokenResponse, TokenUrl,
};
use reqwest::StatusCode;
use serde::Deserialize;

use super::transport::{Fault, GitHubError, Transport, bounded, segment};
use crate::config::{OAuthApp, Secret};
use crate::metrics::{Calls, Outcome};
use crate::user::UserId;

/// The answers to a sign-in are short.
const MAX_ANSWER: usize = 64 << 10;

const WHO: &str = "who a token belongs to";
const APP: &str = "whose app a token belongs to";
const CODE: &str = "a sign-in's code";

/// Somebody's account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// In GitHub's own spelling.
    pub login: UserId,
    /// Stays when the login changes hands.
    pub number: u64,
}

/// What became of a sign-in's code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exchanged {
    /// A token of who signed in.
    Token(Secret),
    /// GitHub doesn't take the code: it is old, was used, or belongs to another sign-in.
    Refused,
}

/// A sign-in that begins.
#[derive(Debug, Clone)]
pub struct SignIn {
    /// Where the browser goes.
    pub url: String,
    /// Comes back with it.
    pub state: Secret,
    /// Shows at the end that who turns in the code is who began.
    pub verifier: Secret,
}

#[derive(Deserialize)]
struct User {
    login: String,
    id: u64,
}

/// What GitHub says of a token that an app was given.
#[derive(Deserialize)]
struct Grant {
    app: GrantedApp,
}

#[derive(Deserialize)]
struct GrantedApp {
    client_id: String,
}

impl Transport {
    /// Whose the token is; `None` when GitHub doesn't know it, or the account's name can't be a user's
    /// here.
    ///
    /// # Errors
    /// Whenever GitHub says neither.
    pub async fn account(&self, token: &Secret) -> Result<Option<Account>, GitHubError> {
        let octocrab = self.for_account(token)?;
        let user = octocrab.get("/user", None::<&()>);
        let user: User = match self.call(WHO, user).await {
            Err(refused) if refused.is(StatusCode::UNAUTHORIZED) => return Ok(None),
            user => user?,
        };
        let login = UserId::parse(&user.login).ok();
        let number = user.id;
        Ok(login.map(|login| Account { login, number }))
    }

    /// Whether the token was given to this app.
    ///
    /// # Errors
    /// Whenever GitHub says neither; also when it doesn't take the app's own secret.
    pub async fn is_of_app(&self, app: &OAuthApp, token: &Secret) -> Result<bool, GitHubError> {
        let octocrab = self.for_app(app);
        let route = format!("/applications/{}/token", segment(&app.client_id));
        let body = serde_json::json!({"access_token": token.reveal()});
        let grant = octocrab.post(route, Some(&body));
        match self.call::<Grant>(APP, grant).await {
            Err(refused)
                if refused.is(StatusCode::NOT_FOUND)
                    || refused.is(StatusCode::UNPROCESSABLE_ENTITY) =>
            {
                Ok(false)
            }
            grant => Ok(grant?.app.client_id == app.client_id),
        }
    }
}

type Client = BasicClient<EndpointSet, EndpointNotSet, EndpointNotSet, EndpointNotSet, EndpointSet>;

/// Signing in by way of GitHub's pages.
pub struct OAuth {
    client: Client,
}

impl std::fmt::Debug for OAuth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OAuth")
    }
}

impl OAuth {
    /// By `app`, at the GitHub whose pages are at `web_url`; the browser comes back to `callback`.
    ///
    /// # Errors
    /// When one of them isn't a URL, in words.
    pub fn new(app: &OAuthApp, web_url: &str, callback: &str) -> Result<Self, String> {
        let page = |name: &str| format!("{web_url}/login/oauth/{name}");
        let bad = |error: url::ParseError| error.to_string();
        let client = BasicClient::new(ClientId::new(app.client_id.clone()))
            .set_client_secret(ClientSecret::new(app.client_secret.reveal().to_owned()))
            // What GitHub documents.
            .set_auth_type(AuthType::RequestBody)
            .set_auth_uri(AuthUrl::new(page("authorize")).map_err(bad)?)
            .set_token_uri(TokenUrl::new(page("access_token")).map_err(bad)?)
            .set_redirect_uri(RedirectUrl::new(callback.to_owned()).map_err(bad)?);
        Ok(Self { client })
    }

    /// Begins a sign-in. It asks for no scope: who somebody is, is public.
    pub fn begin(&self) -> SignIn {
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let (url, state) = self
            .client
            .authorize_url(CsrfToken::new_random)
            .set_pkce_challenge(challenge)
            .url();
        SignIn {
            url: url.into(),
            state: Secret::new(state.into_secret()),
            verifier: Secret::new(verifier.into_secret()),
        }
    }

    /// Turns in the code that the browser brought back.
    ///
    /// # Errors
    /// Whenever GitHub neither gives a token nor says that the code is no good.
    pub async fn exchange(
        &self,
        transport: &Transport,
        code: &str,
        verifier: &Secret,
    ) -> Result<Exchanged, GitHubError> {
        let carry = |request| {
            counted(
                transport.client().clone(),
                transport.calls().clone(),
                request,
            )
        };
        let answer = self
            .client
            .exchange_code(AuthorizationCode::new(code.to_owned()))
            .set_pkce_verifier(PkceCodeVerifier::new(verifier.reveal().to_owned()))
            .request_async(&carry)
            .await;
        outcome(answer)
    }
}

type ExchangeError = RequestTokenError<GitHubError, BasicErrorResponse>;

fn outcome(answer: Result<BasicTokenResponse, ExchangeError>) -> Result<Exchanged, GitHubError> {
    let unexpected = |reason| GitHubError::Unexpected {
        operation: CODE,
        reason,
    };
    match answer {
        Ok(answer) => {
            let token = answer.access_token().secret().clone();
            Ok(Exchanged::Token(Secret::new(token)))
        }
        Err(RequestTokenError::Request(error)) => Err(error),
        Err(RequestTokenError::ServerResponse(refusal)) => match refusal.error() {
            BasicErrorResponseType::InvalidGrant => Ok(Exchanged::Refused),
            BasicErrorResponseType::Extension(code) if code == "bad_verification_code" => {
                Ok(Exchanged::Refused)
            }
            BasicErrorResponseType::Extension(code) if code == "incorrect_client_credentials" => {
                Err(unexpected("GITHUB_OAUTH_CLIENT_SECRET isn't the app's"))
            }
            BasicErrorResponseType::Extension(code) if code == "redirect_uri_mismatch" => {
                Err(unexpected("the callback isn't the one the app names"))
            }
            _ => Err(unexpected("a refusal for another reason")),
        },
        Err(RequestTokenError::Parse(..) | RequestTokenError::Other(_)) => {
            Err(unexpected("neither a token nor a refusal"))
        }
    }
}

async fn counted(
    client: reqwest::Client,
    calls: Calls,
    request: HttpRequest,
) -> Result<HttpResponse, GitHubError> {
    let running = calls.begin(CODE);
    let answer = carry(client, request).await;
    running.end(Outcome::of(&answer));
    answer
}

/// One request of the OAuth crate. GitHub refuses with 200 and a member `error`, where the standard wants
/// 400.
async fn carry(client: reqwest::Client, request: HttpRequest) -> Result<HttpResponse, GitHubError> {
    let broken = |error: reqwest::Error| Fault::from(error).of(CODE);
    let request = reqwest::Request::try_from(request).map_err(broken)?;
    let answer = client.execute(request).await.map_err(broken)?;
    let mut status = answer.status();
    if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
        let fault = Fault::Away(format!("it answers {}", status.as_u16()));
        return Err(fault.of(CODE));
    }
    let bytes = bounded(answer, MAX_ANSWER).await;
    let bytes = bytes.map_err(|fault| fault.of(CODE))?;
    if status.is_success() && serde_json::from_slice::<BasicErrorResponse>(&bytes).is_ok() {
        status = StatusCode::BAD_REQUEST;
    }
    let mut response = HttpResponse::new(bytes.to_vec());
    *response.status_mut() = status;
    Ok(response)
}
