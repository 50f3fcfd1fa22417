//! Whose account a user's name stands for: a login may be given up and taken by somebody else, who must
//! not find the first one's tasks (SPEC.md 6).

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use super::memory::Known;
use super::{Format, Inner};
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

/// The store may take so long before it counts as away.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long an answer may be needed: `stale_if_error` is how long the last known week stands in, and so long must
/// its owner be known.
pub(super) fn stands_in(stale_if_error: Duration) -> Duration {
    STANDS_IN.max(stale_if_error.saturating_add(REMEMBERED))
}

/// What is known of whose a name is.
#[derive(Debug, Default, Clone)]
pub(super) struct Owner {
    said: Option<(Holder, Instant)>,
    // Rare, so it isn't to make what is kept of everybody larger.
    failed: Option<Box<(OwnerError, Instant)>>,
    /// Held by who asks the store; the others wait for the answer, or do with what is known.
    asking: Arc<Mutex<()>>,
}

/// What follows from it.
enum Outcome {
    Verdict(Result<(), OwnerError>),
    /// It is theirs, but somebody should look again.
    Aging,
}

impl Owner {
    fn says(&self, holder: &Holder, now: Instant, stands_in: Duration) -> Option<Outcome> {
        let failed = |within| self.failed.as_ref().filter(|it| age(it.1, now) < within);
        match &self.said {
            Some((of, at)) if of == holder && age(*at, now) < REMEMBERED => {
                return Some(Outcome::Verdict(Ok(())));
            }
            Some((of, at)) if of == holder && age(*at, now) < stands_in => {
                return Some(match failed(AWAY) {
                    Some(_) => Outcome::Verdict(Ok(())),
                    None => Outcome::Aging,
                });
            }
            Some((of, at)) if of != holder && age(*at, now) < REMEMBERED_AGAINST => {
                return Some(Outcome::Verdict(Err(OwnerError::Reassigned)));
            }
            _ => {}
        }
        let failed = failed(FAILED)?;
        Some(Outcome::Verdict(Err(failed.0.clone())))
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
                self.failed = Some(Box::new((error, now)));
            }
        }
    }

    /// Whether nothing in it is needed any more.
    pub(super) fn is_over(&self, now: Instant, stands_in: Duration) -> bool {
        let said = self.said.as_ref().map(|it| (it.1, stands_in));
        let failed = self.failed.as_ref().map(|it| (it.1, AWAY));
        let mut all = said.into_iter().chain(failed);
        all.all(|(at, within)| age(at, now) >= within) && self.asking.try_lock().is_ok()
    }

    /// What it occupies beside itself, in bytes.
    pub(super) fn weight(&self) -> usize {
        let names = match &self.said {
            Some((Holder::Other { provider, subject }, _)) => provider.len() + subject.len(),
            _ => 0,
        };
        names + size_of::<Mutex<()>>() + 2 * size_of::<usize>()
    }
}

fn age(at: Instant, now: Instant) -> Duration {
    now.saturating_duration_since(at)
}

impl Inner {
    pub(super) async fn confirm_owner(
        self: &Arc<Self>,
        user: &UserId,
        holder: &Holder,
        now: Now,
    ) -> Result<(), OwnerError> {
        match self.owner_says(user, holder, now) {
            Some(Outcome::Verdict(verdict)) => verdict,
            Some(Outcome::Aging) => {
                self.look_again(user, holder, now);
                Ok(())
            }
            // Boxed, so that what is rare doesn't make every request's future larger.
            None => Box::pin(self.ask_owner(user, holder, now)).await,
        }
    }

    fn owner_says(&self, user: &UserId, holder: &Holder, now: Now) -> Option<Outcome> {
        let stands_in = stands_in(self.settings.stale_if_error);
        self.memory
            .look(user, |known| known.owner.says(holder, now.mono, stands_in))?
    }

    fn asking(&self, user: &UserId) -> Arc<Mutex<()>> {
        let asking = |known: &Known| Arc::clone(&known.owner.asking);
        let known = self.memory.look(user, asking);
        known
            .or_else(|| self.memory.change(user, |known| Some(asking(known))))
            .unwrap_or_default()
    }

    async fn ask_owner(&self, user: &UserId, holder: &Holder, now: Now) -> Result<(), OwnerError> {
        let asking = self.asking(user);
        let _asking = asking.lock().await;
        match self.owner_says(user, holder, now) {
            Some(Outcome::Verdict(verdict)) => verdict,
            Some(Outcome::Aging) => Ok(()),
            None => self.ask_store(user, holder, now).await,
        }
    }

    /// Asks the store while nobody waits, unless somebody does already.
    fn look_again(self: &Arc<Self>, user: &UserId, holder: &Holder, now: Now) {
        let Ok(asking) = self.asking(user).try_lock_owned() else {
            return;
        };
        let (inner, user, holder) = (Arc::clone(self), user.clone(), holder.clone());
        tokio::spawn(carried(async move {
            match inner.ask_store(&user, &holder, now).await {
                Ok(()) | Err(OwnerError::Reassigned) => {}
                Err(error) => tracing::warn!(%user, %error, "can't look again whose the login is"),
            }
            drop(asking);
        }));
    }

    /// Asks the store, and remembers what it says.
    async fn ask_store(&self, user: &UserId, holder: &Holder, now: Now) -> Result<(), OwnerError> {
        let asked = tokio::time::timeout(PATIENCE, recorded(&*self.store, user, holder)).await;
        let answer = asked.unwrap_or(Err(OwnerError::TimedOut));
        let verdict = match &answer {
            Ok(of) if of == holder => Ok(()),
            Ok(_) => Err(OwnerError::Reassigned),
            Err(error) => Err(error.clone()),
        };
        if matches!(verdict, Err(OwnerError::Reassigned)) {
            tracing::warn!(%user, "somebody else's account has this login now");
        }
        let now = now.later().mono;
        self.memory.change(user, |known| {
            known.owner.learn(answer, now);
            Some(())
        });
        verdict
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
        Got::Blob(blob) => parse_holder(&blob.bytes).map(Some),
        Got::Absent | Got::Unchanged | Got::Changed => Ok(None),
    }
}

/// Reads an `owner.json`. In doubt nobody: an account that isn't named can't be told from another.
///
/// # Errors
/// [`OwnerError::Unreadable`] and [`OwnerError::NewerFormat`].
pub fn parse_holder(bytes: &[u8]) -> Result<Holder, OwnerError> {
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
