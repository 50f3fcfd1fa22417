//! Rate limits per user for expensive requests.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use moka::sync::Cache;

use crate::user::UserId;

/// Fixed one-minute windows per user, each starting with the user's first request in it. Users share neither a lock
/// nor a limit.
#[derive(Debug)]
pub(super) struct RateLimiter {
    per_minute: u32,
    windows: Cache<UserId, std::sync::Arc<Mutex<Window>>>,
}

#[derive(Debug)]
struct Window {
    began: Instant,
    used: u32,
}

const MINUTE: Duration = Duration::from_secs(60);

/// Users tracked at once; beyond that an evicted user starts a new window.
const MAX_USERS: u64 = 100_000;

impl RateLimiter {
    pub(super) fn per_minute(per_minute: u32) -> Self {
        Self {
            per_minute,
            windows: Cache::builder()
                .max_capacity(MAX_USERS)
                .time_to_idle(MINUTE)
                .build(),
        }
    }

    /// Consumes one of the user's requests.
    ///
    /// # Errors
    /// How long to wait for the next window, when this one is used up.
    pub(super) fn take(&self, user: &UserId, now: Instant) -> Result<(), Duration> {
        let fresh = || {
            std::sync::Arc::new(Mutex::new(Window {
                began: now,
                used: 0,
            }))
        };
        let window = self.windows.get_with_by_ref(user, fresh);
        let mut window = window
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let age = now.saturating_duration_since(window.began);
        if age >= MINUTE {
            *window = Window {
                began: now,
                used: 0,
            };
        }
        if window.used >= self.per_minute {
            return Err(MINUTE.saturating_sub(age));
        }
        window.used += 1;
        Ok(())
    }
}
