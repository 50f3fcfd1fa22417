//! What is known of bearer tokens: each is asked about once, and remembered by its hash.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use moka::sync::Cache;
use tokio::sync::{Mutex as Turns, OwnedMutexGuard, Semaphore, SemaphorePermit};
use tokio::time::timeout;

use super::{Denial, sha256};
use crate::config::{OAuthApp, Secret};
use crate::context::carried;
use crate::github::{Account, GitHubError, Transport};
use crate::now::Now;

/// How long GitHub's yes is taken without asking again.
const ACCEPTED: Duration = Duration::from_secs(5 * 60);

/// How long it stands in while GitHub can't be asked, or somebody else waits for its answer.
const ACCEPTED_MEANWHILE: Duration = Duration::from_secs(3600);

/// How long GitHub's no is remembered.
const REFUSED: Duration = Duration::from_secs(30);

/// How long a token that stands in isn't asked about again while GitHub is away.
const AWAY: Duration = Duration::from_secs(10);

/// Told to wait longer than that, GitHub is asked again all the same.
const MAX_WAIT: Duration = Duration::from_secs(60);

/// Tokens remembered at once, of those that GitHub has accepted and of all others; beyond it the least used are
/// forgotten.
const MAX_TOKENS: u64 = 10_000;

/// Questions to GitHub at once about what it hasn't accepted before: whoever sends made-up tokens must not use up
/// the machine's connections.
const MAX_QUESTIONS: usize = 64;

/// Questions at once about tokens that it has, which made-up ones don't use up.
const MAX_KNOWN: usize = 16;

/// Codes of sign-ins turned in at once.
const MAX_CODES: usize = 64;

/// How long a question waits for its turn.
const TURN: Duration = Duration::from_secs(5);

/// Refusals of GitHub's a minute, for all who ask together: it soon refuses everything that comes from where tokens
/// are guessed, the good ones included. Beyond that only tokens are asked about that it has accepted before.
const MAX_GUESSES: u32 = 100;

const MINUTE: Duration = Duration::from_secs(60);

/// Why a token opens nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TokenRefusal {
    /// GitHub doesn't know it.
    Unknown,
    /// It was given to another app, whose operator could use it here.
    Foreign,
}

/// Everything known of tokens.
pub(super) struct Tokens {
    /// Those that GitHub has accepted, and not refused since.
    accepted: Cache<[u8; 32], Arc<Slot>>,
    /// All others.
    others: Cache<[u8; 32], Arc<Slot>>,
    asker: Arc<Asker>,
}

/// Who asks GitHub.
struct Asker {
    transport: Arc<Transport>,
    app: Option<OAuthApp>,
    questions: Semaphore,
    known: Semaphore,
    codes: Semaphore,
    guesses: Mutex<Option<Guesses>>,
}

/// Tokens that GitHub refused, in a minute that begins with the first.
struct Guesses {
    began: Instant,
    count: u32,
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tokens")
    }
}

#[derive(Default)]
struct Slot {
    memory: RwLock<Memory>,
    /// Held by who asks GitHub; the others wait for the answer, unless an older one will do.
    asking: Arc<Turns<()>>,
}

/// What is known of one token.
#[derive(Default)]
struct Memory {
    accepted: Option<(Arc<Account>, Instant)>,
    refused: Option<(TokenRefusal, Instant)>,
    /// GitHub couldn't be asked, and isn't until then.
    away: Option<(GitHubError, Instant)>,
}

type Verdict = Result<Arc<Account>, Denial>;

impl Memory {
    /// What follows from it, or `None`: ask.
    fn verdict(&self, now: Instant) -> Option<Verdict> {
        let age = |at: &Instant| now.saturating_duration_since(*at);
        if let Some(account) = self.accepted_within(ACCEPTED, now) {
            return Some(Ok(account));
        }
        if let Some((refusal, at)) = &self.refused
            && age(at) < REFUSED
        {
            return Some(Err((*refusal).into()));
        }
        let (error, until) = self.away.as_ref()?;
        if now > *until {
            return None;
        }
        let meanwhile = self.accepted_within(ACCEPTED_MEANWHILE, now);
        Some(meanwhile.ok_or_else(|| error.clone().into()))
    }

