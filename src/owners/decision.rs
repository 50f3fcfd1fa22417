//! What a cached or a new answer of the store means for a claim to a login. Pure: the time is an argument.

use std::time::{Duration, Instant};

use super::file::{AccountIdentity, OwnerError, OwnerFile};
use crate::revalidated::Freshness;
use crate::store::BlobUpdate;
use crate::user::UserId;

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

/// How long a cached answer may be needed during an outage. A stale week is served for `stale_if_error`, and its owner
/// must be known as long.
pub fn outage_ttl(stale_if_error: Duration) -> Duration {
    MIN_OUTAGE_TTL.max(stale_if_error.saturating_add(FRESH_FOR))
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfirmedOwner {
    /// The user whose files the account owns: the login, possibly in another letter case.
    pub user: UserId,
    /// Generation for a session that begins now.
    pub session_generation: u64,
}

/// The store's answer to who owns a login.
#[derive(Debug, Clone)]
pub struct OwnerAnswer {
    /// The account that owns the folder.
    pub identity: AccountIdentity,
    /// The user's folder: the login, possibly in another letter case.
    pub folder: UserId,
    /// Sessions of a lower generation are ended.
    pub session_generation: u64,
    /// When the store answered.
    pub at: Instant,
}

/// What an instance knows of a login's owner.
#[derive(Debug, Default, Clone)]
pub struct OwnerState {
    /// The store's last answer.
    answer: Option<OwnerAnswer>,
    /// The last refresh's failure. Boxed, since it is rare and every login's record would be larger.
    failed: Option<Box<(OwnerError, Instant)>>,
}

impl OwnerAnswer {
    /// The answer that this record of `folder` gives at `at`.
    pub fn new(folder: UserId, file: OwnerFile, at: Instant) -> Self {
        Self {
            identity: file.identity,
            folder,
            session_generation: file.session_generation,
            at,
        }
    }

    /// What the answer, just received, means for the claim.
    ///
    /// # Errors
    /// [`OwnerError::Reassigned`] and [`OwnerError::SessionEnded`].
    pub fn verdict(&self, claim: &LoginClaim) -> Result<ConfirmedOwner, OwnerError> {
        // A session that is ahead of the file belongs to an earlier file, since removed.
        let is_current = |session| session == self.session_generation;
        if self.identity != claim.identity {
            Err(OwnerError::Reassigned)
        } else if claim.session.is_none_or(is_current) {
            Ok(self.confirmed())
        } else {
            Err(OwnerError::SessionEnded)
        }
    }

    fn confirmed(&self) -> ConfirmedOwner {
        ConfirmedOwner {
            user: self.folder.clone(),
            session_generation: self.session_generation,
        }
    }
}

impl OwnerState {
    /// What the state says to the claim at `now`. `outage_ttl` is the highest age of an answer that is used.
    pub fn verdict(
        &self,
        claim: &LoginClaim,
        now: Instant,
        outage_ttl: Duration,
    ) -> Freshness<Result<ConfirmedOwner, OwnerError>> {
        let usable = self.answer.as_ref().filter(|it| {
            let ttl = match it.identity == claim.identity {
                true => outage_ttl,
                false => REASSIGNED_TTL,
            };
            age(it.at, now) < ttl
        });
        let Some(answer) = usable else {
            // No answer can stand in for a store that has just failed.
            let failed = self.failed_within(FAILURE_TTL, now);
            return failed.map_or(Freshness::Expired, |it| Freshness::Fresh(Err(it.clone())));
        };
        if answer.identity != claim.identity {
            return Freshness::Fresh(Err(OwnerError::Reassigned));
        }
        if self.is_session_ended(claim) {
            return Freshness::Fresh(Err(OwnerError::SessionEnded));
        }
        let failed = |within| self.failed_within(within, now).is_some();
        // A session of a higher generation than the cached one proves that the answer is outdated.
        let is_outdated = claim.session > Some(answer.session_generation);
        let age = age(answer.at, now);
        if failed(OUTAGE_RETRY_DELAY) || age < FRESH_FOR && !is_outdated {
            Freshness::Fresh(Ok(answer.confirmed()))
        } else if (failed(RECENT_FAILURE) || age < MAX_STALENESS) && !is_outdated {
            Freshness::Stale(Ok(answer.confirmed()))
        } else {
            Freshness::Expired
        }
    }

    /// Whether the cached answer shows that the claim's session was ended.
    pub fn is_session_ended(&self, claim: &LoginClaim) -> bool {
        let ended = |answer: &OwnerAnswer| {
            claim
                .session
                .is_some_and(|it| it < answer.session_generation)
        };
        self.answer.as_ref().is_some_and(ended)
    }

    /// The user's folder by the last answer.
    pub fn folder(&self) -> Option<&UserId> {
        self.answer.as_ref().map(|it| &it.folder)
    }

    /// Records an answer, or a failure, that arrived at `now`.
    pub fn record(&mut self, answer: Result<OwnerAnswer, OwnerError>, now: Instant) {
        match answer {
            Ok(answer) => {
                self.answer = Some(answer);
                self.failed = None;
            }
            Err(error) => {
                // The store has answered, so the earlier answer doesn't hold any more.
                if !error.is_outage() {
                    self.answer = None;
                }
                self.failed = Some(Box::new((error, now)));
            }
        }
    }

    /// Raises the cached session generation if the answer is about `folder`. Returns whether it did.
    pub fn record_session_end(&mut self, folder: &UserId, generation: u64) -> bool {
        let answer = self.answer.as_mut().filter(|it| it.folder == *folder);
        let Some(answer) = answer.filter(|it| it.session_generation < generation) else {
            return false;
        };
        answer.session_generation = generation;
        true
    }

    fn failed_within(&self, within: Duration, now: Instant) -> Option<&OwnerError> {
        let (error, at) = self.failed.as_deref()?;
        (age(*at, now) < within).then_some(error)
    }
}

/// What ends the claim's sessions in a folder with this owner record. Hands on the session generation, or `None` if the
/// account doesn't own the folder.
pub fn session_end(file: Option<OwnerFile>, claim: &LoginClaim) -> BlobUpdate<Option<u64>> {
    let Some(file) = file.filter(|it| it.identity == claim.identity) else {
        return BlobUpdate::Keep(None);
    };
    // Ended already, possibly by a PUT of this call whose answer was lost.
    if claim.session < Some(file.session_generation) {
        return BlobUpdate::Keep(Some(file.session_generation));
    }
    let ended = file.with_sessions_ended();
    BlobUpdate::Write(ended.to_bytes().into(), Some(ended.session_generation))
}

fn age(at: Instant, now: Instant) -> Duration {
    now.saturating_duration_since(at)
}
