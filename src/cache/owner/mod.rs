//! Which account owns a user name (src/cache/README.md, "The owner record"). A login may be released and taken by
//! another account, which must not get access to the first one's tasks.

mod file;
mod folder;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Mutex;

use super::CacheInner;
use super::memory::UserRecord;
use super::snapshot::Snapshot;
use crate::context::in_request_context;
use crate::now::Now;
use crate::store::{BlobKey, BlobStore, Put, PutIf, PutOutcome, StoreError};
use crate::user::UserId;

pub use file::{AccountIdentity, OwnerFile};
pub use folder::{folders, spellings};

use folder::OwnerFolder;

/// Why a claim to a user name is denied, or can't be checked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum OwnerError {
    /// The name belongs to another account.
    #[error("the name belongs to another account")]
    Reassigned,
    /// The user has signed out since the session began.
    #[error("the session was ended")]
    SessionEnded,
    /// A newer version of the service wrote `owner.json`.
    #[error("owner.json has a newer format")]
    NewerFormat,
    /// `owner.json` can't be parsed.
    #[error("owner.json can't be read")]
    Unreadable,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store didn't answer within 10 s.
    #[error("the store took too long")]
    TimedOut,
    /// Each of five compare-and-swaps was lost to another writer.
    #[error("others kept changing owner.json")]
    Contended,
}

/// An authenticated identity's claim to a login, to be checked against `owner.json`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoginClaim {
    /// The account's login at present.
    pub login: UserId,
    /// The authenticated account.
    pub identity: AccountIdentity,
    /// Generation of the session that authenticated it; `None` if it wasn't a session.
    pub session: Option<u64>,
}

/// A claim that was confirmed.
#[derive(Debug, Clone)]
pub struct ConfirmedOwner {
    /// The user whose files the account owns: the login, possibly in another letter case.
    pub user: UserId,
    /// The user's snapshot, if the claim was confirmed from memory, so that a read needn't look it up again.
    pub known: Option<Arc<Snapshot>>,
    /// Generation for a session that begins now.
    pub session_generation: u64,
}

/// Up to this age a cached answer is used as it is. `owner.json` is changed by an operator, or by a sign-out at another
/// instance.
const FRESH_FOR: Duration = Duration::from_secs(10 * 60);

/// Up to this age it is used while a refresh runs in the background (stale-while-revalidate); after it requests wait.
/// This bounds how long a session that was ended at another instance stays valid here.
const MAX_STALENESS: Duration = Duration::from_secs(20 * 60);

/// TTL of the answer that another account owns the name: short, so that an operator's correction takes effect soon.
const REASSIGNED_TTL: Duration = Duration::from_secs(30);

/// Up to this age a cached answer is used during an outage of the store, or longer, see [`outage_ttl`].
const MIN_OUTAGE_TTL: Duration = Duration::from_secs(3 * 3600);

/// For this time after a failure an aged answer is used without waiting for a refresh.
const RECENT_FAILURE: Duration = Duration::from_secs(60);

/// For this time after a failure a cached answer is used without a refresh.
const OUTAGE_RETRY_DELAY: Duration = Duration::from_secs(10);

/// TTL of a failure if there is no usable answer; clients get it as their retry-after.
const FAILURE_TTL: Duration = Duration::from_secs(2);

/// Attempts of the compare-and-swap of `owner.json`.
const ATTEMPTS: usize = 5;

/// After this time without an answer the store counts as unavailable.
const STORE_DEADLINE: Duration = Duration::from_secs(10);

/// How long a cached answer may be needed during an outage. A stale week is served for `stale_if_error`, and its owner
/// must be known as long.
pub(super) fn outage_ttl(stale_if_error: Duration) -> Duration {
    MIN_OUTAGE_TTL.max(stale_if_error.saturating_add(FRESH_FOR))
}

/// What this instance knows of a user name's owner.
#[derive(Debug, Default, Clone)]
pub(super) struct OwnerState {
    cached: Option<CachedOwner>,
    /// The last refresh's failure. Boxed, since it is rare and every user's record would be larger.
    failed: Option<Box<(OwnerError, Instant)>>,
    /// Single flight: held during a refresh; others wait for it or use the cached answer.
    refresh_lock: Arc<Mutex<()>>,
}

/// The store's last answer.
#[derive(Debug, Clone)]
struct CachedOwner {
    identity: AccountIdentity,
    session_generation: u64,
    /// The user's folder, if it isn't spelled as the login is.
    folder: Option<Box<UserId>>,
    at: Instant,
}

/// Result of checking a claim against the cached answer.
enum OwnerLookup {
    /// Valid as it is.
    Fresh(Result<ConfirmedOwner, OwnerError>),
    /// Valid for this request, but due for a refresh in the background.
    Stale(ConfirmedOwner),
}