    fn accepted_within(&self, age: Duration, now: Instant) -> Option<Arc<Account>> {
        let (account, at) = self.accepted.as_ref()?;
        let young = now.saturating_duration_since(*at) < age;
        young.then(|| Arc::clone(account))
    }

    fn learn(&mut self, answer: Result<Result<Account, TokenRefusal>, GitHubError>, now: Instant) {
        match answer {
            Ok(Ok(account)) => {
                *self = Self {
                    accepted: Some((Arc::new(account), now)),
                    ..Self::default()
                };
            }
            Ok(Err(refusal)) => {
                *self = Self {
                    refused: Some((refusal, now)),
                    ..Self::default()
                };
            }
            Err(error) => {
                let wait = match &error {
                    GitHubError::Limited { retry_after } => (*retry_after).min(MAX_WAIT),
                    _ if self.accepted.is_some() => AWAY,
                    // Only for those who have waited for this answer.
                    _ => Duration::ZERO,
                };
                self.away = Some((error, now + wait));
            }
        }
    }
}

impl Slot {
    fn verdict(&self, now: Instant) -> Option<Verdict> {
        let memory = self.memory.read();
        memory.unwrap_or_else(PoisonError::into_inner).verdict(now)
    }

    /// What will do while GitHub is asked, and whether it couldn't be the last time.
    fn meanwhile(&self, now: Instant) -> Option<(Arc<Account>, bool)> {
        let memory = self.memory.read().unwrap_or_else(PoisonError::into_inner);
        let account = memory.accepted_within(ACCEPTED_MEANWHILE, now)?;
        Some((account, memory.away.is_some()))
    }

    fn was_accepted(&self) -> bool {
        let memory = self.memory.read().unwrap_or_else(PoisonError::into_inner);
        memory.accepted.is_some()
    }

    /// Asks, remembers what GitHub says, and then lets the others go on.
    async fn find_out(
        &self,
        _asking: OwnedMutexGuard<()>,
        asker: &Asker,
        token: &Secret,
        now: Now,
    ) -> Verdict {
        let answer = asker.ask(token, self.was_accepted(), now.mono).await;
        let mut memory = self.memory.write().unwrap_or_else(PoisonError::into_inner);
        memory.learn(answer, now.later().mono);
        let verdict = memory.verdict(now.mono);
        verdict.unwrap_or(Err(Denial::TokenInvalid))
    }
}

impl Tokens {
    /// `app` is the one whose tokens are taken besides people's own.
    pub(super) fn new(transport: Arc<Transport>, app: Option<OAuthApp>) -> Self {
        Self {
            accepted: Cache::new(MAX_TOKENS),
            others: Cache::new(MAX_TOKENS),
            asker: Arc::new(Asker {
                transport,
                app,
                questions: Semaphore::new(MAX_QUESTIONS),
                known: Semaphore::new(MAX_KNOWN),
                codes: Semaphore::new(MAX_CODES),
                guesses: Mutex::default(),
            }),
        }
    }

    /// One of the codes that may be turned in at once.
    pub(super) async fn turn(&self) -> Result<SemaphorePermit<'_>, GitHubError> {
        turn(&self.asker.codes).await
    }

    /// Whose the token is. Asks GitHub when that isn't known; requests that come meanwhile share the
    /// answer.
    pub(super) async fn whose(&self, token: &str, now: Now) -> Verdict {
        let hash = sha256(token);
        let known = self.accepted.get(&hash);
        if let Some(verdict) = known.as_ref().and_then(|slot| slot.verdict(now.mono)) {
            return verdict;
        }
        let slot = known.unwrap_or_else(|| self.others.get_with(hash, Arc::default));
        if let Some(verdict) = slot.verdict(now.mono) {
            return verdict;
        }
        // Boxed, so that what is rare doesn't make every request's future larger.
        let verdict = Box::pin(self.find_out(Arc::clone(&slot), token, now)).await;
        match slot.was_accepted() {
            true => self.accepted.insert(hash, slot),
            false => self.accepted.invalidate(&hash),
        }
        verdict
    }

    /// An answer that isn't too old will do while somebody else waits for GitHub. After a question that
    /// failed nobody waits for the next one.
    async fn find_out(&self, slot: Arc<Slot>, token: &str, now: Now) -> Verdict {
        let meanwhile = slot.meanwhile(now.mono);
        let asking = match (&meanwhile, Arc::clone(&slot.asking).try_lock_owned()) {
            (_, Ok(asking)) => asking,
            (Some((account, _)), Err(_)) => return Ok(Arc::clone(account)),
            (None, Err(_)) => Arc::clone(&slot.asking).lock_owned().await,
        };
        if let Some(verdict) = slot.verdict(now.mono) {
            return verdict;
        }
        let (asker, token) = (Arc::clone(&self.asker), Secret::new(token.to_owned()));
        let question = async move { slot.find_out(asking, &asker, &token, now).await };
        match meanwhile {
            Some((account, true)) => {
                tokio::spawn(carried(question));
                Ok(account)
            }
            _ => question.await,
        }
    }
}

