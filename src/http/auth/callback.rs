//! PURE. What to do when GitHub sends a browser back (`/auth/github/callback`).

use super::pending_sign_in::PendingSignIn;
use crate::http::error_code::Code;
use crate::now::Now;

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
