//! Which account a user's name stands for (src/cache/README.md, "The owner record"). A login may be given up and
//! taken by another account, which must not find the first one's tasks.

mod file;
mod spelling;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Mutex;

use super::Inner;
use super::entry::Entry;
use super::memory::Known;
use crate::context::carried;
use crate::now::Now;
use crate::store::{BlobStore, Key, Put, PutIf, StoreError, Written};
use crate::user::UserId;

pub use file::{Holder, OwnerFile};
pub use spelling::{folders, spellings};

use spelling::Folder;

/// Why somebody isn't taken for the user.
#[derive(Debug, Clone, thiserror::Error)]
pub enum OwnerError {
    /// The name belongs to another account.
    #[error("the name belongs to another account")]
    Reassigned,
    /// The person has signed out since the session began.
    #[error("the session was ended")]
    SessionEnded,
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
    /// Others changed the file each time.
    #[error("others kept changing owner.json")]
    Contended,
}

/// An identity that was proven, to be held against `owner.json`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// What the provider calls them now.
    pub login: UserId,
    /// Who they are.
    pub holder: Holder,
    /// The generation of the session that proves it; none where something else does.
    pub session: Option<u64>,
}

/// What the store says of it.
#[derive(Debug, Clone)]
pub struct Confirmed {
    /// Whose files are theirs: the login, or the same login in another letter case.
    pub user: UserId,
    /// What memory had of those where it had the answer, too, so that a read needn't look there again.
    pub known: Option<Arc<Entry>>,
    /// The generation of a session that begins now.
    pub session_generation: u64,
}

/// How long an answer of the store is taken without asking again. An operator changes it, or a person who signs out
/// at another instance.
const REMEMBERED: Duration = Duration::from_secs(10 * 60);

/// How long it is taken while the store is asked again and nobody waits. After that who comes waits for the answer:
/// so long at most a session goes on at an instance where it wasn't ended.
const BOUND: Duration = Duration::from_secs(20 * 60);

/// How long it is remembered for somebody else, so that an operator who mends it needn't wait.
const REMEMBERED_AGAINST: Duration = Duration::from_secs(30);

/// How long an older answer is still taken while the store can't be asked. It is longer where the last known week
/// stands in for longer.
const STANDS_IN: Duration = Duration::from_secs(3 * 3600);

/// For so long after a failure nobody waits for the next answer: longer, and the store may be well again.
const RECENTLY: Duration = Duration::from_secs(60);

/// How long the store isn't asked again about somebody whom an older answer lets in.
const AWAY: Duration = Duration::from_secs(10);

/// How long a failure is told to everybody who asks: clients are told to come back after that.
const FAILED: Duration = Duration::from_secs(2);

/// So often the file is read and written anew where others write it, too.
const ATTEMPTS: usize = 5;

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
    said: Option<Said>,
    // Rare, so it isn't to make what is kept of everybody larger.
    failed: Option<Box<(OwnerError, Instant)>>,
    /// Held by who asks the store; the others wait for the answer, or do with what is known.
    asking: Arc<Mutex<()>>,
}

/// What the store said.
#[derive(Debug, Clone)]
struct Said {
    holder: Holder,
    session_generation: u64,
    /// Where it isn't spelled as the login is.
    folder: Option<Box<UserId>>,
    at: Instant,
}

/// What follows from it.
enum Outcome {
    Verdict(Result<Confirmed, OwnerError>),
    /// It is theirs, but somebody should look again.
    Aging(Confirmed),
}

