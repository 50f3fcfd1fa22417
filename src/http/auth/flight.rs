//! A sign-in under way: the browser is at GitHub's pages.

use std::time::Duration;

use moka::sync::Cache;

use super::{ReturnTo, sha256};
use crate::config::Secret;
use crate::github::SignIn;
use crate::now::Now;

/// So long may it take.
pub(super) const LIFE: Duration = Duration::from_secs(600);

/// Sign-ins remembered as ended; beyond it only GitHub's own check of the code is left.
const MAX_USED: u64 = 10_000;

/// Of this form.
const VERSION: &str = "1";

/// What the browser must bring back.
#[derive(Debug)]
pub(in crate::http) struct Flight {
    /// Seconds since 1970.
    issued: i64,
    state: Secret,
    verifier: Secret,
    return_to: ReturnTo,
}

impl Flight {
    pub(super) fn new(begun: &SignIn, return_to: ReturnTo, now: Now) -> Self {
        Self {
            issued: now.utc.timestamp(),
            state: begun.state.clone(),
            verifier: begun.verifier.clone(),
            return_to,
        }
    }

    /// Where the person wanted to go.
    pub(in crate::http) fn return_to(&self) -> &ReturnTo {
        &self.return_to
    }

    pub(super) fn verifier(&self) -> &Secret {
        &self.verifier
    }

    /// Whether it is the sign-in with this state. Hashes are compared, so that the time it takes tells
    /// nothing about the state.
    pub(super) fn has_state(&self, state: &str) -> bool {
        sha256(self.state.reveal()) == sha256(state)
    }

    /// Whether it took too long.
    pub(super) fn is_late(&self, now: Now) -> bool {
        now.utc.timestamp() - self.issued >= LIFE.as_secs().cast_signed()
    }

    /// State and verifier are base64 for URLs, so they hold no dot.
    pub(super) fn to_text(&self) -> String {
        let (state, verifier) = (self.state.reveal(), self.verifier.reveal());
        let (issued, return_to) = (self.issued, self.return_to.as_str());
        format!("{VERSION}.{issued}.{state}.{verifier}.{return_to}")
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
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

/// States that have come back. A browser drops its cookie then; who has kept a copy of it gets nowhere.
#[derive(Debug)]
pub(super) struct Used(Cache<[u8; 32], ()>);

impl Default for Used {
    fn default() -> Self {
        Self(
            Cache::builder()
                .max_capacity(MAX_USED)
                .time_to_live(LIFE)
                .build(),
        )
    }
}

impl Used {
    pub(super) fn first_use(&self, state: &str) -> bool {
        self.0.entry(sha256(state)).or_insert(()).is_fresh()
    }
}
