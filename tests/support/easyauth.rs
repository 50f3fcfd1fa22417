//! The headers by which App Service Authentication identifies the signed-in user.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

pub(crate) const NAME_IDENTIFIER: &str =
    "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/nameidentifier";

pub(crate) const OBJECT_IDENTIFIER: &str =
    "http://schemas.microsoft.com/identity/claims/objectidentifier";

pub(crate) fn principal(provider: &str, claims: &[(&str, &str)]) -> String {
    let claims: Vec<Value> = claims
        .iter()
        .map(|(typ, val)| json!({"typ": typ, "val": val}))
        .collect();
    let document = json!({
        "auth_typ": provider, "claims": claims,
        "name_typ": "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/name",
        "role_typ": "http://schemas.microsoft.com/ws/2008/06/identity/claims/role",
    });
    STANDARD.encode(document.to_string())
}

pub(crate) fn github(login: &str, number: &str) -> String {
    principal(
        "github",
        &[(NAME_IDENTIFIER, number), ("urn:github:login", login)],
    )
}
