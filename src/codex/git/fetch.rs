//! Bringing the store to what the repository has now: after a delivery of the webhook, and when the timer
//! notices that one never came.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::stream;
use futures::{StreamExt, TryStreamExt};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};

use super::book::{Book, Open};
use super::reconcile::Reconciling;
use super::report::{SyncMode, UserReport};
use super::reviews::Pulls;
use super::spelling::{Newcomers, changed_users};
use super::{Git, GitMutation, GitTrouble};
use crate::codex::Codex;
use crate::context::carried;
use crate::github::{Push, SkipCode, Skipped};
use crate::now::Now;
use crate::store::{Deleted, ETag, GetIf, Got, Key, Prefix, Put, PutIf};
use crate::task::GitSha;
use crate::user::UserId;

/// What a delivery may take: GitHub waits for ten seconds. After this the rest is left to the timer.
const DELIVERY: Duration = Duration::from_millis(6500);

/// What is under way then gets this long to come to its end.
const GRACE: Duration = Duration::from_secs(2);

/// A delivery is answered after this time in any case, also when it waits for the one before it.
const ANSWER: Duration = Duration::from_secs(9);

/// The timer's work ends before the next one begins.
const TICK: Duration = Duration::from_secs(50);

/// One user's share of it, so that nobody who is slow keeps all others from their turn.
pub(super) const SHARE: Duration = Duration::from_secs(20);

/// How often a swap is tried again because somebody else was quicker.
const ROUNDS: u32 = 20;

/// How often it is looked whether nothing is left, while something always is.
const LOOKS: u32 = 4;

/// Users brought up to date at once.
const USERS: usize = 4;

/// What was brought to what the repository has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FetchReport {
    /// The commit.
    pub head: Option<GitSha>,
    /// Each user whose files weren't those of the commit.
    pub users: Vec<(UserId, UserReport)>,
    /// Folders that are no user's.
    pub skipped: Vec<Skipped>,
    /// Nothing was looked at yet, because what came before takes its time; the timer will.
    pub postponed: bool,
}

/// What the timer came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TickReport {
    /// Users whose files were brought up to date from Git.
    pub fetched: usize,
    /// Users in the queue with whom everything is shared now.
    pub drained: usize,
    /// Users who stay in the queue.
    pub left: usize,
}

/// Runs that answer for each other: who comes while one is under way waits for the next, and that one
/// answers all who came before it began.
#[derive(Default)]
pub(super) struct Runs {
    state: Mutex<Option<Run>>,
    arrivals: std::sync::atomic::AtomicU64,
}

struct Run {
    /// Who came up to this number is answered for.
    began_after: u64,
    result: Result<FetchReport, GitTrouble>,
}

impl Runs {
    /// How often somebody has begun to look what is new.
    fn arrivals(&self) -> u64 {
        self.arrivals.load(std::sync::atomic::Ordering::SeqCst)
    }

    /// Somebody begins to. Their number.
    fn arrive(&self) -> u64 {
        let before = self
            .arrivals
            .fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        before + 1
    }

    /// `work`'s result, or that of somebody else's which began after this call.
    async fn join<F>(&self, work: impl FnOnce() -> F + Send) -> Result<FetchReport, GitTrouble>
    where
        F: Future<Output = Result<FetchReport, GitTrouble>> + Send,
    {
        let ticket = self.arrive();
        let mut last = self.state.lock().await;
        if let Some(run) = &*last
            && run.began_after >= ticket
        {
            return run.result.clone();
        }
        let began_after = self.arrivals();
        let result = work().await;
        *last = Some(Run {
            began_after,
            result: result.clone(),
        });
        result
    }
}

impl Codex {
    /// Brings every user's files to what the repository has now. Calls at the same time share one run.
    /// What takes too long is noted in the queue and left to the timer, which also notices a commit that
    /// wasn't looked at at all. What `push` says is only where the branch was, and when.
    ///
    /// # Errors
    /// When it couldn't be found out, or not be noted, what there is to do; the timer tries again.
    pub async fn fetch_all(&self, push: &Push, now: Now) -> Result<FetchReport, GitTrouble> {
        let git = self.git()?;
        git.order.hear(push);
        let codex = self.clone();
        let work = move || async move {
            // Goes on to its end also when GitHub doesn't wait.
            let until = now.later().started + DELIVERY;
            let run = tokio::spawn(carried(async move {
                codex.fetch_until(until, now.later()).await
            }));
            run.await.unwrap_or(Err(GitTrouble::Contended))
        };
        let joined = timeout_at(now.started + ANSWER, git.runs.join(work)).await;
        joined.unwrap_or_else(|_| {
            Ok(FetchReport {
                postponed: true,
                ..FetchReport::default()
            })
        })
    }

