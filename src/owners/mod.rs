//! Which account owns a user name. A login may be released and taken by another account, which must not get access to
//! the first one's tasks.
//!
#![doc = include_str!("README.md")]

pub mod decision;
mod error;
mod file;
pub mod folder;
mod record;

use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::RandomState;
use moka::ops::compute::Op;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use tokio::sync::Mutex;

use crate::context::in_request_context;
use crate::now::Now;
use crate::store::{BlobStore, StoreError};
use crate::user::UserId;

pub use decision::{ConfirmedOwner, LoginClaim};
pub use error::OwnerError;
pub use file::{AccountIdentity, OwnerFile};
pub use folder::{folders, spellings};

use decision::{OwnerAnswer, OwnerState, OwnerVerdict};

/// After this time a check, or the end of sessions, is given up as a whole.
const STORE_DEADLINE: Duration = Duration::from_secs(10);

/// The owners of logins: `owner.json` in the store, and what this instance has cached of it. A cheap handle: clones
/// share one cache.
#[derive(Clone)]
pub struct Owners {
    store: Arc<dyn BlobStore>,
    logins: Cache<UserId, Arc<LoginRecord>, RandomState>,
    outage_ttl: Duration,
}

/// One login in memory. Immutable; replaced as a whole.
#[derive(Debug, Default, Clone)]
struct LoginRecord {
    state: OwnerState,
    /// Single flight: held during a refresh; others wait for it or use the cached answer.
    refresh_lock: Arc<Mutex<()>>,
}

/// Size of a record without what its state points to, in bytes: the record and its key, the lock, and the cache's nodes
/// and the allocator's overhead, rounded up.
const OVERHEAD: usize =
    size_of::<LoginRecord>() + 2 * size_of::<UserId>() + size_of::<Mutex<()>>() + 256;

impl Owners {
    /// The owners in `store`. Up to `max_bytes` of them are cached, for use during an outage until a stale week isn't
    /// served any more either (`stale_if_error`).
    pub fn new(store: &Arc<dyn BlobStore>, stale_if_error: Duration, max_bytes: u64) -> Self {
        let outage_ttl = decision::outage_ttl(stale_if_error);
        let weigh = |_: &UserId, login: &Arc<LoginRecord>| {
            let weight = OVERHEAD + login.state.weight();
            weight.try_into().unwrap_or(u32::MAX)
        };
        let logins = Cache::builder()
            .max_capacity(max_bytes)
            .weigher(weigh)
            // As for the snapshots: a newcomer is always admitted.
            .eviction_policy(EvictionPolicy::lru())
            .time_to_live(outage_ttl)
            .build_with_hasher(RandomState::default());
        Self {
            store: Arc::clone(store),
            logins,
            outage_ttl,
        }
    }

    /// Checks that the login belongs to this account and returns the user whose files it names. An unowned login is
    /// bound to the first account that asks. Makes no storage request while the answer is cached.
    ///
    /// # Errors
    /// [`OwnerError::Reassigned`] if the login belongs to another account, [`OwnerError::SessionEnded`] if the session
    /// was ended, another one if the owner can't be determined.
    pub async fn confirm(
        &self,
        claim: &LoginClaim,
        now: Now,
    ) -> Result<ConfirmedOwner, OwnerError> {
        let verdict = self.verdict(claim, now);
        if let OwnerVerdict::Stale(_) = verdict {
            self.refresh_in_background(claim, now);
        }
        match verdict.result() {
            Some(result) => result,
            // Boxed, so that this rare case doesn't enlarge every request's future.
            None => Box::pin(self.ask(claim, now)).await,
        }
    }

    /// Like [`Self::confirm`], but always reads the store: for the start and the renewal of a session.
    ///
    /// # Errors
    /// As those of [`Self::confirm`].
    pub async fn reconfirm(
        &self,
        claim: &LoginClaim,
        now: Now,
    ) -> Result<ConfirmedOwner, OwnerError> {
        let lock = self.refresh_lock(&claim.login);
        let _guard = lock.lock().await;
        self.refresh(claim, now).await
    }

    /// Ends all existing sessions of the account: on this instance at once, on others when their cached answer expires,
    /// after 20 minutes at most while the store answers.
    ///
    /// # Errors
    /// If the outcome is unknown: either no session has ended, or all have.
    pub async fn end_sessions(&self, claim: &LoginClaim) -> Result<(), OwnerError> {
        within_deadline(async {
            let lock = self.refresh_lock(&claim.login);
            // A refresh begun before must not overwrite what is recorded below.
            let _guard = lock.lock().await;
            for (user, generation) in record::end_sessions(&*self.store, claim).await? {
                for login in [&claim.login, &user] {
                    self.update(login, |state| state.record_session_end(&user, generation));
                }
            }
            Ok(())
        })
        .await
    }

