//! Bringing the store up to date with the repository: after a webhook delivery, and by the timer, which also notices a
//! delivery that never came.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::stream;
use futures::{StreamExt, TryStreamExt};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};

use super::case_conflicts::{NewUsers, changed_users};
use super::reconcile::ReconcilePass;
use super::report::{SyncMode, UserReport};
use super::reviews::PullsOutcome;
use super::sync_state::{PendingPushes, UserSyncState};
use super::{GitMutation, GitSync, GitSyncError};
use crate::codex::Codex;
use crate::context::in_request_context;
use crate::github::{Push, SkipCode, Skipped};
use crate::now::Now;
use crate::store::{BlobKey, DeleteOutcome, ETag, GetIf, GetOutcome, Prefix, Put, PutIf};
use crate::task::GitSha;
use crate::user::UserId;

/// Time for a delivery's work, since GitHub waits for ten seconds; the rest is left to the timer.
const DELIVERY_BUDGET: Duration = Duration::from_millis(6500);

/// Time after a deadline for operations in flight to finish.
const GRACE: Duration = Duration::from_secs(2);

/// Deadline of the answer to a delivery, also while it waits for an earlier run.
const ANSWER_DEADLINE: Duration = Duration::from_secs(9);

/// Time for one run of the timer, which comes once a minute: runs don't overlap.
const TICK_BUDGET: Duration = Duration::from_secs(50);

/// Time for one user, so that a slow one doesn't starve the others.
pub(super) const USER_BUDGET: Duration = Duration::from_secs(20);

/// Attempts of a compare-and-swap that loses to other writers.
const CAS_ATTEMPTS: u32 = 20;

/// Passes for one user while each still finds something to do.
const MAX_PASSES: u32 = 4;

/// Users processed concurrently.
const CONCURRENT_USERS: usize = 4;

/// What a fetch did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FetchReport {
    /// The head that was read.
    pub head: Option<GitSha>,
    /// The users whose files differed from that commit.
    pub users: Vec<(UserId, UserReport)>,
    /// Folders that can't belong to a user.
    pub skipped: Vec<Skipped>,
    /// Nothing was read, because an earlier run takes too long; the timer does it.
    pub postponed: bool,
}

/// What a run of the timer did. Its `Debug` is logged.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TickReport {
    /// Users whose files were brought up to date from Git.
    pub fetched: usize,
    /// Queued users who are fully synchronised now.
    pub drained: usize,
    /// Users who stay in the queue.
    pub left: usize,
}

/// Coalesces fetches: a caller that arrives during a run waits for it and then shares the next one, whose result is
/// valid for every caller that arrived before it began.
#[derive(Default)]
pub(super) struct FetchRuns {
    state: Mutex<Option<FetchRun>>,
    arrivals: std::sync::atomic::AtomicU64,
}

struct FetchRun {
    /// The run began after the arrivals up to this number.
    began_after: u64,
    result: Result<FetchReport, GitSyncError>,
}

impl FetchRuns {
    /// The number of fetches and timer runs that have begun.
    fn arrivals(&self) -> u64 {
        self.arrivals.load(std::sync::atomic::Ordering::SeqCst)
    }

    /// Counts an arrival and returns its number.
    fn arrive(&self) -> u64 {
        let before = self
            .arrivals
            .fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        before + 1
    }

    /// Runs `work`, or returns the result of another caller's run that began after this call.
    async fn run_or_share<F>(
        &self,
        work: impl FnOnce() -> F + Send,
    ) -> Result<FetchReport, GitSyncError>
    where
        F: Future<Output = Result<FetchReport, GitSyncError>> + Send,
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
        *last = Some(FetchRun {
            began_after,
            result: result.clone(),
        });
        result
    }
}

impl Codex {
    /// Brings every user's files up to date with the repository. Concurrent calls share one run. Work that takes too
    /// long is queued for the timer, which also notices a commit that no run has read. Of `push` only the positions of
    /// the branch and their time are used.
    ///
    /// # Errors
    /// When the repository or the queue can't be read, or the remaining work can't be queued; the timer tries again.
    pub async fn fetch_all(&self, push: &Push, now: Now) -> Result<FetchReport, GitSyncError> {
        let git = self.git()?;
        git.order.record_delivery(push);
        let codex = self.clone();
        let work = move || async move {
            // A task of its own, so that it finishes even if GitHub drops the request.
            let deadline = now.later().started + DELIVERY_BUDGET;
            let run = tokio::spawn(in_request_context(async move {
                codex.fetch_until(deadline, now.later()).await
            }));
            run.await.unwrap_or(Err(GitSyncError::Contended))
        };
        let joined = timeout_at(now.started + ANSWER_DEADLINE, git.runs.run_or_share(work)).await;
        joined.unwrap_or_else(|_| {
            Ok(FetchReport {
                postponed: true,
                ..FetchReport::default()
            })
        })
    }

