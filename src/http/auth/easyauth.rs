//! App Service Authentication: reads `X-MS-CLIENT-PRINCIPAL`, which the platform sets. It removes the header from
//! requests that come from outside.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName};
use serde::Deserialize;
use serde_json::Value;

use super::sha256;
use crate::owners::AccountIdentity;
use crate::user::UserId;

pub(super) const PRINCIPAL: HeaderName = HeaderName::from_static("x-ms-client-principal");

/// Claim type of the GitHub login.
const GITHUB_LOGIN: &str = "urn:github:login";

/// Claim type of the permanent account id at a provider.
const NAME_IDENTIFIER: &str =
    "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/nameidentifier";

/// Claim type of Entra ID's object id, which is the same in all apps of a tenant.
const OBJECT_IDENTIFIER: &str = "http://schemas.microsoft.com/identity/claims/objectidentifier";

/// A user whom the platform has authenticated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Principal {
    pub(super) user: UserId,
    /// The name for the allowlist: the GitHub login, or another provider's permanent id. Never a display name or a mail
    /// address, because at some providers users choose these freely.
    pub(super) name: String,
    pub(super) identity: AccountIdentity,
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

/// The principal in the header; `None` unless there is exactly one header, well-formed and of this provider.
pub(super) fn principal(headers: &HeaderMap, provider: &str) -> Option<Principal> {
    let mut values = headers.get_all(PRINCIPAL).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return None;
    };
    let bytes = STANDARD.decode(value.as_bytes()).ok()?;
    let client: ClientPrincipal = serde_json::from_slice(&bytes).ok()?;
    if !client.auth_typ.eq_ignore_ascii_case(provider) {
        return None;
    }
    match provider {
        "github" => github_principal(&client),
        _ => other_principal(&client, provider),
    }
}

fn github_principal(client: &ClientPrincipal) -> Option<Principal> {
    let login = client.claim(GITHUB_LOGIN)?;
    let number = client.claim(NAME_IDENTIFIER)?.parse().ok()?;
    Some(Principal {
        user: UserId::parse(login).ok()?,
        name: login.to_owned(),
        identity: AccountIdentity::GitHub { number },
    })
}

fn other_principal(client: &ClientPrincipal, provider: &str) -> Option<Principal> {
    let subject = client
        .claim(OBJECT_IDENTIFIER)
        .or_else(|| client.claim(NAME_IDENTIFIER))?;
    let user = match UserId::parse(subject) {
        Ok(user) => user,
        Err(_) => hashed_user_id(provider, subject)?,
    };
    Some(Principal {
        user,
        name: subject.to_owned(),
        identity: AccountIdentity::Other {
            provider: provider.to_owned(),
            subject: subject.to_owned(),
        },
    })
}

/// A user id for a subject that can't be one itself: the first half of its SHA-256 in hexadecimal.
fn hashed_user_id(provider: &str, subject: &str) -> Option<UserId> {
    let digest = sha256(&format!("{provider}:{subject}"));
    let hex: String = digest[..16]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    UserId::parse(&hex).ok()
}
