//! Reads the mirrored branch, and only what is proven to come after what is known (`head_order.rs`). Reads are repeated
//! while a replica may be lagging.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use moka::sync::Cache as Moka;
use parking_lot::Mutex;
use tokio::time::{Instant, sleep};

use super::head_order::{BranchActivity, DeliveredMove, HeadFacts, HeadQuestion, HeadRelation};
use super::mutation::{GitMutation, read_by};
use super::report::{GitSyncError, replica_lag_error};
use super::sync_state::UserSyncState;
use crate::github::{Comparison, GitHubError, GitSnapshot, PullStatus, Push, Repository};
use crate::now::Now;
use crate::rules::Rules;
use crate::task::GitSha;

/// Reads of a head that isn't proven newer, before giving up.
pub(super) const HEAD_READS: u32 = 4;

/// Time between two reads: GitHub's replicas mostly catch up within a second.
pub(super) const HEAD_READ_INTERVAL: Duration = Duration::from_millis(250);

/// No replica lags more than this.
const MAX_REPLICA_LAG: Duration = Duration::from_secs(600);

/// Delivered moves that are kept, forced ones longer than others; the repository's activity has the older ones.
const MAX_MOVES: usize = 64;

const MAX_COMPARED: u64 = 10_000;

/// Settings of the synchronisation with GitHub.
#[derive(Clone)]
pub struct GitSettings {
    /// The mirrored repository and branch.
    pub repository: Arc<dyn Repository>,
    /// The folder that contains the users' folders, without leading and trailing slashes.
    pub base_path: String,
    /// The clock for background work.
    pub clock: fn() -> Now,
    /// The rules to keep: all, except in a simulation.
    pub rules: Rules<GitMutation>,
}

/// The mirrored branch, as this instance knows it.
pub(super) struct Branch {
    pub settings: GitSettings,
    /// The last read tree and its commit; the ETag of it makes an unchanged read free.
    last: tokio::sync::Mutex<Option<Arc<GitSnapshot>>>,
    /// How the second commit compares to the first; this never changes. Never `Unknown`: a replica may learn the commit
    /// later.
    compared: Moka<(GitSha, GitSha), Comparison>,
    /// Since when a merge commit of a pull request, as reported by GitHub, has been missing in the branch's history.
    missing_since: Moka<GitSha, Instant>,
    deliveries: Mutex<DeliveryLog>,
}

#[derive(Default)]
struct DeliveryLog {
    /// Moves of the branch, in the order of their delivery.
    moves: VecDeque<DeliveredMove>,
    /// Heads that deliveries announced, since the last read that began after them.
    announced: BTreeSet<GitSha>,
}

/// Whether a pull request is merged.
pub(super) enum MergeState {
    /// It isn't; or it was, and the mirrored branch was rewritten since so that this can't be known any more.
    NotMerged,
    /// Its merge is in the branch as it was read.
    Merged,
    /// It was merged after the branch was read.
    MergedSince,
}

impl Branch {
    pub(super) fn new(settings: GitSettings) -> Self {
        Self {
            settings,
            last: tokio::sync::Mutex::default(),
            compared: Moka::new(MAX_COMPARED),
            missing_since: Moka::new(MAX_COMPARED),
            deliveries: Mutex::default(),
        }
    }

    pub(super) fn record_delivery(&self, push: &Push) {
        let mut log = self.deliveries.lock();
        // Only the last commit in a chain of deliveries has to be awaited.
        if let Some(before) = push.before {
            log.announced.remove(&before);
        }
        log.announced.extend(push.after);
        if let (Some(before), Some(after)) = (push.before, push.after) {
            log.moves.push_back(DeliveredMove {
                before,
                after,
                forced: push.forced,
                at: push.at,
            });
            if log.moves.len() > MAX_MOVES {
                let oldest = log.moves.iter().position(|it| !it.forced);
                log.moves.remove(oldest.unwrap_or(0));
            }
        }
    }

    pub(super) fn record_own_commit(&self, parent: Option<GitSha>, commit: GitSha) {
        if let Some(parent) = parent {
            self.compared.insert((parent, commit), Comparison::Ahead);
        }
    }

    /// Reads the branch's head and tree after this call; the cached tree is returned if the head is unchanged.
    pub(super) async fn snapshot(&self) -> Result<Arc<GitSnapshot>, GitHubError> {
        let mut last = self.last.lock().await;
        let it = &self.settings;
        let newer = GitSnapshot::read(&*it.repository, last.as_deref(), &it.base_path).await?;
        Ok(match newer {
            Some(newer) => Arc::clone(last.insert(Arc::new(read_by(it.rules, newer)))),
            None => last.clone().unwrap_or_default(),
        })
    }