impl Owner {
    fn says(&self, claim: &Claim, now: Instant, stands_in: Duration) -> Option<Outcome> {
        let failed = |within| self.failed.as_ref().filter(|it| age(it.1, now) < within);
        match &self.said {
            Some(said) if said.holder != claim.holder && age(said.at, now) < REMEMBERED_AGAINST => {
                return Some(Outcome::Verdict(Err(OwnerError::Reassigned)));
            }
            Some(said) if said.holder == claim.holder && age(said.at, now) < stands_in => {
                let confirmed = said.confirms(&claim.login);
                let known = confirmed.session_generation;
                if claim.session.is_some_and(|session| session < known) {
                    return Some(Outcome::Verdict(Err(OwnerError::SessionEnded)));
                }
                // A session that began after what is known here says by itself that there is news.
                let is_news = claim.session.is_some_and(|session| session > known);
                let age = age(said.at, now);
                if failed(AWAY).is_some() || age < REMEMBERED && !is_news {
                    return Some(Outcome::Verdict(Ok(confirmed)));
                }
                if (failed(RECENTLY).is_some() || age < BOUND) && !is_news {
                    return Some(Outcome::Aging(confirmed));
                }
                return None;
            }
            _ => {}
        }
        let failed = failed(FAILED)?;
        Some(Outcome::Verdict(Err(failed.0.clone())))
    }

    fn learn(&mut self, answer: Result<Said, OwnerError>, now: Instant) {
        match answer {
            Ok(said) => {
                self.said = Some(said);
                self.failed = None;
            }
            Err(error) => {
                // What is written there now isn't what was.
                if !error.is_outage() {
                    self.said = None;
                }
                self.failed = Some(Box::new((error, now)));
            }
        }
    }

    /// Whether that changes anything: sessions of the folder were ended, and this is what is known of the login.
    fn learn_of_end(&mut self, folder: &UserId, login: &UserId, generation: u64) -> bool {
        let said = self.said.as_mut();
        let said = said.filter(|it| it.folder.as_deref().unwrap_or(login) == folder);
        let Some(said) = said.filter(|it| it.session_generation < generation) else {
            return false;
        };
        said.session_generation = generation;
        true
    }

    /// What it occupies beside itself, in bytes.
    pub(super) fn weight(&self) -> usize {
        let names = self.said.as_ref().map_or(0, |said| {
            let folder = said.folder.as_ref().map_or(0, |_| size_of::<UserId>());
            folder
                + match &said.holder {
                    Holder::Other { provider, subject } => provider.len() + subject.len(),
                    Holder::GitHub { .. } => 0,
                }
        });
        names + size_of::<Mutex<()>>() + 2 * size_of::<usize>()
    }
}

impl Said {
    fn confirms(&self, login: &UserId) -> Confirmed {
        Confirmed {
            user: self.folder.as_deref().unwrap_or(login).clone(),
            known: None,
            session_generation: self.session_generation,
        }
    }
}

impl OwnerError {
    /// The store is away, so that what is known may stand in.
    fn is_outage(&self) -> bool {
        matches!(self, Self::Store(_) | Self::TimedOut | Self::Contended)
    }
}

fn age(at: Instant, now: Instant) -> Duration {
    now.saturating_duration_since(at)
}

impl Inner {
    pub(super) async fn confirm_owner(
        self: &Arc<Self>,
        claim: &Claim,
        now: Now,
    ) -> Result<Confirmed, OwnerError> {
        match self.owner_says(claim, now) {
            Some(Outcome::Verdict(verdict)) => verdict,
            Some(Outcome::Aging(confirmed)) => {
                self.look_again(claim, now);
                Ok(confirmed)
            }
            // Boxed, so that what is rare doesn't make every request's future larger.
            None => Box::pin(self.ask_owner(claim, now)).await,
        }
    }

    /// The same, by what the store says now.
    pub(super) async fn reconfirm_owner(
        &self,
        claim: &Claim,
        now: Now,
    ) -> Result<Confirmed, OwnerError> {
        let asking = self.asking(&claim.login);
        let _asking = asking.lock().await;
        self.ask_store(claim, now).await
    }

    /// Ends the claim's session and every session of the same or an earlier generation, in each folder of the person's
    /// login.
    pub(super) async fn end_sessions(&self, claim: &Claim) -> Result<(), OwnerError> {
        let ended = async {
            let asking = self.asking(&claim.login);
            // An answer from before must not be learnt after this.
            let _asking = asking.lock().await;
            let ended = end_everywhere(&*self.store, claim).await?;
            for (user, generation) in ended {
                for known_as in [&claim.login, &user] {
                    self.memory.change(known_as, |known| {
                        known
                            .owner
                            .learn_of_end(&user, known_as, generation)
                            .then_some(())
                    });
                }
            }
            Ok(())
        };
        let ended = tokio::time::timeout(PATIENCE, ended);
        ended.await.unwrap_or(Err(OwnerError::TimedOut))
    }

