//! Who it is by the platform's word: `X-MS-CLIENT-PRINCIPAL`, which App Service Authentication sets and
//! takes off whatever comes from outside.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName};
use serde::Deserialize;
use serde_json::Value;

use super::sha256;
use crate::codex::Holder;
use crate::user::UserId;

pub(super) const PRINCIPAL: HeaderName = HeaderName::from_static("x-ms-client-principal");

/// GitHub's login.
const GITHUB_LOGIN: &str = "urn:github:login";

/// What a provider calls somebody for good.
const NAME_IDENTIFIER: &str =
    "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/nameidentifier";

/// The same of Entra ID, equal in all of a tenant's apps.
const OBJECT_IDENTIFIER: &str = "http://schemas.microsoft.com/identity/claims/objectidentifier";

/// Somebody the platform vouches for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Principal {
    pub(super) user: UserId,
    /// What the list of those allowed may call them: GitHub's login, else the provider's lasting id. Names
    /// and addresses are left out, because at some providers people choose them themselves.
    pub(super) name: String,
    pub(super) holder: Holder,
}

#[derive(Deserialize)]
struct Document {
    auth_typ: String,
    claims: Vec<Claim>,
}

/// Whatever a provider puts into others must not keep those from being read that are looked at.
#[derive(Deserialize)]
struct Claim {
    #[serde(default)]
    typ: Value,
    #[serde(default)]
    val: Value,
}

impl Document {
    /// The claim's value, if there is exactly one.
    fn claim(&self, typ: &str) -> Option<&str> {
        let mut found = self.claims.iter().filter(|claim| claim.typ == typ);
        match (found.next(), found.next()) {
            (Some(claim), None) => claim.val.as_str().filter(|val| !val.is_empty()),
            _ => None,
        }
    }
}

/// Who it is; `None` without exactly one header that this provider's sign-in explains.
pub(super) fn principal(headers: &HeaderMap, provider: &str) -> Option<Principal> {
    let mut values = headers.get_all(PRINCIPAL).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return None;
    };
    let bytes = STANDARD.decode(value.as_bytes()).ok()?;
    let document: Document = serde_json::from_slice(&bytes).ok()?;
    if !document.auth_typ.eq_ignore_ascii_case(provider) {
        return None;
    }
    match provider {
        "github" => of_github(&document),
        _ => of_other(&document, provider),
    }
}

fn of_github(document: &Document) -> Option<Principal> {
    let login = document.claim(GITHUB_LOGIN)?;
    let number = document.claim(NAME_IDENTIFIER)?.parse().ok()?;
    Some(Principal {
        user: UserId::parse(login).ok()?,
        name: login.to_owned(),
        holder: Holder::GitHub { number },
    })
}

fn of_other(document: &Document, provider: &str) -> Option<Principal> {
    let subject = document
        .claim(OBJECT_IDENTIFIER)
        .or_else(|| document.claim(NAME_IDENTIFIER))?;
    let user = match UserId::parse(subject) {
        Ok(user) => user,
        Err(_) => hashed(provider, subject)?,
    };
    Some(Principal {
        user,
        name: subject.to_owned(),
        holder: Holder::Other {
            provider: provider.to_owned(),
            subject: subject.to_owned(),
        },
    })
}

/// A name for somebody whose id can't be one: the first half of its SHA-256.
fn hashed(provider: &str, subject: &str) -> Option<UserId> {
    let digest = sha256(&format!("{provider}:{subject}"));
    let hex: String = digest[..16]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    UserId::parse(&hex).ok()
}
