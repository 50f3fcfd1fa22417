//! Garbage collection for every user (src/cache/README.md, "Garbage collection"): idempotency records, write intents
//! that were left, tombstones, artifacts of users who are gone, what the older service left. In GitHub mode it also
//! finds files that aren't in Git and have no hint.
//!
//! Any instance may do it at any time, several at once, and beside everything else: what goes goes only in
//! the version that was looked at, and the state changes by compare-and-swap. Breaking off anywhere leaves
//! the rest for the next time. It takes, in storage requests:
//!
//! - for all together a LIST of each of `raw/`, `state/` and `artifacts/`, in GitHub mode of `queue/`, too;
//! - for each user a GET of the state and a LIST of the task files; where there are such, a LIST of the
//!   user's `state/` and of the user's `artifacts/`; one more where there are older records;
//! - in GitHub mode for a user with files and without a hint a GET of `git.json` and what a read costs: where
//!   nobody has read for long, a rebuild, by which files are found that something else wrote;
//! - what there is to do: a DELETE for each blob that goes (for a settled file a GET before it), one swap of
//!   the state for all old records, and what settling takes.

mod report;
mod user;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures::stream::{self, StreamExt};
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout_at};

use super::Codex;
use super::git::GitTrouble;
use crate::cache::{ReadError, WriteError};
use crate::now::Now;
use crate::store::{Answer, Contents, Deleted, ETag, Key, Listed, Prefix, StoreError};
use crate::user::UserId;

pub use report::JanitorReport;

/// One pass begins nothing after this: the Functions host ends a call after five minutes.
const PASS: Duration = Duration::from_secs(240);

/// What is under way then gets this long to come to its end.
const GRACE: Duration = Duration::from_secs(20);

/// Users looked after at once.
const USERS: usize = 4;

/// Blobs removed at once of one user.
const TOGETHER: usize = 8;

/// So many failures one after the other aren't the users'.
const MAX_FAILURES: usize = 12;

/// The older service may still be running, and makes again what it misses: only what it hasn't used for
/// this long goes.
const LEFTOVER_STAYS: TimeDelta = TimeDelta::days(1);

/// How often it comes where no Functions host calls for it.
const EVERY: Duration = Duration::from_secs(3600);

/// How long it waits at least, and how much longer at most, after the start: there is enough to do then, and
/// instances that start together don't all come at once.
const FIRST: (Duration, Duration) = (Duration::from_secs(180), Duration::from_secs(600));

/// Why something couldn't be tidied up.
#[derive(Debug, Clone, thiserror::Error)]
pub enum JanitorError {
    /// The store didn't do it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The user's state couldn't be read or changed.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// What isn't in Git couldn't be found out.
    #[error(transparent)]
    Git(#[from] GitTrouble),
    /// The time is over.
    #[error("it takes too long")]
    TooLong,
}

impl From<ReadError> for JanitorError {
    fn from(error: ReadError) -> Self {
        Self::Write(error.into())
    }
}

/// Whom there is to look after.
struct Ground {
    users: Vec<UserId>,
    known: Known,
    /// What the older service left that belongs to no user.
    leftovers: Vec<(Prefix, Answer<Contents>)>,
}

/// What is known of the users without a look at each. Others may come to have it meanwhile: they get it
/// looked after the next time.
struct Known {
    /// Those with something in `state/`.
    state: BTreeSet<UserId>,
    /// Those with something in `artifacts/`.
    artifacts: BTreeSet<UserId>,
    /// Those with a hint; in GitHub mode only.
    queue: BTreeSet<UserId>,
}

/// One pass over all users.
struct Pass {
    codex: Codex,
    now: Now,
    /// Nothing begins after this.
    until: Instant,
    known: Known,
    /// Failures one after the other.
    failures: AtomicUsize,
}

impl Codex {
    /// Tidies up after every user. What couldn't be done is left for the next time, which begins with
    /// another user.
    ///
    /// # Errors
    /// When it can't be found out which users there are.
    pub async fn tidy_up(&self, now: Now) -> Result<JanitorReport, JanitorError> {
        let until = now.started + PASS;
        let ground = timeout_at(until, self.survey()).await;
        let ground = ground.map_err(|_| JanitorError::TooLong)??;
        let users = in_turn(ground.users, now.utc);
        let pass = Pass {
            codex: self.clone(),
            now,
            until,
            known: ground.known,
            failures: AtomicUsize::new(0),
        };
        let mut report = pass.shared_leftovers(ground.leftovers).await;
        let mut each = stream::iter(users)
            .map(|user| pass.user_in_time(user))
            .buffer_unordered(USERS);
        while let Some(one) = each.next().await {
            report += one;
        }
        tracing::info!(%report, "tidied up");
        Ok(report)
    }