    /// Whether it is known here that the claim's session was ended.
    pub(super) fn has_ended(&self, claim: &Claim) -> bool {
        let known = self.memory.known(&claim.login);
        let said = known.as_ref().and_then(|it| it.owner.said.as_ref());
        said.zip(claim.session)
            .is_some_and(|(said, session)| session < said.session_generation)
    }

    fn owner_says(&self, claim: &Claim, now: Now) -> Option<Outcome> {
        let stands_in = stands_in(self.settings.stale_if_error);
        let known = self.memory.known(&claim.login)?;
        let mut outcome = known.owner.says(claim, now.mono, stands_in)?;
        if let Outcome::Verdict(Ok(confirmed)) | Outcome::Aging(confirmed) = &mut outcome
            && confirmed.user == claim.login
        {
            confirmed.known.clone_from(&known.entry);
        }
        Some(outcome)
    }

    fn asking(&self, login: &UserId) -> Arc<Mutex<()>> {
        let asking = |known: &Known| Arc::clone(&known.owner.asking);
        match self.memory.known(login) {
            Some(known) => asking(&known),
            None => self
                .memory
                .change(login, |known| Some(asking(known)))
                .unwrap_or_default(),
        }
    }

    async fn ask_owner(&self, claim: &Claim, now: Now) -> Result<Confirmed, OwnerError> {
        let asking = self.asking(&claim.login);
        let _asking = asking.lock().await;
        match self.owner_says(claim, now) {
            Some(Outcome::Verdict(verdict)) => verdict,
            Some(Outcome::Aging(confirmed)) => Ok(confirmed),
            None => self.ask_store(claim, now).await,
        }
    }

    /// Asks the store while nobody waits, unless somebody does already.
    fn look_again(self: &Arc<Self>, claim: &Claim, now: Now) {
        let Ok(asking) = self.asking(&claim.login).try_lock_owned() else {
            return;
        };
        let (inner, claim) = (Arc::clone(self), claim.clone());
        tokio::spawn(carried(async move {
            if let Err(error @ (OwnerError::NewerFormat | OwnerError::Unreadable)) =
                inner.ask_store(&claim, now).await
            {
                tracing::warn!(user = %claim.login, %error, "can't look again whose the login is");
            }
            drop(asking);
        }));
    }

    /// Asks the store, and remembers what it says. While it is away what it said before stands in.
    async fn ask_store(&self, claim: &Claim, now: Now) -> Result<Confirmed, OwnerError> {
        let login = &claim.login;
        let known = self.memory.known(login);
        let folder = known.and_then(|it| it.owner.said.as_ref()?.folder.as_deref().cloned());
        let asked =
            tokio::time::timeout(PATIENCE, recorded(&*self.store, claim, folder, now)).await;
        let now = now.later();
        let answer = asked.unwrap_or(Err(OwnerError::TimedOut));
        let answer = answer.map(|(user, file)| Said {
            holder: file.holder,
            session_generation: file.session_generation,
            folder: (user != *login).then(|| Box::new(user)),
            at: now.mono,
        });
        let verdict = match &answer {
            Ok(said) if said.holder != claim.holder => Err(OwnerError::Reassigned),
            // One that is ahead of the file is of a file that has been removed.
            Ok(said)
                if claim
                    .session
                    .is_some_and(|it| it != said.session_generation) =>
            {
                Err(OwnerError::SessionEnded)
            }
            Ok(said) => Ok(said.confirms(login)),
            Err(error) => Err(error.clone()),
        };
        if let Err(OwnerError::Reassigned) = verdict {
            tracing::warn!(user = %login, "somebody else's account has this login now");
        }
        self.memory.change(login, |known| {
            known.owner.learn(answer, now.mono);
            Some(())
        });
        match verdict {
            Err(error) if error.is_outage() => {
                let confirmed = self.owner_stands_in(claim, now).ok_or(error.clone())?;
                tracing::warn!(user = %login, %error, "can't look again whose the login is");
                Ok(confirmed)
            }
            verdict => verdict,
        }
    }