    async fn fetch_until(&self, until: Instant, now: Now) -> Result<FetchReport, GitTrouble> {
        let git = self.git()?;
        let (mut mirror, etag) = self.mirror().await?;
        let before = mirror.clone();
        let snapshot = git.snapshot_announced().await?;
        let mut report = FetchReport {
            head: snapshot.commit(),
            skipped: snapshot.tree.skipped.clone(),
            ..FetchReport::default()
        };
        if snapshot.commit() != mirror.head && !git.breaks(GitMutation::QuietMergeIsMissed) {
            let hints = stream::iter(mirror.proposed()).map(async |user| {
                self.leave_hint(&user, now).await?;
                git.enqueue(&user);
                Ok::<_, GitTrouble>(())
            });
            hints.buffer_unordered(USERS).try_collect::<()>().await?;
        }
        if snapshot.commit() != mirror.head {
            mirror.respelt.clear();
        }
        let mut changed = changed_users(&mirror, &snapshot);
        changed.extend(before.respelt().filter(|user| mirror.seen(user).is_none()));
        // Who was removed from the store is kept out by what is noted of a newer commit.
        let mut removed = BTreeSet::new();
        for user in changed.iter().filter(|user| mirror.of(user).is_some()) {
            // What is wrong with a user's own says the look at it.
            let book = self.book(user).await;
            if book.is_ok_and(|(book, _)| book.known_heads().is_empty()) {
                removed.insert(user.clone());
            }
        }
        if !removed.is_empty() && !git.follows(mirror.head, &snapshot).await? {
            changed.retain(|user| !removed.contains(user));
        }
        let new = changed
            .iter()
            .filter(|it| mirror.of(it).is_none() || removed.contains(it));
        let Newcomers {
            passed_over,
            unknown,
        } = self.pass_over(new.cloned().collect()).await?;
        changed.retain(|user| {
            let is_passed_over = passed_over.iter().any(|it| it.user == *user);
            let is_somewhere = mirror.of(user).or(snapshot.user(user).folder).is_some();
            is_somewhere && !is_passed_over && !unknown.contains(user)
        });
        for it in &passed_over {
            let folder = snapshot.user(&it.user).folder;
            if before.seen(&it.user) != folder {
                tracing::warn!(folder = %it.user, "nothing is taken from a folder that is spelled in another letter case than the one here");
                changed.extend(self.to_be_told(it).await);
            }
            mirror.note_passed_over(&it.user, folder);
        }
        let users = stream::iter(changed.clone());
        let users = users.map(|user| self.fetch_user(Arc::clone(&git), user, until, now));
        let fetched: Vec<_> = users.buffered(USERS).collect().await;
        let noted = fetched.iter().all(Result::is_ok) && unknown.is_empty();
        for (user, fetched) in changed.into_iter().zip(fetched) {
            let fetched = fetched.unwrap_or_else(|_| UserReport::unfinished());
            // One that has gone to another spelling was looked at.
            let is_seen = !fetched.closed || !snapshot.user(&user).closed;
            if fetched.clean && is_seen {
                mirror.note(&user, fetched.folder);
            }
            report.users.push((user, fetched));
        }
        let unknown = unknown.into_iter();
        report
            .users
            .extend(unknown.map(|user| (user, UserReport::unfinished())));
        // Everything that is left is in the queue; if not, the timer looks at this commit again.
        if noted {
            mirror.head = snapshot.commit();
        }
        if mirror != before {
            // Where somebody else has written it meanwhile, that stands.
            self.put_mirror(&mirror, etag).await?;
        }
        Ok(report)
    }

