//! What happens without a request: the push after a write, and what the timer does where no Functions host
//! calls for it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};

use super::book::Book;
use super::{Git, GitTrouble};
use crate::codex::Codex;
use crate::now::Now;
use crate::user::UserId;

/// How soon a push is tried again that failed; doubled each time.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// The longest pause.
const LAST_PAUSE: Duration = Duration::from_secs(60);

/// How often the timer comes, as `gitPush` does under the Functions host.
const TICK: Duration = Duration::from_secs(60);

/// Who has something to push, and when it is due.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    waiting: Mutex<BTreeMap<UserId, Due>>,
    filled: Notify,
}

#[derive(Debug, Clone, Copy)]
struct Due {
    at: Instant,
    /// How long it was waited after the last try; nothing before the first.
    pause: Duration,
}

/// What the worker does next.
enum Next {
    Push(UserId, Duration),
    WaitUntil(Instant),
    WaitForever,
}

impl Outbox {
    /// Has the user's files pushed; when a try has failed, not before its pause is over.
    pub(super) fn add(&self, user: &UserId, now: Now) {
        let first = Due {
            at: now.started,
            pause: Duration::ZERO,
        };
        self.waiting().entry(user.clone()).or_insert(first);
        self.filled.notify_one();
    }

    fn add_again(&self, user: UserId, wait: Duration, pause: Duration, now: Now) {
        let at = now.started + wait;
        self.waiting().insert(user, Due { at, pause });
    }

    fn next(&self, now: Now) -> Next {
        let mut waiting = self.waiting();
        let first = waiting.iter().min_by_key(|(_, due)| due.at);
        let Some((user, due)) = first.map(|(user, due)| (user.clone(), *due)) else {
            return Next::WaitForever;
        };
        if due.at > now.started {
            return Next::WaitUntil(due.at);
        }
        waiting.remove(&user);
        Next::Push(user, due.pause)
    }

    fn waiting(&self) -> MutexGuard<'_, BTreeMap<UserId, Due>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Codex {
    /// Pushes what writes leave in this process's outbox, for ever. Does nothing while GitHub mode is off.
    pub async fn push_in_background(self) {
        let Ok(git) = self.git() else { return };
        loop {
            match git.outbox.next((git.clock)()) {
                Next::Push(user, pause) => self.push_or_again(&git, user, pause).await,
                Next::WaitUntil(at) => {
                    let _ = timeout_at(at, git.outbox.filled.notified()).await;
                }
                Next::WaitForever => git.outbox.filled.notified().await,
            }
        }
    }

    async fn push_or_again(&self, git: &Arc<Git>, user: UserId, pause: Duration) {
        let now = (git.clock)();
        let pause = (pause * 2).clamp(FIRST_PAUSE, LAST_PAUSE);
        let wait = match self.push_and_drop_hint(git, &user, now).await {
            Ok(true) => return,
            // Somebody is writing just now, or something there is in the way.
            Ok(false) => pause,
            Err(error) => {
                let seconds = pause.as_secs();
                tracing::warn!(%user, %error, seconds, "warn: what was written isn't in Git yet; trying again");
                self.note_trouble(&user, &error, now).await;
                error.retry_after().unwrap_or(pause)
            }
        };
        git.outbox.add_again(user, wait, pause, (git.clock)());
    }

    async fn push_and_drop_hint(
        &self,
        git: &Arc<Git>,
        user: &UserId,
        now: Now,
    ) -> Result<bool, GitTrouble> {
        let hint = self.hint(user).await?;
        let done = self.push(git, user, now).await?;
        if done {
            self.drop_hint(user, hint).await?;
        }
        Ok(done)
    }

    /// Does the timer's work once a minute, for ever. Does nothing while GitHub mode is off.
    pub async fn tick_in_background(self) {
        let Ok(git) = self.git() else { return };
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            match self.tick((git.clock)()).await {
                Ok(report) => {
                    tracing::debug!(?report, "looked for what Git and the store don't share")
                }
                Err(error) => tracing::warn!(%error, "warn: the queue can't be read"),
            }
        }
    }

    /// Remembers what went wrong, for whoever asks; once, not with every try.
    pub(super) async fn note_trouble(&self, user: &UserId, trouble: &GitTrouble, now: Now) {
        let (code, message) = (trouble.code(), trouble.to_string());
        let note = |book: &mut Book| {
            if book.last_error.as_ref().is_none_or(|it| it.code != code) {
                book.trouble(Some((code, message.clone())), now.utc);
            }
        };
        if let Err(error) = self.change_book(user, note).await {
            tracing::warn!(%user, %error, "warn: git.json can't be written");
        }
    }
}
