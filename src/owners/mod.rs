//! Which account owns a user name. A login may be released and taken by another account, which must not get access to
//! the first one's tasks.
//!
#![doc = include_str!("README.md")]

pub mod decision;
mod file;
pub mod folder;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::RandomState;
use quick_cache::Weighter;
use quick_cache::sync::{Cache, DefaultLifecycle};
use tokio::sync::Mutex;

use crate::now::Now;
use crate::revalidated::Revalidated;
use crate::store::{BlobStore, StoreError};
use crate::user::UserId;

pub use decision::{ConfirmedOwner, LoginClaim};
pub use file::{AccountIdentity, OwnerError, OwnerFile};
pub use folder::{folders, spellings};

use decision::{OwnerAnswer, OwnerState};
use folder::Unowned;

/// After this time a check, or the end of sessions, is given up as a whole.
const STORE_DEADLINE: Duration = Duration::from_secs(10);

/// The owners of logins: `owner.json` in the store, and what this instance has cached of it. A cheap handle: clones
/// share one cache.
#[derive(Clone)]
pub struct Owners {
    store: Arc<dyn BlobStore>,
    /// A login's state says itself how old it is, so none has a time to live, and a look-up reads no clock.
    logins: Arc<Cache<UserId, Arc<Revalidated<OwnerState>>, LoginWeight, RandomState>>,
    outage_ttl: Duration,
}

/// Approximate size of a login, in bytes: the state and its key, the lock, and the cache's slot, the text of the
/// account's identity and the allocator's overhead, rounded up.
const LOGIN: usize =
    size_of::<Revalidated<OwnerState>>() + 2 * size_of::<UserId>() + size_of::<Mutex<()>>() + 384;

/// The size is the same for each login, because the cache takes off at an eviction what it weighs then.
#[derive(Clone)]
struct LoginWeight;

impl Weighter<UserId, Arc<Revalidated<OwnerState>>> for LoginWeight {
    fn weight(&self, _: &UserId, _: &Arc<Revalidated<OwnerState>>) -> u64 {
        LOGIN as u64
    }
}

impl Owners {
    /// The owners in `store`. Up to `max_bytes` of them are cached, for use during an outage until a stale week isn't
    /// served any more either (`stale_if_error`).
    pub fn new(store: &Arc<dyn BlobStore>, stale_if_error: Duration, max_bytes: u64) -> Self {
        let outage_ttl = decision::outage_ttl(stale_if_error);
        let (estimated, hasher) = (max_bytes as usize / LOGIN, RandomState::default());
        let lifecycle = DefaultLifecycle::default();
        let logins = Cache::with(estimated, max_bytes, LoginWeight, hasher, lifecycle);
        Self {
            store: Arc::clone(store),
            logins: Arc::new(logins),
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
        self.confirm_as(claim, Unowned::IsBound, now).await
    }

    /// Like [`Self::confirm`] for an account that isn't authenticated now: an unowned login isn't bound, and not the
    /// account's.
    ///
    /// # Errors
    /// As those of [`Self::confirm`]; [`OwnerError::SessionEnded`] for an unowned login.
    pub async fn confirm_recorded(
        &self,
        claim: &LoginClaim,
        now: Now,
    ) -> Result<ConfirmedOwner, OwnerError> {
        self.confirm_as(claim, Unowned::IsRefused, now).await
    }

    async fn confirm_as(
        &self,
        claim: &LoginClaim,
        unowned: Unowned,
        now: Now,
    ) -> Result<ConfirmedOwner, OwnerError> {
        let look = |state: &OwnerState| state.verdict(claim, now.mono, self.outage_ttl);
        let login = self.login(&claim.login);
        let renew = |flight| {
            let (owners, login, claim) = (self.clone(), Arc::clone(&login), claim.clone());
            async move {
                let owner = owners.refresh(&login, &claim, unowned, now).await;
                drop(flight);
                owner
            }
        };
        login.get(look, renew).await
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
        let login = self.login(&claim.login);
        let _flight = login.hold().await;
        self.refresh(&login, claim, Unowned::IsBound, now).await
    }

    /// Ends all existing sessions of the account: on this instance at once, on others when their cached answer expires,
    /// after 20 minutes at most while the store answers.
    ///
    /// # Errors
    /// If the outcome is unknown: either no session has ended, or all have.
    pub async fn end_sessions(&self, claim: &LoginClaim) -> Result<(), OwnerError> {
        within_deadline(async {
            let login = self.login(&claim.login);
            // A refresh begun before must not overwrite what is recorded below.
            let _flight = login.hold().await;
            for (user, generation) in folder::end_sessions(&*self.store, claim).await? {
                for login in [&claim.login, &user]
                    .iter()
                    .filter_map(|it| self.logins.get(*it))
                {
                    login.state().record_session_end(&user, generation);
                }
            }
            Ok(())
        })
        .await
    }

    /// Whether this instance has cached that the claim's session was ended.
    pub fn is_session_ended(&self, claim: &LoginClaim) -> bool {
        let login = self.logins.get(&claim.login);
        login.is_some_and(|it| it.state().is_session_ended(claim))
    }

    /// Size of the cache in bytes.
    pub fn memory_bytes(&self) -> u64 {
        self.logins.weight()
    }

    fn login(&self, login: &UserId) -> Arc<Revalidated<OwnerState>> {
        let Ok(login) = self
            .logins
            .get_or_insert_with(login, || Ok::<_, Infallible>(Arc::default()));
        login
    }

    /// Reads the owner record and caches the answer. During an outage the cached answer is used.
    async fn refresh(
        &self,
        login: &Arc<Revalidated<OwnerState>>,
        claim: &LoginClaim,
        unowned: Unowned,
        now: Now,
    ) -> Result<ConfirmedOwner, OwnerError> {
        let name = &claim.login;
        let folder = login.state().folder().filter(|it| *it != name).cloned();
        let found = folder::find_or_record(&*self.store, claim, folder, unowned, now);
        let found = within_deadline(found).await;
        let now = now.later();
        let answer = found.map(|(folder, file)| OwnerAnswer::new(folder, file, now.mono));
        let verdict = answer.as_ref().map_err(OwnerError::clone);
        let verdict = verdict.and_then(|it| it.verdict(claim));
        if let Err(OwnerError::Reassigned) = verdict {
            tracing::warn!(user = %name, "the login is claimed by an account that doesn't own its folder");
        }
        login.state().record(answer, now.mono);
        match verdict {
            Err(error) if error.is_outage() => {
                let cached = login.state().verdict(claim, now.mono, self.outage_ttl);
                let confirmed = cached.usable().and_then(Result::ok).ok_or(error.clone())?;
                tracing::warn!(user = %name, %error, "can't refresh the owner of the login");
                Ok(confirmed)
            }
            verdict => verdict,
        }
    }
}

/// Awaits `work` on the store for [`STORE_DEADLINE`]; after that the store counts as unavailable.
async fn within_deadline<T>(
    work: impl Future<Output = Result<T, OwnerError>>,
) -> Result<T, OwnerError> {
    let too_slow = || StoreError::unavailable("get", "owner.json", "no answer in time");
    let done = tokio::time::timeout(STORE_DEADLINE, work).await;
    done.unwrap_or_else(|_| Err(too_slow().into()))
}
