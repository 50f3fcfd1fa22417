//! What happens without a request: the push after a write, and what the timer does where no Functions host
//! calls for it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::join_all;
use tokio::sync::Notify;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};

use super::book::{Book, LastError};
use super::fetch;
use super::{Git, GitTrouble};
use crate::codex::Codex;
use crate::now::Now;
use crate::user::UserId;

/// Users served at once, so that one who is slow doesn't keep the others waiting.
const HANDS: usize = 3;

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
    Do(UserId, Due),
    WaitUntil(Instant),
    WaitForever,
}

impl Outbox {
    /// Has something done for the user; when a try has failed, not before its pause is over.
    pub(super) fn add(&self, user: &UserId, now: Now) {
        let (at, pause) = (now.started, Duration::ZERO);
        self.insert(user.clone(), Due { at, pause });
        self.filled.notify_one();
    }

    fn insert(&self, user: UserId, due: Due) {
        let mut waiting = self.waiting();
        let merged = match waiting.get(&user) {
            None => due,
            Some(before) => Due {
                at: before.at.max(due.at),
                pause: before.pause.max(due.pause),
            },
        };
        waiting.insert(user, merged);
    }

    pub(super) fn len(&self) -> usize {
        self.waiting().len()
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
        Next::Do(user, due)
    }

    fn waiting(&self) -> MutexGuard<'_, BTreeMap<UserId, Due>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Codex {
    /// Pushes what writes leave in this process's outbox, for ever. Does nothing while GitHub mode is off.
    pub async fn push_in_background(self) {
        let Ok(git) = self.git() else { return };
        join_all((0..HANDS).map(|_| self.push_what_is_due(&git))).await;
    }

    async fn push_what_is_due(&self, git: &Arc<Git>) {
        loop {
            match git.outbox.next((git.clock)()) {
                Next::Do(user, due) => self.do_or_again(git, user, due).await,
                Next::WaitUntil(at) => {
                    let _ = timeout_at(at, git.outbox.filled.notified()).await;
                }
                Next::WaitForever => git.outbox.filled.notified().await,
            }
        }
    }

    async fn do_or_again(&self, git: &Arc<Git>, user: UserId, due: Due) {
        let now = (git.clock)();
        let until = now.started + fetch::SHARE;
        if self.drain_in_time(git, user.clone(), until, now).await {
            return;
        }
        // GitHub is away, somebody is writing just now, or something there is in the way.
        let pause = (due.pause * 2).clamp(FIRST_PAUSE, LAST_PAUSE);
        let wait = git.repository.wait().max(pause);
        let at = (git.clock)().started + wait;
        git.outbox.insert(user, Due { at, pause });
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
                Err(error) => tracing::warn!(%error, "the queue can't be read"),
            }
        }
    }

    /// Remembers what went wrong, for whoever asks; once, not with every try. Of somebody who isn't here nothing is
    /// remembered: with that a folder would be made, perhaps of a login that has one in another letter case.
    pub(super) async fn note_trouble(&self, user: &UserId, trouble: &GitTrouble, now: Now) {
        let (code, message) = (trouble.code(), trouble.told());
        let note = |book: &mut Book| {
            let rewritten = matches!(trouble, GitTrouble::HistoryRewritten { .. });
            let other = |it: &LastError| {
                (it.code != code || it.message != message) && (rewritten || !it.is_of_look())
            };
            if book.last_error.as_ref().is_none_or(other) {
                book.trouble(Some((code, message.clone())), now.utc);
            }
        };
        let noted = async {
            if self.has_state(user).await? {
                self.change_book(user, note).await?;
            }
            Ok::<_, GitTrouble>(())
        };
        if let Err(error) = noted.await {
            tracing::warn!(%user, %error, "git.json can't be written");
        }
    }
}
