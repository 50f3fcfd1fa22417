//! How often a user may ask for what is dear.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use moka::sync::Cache;

use crate::user::UserId;

/// Counts per user in windows of a minute that begin with the user's first request. A user's count
/// is another's neither lock nor limit.
#[derive(Debug)]
pub(super) struct Limiter {
    per_minute: u32,
    windows: Cache<UserId, std::sync::Arc<Mutex<Window>>>,
}

#[derive(Debug)]
struct Window {
    began: Instant,
    used: u32,
}

const MINUTE: Duration = Duration::from_secs(60);

/// Users counted at once; beyond it the least used count begins anew.
const MAX_USERS: u64 = 100_000;

impl Limiter {
    pub(super) fn per_minute(per_minute: u32) -> Self {
        Self {
            per_minute,
            windows: Cache::builder()
                .max_capacity(MAX_USERS)
                .time_to_idle(MINUTE)
                .build(),
        }
    }

    /// Takes one of the user's requests, or says how long to wait for the next.
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
