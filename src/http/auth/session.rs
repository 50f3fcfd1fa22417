//! What the session's cookie says.

use std::time::Duration;

use crate::github::Account;
use crate::now::Now;
use crate::user::UserId;

/// A session ends when it wasn't used for so long, in seconds.
const IDLE: i64 = 7 * 24 * 3600;

/// A session ends so long after its sign-in, in seconds.
const LONGEST: i64 = 30 * 24 * 3600;

/// A session in use is sealed anew once an hour, not with every answer.
const RENEW_AFTER: i64 = 3600;

/// Format 1: generation 0, readable by every version of the service.
const FIRST: &str = "1";

/// Format 2 names the generation.
const OF_GENERATION: &str = "2";

/// Who signed in, and when. It holds no token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Session {
    account: Account,
    /// Seconds since 1970, of the sign-in.
    issued: i64,
    /// Seconds since 1970, of the last time it was sealed.
    renewed: i64,
    /// Of `owner.json` when it began.
    generation: u64,
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

    pub(super) fn account(&self) -> &Account {
        &self.account
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    pub(super) fn is_valid(&self, now: Now) -> bool {
        let now = now.utc.timestamp();
        now - self.renewed < IDLE && now - self.issued < LONGEST
    }

    /// The same session from now on, when it is time to say so.
    pub(super) fn renewed(&self, now: Now) -> Option<Self> {
        let renewed = now.utc.timestamp();
        (renewed - self.renewed >= RENEW_AFTER).then(|| Self {
            renewed,
            ..self.clone()
        })
    }

    /// How long a browser keeps it.
    pub(super) fn life(&self, now: Now) -> Duration {
        let left = LONGEST - (now.utc.timestamp() - self.issued);
        Duration::from_secs(left.clamp(0, IDLE).unsigned_abs())
    }

    pub(super) fn to_text(&self) -> String {
        let Account { login, number } = &self.account;
        let (issued, renewed) = (self.issued, self.renewed);
        match self.generation {
            0 => format!("{FIRST}.{number}.{issued}.{renewed}.{login}"),
            it => format!("{OF_GENERATION}.{number}.{issued}.{renewed}.{it}.{login}"),
        }
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('.');
        let mut next = || parts.next();
        let version = next()?;
        let (number, issued, renewed) = (next()?, next()?, next()?);
        let generation = match version {
            FIRST => 0,
            OF_GENERATION => next()?.parse().ok()?,
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