    async fn fetch_until(&self, deadline: Instant, now: Now) -> Result<FetchReport, GitSyncError> {
        let git = self.git()?;
        let (mut mirror, etag) = self.mirror().await?;
        let before = mirror.clone();
        let snapshot = git.snapshot_announced().await?;
        let mut report = FetchReport {
            head: snapshot.commit(),
            skipped: snapshot.tree.skipped.clone(),
            ..FetchReport::default()
        };
        if snapshot.commit() != mirror.head && !git.breaks(GitMutation::QuietMergeMissed) {
            let hints = stream::iter(mirror.users_with_open_pulls()).map(async |user| {
                self.leave_hint(&user, now).await?;
                git.enqueue(&user);
                Ok::<_, GitSyncError>(())
            });
            hints
                .buffer_unordered(CONCURRENT_USERS)
                .try_collect::<()>()
                .await?;
        }
        if snapshot.commit() != mirror.head {
            mirror.respelt.clear();
        }
        let mut changed = changed_users(&mirror, &snapshot);
        changed.extend(
            before
                .skipped_users()
                .filter(|user| mirror.last_seen_folder(user).is_none()),
        );
        // A deleted user's record may be of a newer commit than this snapshot, whose folder must not restore the user.
        let mut removed = BTreeSet::new();
        for user in changed
            .iter()
            .filter(|user| mirror.imported_folder(user).is_some())
        {
            // A `git.json` that can't be read is reported by the user's own pass.
            let sync_state = self.sync_state(user).await;
            if sync_state.is_ok_and(|(sync_state, _)| sync_state.known_heads().is_empty()) {
                removed.insert(user.clone());
            }
        }
        if !removed.is_empty() && !git.follows(mirror.head, &snapshot).await? {
            changed.retain(|user| !removed.contains(user));
        }
        let new = changed
            .iter()
            .filter(|it| mirror.imported_folder(it).is_none() || removed.contains(it));
        let NewUsers {
            case_conflicts,
            unknown,
        } = self.find_case_conflicts(new.cloned().collect()).await?;
        changed.retain(|user| {
            let is_case_conflict = case_conflicts.iter().any(|it| it.user == *user);
            let exists = mirror
                .imported_folder(user)
                .or(snapshot.user(user).folder)
                .is_some();
            exists && !is_case_conflict && !unknown.contains(user)
        });
        for it in &case_conflicts {
            let folder = snapshot.user(&it.user).folder;
            if before.last_seen_folder(&it.user) != folder {
                tracing::warn!(folder = %it.user, "a folder is skipped: the login's folder here is spelled in another letter case");
                changed.extend(self.users_to_notify(it).await);
            }
            mirror.set_skipped_folder(&it.user, folder);
        }
        let users = stream::iter(changed.clone());
        let users = users.map(|user| self.fetch_user(Arc::clone(&git), user, deadline, now));
        let fetched: Vec<_> = users.buffered(CONCURRENT_USERS).collect().await;
        let all_queued = fetched.iter().all(Result::is_ok) && unknown.is_empty();
        for (user, fetched) in changed.into_iter().zip(fetched) {
            let fetched = fetched.unwrap_or_else(|_| UserReport::unfinished());
            // A folder that is closed only because it was renamed to another spelling was read.
            let was_read = !fetched.closed || !snapshot.user(&user).closed;
            if fetched.clean && was_read {
                mirror.set_imported_folder(&user, fetched.folder);
            }
            report.users.push((user, fetched));
        }
        let unknown = unknown.into_iter();
        report
            .users
            .extend(unknown.map(|user| (user, UserReport::unfinished())));
        // All remaining work is queued. If not, the timer reads this commit again.
        if all_queued {
            mirror.head = snapshot.commit();
        }
        if mirror != before {
            // After a lost race the other writer's state stays.
            self.put_repo_state(&mirror, etag).await?;
        }
        Ok(report)
    }

