//! PURE. GitHub's webhook deliveries: verify the signature, then parse the payload. Handling them is up to the caller
//! (`src/git_sync/README.md`, "In").

use chrono::{DateTime, Utc};
use hmac::{Hmac, Mac};
use serde::Deserialize;
use sha2::Sha256;
use utoipa::ToSchema;

use super::repository::parse_commit;
use crate::config::Secret;
use crate::task::{GitSha, decode_hex};

/// The signature is missing, or isn't that of this body with this secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the signature doesn't fit")]
pub struct BadSignature;

/// The body isn't a payload of this event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the payload isn't one of GitHub's")]
pub struct BadPayload;

/// A parsed delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery {
    /// Sent when the webhook is created.
    Ping,
    /// A ref was updated.
    Push(Push),
    /// Any other event.
    Other,
}

/// An update of a ref. Only a hint: the current state must be read from the repository. `before` and `after` order the
/// branch's commits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Push {
    /// `owner/name`.
    pub repository: String,
    /// The full ref, such as `refs/heads/main`.
    pub reference: String,
    /// The commit before; `None` when the ref was created.
    pub before: Option<GitSha>,
    /// The commit after; `None` when the ref was deleted.
    pub after: Option<GitSha>,
    /// A forced push: `after` doesn't have `before` in its history.
    pub forced: bool,
    /// Time of the push in whole seconds; `None` when the payload has none.
    pub at: Option<DateTime<Utc>>,
}

/// The members of a push's payload that are read.
#[derive(Deserialize, ToSchema)]
pub struct PushPayload {
    #[serde(rename = "ref")]
    reference: String,
    before: Option<String>,
    after: Option<String>,
    #[serde(default)]
    forced: bool,
    repository: PushedRepository,
}

#[derive(Deserialize, ToSchema)]
struct PushedRepository {
    full_name: String,
    /// Unix time of the push in seconds. Optional: a push without it is handled all the same.
    #[serde(default)]
    #[schema(value_type = Option<i64>)]
    pushed_at: serde_json::Value,
}

/// Checks `X-Hub-Signature-256` (HMAC-SHA256) against the raw body, with any of `secrets`, in a time that doesn't depend
/// on which of them fits. A blank secret matches nothing.
pub fn verify(
    secrets: &[Secret],
    signature: Option<&str>,
    body: &[u8],
) -> Result<(), BadSignature> {
    let hex = signature.and_then(|it| it.strip_prefix("sha256="));
    let signature = hex.and_then(decode_hex::<32>).ok_or(BadSignature)?;
    let fits = |secret: &Secret| {
        let key = secret.reveal();
        let mac = Hmac::<Sha256>::new_from_slice(key.as_bytes());
        let fits = mac.is_ok_and(|mac| mac.chain_update(body).verify_slice(&signature).is_ok());
        fits & !key.trim().is_empty()
    };
    let any = secrets.iter().fold(false, |any, secret| any | fits(secret));
    any.then_some(()).ok_or(BadSignature)
}

/// Parses a verified delivery. `event` is `X-GitHub-Event`; `body` is JSON or, with the webhook's content type set to
/// form, a form field `payload` with that JSON.
pub fn parse(event: &str, body: &[u8]) -> Result<Delivery, BadPayload> {
    match event {
        "ping" => Ok(Delivery::Ping),
        "push" => {
            let form;
            let json = if body.starts_with(b"payload=") {
                let payload = form_urlencoded::parse(body).find(|(name, _)| name == "payload");
                form = payload.ok_or(BadPayload)?.1.into_owned();
                form.as_bytes()
            } else {
                body
            };
            let push: PushPayload = serde_json::from_slice(json).map_err(|_| BadPayload)?;
            let at = push.repository.pushed_at.as_i64();
            Ok(Delivery::Push(Push {
                repository: push.repository.full_name,
                reference: push.reference,
                before: push.before.as_deref().and_then(parse_commit),
                after: push.after.as_deref().and_then(parse_commit),
                forced: push.forced,
                at: at.and_then(|it| DateTime::from_timestamp(it, 0)),
            }))
        }
        _ => Ok(Delivery::Other),
    }
}