    /// Brings one user's files up to date; what is left to do is in the queue.
    ///
    /// # Errors
    /// When not even that could be noted.
    async fn fetch_user(
        &self,
        git: Arc<Git>,
        user: UserId,
        until: Instant,
        now: Now,
    ) -> Result<UserReport, GitTrouble> {
        let (git, user) = (&git, &user);
        let run = self.reconcile(git, user, now, SyncMode::by_itself(Some(until)));
        let report = match timeout_at(until + GRACE, run).await {
            Ok(Ok(report)) => report,
            Ok(Err(error)) => {
                tracing::warn!(%user, %error, "this user's files aren't those of Git yet");
                let mut report = UserReport::unfinished();
                if let GitTrouble::HistoryRewritten { .. } = &error {
                    self.note_trouble(user, &error, now).await;
                    report.skipped.push(Skipped {
                        file: Prefix::raw(user).as_str().to_owned(),
                        code: SkipCode::HistoryRewritten,
                        message: error.told(),
                    });
                }
                report
            }
            Err(_) => UserReport::unfinished(),
        };
        if report.has_news() || !report.clean {
            self.leave_hint(user, now).await?;
            git.enqueue(user);
        }
        Ok(report)
    }

    /// One look at one user's three sides, and what follows from it.
    pub(super) async fn reconcile(
        &self,
        git: &Git,
        user: &UserId,
        now: Now,
        mode: SyncMode,
    ) -> Result<UserReport, GitTrouble> {
        let report = UserReport::default();
        let codex = self;
        let work = Reconciling {
            codex,
            git,
            user,
            now,
            mode,
            report,
            before: None,
            confirmed: BTreeSet::new(),
            removed: BTreeSet::new(),
            pushing: Open::default(),
            waited: 0,
        };
        work.run().await
    }

    /// Says in the queue that something is left to do for the user.
    pub(super) async fn leave_hint(&self, user: &UserId, now: Now) -> Result<(), GitTrouble> {
        let put = Put {
            bytes: hint_text(now),
            ..Put::default()
        };
        self.store.put(&Key::hint(user), put, PutIf::Any).await?;
        Ok(())
    }

    /// What the timer does: notice commits of which no delivery came, and share with Git what the queue
    /// says isn't shared. Any instance may do it, and several at once do no harm.
    ///
    /// # Errors
    /// When the queue can't be read. What GitHub doesn't do stays in the queue.
    pub async fn tick(&self, now: Now) -> Result<TickReport, GitTrouble> {
        let git = self.git()?;
        git.runs.arrive();
        let until = now.started + TICK;
        let mut report = TickReport::default();
        match self.fetch_missed(&git, until, now).await {
            Ok(fetched) => report.fetched = fetched,
            Err(error) => tracing::warn!(%error, "GitHub can't be asked what is new"),
        }
        let queue = self.store.list(&Prefix::queue()).await?;
        let hints = queue.value.blobs.iter();
        let ages = hints.filter_map(|it| Some((UserId::parse(&it.name).ok()?, it.age(queue.date))));
        let ages: BTreeMap<UserId, Duration> = ages.collect();
        let waiting = git.in_turn(ages.keys().cloned().collect());
        let all = waiting.len();
        let drained = stream::iter(waiting).map(async |user| {
            let done = self.drain_in_time(&git, user.clone(), until, now).await;
            (!done).then_some(user)
        });
        let left: Vec<_> = drained.buffer_unordered(USERS).collect().await;
        let left: Vec<UserId> = left.into_iter().flatten().collect();
        (report.drained, report.left) = (all - left.len(), left.len());
        let left = left.into_iter().map(|user| {
            let age = ages.get(&user).copied().unwrap_or_default();
            (user, age)
        });
        git.note_left(left.collect(), now);
        Ok(report)
    }

    async fn fetch_missed(&self, git: &Git, until: Instant, now: Now) -> Result<usize, GitTrouble> {
        let (mirror, _) = self.mirror().await?;
        let snapshot = git.snapshot().await?;
        // Also at a head that was looked at: a look under way then may have noted an older folder since.
        let is_known = changed_users(&mirror, &snapshot).is_empty();
        if snapshot.commit() == mirror.head && is_known {
            return Ok(0);
        }
        let now = now.later();
        let share = until.min(now.started + SHARE);
        Ok(self.fetch_until(share, now).await?.users.len())
    }

    /// One user's share of the timer's time. Whether nothing is left.
    pub(super) async fn drain_in_time(
        &self,
        git: &Arc<Git>,
        user: UserId,
        until: Instant,
        now: Now,
    ) -> bool {
        let now = now.later();
        let until = until.min(now.started + SHARE);
        let drained = timeout_at(until + GRACE, self.drain(git, &user, until, now));
        match drained.await {
            Ok(Ok(done)) => done,
            Ok(Err(error)) => {
                tracing::warn!(%user, %error, "not everything is shared with Git yet");
                self.note_trouble(&user, &error, now).await;
                false
            }
            Err(_) => false,
        }
    }