    async fn survey(&self) -> Result<Ground, StoreError> {
        let prefixes = [
            Prefix::all_raw(),
            Prefix::all_state(),
            Prefix::all_artifacts(),
        ];
        let [raw, state, artifacts] = &prefixes;
        let (raw, state, artifacts) = tokio::try_join!(
            self.store.contents(raw),
            self.store.contents(state),
            self.store.contents(artifacts),
        )?;
        let mut queue = BTreeSet::new();
        if self.git.is_some() {
            let hints = self.store.list(&Prefix::queue()).await?.value.blobs;
            queue.extend(hints.iter().filter_map(|it| UserId::parse(&it.name).ok()));
        }
        let known = Known {
            state: users_in(&state.value),
            artifacts: users_in(&artifacts.value),
            queue,
        };
        let mut users = users_in(&raw.value);
        users.extend(known.state.iter().chain(&known.artifacts).cloned());
        let [_, of_state, of_artifacts] = prefixes;
        Ok(Ground {
            users: users.into_iter().collect(),
            known,
            leftovers: vec![(of_state, state), (of_artifacts, artifacts)],
        })
    }

    /// Tidies up every hour, for ever, as `janitor` does under the Functions host.
    pub async fn tidy_up_in_background(self, clock: fn() -> Now) {
        let spread = self.cache.write_id().0 % FIRST.1.as_secs();
        let first = clock().started + FIRST.0 + Duration::from_secs(spread);
        let mut ticks = interval_at(first, EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if let Err(error) = self.tidy_up(clock()).await {
                tracing::warn!(%error, "which users there are can't be found out");
            }
        }
    }
}

impl Pass {
    /// Where the older service kept everything in one place.
    async fn shared_leftovers(&self, kept: Vec<(Prefix, Answer<Contents>)>) -> JanitorReport {
        let mut report = JanitorReport::default();
        for (prefix, contents) in kept {
            let removal = self.remove_leftovers(&prefix, &contents, &mut report);
            let removed = timeout_at(self.until, removal).await;
            if let Err(error) = removed.map_err(|_| JanitorError::TooLong).flatten() {
                tracing::warn!(%error, %prefix, "what the older service left stays for now");
            }
        }
        report
    }

    /// Removes what the older service left among what is directly below `prefix`.
    async fn remove_leftovers(
        &self,
        prefix: &Prefix,
        contents: &Answer<Contents>,
        report: &mut JanitorReport,
    ) -> Result<(), JanitorError> {
        let unused = |blob: &&Listed| blob.is_older_than(LEFTOVER_STAYS, contents.date);
        let unused = contents.value.blobs.iter().filter(unused);
        let leftovers: Vec<(Key, ETag)> = unused
            .filter_map(|blob| Some((Key::leftover(prefix, &blob.name)?, blob.etag.clone())))
            .collect();
        let mut removals = stream::iter(leftovers)
            .map(|(key, etag)| self.remove(key, etag))
            .buffer_unordered(TOGETHER);
        while let Some(removed) = removals.next().await {
            report.leftovers += usize::from(removed?);
        }
        Ok(())
    }

    /// Whether it was still the version that was listed.
    async fn remove(&self, key: Key, etag: ETag) -> Result<bool, StoreError> {
        let deleted = self.codex.store.delete(&key, &etag).await?.value;
        Ok(deleted == Deleted::Done)
    }

    /// One user's, unless the time is over or nothing goes any more.
    async fn user_in_time(&self, user: UserId) -> JanitorReport {
        let mut report = JanitorReport::default();
        let late = self.now.later().started >= self.until;
        if late || self.failures.load(Ordering::Relaxed) >= MAX_FAILURES {
            report.left = 1;
            return report;
        }
        let work = self.tidy_up_after(&user, &mut report);
        let done = timeout_at(self.until + GRACE, work).await;
        if let Err(error) = done.map_err(|_| JanitorError::TooLong).flatten() {
            tracing::warn!(%user, %error, "not all that is expired of this user's could be removed");
            self.failures.fetch_add(1, Ordering::Relaxed);
            report.failed = 1;
        } else {
            self.failures.store(0, Ordering::Relaxed);
            report.users = 1;
        }
        report
    }
}

/// Whose folders there are.
fn users_in(contents: &Contents) -> BTreeSet<UserId> {
    let folders = contents.folders.iter();
    folders
        .filter_map(|name| UserId::parse(name).ok())
        .collect()
}

/// Begins with another user each hour. The steps are those of the golden ratio, which leave no gap for
/// long, whatever part of the users a pass gets through; so nothing has to be remembered between passes.
fn in_turn(mut users: Vec<UserId>, utc: DateTime<Utc>) -> Vec<UserId> {
    const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;
    let hour = utc.timestamp().div_euclid(3600) as u64;
    let part = u128::from(hour.wrapping_mul(GOLDEN));
    // Less than there are users.
    let first = (part * users.len() as u128) >> 64;
    users.rotate_left(first as usize);
    users
}
