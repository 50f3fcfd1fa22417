//! A sign-in in progress, between the redirect to GitHub and the callback.

use std::time::Duration;

use moka::sync::Cache;

use super::return_to::ReturnTo;
use crate::config::Secret;
use crate::github::AuthorizationRequest;
use crate::http::hash::sha256;
use crate::now::Now;

/// Time limit of a sign-in.
pub(super) const SIGN_IN_TTL: Duration = Duration::from_secs(600);

/// Consumed states to remember. For older ones only GitHub's single use of the code prevents a replay.
const MAX_CONSUMED: u64 = 10_000;

/// Format version of the cookie's text.
const VERSION: &str = "1";

/// The content of the sealed sign-in cookie.
#[derive(Debug)]
pub struct PendingSignIn {
    /// Seconds since 1970.
    issued: i64,
    state: Secret,
    verifier: Secret,
    return_to: ReturnTo,
}

impl PendingSignIn {
    pub(super) fn new(sign_in: &AuthorizationRequest, return_to: ReturnTo, now: Now) -> Self {
        Self {
            issued: now.utc.timestamp(),
            state: sign_in.state.clone(),
            verifier: sign_in.verifier.clone(),
            return_to,
        }
    }

    /// Where to redirect after the sign-in.
    pub(super) fn return_to(&self) -> &ReturnTo {
        &self.return_to
    }

    pub(super) fn verifier(&self) -> &Secret {
        &self.verifier
    }

    /// Whether this is the sign-in with `state`. Compares hashes, so that the timing leaks nothing about the state.
    pub(super) fn has_state(&self, state: &str) -> bool {
        sha256(self.state.reveal()) == sha256(state)
    }

    /// Whether the time limit has passed.
    pub(super) fn is_expired(&self, now: Now) -> bool {
        now.utc.timestamp() - self.issued >= SIGN_IN_TTL.as_secs().cast_signed()
    }

    /// Dot-separated fields. State and verifier are base64url, so they contain no dot.
    pub(super) fn to_text(&self) -> String {
        let (state, verifier) = (self.state.reveal(), self.verifier.reveal());
        let (issued, return_to) = (self.issued, self.return_to.as_str());
        format!("{VERSION}.{issued}.{state}.{verifier}.{return_to}")
    }

    /// The sign-in that `to_text` wrote; `None` for any other text.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(5, '.');
        let mut next = || parts.next();
        if next()? != VERSION {
            return None;
        }
        Some(Self {
            issued: next()?.parse().ok()?,
            state: Secret::new(next()?.to_owned()),
            verifier: Secret::new(next()?.to_owned()),
            return_to: ReturnTo::parse(next()?)?,
        })
    }
}

/// States that a callback has already presented. Prevents the replay of a copied sign-in cookie.
#[derive(Debug)]
pub(super) struct ConsumedStates(Cache<[u8; 32], ()>);

impl Default for ConsumedStates {
    fn default() -> Self {
        Self(
            Cache::builder()
                .max_capacity(MAX_CONSUMED)
                .time_to_live(SIGN_IN_TTL)
                .build(),
        )
    }
}

impl ConsumedStates {
    /// Whether this is the first use of the state; from then on it counts as used.
    pub(super) fn consume(&self, state: &str) -> bool {
        self.0.entry(sha256(state)).or_insert(()).is_fresh()
    }
}
