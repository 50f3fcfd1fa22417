//! The content of the session cookie.

use std::time::Duration;

use crate::github::Account;
use crate::now::Now;
use crate::user::UserId;

/// Idle timeout, in seconds.
const IDLE_SECONDS: i64 = 7 * 24 * 3600;

/// Maximum lifetime from the sign-in, in seconds.
const MAX_AGE_SECONDS: i64 = 30 * 24 * 3600;

/// An active session is renewed after this time, in seconds, not with every response.
const RENEW_AFTER_SECONDS: i64 = 3600;

/// Format 1, without a generation, which is 0. Every version of the service reads it.
const FORMAT_1: &str = "1";

/// Format 2, with a generation.
const FORMAT_2: &str = "2";

/// A browser's session: the account and the times. It contains no token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Session {
    pub(super) account: Account,
    /// Time of the sign-in, in Unix seconds.
    issued: i64,
    /// Time of the last renewal, in Unix seconds.
    renewed: i64,
    /// The session generation in `owner.json` at the sign-in; a sign-out raises it.
    pub(super) generation: u64,
}

impl Session {
    pub(super) fn new(account: Account, generation: u64, now: Now) -> Self {
        let now = now.utc.timestamp();
        Self {
            account,
            issued: now,
            renewed: now,
            generation,
        }
    }

    pub(super) fn is_valid(&self, now: Now) -> bool {
        let now = now.utc.timestamp();
        now - self.renewed < IDLE_SECONDS && now - self.issued < MAX_AGE_SECONDS
    }

    /// The session with a new idle timeout; `None` if it was renewed recently.
    pub(super) fn renew(&self, now: Now) -> Option<Self> {
        let renewed = now.utc.timestamp();
        (renewed - self.renewed >= RENEW_AFTER_SECONDS).then(|| Self {
            renewed,
            ..self.clone()
        })
    }

    /// The cookie's `Max-Age`: the idle timeout, but not beyond the maximum lifetime.
    pub(super) fn max_age(&self, now: Now) -> Duration {
        let left = MAX_AGE_SECONDS - (now.utc.timestamp() - self.issued);
        Duration::from_secs(left.clamp(0, IDLE_SECONDS).unsigned_abs())
    }

    pub(super) fn to_text(&self) -> String {
        let Account { login, number } = &self.account;
        let (issued, renewed) = (self.issued, self.renewed);
        match self.generation {
            0 => format!("{FORMAT_1}.{number}.{issued}.{renewed}.{login}"),
            it => format!("{FORMAT_2}.{number}.{issued}.{renewed}.{it}.{login}"),
        }
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('.');
        let mut next = || parts.next();
        let version = next()?;
        let (number, issued, renewed) = (next()?, next()?, next()?);
        let generation = match version {
            FORMAT_1 => 0,
            FORMAT_2 => next()?.parse().ok()?,
            _ => return None,
        };
        let login = UserId::parse(next()?).ok()?;
        next().is_none().then_some(Self {
            account: Account {
                login,
                number: number.parse().ok()?,
            },
            issued: issued.parse().ok()?,
            renewed: renewed.parse().ok()?,
            generation,
        })
    }
}
