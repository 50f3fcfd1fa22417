//! Rate limits per user for expensive requests.

use std::sync::Arc;
use std::time::{Duration, Instant};

use moka::sync::Cache;
use parking_lot::Mutex;

use super::error::{Limited, TaskError};
use crate::cache::ReadRequest;
use crate::user::UserId;

/// Fixed one-minute windows per user, each starting with the user's first request in it. Users share neither a lock
/// nor a limit. Clones share the windows.
#[derive(Debug, Clone)]
pub(super) struct RateLimiter {
    of: Limited,
    per_minute: u32,
    windows: Cache<UserId, Arc<Mutex<MinuteWindow>>>,
}

/// The uses of one minute, which begins with the first of them.
#[derive(Debug, Default)]
pub struct MinuteWindow(Option<(Instant, u32)>);

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

    /// Consumes one of the user's requests, or fails with [`TaskError::TooMany`].
    pub(super) fn allow(&self, request: &ReadRequest) -> Result<(), TaskError> {
        let granted = self.take(&request.user, request.now.mono);
        granted.map_err(|retry_after| TaskError::TooMany {
            retry_after,
            of: self.of,
        })
    }

    /// Consumes one of the user's requests. Fails with how long to wait for the next window, when this one is used up.
    pub(super) fn take(&self, user: &UserId, now: Instant) -> Result<(), Duration> {
        let window = self.windows.get_with_by_ref(user, Arc::default);
        let mut window = window.lock();
        window.check(self.per_minute, now)?;
        window.count(now);
        Ok(())
    }
}

impl MinuteWindow {
    /// Whether this minute has fewer than `limit` uses.
    ///
    /// # Errors
    /// How long to wait for the next minute otherwise.
    pub fn check(&self, limit: u32, now: Instant) -> Result<(), Duration> {
        let (began, used) = self.current(now);
        if used >= limit {
            return Err(MINUTE.saturating_sub(now.saturating_duration_since(began)));
        }
        Ok(())
    }

    /// Counts a use.
    pub fn count(&mut self, now: Instant) {
        let (began, used) = self.current(now);
        self.0 = Some((began, used + 1));
    }

    fn current(&self, now: Instant) -> (Instant, u32) {
        let is_over = |began| now.saturating_duration_since(began) >= MINUTE;
        let current = self.0.filter(|(began, _)| !is_over(*began));
        current.unwrap_or((now, 0))
    }
}