impl OwnerState {
    /// Checks `claim` against the cached answer; `None` if the store has to be asked.
    fn check(&self, claim: &LoginClaim, now: Instant, outage_ttl: Duration) -> Option<OwnerLookup> {
        let failed = |within| self.failed.as_ref().filter(|it| age(it.1, now) < within);
        match &self.cached {
            Some(cached)
                if cached.identity != claim.identity && age(cached.at, now) < REASSIGNED_TTL =>
            {
                return Some(OwnerLookup::Fresh(Err(OwnerError::Reassigned)));
            }
            Some(cached)
                if cached.identity == claim.identity && age(cached.at, now) < outage_ttl =>
            {
                let confirmed = cached.to_confirmed(&claim.login);
                let known = confirmed.session_generation;
                if claim.session.is_some_and(|session| session < known) {
                    return Some(OwnerLookup::Fresh(Err(OwnerError::SessionEnded)));
                }
                // A session of a higher generation than the cached one proves that the cache is outdated.
                let is_outdated = claim.session.is_some_and(|session| session > known);
                let age = age(cached.at, now);
                if failed(OUTAGE_RETRY_DELAY).is_some() || age < FRESH_FOR && !is_outdated {
                    return Some(OwnerLookup::Fresh(Ok(confirmed)));
                }
                if (failed(RECENT_FAILURE).is_some() || age < MAX_STALENESS) && !is_outdated {
                    return Some(OwnerLookup::Stale(confirmed));
                }
                return None;
            }
            _ => {}
        }
        let failed = failed(FAILURE_TTL)?;
        Some(OwnerLookup::Fresh(Err(failed.0.clone())))
    }

    fn record_answer(&mut self, answer: Result<CachedOwner, OwnerError>, now: Instant) {
        match answer {
            Ok(cached) => {
                self.cached = Some(cached);
                self.failed = None;
            }
            Err(error) => {
                // The store has answered, so the earlier answer doesn't hold any more.
                if !error.is_outage() {
                    self.cached = None;
                }
                self.failed = Some(Box::new((error, now)));
            }
        }
    }

    /// Raises the cached session generation if `folder` is the one cached for `login`. Returns whether it did.
    fn record_session_end(&mut self, folder: &UserId, login: &UserId, generation: u64) -> bool {
        let cached = self.cached.as_mut();
        let cached = cached.filter(|it| it.folder.as_deref().unwrap_or(login) == folder);
        let Some(cached) = cached.filter(|it| it.session_generation < generation) else {
            return false;
        };
        cached.session_generation = generation;
        true
    }

    /// Size of what it points to, in bytes.
    pub(super) fn weight(&self) -> usize {
        let names = self.cached.as_ref().map_or(0, |cached| {
            let folder = cached.folder.as_ref().map_or(0, |_| size_of::<UserId>());
            folder
                + match &cached.identity {
                    AccountIdentity::Other { provider, subject } => provider.len() + subject.len(),
                    AccountIdentity::GitHub { .. } => 0,
                }
        });
        names + size_of::<Mutex<()>>() + 2 * size_of::<usize>()
    }
}

impl CachedOwner {
    fn to_confirmed(&self, login: &UserId) -> ConfirmedOwner {
        ConfirmedOwner {
            user: self.folder.as_deref().unwrap_or(login).clone(),
            known: None,
            session_generation: self.session_generation,
        }
    }
}

impl OwnerError {
    /// Whether the store is unavailable, so that a cached answer may be used instead.
    fn is_outage(&self) -> bool {
        matches!(self, Self::Store(_) | Self::TimedOut | Self::Contended)
    }
}

fn age(at: Instant, now: Instant) -> Duration {
    now.saturating_duration_since(at)
}

impl CacheInner {
    /// Confirms `claim`, from the cached answer if that is recent enough. The first account to claim a name gets it.
    pub(super) async fn confirm_owner(
        self: &Arc<Self>,
        claim: &LoginClaim,
        now: Now,
    ) -> Result<ConfirmedOwner, OwnerError> {
        match self.cached_owner(claim, now) {
            Some(OwnerLookup::Fresh(verdict)) => verdict,
            Some(OwnerLookup::Stale(confirmed)) => {
                self.refresh_in_background(claim, now);
                Ok(confirmed)
            }
            // Boxed, so that this rare case doesn't enlarge every request's future.
            None => Box::pin(self.fetch_owner(claim, now)).await,
        }
    }

    /// The same, always by a read of the store.
    pub(super) async fn reconfirm_owner(
        &self,
        claim: &LoginClaim,
        now: Now,
    ) -> Result<ConfirmedOwner, OwnerError> {
        let lock = self.refresh_lock(&claim.login);
        let _guard = lock.lock().await;
        self.load_owner(claim, now).await
    }