    /// Shares with Git whatever this user has to share, either way, and removes the hint when a look finds
    /// nothing left. Whether that is so.
    pub(super) async fn drain(
        &self,
        git: &Arc<Git>,
        user: &UserId,
        until: Instant,
        now: Now,
    ) -> Result<bool, GitTrouble> {
        for _ in 0..LOOKS {
            let (arrivals, since) = (git.runs.arrivals(), now.later().started);
            let before = self.mirror().await?.0.of(user);
            let hint = self.hint(user).await?;
            if before.is_none() && self.passes_over(user).await? {
                return self.drop_hint(user, hint).await;
            }
            if self.is_taken_out(git, user, before).await? {
                self.note_taken_in(git, user, before, before).await?;
                return self.drop_hint(user, hint).await;
            }
            let pushed = self.push(git, user, until, now.later()).await;
            let mode = SyncMode::by_itself(Some(until));
            let report = self.reconcile(git, user, now.later(), mode).await?;
            // What Git has is here, whatever became of what Git doesn't have.
            pushed?;
            if report.unfinished {
                return Ok(false);
            }
            if !report.clean || report.has_news() {
                continue;
            }
            match self.refresh_pulls(git, user, report.commit, since).await {
                Ok(Pulls::Known) => {}
                Ok(Pulls::Merged) => continue,
                Ok(Pulls::MergedSince) => return Ok(false),
                Err(error) => {
                    tracing::debug!(%user, %error, "what became of pull requests isn't known");
                }
            }
            self.change_book(user, Book::went_well).await?;
            // What can't be looked at is neither taken in nor out.
            let folder = if report.closed { before } else { report.folder };
            if !self.note_taken_in(git, user, before, folder).await? {
                continue;
            }
            // Whoever came meanwhile found the folder noted that was there before, and may have seen a newer one.
            if git.runs.arrivals() == arrivals {
                return self.drop_hint(user, hint).await;
            }
        }
        Ok(false)
    }

    /// Notes that a look has found this folder to be taken in, unless somebody has noted something else
    /// since before that look; and whether there are open pull requests. Whether it is noted.
    async fn note_taken_in(
        &self,
        git: &Git,
        user: &UserId,
        before: Option<GitSha>,
        folder: Option<GitSha>,
    ) -> Result<bool, GitTrouble> {
        for _ in 0..ROUNDS {
            let (mut mirror, etag) = self.mirror().await?;
            // After that: who proposes something while this says that there is nothing comes later, and notes it.
            let proposes = git.repository.pull_prefix().is_some();
            let open = proposes && self.book(user).await?.0.has_open_pulls();
            let noted = mirror.of(user);
            if noted != folder && noted != before {
                return Ok(false);
            }
            let changed = mirror.note_proposed(user, open);
            if noted == folder && !changed {
                return Ok(true);
            }
            mirror.note(user, folder);
            if self.put_mirror(&mirror, etag).await?.is_some() {
                // Only from now on it is noticed what becomes of the requests, so it is to be asked once more.
                return Ok(!changed);
            }
        }
        Ok(false)
    }

    /// The version of the user's hint.
    async fn hint(&self, user: &UserId) -> Result<Option<ETag>, GitTrouble> {
        match self.store.get(&Key::hint(user), GetIf::Any).await?.value {
            Got::Blob(hint) => Ok(Some(hint.etag)),
            Got::Absent | Got::Changed | Got::Unchanged => Ok(None),
        }
    }

    /// Removes the hint if nobody has left another one since. Whether there is none now.
    async fn drop_hint(&self, user: &UserId, hint: Option<ETag>) -> Result<bool, GitTrouble> {
        let hint = match self.git()?.breaks(GitMutation::HintOfOthersGoes) {
            true => self.hint(user).await?,
            false => hint,
        };
        let Some(etag) = hint else {
            return Ok(self.hint(user).await?.is_none());
        };
        let deleted = self.store.delete(&Key::hint(user), &etag).await?.value;
        Ok(deleted != Deleted::Refused)
    }
}

/// The text of a hint: since when.
pub(in crate::codex) fn hint_text(now: Now) -> bytes::Bytes {
    now.utc.to_rfc3339().into()
}
