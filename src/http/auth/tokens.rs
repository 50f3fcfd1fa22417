//! What is known of bearer tokens: each is asked about once, and remembered by its hash.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use moka::sync::Cache;
use tokio::sync::{Mutex, Semaphore, SemaphorePermit};
use tokio::time::timeout;

use super::{Denial, sha256};
use crate::config::{OAuthApp, Secret};
use crate::github::{Account, GitHubError, Transport};
use crate::now::Now;

/// How long GitHub's yes is taken without asking again.
const ACCEPTED: Duration = Duration::from_secs(5 * 60);

/// How long it stands in while GitHub can't be asked.
const ACCEPTED_MEANWHILE: Duration = Duration::from_secs(3600);

/// How long GitHub's no is remembered.
const REFUSED: Duration = Duration::from_secs(30);

/// How long a token that stands in isn't asked about again while GitHub is away, so that not every
/// request waits for that.
const AWAY: Duration = Duration::from_secs(10);

/// Told to wait longer than that, GitHub is asked again all the same.
const MAX_WAIT: Duration = Duration::from_secs(60);

/// Tokens remembered at once; beyond it the least used are forgotten.
const MAX_TOKENS: u64 = 10_000;

/// Tokens asked about at once: whoever sends made-up ones must not use up the machine's connections.
const MAX_QUESTIONS: usize = 64;

/// How long a question waits for its turn.
const TURN: Duration = Duration::from_secs(5);

/// Why a token opens nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TokenRefusal {
    /// GitHub doesn't know it.
    Unknown,
    /// It was given to another app, whose operator could use it here.
    Foreign,
}

/// Whose a token is.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) account: Account,
    confirmed: AtomicBool,
}

impl Known {
    /// Whether the login is known to be this account's.
    pub(super) fn is_confirmed(&self) -> bool {
        self.confirmed.load(Ordering::Relaxed)
    }

    pub(super) fn confirm(&self) {
        self.confirmed.store(true, Ordering::Relaxed);
    }
}

/// Everything known of tokens.
pub(super) struct Tokens {
    transport: Arc<Transport>,
    app: Option<OAuthApp>,
    slots: Cache<[u8; 32], Arc<Slot>>,
    questions: Semaphore,
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tokens")
    }
}

#[derive(Default)]
struct Slot {
    memory: RwLock<Memory>,
    /// Held by who asks GitHub; the others wait for the answer.
    asking: Mutex<()>,
}

/// What is known of one token.
#[derive(Default)]
struct Memory {
    accepted: Option<(Arc<Known>, Instant)>,
    refused: Option<(TokenRefusal, Instant)>,
    /// GitHub couldn't be asked, and isn't until then.
    away: Option<(GitHubError, Instant)>,
}

type Verdict = Result<Arc<Known>, Denial>;

impl Memory {
    /// What follows from it, or `None`: ask.
    fn verdict(&self, now: Instant) -> Option<Verdict> {
        let age = |at: &Instant| now.saturating_duration_since(*at);
        let accepted = self.accepted.as_ref();
        if let Some((known, at)) = accepted
            && age(at) < ACCEPTED
        {
            return Some(Ok(Arc::clone(known)));
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
        Some(match accepted {
            Some((known, at)) if age(at) < ACCEPTED_MEANWHILE => Ok(Arc::clone(known)),
            _ => Err(error.clone().into()),
        })
    }

    fn learn(&mut self, answer: Result<Result<Account, TokenRefusal>, GitHubError>, now: Instant) {
        match answer {
            Ok(Ok(account)) => {
                let confirmed = AtomicBool::new(false);
                let known = Arc::new(Known { account, confirmed });
                *self = Self {
                    accepted: Some((known, now)),
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
}

impl Tokens {
    /// `app` is the one whose tokens are taken besides people's own.
    pub(super) fn new(transport: Arc<Transport>, app: Option<OAuthApp>) -> Self {
        Self {
            transport,
            app,
            slots: Cache::new(MAX_TOKENS),
            questions: Semaphore::new(MAX_QUESTIONS),
        }
    }

    /// Whose the token is. Asks GitHub when that isn't known; requests that come meanwhile share the
    /// answer.
    pub(super) async fn whose(&self, token: &str, now: Now) -> Verdict {
        let hash = sha256(token);
        let slot = match self.slots.get(&hash) {
            Some(slot) => slot,
            None => self.slots.get_with(hash, Arc::default),
        };
        match slot.verdict(now.mono) {
            Some(verdict) => verdict,
            // Boxed, so that what is rare doesn't make every request's future larger.
            None => Box::pin(self.find_out(&slot, token, now)).await,
        }
    }

    async fn find_out(&self, slot: &Slot, token: &str, now: Now) -> Verdict {
        let _asking = slot.asking.lock().await;
        if let Some(verdict) = slot.verdict(now.mono) {
            return verdict;
        }
        let answer = self.ask(&Secret::new(token.to_owned())).await;
        let mut memory = slot.memory.write().unwrap_or_else(PoisonError::into_inner);
        memory.learn(answer, now.later().mono);
        memory
            .verdict(now.mono)
            .unwrap_or(Err(Denial::TokenInvalid))
    }

    async fn ask(&self, token: &Secret) -> Result<Result<Account, TokenRefusal>, GitHubError> {
        match self.issuer(token.reveal()) {
            Issuer::Person => {}
            Issuer::Nobody => return Ok(Err(TokenRefusal::Unknown)),
            Issuer::SomeApp(None) => return Ok(Err(TokenRefusal::Foreign)),
            Issuer::SomeApp(Some(app)) => {
                let _turn = self.turn().await?;
                if !self.transport.is_of_app(app, token).await? {
                    return Ok(Err(TokenRefusal::Foreign));
                }
            }
        }
        let _turn = self.turn().await?;
        let account = self.transport.account(token).await?;
        Ok(account.ok_or(TokenRefusal::Unknown))
    }

    async fn turn(&self) -> Result<SemaphorePermit<'_>, GitHubError> {
        let turn = timeout(TURN, self.questions.acquire()).await;
        turn.ok().and_then(Result::ok).ok_or_else(|| {
            let reason = "too many tokens are asked about at once".to_owned();
            let operation = "whose a token is";
            GitHubError::Unavailable { operation, reason }
        })
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

/// Who made a token.
enum Issuer<'a> {
    /// A person for themselves.
    Person,
    /// An app, for who signed in there; with the one that it must be.
    SomeApp(Option<&'a OAuthApp>),
    /// It stands for no person.
    Nobody,
}
