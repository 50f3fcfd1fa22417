//! Replicas: reads that lag behind the writes, as GitHub's do.
//!
//! A replica has an address of its own. Reads there show the repository as it was some time ago: refs, the objects that
//! they name, pull requests and activities; objects that it doesn't have yet are 404. Writes there take effect at once,
//! on the current repository, and are answered from it.

use std::collections::BTreeMap;
use std::mem::{replace, take};
use std::sync::Arc;
use std::time::Duration;

use super::git::{NO_COMMIT, View};
use super::hub::Hub;
use super::pulls::Pull;
use super::world::World;
use super::{GitHub, listen, server};

/// Another address of the hub, initially without a lag.
#[derive(Clone)]
pub(crate) struct Replica {
    hub: Arc<Hub>,
    at: usize,
    url: String,
}

impl GitHub {
    /// Starts a replica on another loopback port.
    pub(crate) fn replica(&self) -> Replica {
        let (listener, url) = listen();
        let at = self.hub.work(|world| {
            world.replicas.push(State::new(url.clone()));
            world.replicas.len() - 1
        });
        let hub = Arc::clone(&self.hub);
        let runtime = self.runtime.as_ref().unwrap();
        runtime.spawn(server::serve(Arc::clone(&hub), Some(at), listener));
        Replica { hub, at, url }
    }
}

impl Replica {
    /// The base URL of the API and of the web pages.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// From now on reads show the repository as it was this long ago, by the hub's clock. A replica never goes back:
    /// after a longer lag is set, it stays where it is until that time has passed.
    pub(crate) fn set_lag(&self, lag: Duration) {
        self.hub.work(|world| {
            world.follow(self.at);
            world.replicas[self.at].lag = lag;
        });
    }

    /// Freezes the replica at the current moment.
    pub(crate) fn freeze(&self) {
        self.set_lag(Duration::MAX);
    }

    /// Shows the current repository, without a lag.
    pub(crate) fn catch_up(&self) {
        self.set_lag(Duration::ZERO);
    }
}

/// What a replica has.
pub(super) struct State {
    url: String,
    lag: Duration,
    /// By [`World::moment`]; it never decreases.
    shown: Duration,
    /// The number of revisions that it has.
    revisions: usize,
    refs: BTreeMap<String, String>,
    /// The number of activities included in `refs`.
    activities: usize,
    pulls: Vec<Pull>,
    /// The number of changes included in `pulls`.
    pull_changes: usize,
}

impl State {
    fn new(url: String) -> Self {
        Self {
            url,
            lag: Duration::ZERO,
            shown: Duration::ZERO,
            revisions: 0,
            refs: BTreeMap::new(),
            activities: 0,
            pulls: Vec::new(),
            pull_changes: 0,
        }
    }
}

impl World {
    /// The time since the hub started, by its clock.
    fn moment(&self) -> Duration {
        self.begun.elapsed() + self.ahead
    }

    /// Completes a revision, if anything changed. Each holder of the world's lock makes one at most.
    pub(super) fn seal(&mut self) {
        let revision = self.git.revision;
        let mut changed = self.git.take_written();
        changed |= self
            .activities
            .last()
            .is_some_and(|last| last.revision == revision);
        for (at, pull) in self.pulls.iter().enumerate() {
            if self.sealed_pulls.get(at) == Some(pull) {
                continue;
            }
            match self.sealed_pulls.get_mut(at) {
                Some(sealed) => *sealed = pull.clone(),
                None => self.sealed_pulls.push(pull.clone()),
            }
            self.pull_changes.push((revision, pull.clone()));
            changed = true;
        }
        if changed {
            self.revisions.push(self.moment());
            self.git.revision = self.revisions.len();
        }
    }

    /// Advances a replica as far as its lag allows.
    fn follow(&mut self, at: usize) {
        let now = self.moment();
        let state = &mut self.replicas[at];
        state.shown = state.shown.max(now.saturating_sub(state.lag));
        state.revisions = self.revisions.partition_point(|end| *end <= state.shown);
        for activity in &self.activities[state.activities..] {
            if activity.revision >= state.revisions {
                break;
            }
            state.activities += 1;
            match activity.after.as_str() {
                NO_COMMIT => state.refs.remove(&activity.reference),
                after => state
                    .refs
                    .insert(activity.reference.clone(), after.to_owned()),
            };
        }
        for (revision, pull) in &self.pull_changes[state.pull_changes..] {
            if *revision >= state.revisions {
                break;
            }
            state.pull_changes += 1;
            match state.pulls.get_mut(pull.number as usize - 1) {
                Some(known) => *known = pull.clone(),
                None => state.pulls.push(pull.clone()),
            }
        }
    }

    /// Runs `work` with the replica's addresses in answers.
    pub(super) fn addressed_at<T>(
        &mut self,
        replica: Option<usize>,
        work: impl FnOnce(&mut Self) -> T,
    ) -> T {
        let Some(at) = replica else { return work(self) };
        let base = replace(&mut self.base, self.replicas[at].url.clone());
        let done = work(self);
        self.base = base;
        done
    }

    /// Runs `work` on the repository as the replica has it.
    pub(super) fn as_shown_by<T>(
        &mut self,
        replica: Option<usize>,
        read: impl FnOnce(&mut Self) -> T,
    ) -> T {
        let Some(at) = replica else { return read(self) };
        self.follow(at);
        let state = &mut self.replicas[at];
        self.git.view = Some(View {
            refs: take(&mut state.refs),
            revisions: state.revisions,
        });
        self.shown_activities = Some(state.activities);
        let pulls = replace(&mut self.pulls, take(&mut state.pulls));
        let filled = replace(&mut self.filled, state.activities > 0);
        let done = read(self);
        self.filled = filled;
        self.shown_activities = None;
        let state = &mut self.replicas[at];
        state.pulls = replace(&mut self.pulls, pulls);
        state.refs = self.git.view.take().unwrap().refs;
        done
    }
}