    /// Ends all sessions up to the claim's generation, in each of the account's folders for the login.
    pub(super) async fn end_sessions(&self, claim: &LoginClaim) -> Result<(), OwnerError> {
        let ended = async {
            let lock = self.refresh_lock(&claim.login);
            // A refresh begun before must not overwrite what is recorded below.
            let _guard = lock.lock().await;
            let ended = end_in_all_folders(&*self.store, claim).await?;
            for (user, generation) in ended {
                for login in [&claim.login, &user] {
                    self.memory.update(login, |known| {
                        known
                            .owner
                            .record_session_end(&user, login, generation)
                            .then_some(())
                    });
                }
            }
            Ok(())
        };
        let ended = tokio::time::timeout(STORE_DEADLINE, ended);
        ended.await.unwrap_or(Err(OwnerError::TimedOut))
    }

    /// Whether the cached answer shows that the claim's session was ended.
    pub(super) fn is_session_ended(&self, claim: &LoginClaim) -> bool {
        let known = self.memory.known(&claim.login);
        let cached = known.as_ref().and_then(|it| it.owner.cached.as_ref());
        cached
            .zip(claim.session)
            .is_some_and(|(cached, session)| session < cached.session_generation)
    }

    fn cached_owner(&self, claim: &LoginClaim, now: Now) -> Option<OwnerLookup> {
        let outage_ttl = outage_ttl(self.settings.stale_if_error);
        let known = self.memory.known(&claim.login)?;
        let mut outcome = known.owner.check(claim, now.mono, outage_ttl)?;
        if let OwnerLookup::Fresh(Ok(confirmed)) | OwnerLookup::Stale(confirmed) = &mut outcome
            && confirmed.user == claim.login
        {
            confirmed.known.clone_from(&known.entry);
        }
        Some(outcome)
    }

    fn refresh_lock(&self, login: &UserId) -> Arc<Mutex<()>> {
        let lock = |known: &UserRecord| Arc::clone(&known.owner.refresh_lock);
        match self.memory.known(login) {
            Some(known) => lock(&known),
            None => self
                .memory
                .update(login, |known| Some(lock(known)))
                .unwrap_or_default(),
        }
    }

    async fn fetch_owner(
        &self,
        claim: &LoginClaim,
        now: Now,
    ) -> Result<ConfirmedOwner, OwnerError> {
        let lock = self.refresh_lock(&claim.login);
        let _guard = lock.lock().await;
        match self.cached_owner(claim, now) {
            Some(OwnerLookup::Fresh(verdict)) => verdict,
            Some(OwnerLookup::Stale(confirmed)) => Ok(confirmed),
            None => self.load_owner(claim, now).await,
        }
    }

    /// Refreshes the cached answer in the background, unless a refresh is running already.
    fn refresh_in_background(self: &Arc<Self>, claim: &LoginClaim, now: Now) {
        let Ok(guard) = self.refresh_lock(&claim.login).try_lock_owned() else {
            return;
        };
        let (inner, claim) = (Arc::clone(self), claim.clone());
        tokio::spawn(in_request_context(async move {
            if let Err(error @ (OwnerError::NewerFormat | OwnerError::Unreadable)) =
                inner.load_owner(&claim, now).await
            {
                tracing::warn!(user = %claim.login, %error, "can't refresh the owner of the login");
            }
            drop(guard);
        }));
    }

    /// Reads the owner record and caches the answer. During an outage the cached answer is used.
    async fn load_owner(&self, claim: &LoginClaim, now: Now) -> Result<ConfirmedOwner, OwnerError> {
        let login = &claim.login;
        let known = self.memory.known(login);
        let folder = known.and_then(|it| it.owner.cached.as_ref()?.folder.as_deref().cloned());
        let loaded = tokio::time::timeout(
            STORE_DEADLINE,
            find_or_record(&*self.store, claim, folder, now),
        )
        .await;
        let now = now.later();
        let answer = loaded.unwrap_or(Err(OwnerError::TimedOut));
        let answer = answer.map(|(user, file)| CachedOwner {
            identity: file.identity,
            session_generation: file.session_generation,
            folder: (user != *login).then(|| Box::new(user)),
            at: now.mono,
        });
        let verdict = match &answer {
            Ok(cached) if cached.identity != claim.identity => Err(OwnerError::Reassigned),
            // A session that is ahead of the file belongs to an earlier file, since removed.
            Ok(cached)
                if claim
                    .session
                    .is_some_and(|it| it != cached.session_generation) =>
            {
                Err(OwnerError::SessionEnded)
            }
            Ok(cached) => Ok(cached.to_confirmed(login)),
            Err(error) => Err(error.clone()),
        };
        if let Err(OwnerError::Reassigned) = verdict {
            tracing::warn!(user = %login, "the login is claimed by an account that doesn't own its folder");
        }
        self.memory.update(login, |known| {
            known.owner.record_answer(answer, now.mono);
            Some(())
        });
        match verdict {
            Err(error) if error.is_outage() => {
                let confirmed = self.outage_fallback(claim, now).ok_or(error.clone())?;
                tracing::warn!(user = %login, %error, "can't refresh the owner of the login");
                Ok(confirmed)
            }
            verdict => verdict,
        }
    }

