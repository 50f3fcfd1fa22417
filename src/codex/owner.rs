//! Whose account a user's name stands for: a login may be given up and taken by somebody else, who must
//! not find the first one's tasks (SPEC.md 6).

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use moka::sync::Cache;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use super::Codex;
use crate::cache::Format;
use crate::context::carried;
use crate::now::Now;
use crate::store::{BlobStore, GetIf, Got, Key, Put, PutIf, StoreError, Written};
use crate::user::UserId;

/// Who somebody is for good, whatever they are called.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Holder {
    /// The number of a GitHub account.
    GitHub {
        /// The number.
        #[serde(rename = "githubId")]
        number: u64,
    },
    /// Somebody whom another provider vouches for.
    Other {
        /// The provider.
        provider: String,
        /// What it calls them, and nobody else ever.
        subject: String,
    },
}

/// Why somebody isn't taken for the user.
#[derive(Debug, Clone, thiserror::Error)]
pub enum OwnerError {
    /// The name belongs to another account.
    #[error("the name belongs to another account")]
    Reassigned,
    /// A newer version of the service wrote whose it is.
    #[error("owner.json has a newer format")]
    NewerFormat,
    /// Whose it is can't be read.
    #[error("owner.json can't be read")]
    Unreadable,
    /// The store couldn't do it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store took too long.
    #[error("the store took too long")]
    TimedOut,
}

/// `state/{user}/owner.json`. It is written once and never again, so members that this version doesn't
/// know stay by themselves.
#[derive(Serialize)]
struct Record<'a> {
    format: Format,
    #[serde(flatten)]
    holder: &'a Holder,
}

/// How long an answer of the store is taken without asking again. Only an operator changes it.
const REMEMBERED: Duration = Duration::from_secs(10 * 60);

/// How long it is remembered for somebody else, so that an operator who mends it needn't wait.
const REMEMBERED_AGAINST: Duration = Duration::from_secs(30);

/// How long an older answer is still taken while the store is asked again, or can't be: nobody waits for
/// it then. It is longer where the last known week stands in for longer.
const STANDS_IN: Duration = Duration::from_secs(3 * 3600);

/// How long the store isn't asked again about somebody whom an older answer lets in.
const AWAY: Duration = Duration::from_secs(10);

/// How long a failure is told to everybody who asks: clients are told to come back after that.
const FAILED: Duration = Duration::from_secs(2);

/// Users known at once.
const MAX_USERS: u64 = 100_000;

/// The store may take so long before it counts as away.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the store has said.
#[derive(Debug)]
pub(super) struct Owners {
    slots: Cache<UserId, Arc<Slot>>,
    stands_in: Duration,
}

#[derive(Debug, Default)]
struct Slot {
    memory: RwLock<Memory>,
    /// Held by who asks the store; the others wait for the answer, or do with what is known.
    asking: Arc<Mutex<()>>,
}

/// What is known of one name.
#[derive(Debug, Default)]
struct Memory {
    said: Option<(Holder, Instant)>,
    failed: Option<(OwnerError, Instant)>,
}

/// What follows from it.
enum Known {
    Verdict(Result<(), OwnerError>),
    /// It is theirs, but somebody should look again.
    Aging,
}

impl Memory {
    fn says(&self, holder: &Holder, now: Instant, stands_in: Duration) -> Option<Known> {
        let age = |at: &Instant| now.saturating_duration_since(*at);
        let failed = |within| self.failed.as_ref().filter(|(_, at)| age(at) < within);
        match &self.said {
            Some((of, at)) if of == holder && age(at) < REMEMBERED => {
                return Some(Known::Verdict(Ok(())));
            }
            Some((of, at)) if of == holder && age(at) < stands_in => {
                return Some(match failed(AWAY) {
                    Some(_) => Known::Verdict(Ok(())),
                    None => Known::Aging,
                });
            }
            Some((of, at)) if of != holder && age(at) < REMEMBERED_AGAINST => {
                return Some(Known::Verdict(Err(OwnerError::Reassigned)));
            }
            _ => {}
        }
        let (error, _) = failed(FAILED)?;
        Some(Known::Verdict(Err(error.clone())))
    }

    fn learn(&mut self, answer: Result<Holder, OwnerError>, now: Instant) {
        match answer {
            Ok(of) => {
                self.said = Some((of, now));
                self.failed = None;
            }
            Err(error) => {
                // What is written there now isn't what was.
                if !matches!(error, OwnerError::Store(_) | OwnerError::TimedOut) {
                    self.said = None;
                }
                self.failed = Some((error, now));
            }
        }
    }
}

impl Slot {
    fn says(&self, holder: &Holder, now: Now, stands_in: Duration) -> Option<Known> {
        let memory = self.memory.read().unwrap_or_else(PoisonError::into_inner);
        memory.says(holder, now.mono, stands_in)
    }

