//! PURE. A browser's sign-in in progress, and what to do when GitHub sends the browser back
//! (`/auth/github/callback`).

use std::time::Duration;

use crate::config::Secret;
use crate::github::AuthorizationRequest;
use crate::http::error_code::Code;
use crate::http::hash::sha256;
use crate::now::Now;

/// Time limit of a sign-in.
pub(super) const SIGN_IN_TTL: Duration = Duration::from_secs(600);

/// Format version of the cookie's text.
const VERSION: &str = "1";

/// What GitHub gives the browser in the URL. Not `Debug`: the code and the state are secrets.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct CallbackQuery {
    /// The authorization code; empty if there is none.
    pub code: String,
    /// What the sign-in was begun with.
    pub state: String,
    /// Why there is no code.
    pub error: Option<String>,
}

impl CallbackQuery {
    /// Parses the query; other parameters are ignored.
    pub fn parse(query: Option<&str>) -> Self {
        let mut parsed = Self::default();
        for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            match &*name {
                "code" => parsed.code = value.into_owned(),
                "state" => parsed.state = value.into_owned(),
                "error" => parsed.error = Some(value.into_owned()),
                _ => {}
            }
        }
        parsed
    }
}

/// The sign-in in progress that the browser's cookie holds.
#[derive(Debug)]
pub enum SignInCookie {
    /// The browser sent none.
    Missing,
    /// It wasn't sealed here, or isn't what this version seals.
    Unreadable,
    /// The sign-in.
    Opened(PendingSignIn),
}

/// What to do next.
#[derive(Debug)]
pub enum CallbackStep {
    /// Refuse it as [`Code::SignInExpired`].
    Refuse {
        /// Whether to expire the cookie. Not if it belongs to another sign-in, which may be in progress in another window
        /// of the browser.
        expires_cookie: bool,
    },
    /// It is this browser's sign-in. Use its state up, since each can be used once, and expire the cookie.
    UseUp {
        /// What to do then: redeem the code of this sign-in, or refuse it.
        then: Result<PendingSignIn, Code>,
    },
}

/// Decides by the browser's cookie and by what GitHub gave it.
pub fn decide(cookie: SignInCookie, query: &CallbackQuery, now: Now) -> CallbackStep {
    let refuse = |expires_cookie| CallbackStep::Refuse { expires_cookie };
    match cookie {
        SignInCookie::Missing => refuse(false),
        SignInCookie::Unreadable => refuse(true),
        SignInCookie::Opened(pending) if !pending.has_state(&query.state) => refuse(false),
        SignInCookie::Opened(pending) if pending.is_expired(now) => refuse(true),
        SignInCookie::Opened(pending) => CallbackStep::UseUp {
            then: match query.error.as_deref() {
                Some("access_denied") => Err(Code::AccessDenied),
                Some(_) => Err(Code::SignInFailed),
                None if query.code.is_empty() => Err(Code::SignInFailed),
                None => Ok(pending),
            },
        },
    }
}

/// The content of the sealed sign-in cookie.
#[derive(Debug)]
pub struct PendingSignIn {
    /// Seconds since 1970.
    issued: i64,
    state: Secret,
    pub(super) verifier: Secret,
    /// Where to redirect after the sign-in.
    pub(super) return_to: ReturnTo,
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

/// A path of this service with an optional query; nothing that a browser could resolve to another origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReturnTo(String);

impl ReturnTo {
    /// Maximum length in bytes, because it is stored in a cookie.
    pub(in crate::http) const MAX: usize = 1024;

    /// Accepts a path of visible ASCII that begins with exactly one `/`. Rejects `\`, which browsers treat as `/`, and
    /// tabs and line breaks, which they ignore.
    pub(in crate::http) fn parse(text: &str) -> Option<Self> {
        let visible = text.bytes().all(|b| b.is_ascii_graphic() && b != b'\\');
        let local = text.starts_with('/') && !text.starts_with("//");
        (visible && local && text.len() <= Self::MAX).then(|| Self(text.to_owned()))
    }

    pub(in crate::http) fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for ReturnTo {
    fn default() -> Self {
        Self("/".to_owned())
    }
}
