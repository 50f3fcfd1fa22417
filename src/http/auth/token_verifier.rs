//! Verifies bearer tokens with GitHub and caches the outcome: one lookup per token at a time.

use std::cell::LazyCell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use moka::sync::Cache;
use parking_lot::Mutex;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use super::caller::github_claim;
use super::remembered::Remembered;
use crate::codex::MinuteWindow;
use crate::config::{OAuthApp, Secret};
use crate::github::{Account, GitHubError, Transport};
use crate::http::error::ApiError;
use crate::http::error_code::Code;
use crate::http::hash::sha256;
use crate::now::Now;
use crate::owners::LoginClaim;
use crate::revalidated::{Freshness, Revalidated};

/// How long an accepted token needs no new lookup.
const ACCEPTED_TTL: Duration = Duration::from_secs(5 * 60);

/// How long an accepted token stays valid while GitHub is unavailable, or while another request's lookup is in flight.
const STALE_TTL: Duration = Duration::from_secs(3600);

/// How long a rejection is cached.
const REJECTED_TTL: Duration = Duration::from_secs(30);

/// Delay before the next lookup of a stale token after a failed one.
const RETRY_DELAY: Duration = Duration::from_secs(10);

/// Upper bound of GitHub's `Retry-After`: after that time it is asked again in any case.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(60);

/// Capacity of each of the two caches by SHA-256, accepted tokens and all others; beyond it the least used entries are
/// evicted.
const MAX_TOKENS: u64 = 10_000;

/// Concurrent lookups of tokens that GitHub hasn't accepted before: invented tokens must not use up the process's
/// connections.
const MAX_UNKNOWN_LOOKUPS: usize = 64;

/// Concurrent lookups of tokens accepted before, a separate limit so that invented tokens can't starve them.
const MAX_KNOWN_LOOKUPS: usize = 16;

/// How long a lookup or a code exchange waits for a permit.
const PERMIT_TIMEOUT: Duration = Duration::from_secs(5);

/// Rejections per minute and instance. GitHub soon rejects everything from an address that guesses tokens, valid ones
/// included, so beyond this limit only tokens accepted before are looked up.
const MAX_REJECTIONS_PER_MINUTE: u32 = 100;

/// Verifies tokens, with a cache. A cheap handle.
#[derive(Clone)]
pub(super) struct TokenVerifier {
    /// Tokens that were accepted when they came, by their bytes: a request by one of them costs no SHA-256.
    known: Arc<Remembered<Revalidated<BearerTokenState>>>,
    /// Tokens that GitHub has accepted and not rejected since, by their SHA-256.
    accepted: Cache<[u8; 32], Arc<Revalidated<BearerTokenState>>>,
    /// All other tokens. Kept apart, so that invented tokens don't evict accepted ones.
    others: Cache<[u8; 32], Arc<Revalidated<BearerTokenState>>>,
    lookup: Arc<TokenLookup>,
}

/// Looks tokens up at GitHub, within the limits.
struct TokenLookup {
    transport: Arc<Transport>,
    app: Option<OAuthApp>,
    unknown_permits: Semaphore,
    known_permits: Semaphore,
    rejections: Mutex<MinuteWindow>,
}

/// The last outcomes of looking one token up.
#[derive(Default)]
struct BearerTokenState {
    accepted: Option<(Arc<LoginClaim>, Instant)>,
    rejected: Option<(Code, Instant)>,
    /// The last lookup failed; the next one is at this time at the earliest.
    failed: Option<(GitHubError, Instant)>,
}

type TokenVerdict = Result<Arc<LoginClaim>, ApiError>;

/// The inner result is GitHub's verdict, the outer error a lookup without one.
type TokenLookupOutcome = Result<Result<Account, Code>, GitHubError>;

impl BearerTokenState {
    /// The cached verdict. With a stale account a request doesn't wait for another's lookup, and after a failed lookup
    /// not for its own either.
    fn verdict(&self, now: Instant) -> Freshness<TokenVerdict> {
        if let Some(claim) = self.accepted_within(ACCEPTED_TTL, now) {
            return Freshness::Fresh(Ok(claim));
        }
        if let Some((rejection, at)) = &self.rejected
            && now.saturating_duration_since(*at) < REJECTED_TTL
        {
            return Freshness::Fresh(Err((*rejection).into()));
        }
        let stale = self.accepted_within(STALE_TTL, now).map(Ok);
        match (stale, &self.failed) {
            (Some(stale), Some((_, until))) if now <= *until => Freshness::Fresh(stale),
            (Some(stale), Some(_)) => Freshness::Stale(stale),
            (Some(stale), None) => Freshness::StaleForOthers(stale),
            (None, Some((error, until))) if now <= *until => {
                Freshness::Fresh(Err(ApiError::auth_unavailable(error)))
            }
            (None, _) => Freshness::Expired,
        }
    }

    fn accepted_within(&self, ttl: Duration, now: Instant) -> Option<Arc<LoginClaim>> {
        let (claim, at) = self.accepted.as_ref()?;
        let fresh = now.saturating_duration_since(*at) < ttl;
        fresh.then(|| Arc::clone(claim))
    }

    fn record(&mut self, outcome: TokenLookupOutcome, now: Instant) {
        match outcome {
            Ok(verdict) => {
                *self = Self::default();
                match verdict {
                    Ok(account) => {
                        self.accepted = Some((Arc::new(github_claim(&account, None)), now));
                    }
                    Err(rejection) => self.rejected = Some((rejection, now)),
                }
            }
            Err(error) => {
                let wait = match &error {
                    GitHubError::Limited { retry_after } => (*retry_after).min(MAX_RETRY_AFTER),
                    _ if self.accepted.is_some() => RETRY_DELAY,
                    // Nothing to serve stale: only the current followers share the error.
                    _ => Duration::ZERO,
                };
                self.failed = Some((error, now + wait));
            }
        }
    }
}