    /// Reads the repository, if its head is proven newer than `sync_state` or is the `confirmed` one. The read is
    /// repeated while a replica may be lagging. [`GitSyncError::HistoryRewritten`] when the head isn't proven newer;
    /// [`GitHubError::Unavailable`] when it is known to be old.
    pub(super) async fn snapshot_after(
        &self,
        sync_state: &UserSyncState,
        confirmed: Option<GitSha>,
    ) -> Result<Arc<GitSnapshot>, GitSyncError> {
        let known = sync_state.known_heads();
        let mut unproven = None;
        for read in 0..HEAD_READS {
            if read > 0 {
                sleep(HEAD_READ_INTERVAL).await;
            }
            let snapshot = self.snapshot().await?;
            let Some(head) = snapshot.commit().filter(|it| Some(*it) != confirmed) else {
                return Ok(snapshot);
            };
            let relation = self.ask(|facts| facts.relation(&known, &sync_state.abandoned, head));
            unproven = match relation.await? {
                HeadRelation::Newer => return Ok(snapshot),
                HeadRelation::Unproven(base) | HeadRelation::Unprovable(base) => Some((base, head)),
                HeadRelation::Lagging => None,
            };
        }
        Err(match unproven {
            Some((base, head)) => GitSyncError::HistoryRewritten { base, head },
            None => replica_lag_error().into(),
        })
    }

    /// Reads the repository, repeatedly until it has the commits that deliveries announced, or the reads are used up.
    pub(super) async fn snapshot_announced(&self) -> Result<Arc<GitSnapshot>, GitSyncError> {
        let announced = std::mem::take(&mut self.deliveries.lock().announced);
        let mut reads = 1;
        loop {
            let snapshot = self.snapshot().await?;
            let is_reached = |facts: &HeadFacts<'_>| match snapshot.commit() {
                Some(head) => facts.has_reached_all(head, &announced),
                None => Ok(announced.is_empty()),
            };
            if reads == HEAD_READS || self.ask(is_reached).await? {
                return Ok(snapshot);
            }
            reads += 1;
            sleep(HEAD_READ_INTERVAL).await;
        }
    }

    /// How `head` compares to `base`; fails while a replica doesn't know one of them.
    pub(super) async fn compare(
        &self,
        base: GitSha,
        head: GitSha,
    ) -> Result<Comparison, GitHubError> {
        match self.ask(|facts| facts.compare(base, head)).await? {
            Comparison::Unknown => Err(replica_lag_error()),
            known => Ok(known),
        }
    }

    /// Whether the pull request was merged, as of the branch's `head`.
    pub(super) async fn merge_state(
        &self,
        pull: &PullStatus,
        head: Option<GitSha>,
    ) -> Result<MergeState, GitHubError> {
        let Some(commit) = pull.merged_by else {
            return Ok(MergeState::NotMerged);
        };
        // Whether the branch has been without this reported merge commit for longer than any replica lags.
        let is_lag_over = || {
            let now = (self.settings.clock)().started;
            let since = self.missing_since.get_with(commit, || now);
            now.saturating_duration_since(since) >= MAX_REPLICA_LAG
        };
        let reach = self.ask(|facts| facts.reach(commit, head, is_lag_over));
        Ok(match reach.await? {
            Some(true) => MergeState::Merged,
            Some(false) => MergeState::MergedSince,
            None => MergeState::NotMerged,
        })
    }

    /// Decides, with the facts that GitHub is asked for one after the other. Within one decision each pair of commits
    /// is asked for once.
    pub(super) async fn ask<T>(
        &self,
        decide: impl Fn(&HeadFacts<'_>) -> Result<T, HeadQuestion> + Send,
    ) -> Result<T, GitHubError> {
        // Also `Unknown`, which isn't cached, or it would be asked for again without end.
        let mut answers: HashMap<(GitSha, GitSha), Comparison> = HashMap::new();
        let mut activity = BranchActivity::NotRead;
        loop {
            let decided = {
                let compared = |base, head| {
                    let answer = answers.get(&(base, head)).copied();
                    answer.or_else(|| self.compared.get(&(base, head)))
                };
                let deliveries: Vec<_> = self.deliveries.lock().moves.iter().copied().collect();
                decide(&HeadFacts {
                    compared: &compared,
                    deliveries: &deliveries,
                    activity: &activity,
                    rules: self.settings.rules,
                })
            };
            match decided {
                Ok(decision) => return Ok(decision),
                Err(HeadQuestion::Compare(base, head)) => {
                    let comparison = self.settings.repository.compare(base, head).await?;
                    if comparison != Comparison::Unknown {
                        self.compared.insert((base, head), comparison);
                    }
                    answers.insert((base, head), comparison);
                }
                Err(HeadQuestion::Activity) => activity = self.activity().await?,
            }
        }
    }

    async fn activity(&self) -> Result<BranchActivity, GitHubError> {
        match self.settings.repository.moves().await {
            Ok(moves) if moves.is_empty() => Ok(BranchActivity::Unavailable),
            Ok(moves) => Ok(BranchActivity::Listed(moves)),
            Err(GitHubError::Denied { .. } | GitHubError::Unexpected { .. }) => {
                Ok(BranchActivity::Unavailable)
            }
            Err(error) => Err(error),
        }
    }
}