impl Asker {
    /// Those of this minute.
    fn guesses(&self, now: Instant) -> MutexGuard<'_, Option<Guesses>> {
        let mut guesses = self.guesses.lock().unwrap_or_else(PoisonError::into_inner);
        let over = |it: &Guesses| now.saturating_duration_since(it.began) >= MINUTE;
        if guesses.as_ref().is_some_and(over) {
            *guesses = None;
        }
        guesses
    }

    fn may_guess(&self, now: Instant) -> Result<(), GitHubError> {
        match &*self.guesses(now) {
            Some(guesses) if guesses.count >= MAX_GUESSES => Err(GitHubError::Unavailable {
                operation: "whose a token is",
                reason: format!("{MAX_GUESSES} unknown tokens were sent within a minute"),
            }),
            _ => Ok(()),
        }
    }

    fn was_refused(&self, now: Instant) {
        let mut guesses = self.guesses(now);
        let first = Guesses {
            began: now,
            count: 0,
        };
        guesses.get_or_insert(first).count += 1;
    }

    /// Whose the token is. What GitHub needn't be asked about is no guess, and one that it has accepted before isn't
    /// held back because others guess.
    async fn ask(
        &self,
        token: &Secret,
        was_accepted: bool,
        now: Instant,
    ) -> Result<Result<Account, TokenRefusal>, GitHubError> {
        let app = match self.issuer(token.reveal()) {
            Issuer::Person => None,
            Issuer::Nobody => return Ok(Err(TokenRefusal::Unknown)),
            Issuer::SomeApp(None) => return Ok(Err(TokenRefusal::Foreign)),
            Issuer::SomeApp(Some(app)) => Some(app),
        };
        let _turn = match was_accepted {
            true => turn(&self.known).await?,
            false => {
                self.may_guess(now)?;
                let turn = turn(&self.questions).await?;
                // Others may have guessed meanwhile.
                self.may_guess(now)?;
                turn
            }
        };
        let answer = self.ask_github(token, app).await;
        if let Ok(Err(_)) = answer {
            self.was_refused(now);
        }
        answer
    }

    async fn ask_github(
        &self,
        token: &Secret,
        app: Option<&OAuthApp>,
    ) -> Result<Result<Account, TokenRefusal>, GitHubError> {
        if let Some(app) = app
            && !self.transport.is_of_app(app, token).await?
        {
            return Ok(Err(TokenRefusal::Foreign));
        }
        let account = self.transport.account(token).await?;
        Ok(account.ok_or(TokenRefusal::Unknown))
    }

    /// By GitHub's prefixes. A token without one may be an app's from before there were prefixes.
    fn issuer(&self, token: &str) -> Issuer<'_> {
        let begins = |prefixes: &[&str]| prefixes.iter().any(|it| token.starts_with(it));
        if begins(&["ghp_", "github_pat_"]) {
            Issuer::Person
        } else if begins(&["ghs_", "ghr_"]) {
            Issuer::Nobody
        } else {
            Issuer::SomeApp(self.app.as_ref())
        }
    }
}

async fn turn(turns: &Semaphore) -> Result<SemaphorePermit<'_>, GitHubError> {
    let turn = timeout(TURN, turns.acquire()).await;
    turn.ok().and_then(Result::ok).ok_or_else(|| {
        let reason = "too much is asked at once".to_owned();
        let operation = "whose a token or a code is";
        GitHubError::Unavailable { operation, reason }
    })
}

/// Who made a token.
enum Issuer<'a> {
    /// A person for themselves.
    Person,
    /// An app, for who signed in there; with the one that it must be.
    SomeApp(Option<&'a OAuthApp>),
    /// It stands for no person.
    Nobody,
}