    /// Brings one user's files up to date, and leaves a hint for the remaining work.
    ///
    /// # Errors
    /// When the hint can't be written.
    async fn fetch_user(
        &self,
        git: Arc<GitSync>,
        user: UserId,
        deadline: Instant,
        now: Now,
    ) -> Result<UserReport, GitSyncError> {
        let (git, user) = (&git, &user);
        let run = self.reconcile(git, user, now, SyncMode::automatic(Some(deadline)));
        let report = match timeout_at(deadline + GRACE, run).await {
            Ok(Ok(report)) => report,
            Ok(Err(error)) => {
                tracing::warn!(%user, %error, "the user's files can't be brought up to date with Git");
                let mut report = UserReport::unfinished();
                if let GitSyncError::HistoryRewritten { .. } = &error {
                    self.record_sync_error(user, &error, now).await;
                    report.skipped.push(Skipped {
                        file: Prefix::raw(user).as_str().to_owned(),
                        code: SkipCode::HistoryRewritten,
                        message: error.user_message(),
                    });
                }
                report
            }
            Err(_) => UserReport::unfinished(),
        };
        if report.has_changes() || !report.clean {
            self.leave_hint(user, now).await?;
            git.enqueue(user);
        }
        Ok(report)
    }

    /// One synchronisation of one user's files.
    pub(super) async fn reconcile(
        &self,
        git: &GitSync,
        user: &UserId,
        now: Now,
        mode: SyncMode,
    ) -> Result<UserReport, GitSyncError> {
        let report = UserReport::default();
        let codex = self;
        let work = ReconcilePass {
            codex,
            git,
            user,
            now,
            mode,
            report,
            before: None,
            confirmed: BTreeSet::new(),
            removed: BTreeSet::new(),
            pushing: PendingPushes::default(),
            waited: 0,
        };
        work.run().await
    }

    /// Leaves a hint in the queue that the user has work left.
    pub(super) async fn leave_hint(&self, user: &UserId, now: Now) -> Result<(), GitSyncError> {
        let put = Put {
            bytes: hint_text(now),
            ..Put::default()
        };
        self.store
            .put(&BlobKey::hint(user), put, PutIf::Any)
            .await?;
        Ok(())
    }

    /// One run of the timer: notices commits without a delivery, and synchronises the queued users. Several instances
    /// may run it concurrently.
    ///
    /// # Errors
    /// When the queue can't be read. Failed requests to GitHub leave their users in the queue.
    pub async fn tick(&self, now: Now) -> Result<TickReport, GitSyncError> {
        let git = self.git()?;
        git.runs.arrive();
        let deadline = now.started + TICK_BUDGET;
        let mut report = TickReport::default();
        match self.fetch_missed(&git, deadline, now).await {
            Ok(fetched) => report.fetched = fetched,
            Err(error) => tracing::warn!(%error, "the repository can't be checked for new commits"),
        }
        let queue = self.store.list(&Prefix::queue()).await?;
        let hints = queue.value.blobs.iter();
        let ages = hints.filter_map(|it| Some((UserId::parse(&it.name).ok()?, it.age(queue.date))));
        let ages: BTreeMap<UserId, Duration> = ages.collect();
        let waiting = git.rotated(ages.keys().cloned().collect());
        let all = waiting.len();
        let drained = stream::iter(waiting).map(async |user| {
            let done = self.drain_in_time(&git, user.clone(), deadline, now).await;
            (!done).then_some(user)
        });
        let left: Vec<_> = drained.buffer_unordered(CONCURRENT_USERS).collect().await;
        let left: Vec<UserId> = left.into_iter().flatten().collect();
        (report.drained, report.left) = (all - left.len(), left.len());
        let left = left.into_iter().map(|user| {
            let age = ages.get(&user).copied().unwrap_or_default();
            (user, age)
        });
        git.record_unserved(left.collect(), now);
        Ok(report)
    }

    async fn fetch_missed(
        &self,
        git: &GitSync,
        deadline: Instant,
        now: Now,
    ) -> Result<usize, GitSyncError> {
        let (mirror, _) = self.mirror().await?;
        let snapshot = git.snapshot().await?;
        // Also at a known head: a concurrent pass with an older snapshot may have recorded an older folder since.
        let is_known = changed_users(&mirror, &snapshot).is_empty();
        if snapshot.commit() == mirror.head && is_known {
            return Ok(0);
        }
        let now = now.later();
        let share = deadline.min(now.started + USER_BUDGET);
        Ok(self.fetch_until(share, now).await?.users.len())
    }

    /// Synchronises one user within the time for one. Whether nothing is left.
    pub(super) async fn drain_in_time(
        &self,
        git: &Arc<GitSync>,
        user: UserId,
        deadline: Instant,
        now: Now,
    ) -> bool {
        let now = now.later();
        let deadline = deadline.min(now.started + USER_BUDGET);
        let drained = timeout_at(deadline + GRACE, self.drain(git, &user, deadline, now));
        match drained.await {
            Ok(Ok(done)) => done,
            Ok(Err(error)) => {
                tracing::warn!(%user, %error, "the user's files aren't fully synchronised with Git yet");
                self.record_sync_error(&user, &error, now).await;
                false
            }
            Err(_) => false,
        }
    }