    /// Asks the store, and remembers what it says.
    async fn ask(
        &self,
        store: &dyn BlobStore,
        user: &UserId,
        holder: &Holder,
        now: Now,
    ) -> Result<(), OwnerError> {
        let asked = tokio::time::timeout(PATIENCE, recorded(store, user, holder)).await;
        let answer = asked.unwrap_or(Err(OwnerError::TimedOut));
        let verdict = match &answer {
            Ok(of) if of == holder => Ok(()),
            Ok(_) => Err(OwnerError::Reassigned),
            Err(error) => Err(error.clone()),
        };
        if matches!(verdict, Err(OwnerError::Reassigned)) {
            tracing::warn!(%user, "somebody else's account has this login now");
        }
        let mut memory = self.memory.write().unwrap_or_else(PoisonError::into_inner);
        memory.learn(answer, now.later().mono);
        verdict
    }
}

impl Owners {
    /// `stale_if_error` is how long the last known week stands in: so long must its owner be known.
    pub(super) fn new(stale_if_error: Duration) -> Self {
        Self {
            slots: Cache::new(MAX_USERS),
            stands_in: STANDS_IN.max(stale_if_error.saturating_add(REMEMBERED)),
        }
    }

    fn slot(&self, user: &UserId) -> Arc<Slot> {
        let known = self.slots.get(user);
        known.unwrap_or_else(|| self.slots.get_with(user.clone(), Arc::default))
    }
}

impl Codex {
    /// Makes sure that the name is this account's. The first one to ask gets it.
    ///
    /// # Errors
    /// [`OwnerError::Reassigned`] when it is another's; the others when that can't be known.
    pub async fn confirm_owner(
        &self,
        user: &UserId,
        holder: &Holder,
        now: Now,
    ) -> Result<(), OwnerError> {
        let slot = self.owners.slot(user);
        match slot.says(holder, now, self.owners.stands_in) {
            Some(Known::Verdict(verdict)) => verdict,
            Some(Known::Aging) => {
                self.look_again(slot, user, holder, now);
                Ok(())
            }
            // Boxed, so that what is rare doesn't make every request's future larger.
            None => Box::pin(self.ask_owner(&slot, user, holder, now)).await,
        }
    }

    async fn ask_owner(
        &self,
        slot: &Slot,
        user: &UserId,
        holder: &Holder,
        now: Now,
    ) -> Result<(), OwnerError> {
        let _asking = slot.asking.lock().await;
        match slot.says(holder, now, self.owners.stands_in) {
            Some(Known::Verdict(verdict)) => verdict,
            Some(Known::Aging) => Ok(()),
            None => slot.ask(&*self.store, user, holder, now).await,
        }
    }

    /// Asks the store while nobody waits, unless somebody does already.
    fn look_again(&self, slot: Arc<Slot>, user: &UserId, holder: &Holder, now: Now) {
        let Ok(asking) = Arc::clone(&slot.asking).try_lock_owned() else {
            return;
        };
        let (store, user, holder) = (Arc::clone(&self.store), user.clone(), holder.clone());
        tokio::spawn(carried(async move {
            match slot.ask(&*store, &user, &holder, now).await {
                Ok(()) | Err(OwnerError::Reassigned) => {}
                Err(error) => tracing::warn!(%user, %error, "can't look again whose the login is"),
            }
            drop(asking);
        }));
    }
}

/// Whose the name is by the store, where it is written now unless it was before.
async fn recorded(
    store: &dyn BlobStore,
    user: &UserId,
    holder: &Holder,
) -> Result<Holder, OwnerError> {
    let key = Key::owner(user);
    if let Some(of) = read(store, &key).await? {
        return Ok(of);
    }
    let record = Record {
        format: Format::CURRENT,
        holder,
    };
    let put = Put {
        // Strings and a number: nothing in it can fail to serialise.
        bytes: serde_json::to_vec(&record).unwrap_or_default().into(),
        ..Put::default()
    };
    match store.put(&key, put, PutIf::Absent).await?.value {
        Written::Done(_) => Ok(holder.clone()),
        // Another instance was first, or an answer got lost and it was this one.
        Written::Refused => read(store, &key).await?.ok_or(OwnerError::Unreadable),
    }
}

async fn read(store: &dyn BlobStore, key: &Key) -> Result<Option<Holder>, OwnerError> {
    match store.get(key, GetIf::Any).await?.value {
        Got::Blob(blob) => parse(&blob.bytes).map(Some),
        Got::Absent | Got::Unchanged | Got::Changed => Ok(None),
    }
}

/// In doubt nobody: an account that isn't named can't be told from another.
pub(super) fn parse(bytes: &[u8]) -> Result<Holder, OwnerError> {
    let format = Format::of(bytes).ok_or(OwnerError::Unreadable)?;
    if format.is_read_only() {
        return Err(OwnerError::NewerFormat);
    }
    let unreadable = match format > Format::CURRENT {
        true => OwnerError::NewerFormat,
        false => OwnerError::Unreadable,
    };
    serde_json::from_slice(bytes).map_err(|_| unreadable)
}
