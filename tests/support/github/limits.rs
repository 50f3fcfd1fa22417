//! Rate limits, per caller.

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::exchange::{Reply, refuse};
use super::world::Caller;

/// GitHub's primary rate limit.
pub(super) struct Limits {
    /// The number of requests in a window, for a caller with a token.
    pub(super) requests: u64,
    /// The length of a window.
    pub(super) window: Duration,
    buckets: HashMap<String, Bucket>,
}

struct Bucket {
    used: u64,
    reset: DateTime<Utc>,
}

/// A caller's count at one moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Count {
    limit: u64,
    used: u64,
    reset: i64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            requests: 5_000,
            window: Duration::from_secs(3_600),
            buckets: HashMap::new(),
        }
    }
}

impl Count {
    pub(super) fn headers(self) -> [(&'static str, String); 5] {
        [
            ("x-ratelimit-limit", self.limit.to_string()),
            ("x-ratelimit-remaining", self.remaining().to_string()),
            ("x-ratelimit-used", self.used.to_string()),
            ("x-ratelimit-reset", self.reset.to_string()),
            ("x-ratelimit-resource", "core".to_owned()),
        ]
    }

    fn remaining(self) -> u64 {
        self.limit.saturating_sub(self.used)
    }
}

/// The bucket in which a caller's requests are counted.
fn bucket_name(caller: &Caller) -> String {
    match caller {
        Caller::User { id, .. } => format!("user {id}"),
        Caller::Installation { id } => format!("installation {id}"),
        Caller::Basic(name, _) => format!("app {name}"),
        Caller::Claim(_) => "app".to_owned(),
        Caller::Nobody => "address".to_owned(),
    }
}

impl Limits {
    fn bucket(&mut self, caller: &Caller, now: DateTime<Utc>) -> &mut Bucket {
        let reset = now + self.window;
        let fresh = Bucket { used: 0, reset };
        let bucket = self.buckets.entry(bucket_name(caller));
        let bucket = bucket.or_insert(Bucket { used: 0, reset });
        if bucket.reset <= now {
            *bucket = fresh;
        }
        bucket
    }

    pub(super) fn count(&mut self, caller: &Caller, now: DateTime<Utc>) -> Count {
        let requests = self.requests;
        let limit = match caller {
            Caller::Nobody => requests.min(60),
            _ => requests,
        };
        let bucket = self.bucket(caller, now);
        Count {
            limit,
            used: bucket.used.min(limit),
            reset: bucket.reset.timestamp(),
        }
    }

    /// Counts one more request of this caller.
    pub(super) fn charge(&mut self, caller: &Caller, now: DateTime<Utc>) {
        self.bucket(caller, now).used += 1;
    }

    /// Exhausts the limit of every caller so far until this time.
    pub(super) fn exhaust(&mut self, callers: Vec<Caller>, until: DateTime<Utc>) {
        for caller in callers {
            let used = u64::MAX / 2;
            let bucket = Bucket { used, reset: until };
            self.buckets.insert(bucket_name(&caller), bucket);
        }
    }

    /// Refuses a request that exceeds the limit.
    pub(super) fn check(&mut self, caller: &Caller, now: DateTime<Utc>) -> Result<(), Box<Reply>> {
        if self.count(caller, now).remaining() == 0 {
            let whose = bucket_name(caller);
            return Err(refuse(
                403,
                &format!(
                    "API rate limit exceeded for {whose}. If you reach out to GitHub Support for \
                     help, please include the request ID."
                ),
            ));
        }
        Ok(())
    }
}