    /// Synchronises one user in both directions, and removes the hint after a pass that found nothing left. Whether it
    /// did.
    pub(super) async fn drain(
        &self,
        git: &Arc<GitSync>,
        user: &UserId,
        deadline: Instant,
        now: Now,
    ) -> Result<bool, GitSyncError> {
        for _ in 0..MAX_PASSES {
            let (arrivals, since) = (git.runs.arrivals(), now.later().started);
            let before = self.mirror().await?.0.imported_folder(user);
            let hint = self.hint(user).await?;
            if before.is_none() && self.has_case_conflict(user).await? {
                return self.remove_hint(user, hint).await;
            }
            if self.is_removed_locally(git, user, before).await? {
                self.record_imported(git, user, before, before).await?;
                return self.remove_hint(user, hint).await;
            }
            let pushed = self.push(git, user, deadline, now.later()).await;
            let mode = SyncMode::automatic(Some(deadline));
            let report = self.reconcile(git, user, now.later(), mode).await?;
            // Git's changes are imported even if the push failed.
            pushed?;
            if report.unfinished {
                return Ok(false);
            }
            if !report.clean || report.has_changes() {
                continue;
            }
            match self.refresh_pulls(git, user, report.commit, since).await {
                Ok(PullsOutcome::Known) => {}
                Ok(PullsOutcome::Merged) => continue,
                Ok(PullsOutcome::MergedSince) => return Ok(false),
                Err(error) => {
                    tracing::debug!(%user, %error, "the state of pull requests can't be read");
                }
            }
            self.update_sync_state(user, UserSyncState::clear_transient_error)
                .await?;
            // A folder that can't be read is neither imported nor removed: keep what is recorded.
            let folder = if report.closed { before } else { report.folder };
            if !self.record_imported(git, user, before, folder).await? {
                continue;
            }
            // A fetch that arrived during this pass saw the previously recorded folder, and may have a newer snapshot.
            if git.runs.arrivals() == arrivals {
                return self.remove_hint(user, hint).await;
            }
        }
        Ok(false)
    }

    /// Records the folder that a pass has imported, and whether the user has open pull requests, unless the recorded
    /// folder has changed since `before`. `false`: it changed, or the open pull requests did, so that another pass is
    /// needed.
    async fn record_imported(
        &self,
        git: &GitSync,
        user: &UserId,
        before: Option<GitSha>,
        folder: Option<GitSha>,
    ) -> Result<bool, GitSyncError> {
        for _ in 0..CAS_ATTEMPTS {
            let (mut mirror, etag) = self.mirror().await?;
            // Read after the repository state: a proposal that isn't in `git.json` yet is followed by a pass of its
            // own, which records it.
            let proposes = git.repository.config().pull_requests.is_some();
            let open = proposes && self.sync_state(user).await?.0.has_open_pulls();
            let recorded = mirror.imported_folder(user);
            if recorded != folder && recorded != before {
                return Ok(false);
            }
            let changed = mirror.set_open_pulls(user, open);
            if recorded == folder && !changed {
                return Ok(true);
            }
            mirror.set_imported_folder(user, folder);
            if self.put_repo_state(&mirror, etag).await?.is_some() {
                // The requests are watched only from now on, so one more pass has to ask for them.
                return Ok(!changed);
            }
        }
        Ok(false)
    }

    /// The ETag of the user's hint.
    async fn hint(&self, user: &UserId) -> Result<Option<ETag>, GitSyncError> {
        match self
            .store
            .get(&BlobKey::hint(user), GetIf::Any)
            .await?
            .value
        {
            GetOutcome::Blob(hint) => Ok(Some(hint.etag)),
            GetOutcome::Absent | GetOutcome::Changed | GetOutcome::Unchanged => Ok(None),
        }
    }

    /// Removes this version of the hint. Whether the user has no hint now.
    async fn remove_hint(&self, user: &UserId, hint: Option<ETag>) -> Result<bool, GitSyncError> {
        let hint = match self.git()?.breaks(GitMutation::HintDeletedUnconditionally) {
            true => self.hint(user).await?,
            false => hint,
        };
        let Some(etag) = hint else {
            return Ok(self.hint(user).await?.is_none());
        };
        let deleted = self.store.delete(&BlobKey::hint(user), &etag).await?.value;
        Ok(deleted != DeleteOutcome::Refused)
    }
}

/// The content of a hint: the time at which it was left.
pub(in crate::codex) fn hint_text(now: Now) -> bytes::Bytes {
    now.utc.to_rfc3339().into()
}