    /// What was said before.
    fn owner_stands_in(&self, claim: &Claim, now: Now) -> Option<Confirmed> {
        match self.owner_says(claim, now)? {
            Outcome::Verdict(verdict) => verdict.ok(),
            Outcome::Aging(confirmed) => Some(confirmed),
        }
    }
}

/// Whose the login is by the store, and in which folder, where it is written now unless it was before. `folder` is
/// where it was found the last time, if that isn't spelled as the login is.
async fn recorded(
    store: &dyn BlobStore,
    claim: &Claim,
    folder: Option<UserId>,
    now: Now,
) -> Result<(UserId, OwnerFile), OwnerError> {
    let Claim { login, holder, .. } = claim;
    let mut of_another = None;
    for user in folder.iter().chain([login]) {
        match file::read(store, &Key::owner(user)).await? {
            Some((file, _)) if file.holder == *holder => return Ok((user.clone(), file)),
            Some((file, _)) => of_another = Some((user.clone(), file)),
            None => {}
        }
    }
    // Other providers' names are theirs to the letter.
    let found = match (holder, of_another) {
        (Holder::GitHub { .. }, _) => spelling::find(store, login, holder).await?,
        (Holder::Other { .. }, Some((user, file))) => Folder::Recorded(user, file),
        (Holder::Other { .. }, None) => Folder::Free(login.clone()),
    };
    match found {
        Folder::Recorded(user, file) => Ok((user, file)),
        // A session began when there was a file, which has been removed since.
        Folder::Free(_) if claim.session.is_some() => Err(OwnerError::SessionEnded),
        Folder::Free(user) => record(store, user, holder, now).await,
    }
}

/// Writes whose the folder is, unless that is written there.
async fn record(
    store: &dyn BlobStore,
    user: UserId,
    holder: &Holder,
    now: Now,
) -> Result<(UserId, OwnerFile), OwnerError> {
    let key = Key::owner(&user);
    let new = OwnerFile::new(holder.clone(), now.utc);
    match store.put(&key, put(&new), PutIf::Absent).await?.value {
        Written::Done(_) => Ok((user, new)),
        // Another instance was first, or an answer got lost and it was this one.
        Written::Refused => match file::read(store, &key).await? {
            Some((file, _)) => Ok((user, file)),
            None => Err(OwnerError::Unreadable),
        },
    }
}

/// Ends the person's sessions in each folder of the login that is theirs. Gives the generation that counts in each then.
async fn end_everywhere(
    store: &dyn BlobStore,
    claim: &Claim,
) -> Result<Vec<(UserId, u64)>, OwnerError> {
    let mut ended = vec![];
    for user in spellings(store, &claim.login).await? {
        if let Some(generation) = end(store, &user, claim).await? {
            ended.push((user, generation));
        }
    }
    Ok(ended)
}

/// Ends them in this folder, unless that was done before; `None` where it is somebody else's.
async fn end(
    store: &dyn BlobStore,
    user: &UserId,
    claim: &Claim,
) -> Result<Option<u64>, OwnerError> {
    let key = Key::owner(user);
    for _ in 0..ATTEMPTS {
        let read = file::read(store, &key).await?;
        let Some((file, etag)) = read.filter(|it| it.0.holder == claim.holder) else {
            return Ok(None);
        };
        // Also where an answer got lost and it was this one.
        if claim.session < Some(file.session_generation) {
            return Ok(Some(file.session_generation));
        }
        let ended = file.with_sessions_ended();
        let written = store.put(&key, put(&ended), PutIf::Same(etag)).await?;
        if let Written::Done(_) = written.value {
            return Ok(Some(ended.session_generation));
        }
    }
    Err(OwnerError::Contended)
}

fn put(file: &OwnerFile) -> Put {
    Put {
        bytes: file.to_bytes().into(),
        ..Put::default()
    }
}