    /// Whether this instance has cached that the claim's session was ended.
    pub fn is_session_ended(&self, claim: &LoginClaim) -> bool {
        let login = self.logins.get(&claim.login);
        login.is_some_and(|it| it.state.is_session_ended(claim))
    }

    /// Size of the cache in bytes, after pending evictions and expiries.
    pub fn memory_bytes(&self) -> u64 {
        self.logins.run_pending_tasks();
        self.logins.weighted_size()
    }

    fn verdict(&self, claim: &LoginClaim, now: Now) -> OwnerVerdict {
        let login = self.logins.get(&claim.login);
        login.map_or(OwnerVerdict::Ask, |it| {
            it.state.verdict(claim, now.mono, self.outage_ttl)
        })
    }

    async fn ask(&self, claim: &LoginClaim, now: Now) -> Result<ConfirmedOwner, OwnerError> {
        let lock = self.refresh_lock(&claim.login);
        let _guard = lock.lock().await;
        match self.verdict(claim, now).result() {
            Some(result) => result,
            None => self.refresh(claim, now).await,
        }
    }

    /// Refreshes the cached answer in the background, unless a refresh is running already.
    fn refresh_in_background(&self, claim: &LoginClaim, now: Now) {
        let Ok(guard) = self.refresh_lock(&claim.login).try_lock_owned() else {
            return;
        };
        let (owners, claim) = (self.clone(), claim.clone());
        tokio::spawn(in_request_context(async move {
            if let Err(error @ (OwnerError::NewerFormat | OwnerError::Unreadable)) =
                owners.refresh(&claim, now).await
            {
                tracing::warn!(user = %claim.login, %error, "can't refresh the owner of the login");
            }
            drop(guard);
        }));
    }

    /// Reads the owner record and caches the answer. During an outage the cached answer is used.
    async fn refresh(&self, claim: &LoginClaim, now: Now) -> Result<ConfirmedOwner, OwnerError> {
        let login = &claim.login;
        let known = self.logins.get(login);
        let folder = known.and_then(|it| it.state.folder().filter(|it| *it != login).cloned());
        let found = record::find_or_record(&*self.store, claim, folder, now);
        let found = within_deadline(found).await;
        let now = now.later();
        let answer = found.map(|(folder, file)| OwnerAnswer::new(folder, file, now.mono));
        let verdict = answer.as_ref().map_err(OwnerError::clone);
        let verdict = verdict.and_then(|it| it.verdict(claim));
        if let Err(OwnerError::Reassigned) = verdict {
            tracing::warn!(user = %login, "the login is claimed by an account that doesn't own its folder");
        }
        self.update(login, |state| {
            state.record(answer, now.mono);
            true
        });
        match verdict {
            Err(error) if error.is_outage() => {
                let cached = self.verdict(claim, now).result();
                let confirmed = cached.and_then(Result::ok).ok_or(error.clone())?;
                tracing::warn!(user = %login, %error, "can't refresh the owner of the login");
                Ok(confirmed)
            }
            verdict => verdict,
        }
    }

    fn refresh_lock(&self, login: &UserId) -> Arc<Mutex<()>> {
        let login = self.logins.get_with_by_ref(login, Arc::default);
        Arc::clone(&login.refresh_lock)
    }

    /// Updates what is known of a login atomically, unless `update` returns `false`.
    fn update(&self, login: &UserId, update: impl FnOnce(&mut OwnerState) -> bool) {
        self.logins.entry_by_ref(login).and_compute_with(|present| {
            let mut login =
                present.map_or_else(LoginRecord::default, |it| LoginRecord::clone(it.value()));
            match update(&mut login.state) {
                true => Op::Put(Arc::new(login)),
                false => Op::Nop,
            }
        });
    }
}

/// Awaits `work` on the store for [`STORE_DEADLINE`]; after that the store counts as unavailable.
async fn within_deadline<T>(
    work: impl Future<Output = Result<T, OwnerError>>,
) -> Result<T, OwnerError> {
    let too_slow = || StoreError::Unavailable {
        operation: "get",
        key: "owner.json".to_owned(),
        reason: "no answer in time".to_owned(),
    };
    let done = tokio::time::timeout(STORE_DEADLINE, work).await;
    done.unwrap_or_else(|_| Err(too_slow().into()))
}