    /// The cached answer during an outage.
    fn outage_fallback(&self, claim: &LoginClaim, now: Now) -> Option<ConfirmedOwner> {
        match self.cached_owner(claim, now)? {
            OwnerLookup::Fresh(verdict) => verdict.ok(),
            OwnerLookup::Stale(confirmed) => Some(confirmed),
        }
    }
}

/// Finds the user's folder and owner record, writing the record if there is none. `folder` is the folder found the last
/// time, if it isn't spelled as the login is.
async fn find_or_record(
    store: &dyn BlobStore,
    claim: &LoginClaim,
    folder: Option<UserId>,
    now: Now,
) -> Result<(UserId, OwnerFile), OwnerError> {
    let LoginClaim {
        login, identity, ..
    } = claim;
    let mut owned_by_other = None;
    for user in folder.iter().chain([login]) {
        match file::read(store, &BlobKey::owner(user)).await? {
            Some((file, _)) if file.identity == *identity => return Ok((user.clone(), file)),
            Some((file, _)) => owned_by_other = Some((user.clone(), file)),
            None => {}
        }
    }
    // Logins of other providers are case-sensitive.
    let found = match (identity, owned_by_other) {
        (AccountIdentity::GitHub { .. }, _) => folder::find_folder(store, login, identity).await?,
        (AccountIdentity::Other { .. }, Some((user, file))) => OwnerFolder::Recorded(user, file),
        (AccountIdentity::Other { .. }, None) => OwnerFolder::Free(login.clone()),
    };
    match found {
        OwnerFolder::Recorded(user, file) => Ok((user, file)),
        // The session belongs to an owner record that has been removed since.
        OwnerFolder::Free(_) if claim.session.is_some() => Err(OwnerError::SessionEnded),
        OwnerFolder::Free(user) => record_owner(store, user, identity, now).await,
    }
}

/// Writes the owner record of a folder, or reads it if there is one by now.
async fn record_owner(
    store: &dyn BlobStore,
    user: UserId,
    identity: &AccountIdentity,
    now: Now,
) -> Result<(UserId, OwnerFile), OwnerError> {
    let key = BlobKey::owner(&user);
    let new = OwnerFile::new(identity.clone(), now.utc);
    match store.put(&key, owner_put(&new), PutIf::Absent).await?.value {
        PutOutcome::Done(_) => Ok((user, new)),
        // Another instance was faster, or this PUT succeeded and its answer was lost.
        PutOutcome::Refused => match file::read(store, &key).await? {
            Some((file, _)) => Ok((user, file)),
            None => Err(OwnerError::Unreadable),
        },
    }
}

/// Ends the account's sessions in each folder for the login that it owns. Returns those folders with their new session
/// generation.
async fn end_in_all_folders(
    store: &dyn BlobStore,
    claim: &LoginClaim,
) -> Result<Vec<(UserId, u64)>, OwnerError> {
    let mut ended = vec![];
    for user in spellings(store, &claim.login).await? {
        if let Some(generation) = end_in_folder(store, &user, claim).await? {
            ended.push((user, generation));
        }
    }
    Ok(ended)
}

/// Ends the account's sessions in one folder, unless they are ended already. Returns the session generation, or `None`
/// if the account doesn't own the folder.
async fn end_in_folder(
    store: &dyn BlobStore,
    user: &UserId,
    claim: &LoginClaim,
) -> Result<Option<u64>, OwnerError> {
    let key = BlobKey::owner(user);
    for _ in 0..ATTEMPTS {
        let read = file::read(store, &key).await?;
        let Some((file, etag)) = read.filter(|it| it.0.identity == claim.identity) else {
            return Ok(None);
        };
        // Ended already, possibly by a PUT of this call whose answer was lost.
        if claim.session < Some(file.session_generation) {
            return Ok(Some(file.session_generation));
        }
        let ended = file.with_sessions_ended();
        let written = store
            .put(&key, owner_put(&ended), PutIf::Same(etag))
            .await?;
        if let PutOutcome::Done(_) = written.value {
            return Ok(Some(ended.session_generation));
        }
    }
    Err(OwnerError::Contended)
}

fn owner_put(file: &OwnerFile) -> Put {
    Put {
        bytes: file.to_bytes().into(),
        ..Put::default()
    }
}