impl TokenVerifier {
    /// `app` is the OAuth app whose tokens are accepted besides personal ones. Up to `max_bytes` of tokens are remembered.
    pub(super) fn new(transport: Arc<Transport>, app: Option<OAuthApp>, max_bytes: u64) -> Self {
        Self {
            known: Arc::new(Remembered::new(max_bytes)),
            accepted: Cache::new(MAX_TOKENS),
            others: Cache::new(MAX_TOKENS),
            lookup: Arc::new(TokenLookup {
                transport,
                app,
                unknown_permits: Semaphore::new(MAX_UNKNOWN_LOOKUPS),
                known_permits: Semaphore::new(MAX_KNOWN_LOOKUPS),
                rejections: Mutex::default(),
            }),
        }
    }

    /// What the token claims, from the cache or by a lookup at GitHub, which concurrent requests share.
    pub(super) async fn verify(&self, token: &str, now: Now) -> TokenVerdict {
        let cached = self.cached(token);
        let renew = |flight| {
            let (verifier, cached) = (self.clone(), Arc::clone(&cached));
            let token = Secret::new(token.to_owned());
            async move {
                let verdict = verifier.refresh(cached, &token, now).await;
                drop(flight);
                verdict
            }
        };
        cached.get(|state| state.verdict(now.mono), renew).await
    }

    /// What is known of the token; nothing yet, if it is new.
    fn cached(&self, token: &str) -> Arc<Revalidated<BearerTokenState>> {
        let hash = LazyCell::new(|| sha256(token));
        let accepted = || self.accepted.get(&*hash);
        let known = self.known.get(token.as_bytes(), accepted);
        known.unwrap_or_else(|| self.others.get_with(*hash, Arc::default))
    }

    /// Looks the token up and records the outcome.
    async fn refresh(
        &self,
        cached: Arc<Revalidated<BearerTokenState>>,
        token: &Secret,
        now: Now,
    ) -> TokenVerdict {
        let was_accepted = cached.state().accepted.is_some();
        let outcome = self.lookup.run(token, was_accepted, now.mono).await;
        let (verdict, is_accepted) = {
            let mut state = cached.state();
            state.record(outcome, now.later().mono);
            (state.verdict(now.mono).usable(), state.accepted.is_some())
        };
        let hash = sha256(token.reveal());
        match is_accepted {
            true => self.accepted.insert(hash, cached),
            false => self.accepted.invalidate(&hash),
        }
        verdict.unwrap_or_else(|| Err(Code::TokenInvalid.into()))
    }
}

impl TokenLookup {
    fn check_rejection_limit(&self, now: Instant) -> Result<(), GitHubError> {
        let checked = self.rejections.lock().check(MAX_REJECTIONS_PER_MINUTE, now);
        checked.map_err(|_| GitHubError::Unavailable {
            operation: "verifying a token",
            reason: format!("{MAX_REJECTIONS_PER_MINUTE} unknown tokens were sent within a minute"),
        })
    }

    /// Looks the token up. A token rejected by its prefix alone costs no request and doesn't count as a rejection; one
    /// accepted before isn't subject to the rejection limit.
    async fn run(&self, token: &Secret, was_accepted: bool, now: Instant) -> TokenLookupOutcome {
        let app = match self.issuing_app(token.reveal()) {
            Ok(app) => app,
            Err(rejection) => return Ok(Err(rejection)),
        };
        let _permit = match was_accepted {
            true => acquire(&self.known_permits).await?,
            false => {
                self.check_rejection_limit(now)?;
                let permit = acquire(&self.unknown_permits).await?;
                // Other lookups may have been rejected during the wait.
                self.check_rejection_limit(now)?;
                permit
            }
        };
        let outcome = self.request(token, app).await;
        if let Ok(Err(_)) = outcome {
            self.rejections.lock().count(now);
        }
        outcome
    }

    async fn request(&self, token: &Secret, app: Option<&OAuthApp>) -> TokenLookupOutcome {
        if let Some(app) = app
            && !self.transport.belongs_to_app(app, token).await?
        {
            return Ok(Err(Code::TokenForeign));
        }
        let account = self.transport.account(token).await?;
        Ok(account.ok_or(Code::TokenInvalid))
    }

    /// The app that must have issued the token; `None` for a personal one, which a user issues. By GitHub's prefixes: a
    /// token without one may be an old one of an app, from before GitHub introduced prefixes. Refused are the token of an
    /// installation of a GitHub App, which stands for no user, and an app's, if there is none here.
    fn issuing_app(&self, token: &str) -> Result<Option<&OAuthApp>, Code> {
        let has_prefix = |prefixes: &[&str]| prefixes.iter().any(|it| token.starts_with(it));
        if has_prefix(&["ghp_", "github_pat_"]) {
            Ok(None)
        } else if has_prefix(&["ghs_", "ghr_"]) {
            Err(Code::TokenInvalid)
        } else {
            self.app.as_ref().map(Some).ok_or(Code::TokenForeign)
        }
    }
}

/// A permit to make GitHub work for a client that isn't authenticated yet; an error if none is free in time.
pub(super) async fn acquire(permits: &Semaphore) -> Result<SemaphorePermit<'_>, GitHubError> {
    let permit = timeout(PERMIT_TIMEOUT, permits.acquire()).await;
    permit.ok().and_then(Result::ok).ok_or_else(|| {
        let reason = "too many requests are in progress".to_owned();
        let operation = "verifying a token or a code";
        GitHubError::Unavailable { operation, reason }
    })
}
