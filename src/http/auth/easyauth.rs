//! App Service Authentication: reads `X-MS-CLIENT-PRINCIPAL`, which the platform sets. It removes the header from
//! requests that come from outside.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName};
use serde::Deserialize;
use serde_json::Value;

use super::caller::{Caller, account_name};
use super::remembered::Remembered;
use crate::config::Allowlist;
use crate::http::error::Answer;
use crate::http::error_code::Code;
use crate::http::hash::{hex, sha256};
use crate::now::Now;
use crate::owners::{AccountIdentity, LoginClaim, Owners};
use crate::user::UserId;

pub(super) const PRINCIPAL: HeaderName = HeaderName::from_static("x-ms-client-principal");

/// Claim type of the GitHub login.
const GITHUB_LOGIN: &str = "urn:github:login";

/// Claim type of the permanent account id at a provider.
const NAME_IDENTIFIER: &str =
    "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/nameidentifier";

/// Claim type of Entra ID's object id, which is the same in all apps of a tenant.
const OBJECT_IDENTIFIER: &str = "http://schemas.microsoft.com/identity/claims/objectidentifier";

/// Authenticates requests in the mode `easyauth`.
pub(super) struct EasyAuthenticator {
    pub(super) provider: String,
    pub(super) allowed: Allowlist,
    pub(super) owners: Owners,
    pub(super) principals: Remembered<LoginClaim>,
}

impl EasyAuthenticator {
    pub(super) async fn authenticate(&self, headers: &HeaderMap, now: Now) -> Answer<Caller> {
        let claim = self.claim(headers).ok_or(Code::NotSignedIn)?;
        let names = [account_name(&claim), claim.login.as_str()];
        if !names.iter().any(|name| self.allowed.allows(name)) {
            return Err(Code::LoginNotAllowed.into());
        }
        let confirmed = self.owners.confirm(&claim, now).await?;
        Ok(Caller::new(confirmed, claim))
    }

    /// The account in the header, which the platform has authenticated; `None` unless there is exactly one header,
    /// well-formed and of this provider.
    fn claim(&self, headers: &HeaderMap) -> Option<Arc<LoginClaim>> {
        let mut values = headers.get_all(PRINCIPAL).iter();
        let (Some(value), None) = (values.next(), values.next()) else {
            return None;
        };
        let principal = value.as_bytes();
        self.principals
            .get(principal, || parse(principal, &self.provider).map(Arc::new))
    }

    /// The platform's path for signing in by the provider.
    pub(super) fn sign_in_path(&self) -> String {
        format!("/.auth/login/{}", self.provider)
    }
}

#[derive(Deserialize)]
struct ClientPrincipal {
    auth_typ: String,
    claims: Vec<EasyAuthClaim>,
}

/// Values of any JSON type are accepted, so that a claim of an unexpected type doesn't invalidate the others.
#[derive(Deserialize)]
struct EasyAuthClaim {
    #[serde(default)]
    typ: Value,
    #[serde(default)]
    val: Value,
}

impl ClientPrincipal {
    /// The value of the claim with this type; `None` unless there is exactly one, a string that isn't empty.
    fn claim(&self, typ: &str) -> Option<&str> {
        let mut found = self.claims.iter().filter(|claim| claim.typ == typ);
        match (found.next(), found.next()) {
            (Some(claim), None) => claim.val.as_str().filter(|val| !val.is_empty()),
            _ => None,
        }
    }
}

/// The account in a principal of this provider; `None` if it is of another one or malformed.
fn parse(principal: &[u8], provider: &str) -> Option<LoginClaim> {
    let bytes = STANDARD.decode(principal).ok()?;
    let client: ClientPrincipal = serde_json::from_slice(&bytes).ok()?;
    if !client.auth_typ.eq_ignore_ascii_case(provider) {
        return None;
    }
    let (login, identity) = match provider {
        "github" => github_account(&client)?,
        _ => other_account(&client, provider)?,
    };
    Some(LoginClaim {
        login,
        identity,
        session: None,
    })
}

fn github_account(client: &ClientPrincipal) -> Option<(UserId, AccountIdentity)> {
    let login = UserId::parse(client.claim(GITHUB_LOGIN)?).ok()?;
    let number = client.claim(NAME_IDENTIFIER)?.parse().ok()?;
    Some((login, AccountIdentity::GitHub { number }))
}

/// By the provider's permanent id, never by a display name or a mail address, because at some providers users choose
/// these freely. An id that can't be a user's is hashed.
fn other_account(client: &ClientPrincipal, provider: &str) -> Option<(UserId, AccountIdentity)> {
    let subject = client
        .claim(OBJECT_IDENTIFIER)
        .or_else(|| client.claim(NAME_IDENTIFIER))?;
    let hashed = || hex(&sha256(format!("{provider}:{subject}"))[..16]);
    let login = UserId::parse(subject).or_else(|_| UserId::parse(&hashed()));
    let identity = AccountIdentity::Other {
        provider: provider.to_owned(),
        subject: subject.to_owned(),
    };
    Some((login.ok()?, identity))
}
