//! PURE. Deliveries of GitHub's webhook: first verified, then parsed; what they lead to is others'
//! business (`src/codex/git/README.md`, "In").

use chrono::{DateTime, Utc};
use hmac::{Hmac, Mac};
use serde::Deserialize;
use sha2::Sha256;
use utoipa::ToSchema;

use super::repository::commit_of;
use crate::config::Secret;
use crate::task::GitSha;

/// The signature isn't one of these bytes by this secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the signature doesn't fit")]
pub struct BadSignature;

/// The body isn't what GitHub sends with this event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the payload isn't one of GitHub's")]
pub struct BadPayload;

/// What a delivery says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery {
    /// The webhook was set up.
    Ping,
    /// A ref moved.
    Push(Push),
    /// Something else.
    Other,
}

/// A ref that moved. A hint: what there is now, only the repository says. Where it moved from and to only tells
/// in which order the branch was at which commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Push {
    /// `owner/name`.
    pub repository: String,
    /// As in `refs/heads/main`.
    pub reference: String,
    /// The commit before; `None` for a branch that was made.
    pub before: Option<GitSha>,
    /// The commit after; `None` for a branch that was deleted.
    pub after: Option<GitSha>,
    /// The branch was set to something that doesn't follow what it was at.
    pub forced: bool,
    /// When, in whole seconds, if that is said.
    pub at: Option<DateTime<Utc>>,
}

/// What is read of a push's payload.
#[derive(Deserialize, ToSchema)]
pub struct PushPayload {
    #[serde(rename = "ref")]
    reference: String,
    before: Option<String>,
    after: Option<String>,
    #[serde(default)]
    forced: bool,
    repository: Repository,
}

#[derive(Deserialize, ToSchema)]
#[schema(as = PushedRepository)]
struct Repository {
    full_name: String,
    /// When this push came, in seconds since 1970. Without that the push counts all the same.
    #[serde(default)]
    #[schema(value_type = Option<i64>)]
    pushed_at: serde_json::Value,
}

/// Checks `X-Hub-Signature-256` against the raw bytes, in constant time. A blank secret signs nothing.
///
/// # Errors
/// When the header is missing, or isn't the signature of these bytes.
pub fn verify(secret: &Secret, signature: Option<&str>, body: &[u8]) -> Result<(), BadSignature> {
    let hex = signature.and_then(|it| it.strip_prefix("sha256="));
    let signature = hex.and_then(bytes_of_hex).ok_or(BadSignature)?;
    if secret.reveal().trim().is_empty() {
        return Err(BadSignature);
    }
    let mac = Hmac::<Sha256>::new_from_slice(secret.reveal().as_bytes());
    let mac = mac.map_err(|_| BadSignature)?.chain_update(body);
    mac.verify_slice(&signature).map_err(|_| BadSignature)
}

fn bytes_of_hex(hex: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if hex.len() != 64 || !hex.is_ascii() {
        return None;
    }
    for (byte, at) in bytes.iter_mut().zip((0..64).step_by(2)) {
        *byte = u8::from_str_radix(&hex[at..at + 2], 16).ok()?;
    }
    Some(bytes)
}

/// Reads a delivery that was verified. `event` is `X-GitHub-Event`; `body` is JSON, or, where the webhook
/// was set up that way, a form whose `payload` is.
///
/// # Errors
/// When a push doesn't say what moved where.
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
            Ok(Delivery::Push(Push {
                repository: push.repository.full_name,
                reference: push.reference,
                before: push.before.as_deref().and_then(commit_of),
                after: push.after.as_deref().and_then(commit_of),
                forced: push.forced,
                at: push
                    .repository
                    .pushed_at
                    .as_i64()
                    .and_then(|it| DateTime::from_timestamp(it, 0)),
            }))
        }
        _ => Ok(Delivery::Other),
    }
}
