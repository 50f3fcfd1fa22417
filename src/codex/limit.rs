//! Rate limits per user for expensive requests.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use moka::sync::Cache;

use super::error::{Limited, TaskError};
use crate::cache::ReadRequest;
use crate::user::UserId;

/// Fixed one-minute windows per user, each starting with the user's first request in it. Users share neither a lock
/// nor a limit. Clones share the windows.
#[derive(Debug, Clone)]
pub(super) struct RateLimiter {
    of: Limited,
    per_minute: u32,
    windows: Cache<UserId, Arc<Mutex<Window>>>,
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
    pub(super) fn per_minute(per_minute: u32, of: Limited) -> Self {
        Self {
            of,
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
    /// [`TaskError::TooMany`], when this minute's are used up.
    pub(super) fn allow(&self, request: &ReadRequest) -> Result<(), TaskError> {
        let granted = self.take(&request.user, request.now.mono);
        granted.map_err(|retry_after| TaskError::TooMany {
            retry_after,
            of: self.of,
        })
    }

    /// Consumes one of the user's requests.
    ///
    /// # Errors
    /// How long to wait for the next window, when this one is used up.
    pub(super) fn take(&self, user: &UserId, now: Instant) -> Result<(), Duration> {
        let fresh = || Window {
            began: now,
            used: 0,
        };
        let window = self
            .windows
            .get_with_by_ref(user, || Arc::new(Mutex::new(fresh())));
        let mut window = window.lock().unwrap_or_else(PoisonError::into_inner);
        let age = now.saturating_duration_since(window.began);
        if age >= MINUTE {
            *window = fresh();
        }
        if window.used >= self.per_minute {
            return Err(MINUTE.saturating_sub(age));
        }
        window.used += 1;
        Ok(())
    }
}
