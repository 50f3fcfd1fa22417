//! A shared cache in memory, for scenarios: its clock is the scene's, and every round trip is counted.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use async_trait::async_trait;
use codex_miroir::now::Now;
use codex_miroir::shared_cache::{
    Away, Hint, LookupOutcome, NoAnswer, Published, ServerTime, SharedBody, SharedCache,
    SharedEntry, SharedReply, SharedSnapshots, Stamp,
};
use codex_miroir::user::UserId;
use codex_miroir::user_state::Version;

use super::scene::anna;
use super::shared_model::SharedModel;

/// Clones are connections to the same server.
#[derive(Clone)]
pub(crate) struct SharedServer {
    now: Arc<Mutex<Now>>,
    state: Arc<Mutex<ServerState>>,
}

#[derive(Default)]
struct ServerState {
    model: SharedModel,
    calls: Vec<&'static str>,
    lookups: Vec<LookupOutcome>,
    hints: Vec<Hint>,
    suspect: ServerTime,
    is_away: bool,
    is_full: bool,
    bodies: usize,
}

impl SharedServer {
    pub(crate) fn new(now: &Arc<Mutex<Now>>) -> Self {
        Self {
            now: Arc::clone(now),
            state: Arc::default(),
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, ServerState> {
        self.state.lock().unwrap()
    }

    fn time(&self) -> ServerTime {
        ServerTime(
            self.now
                .lock()
                .unwrap()
                .utc
                .timestamp_micros()
                .cast_unsigned(),
        )
    }

    /// The calls since the last time, as in `get, publish`.
    pub(crate) fn took(&self) -> String {
        std::mem::take(&mut self.state().calls).join(", ")
    }

    /// What came of the look-ups since the last time.
    pub(crate) fn lookups(&self) -> Vec<LookupOutcome> {
        std::mem::take(&mut self.state().lookups)
    }

    /// The hints since the last time.
    pub(crate) fn hints(&self) -> Vec<Hint> {
        std::mem::take(&mut self.state().hints)
    }

    /// Anna's snapshot.
    pub(crate) fn entry(&self) -> Option<SharedEntry> {
        self.state().model.entries.get(&anna()).cloned()
    }

    /// Puts this in the place of anna's snapshot, as a failover to an older copy does.
    pub(crate) fn set_entry(&self, entry: Option<SharedEntry>) {
        let entries = &mut self.state().model.entries;
        match entry {
            Some(entry) => drop(entries.insert(anna(), entry)),
            None => drop(entries.remove(&anna())),
        }
    }

    pub(crate) fn set_away(&self, is_away: bool) {
        self.state().is_away = is_away;
    }

    /// A full server takes no bodies.
    pub(crate) fn set_full(&self, is_full: bool) {
        self.state().is_full = is_full;
    }

    /// How many bodies it was given since the last time.
    pub(crate) fn bodies(&self) -> usize {
        std::mem::take(&mut self.state().bodies)
    }

    /// The server's clock has gone back: what was stamped until now can't be judged.
    pub(crate) fn suspect_all(&self) {
        let time = self.time();
        self.state().suspect = time;
    }

    fn call(&self, name: &'static str) -> Result<std::sync::MutexGuard<'_, ServerState>, Away> {
        let mut state = self.state();
        state.calls.push(name);
        match state.is_away {
            true => Err(Away),
            false => Ok(state),
        }
    }
}

#[async_trait]
impl SharedCache for SharedServer {
    fn time_at(&self, moment: Instant) -> Option<ServerTime> {
        let ago = self
            .now
            .lock()
            .unwrap()
            .mono
            .saturating_duration_since(moment);
        Some(self.time().minus(ago))
    }

    async fn get(&self, user: &UserId) -> Result<SharedReply, Away> {
        // Others come meanwhile.
        tokio::task::yield_now().await;
        let time = self.time();
        let state = self.call("get")?;
        Ok(SharedReply {
            entry: state.model.entries.get(user).cloned(),
            time,
            suspect: state.suspect,
        })
    }

    async fn publish(
        &self,
        user: &UserId,
        stamp: &Stamp,
        body: Option<SharedBody>,
    ) -> Result<Published, Away> {
        let mut state = self.call("publish")?;
        state.bodies += usize::from(body.is_some());
        match (state.is_full, body) {
            (true, Some(_)) => Err(Away),
            (_, body) => Ok(state.model.publish(user, stamp, body)),
        }
    }

    async fn hint(&self, user: &UserId, version: Version) {
        let sent = self.time();
        if let Ok(mut state) = self.call("hint") {
            let user = user.clone();
            state.hints.push(Hint {
                user,
                version,
                sent,
            });
        }
    }

    fn hears(&self) -> bool {
        !self.state().is_away
    }

    fn record(&self, lookup: LookupOutcome) {
        self.state().lookups.push(lookup);
    }
}

#[async_trait]
impl SharedSnapshots for SharedServer {
    async fn look_up(&self, user: &UserId) -> Result<SharedReply, NoAnswer> {
        let reply = self.get(user).await;
        reply.map_err(|_| NoAnswer("it is away".to_owned()))
    }

    async fn remove(&self, user: &UserId) -> Result<bool, NoAnswer> {
        let state = self.call("remove");
        let mut state = state.map_err(|_| NoAnswer("it is away".to_owned()))?;
        Ok(state.model.entries.remove(user).is_some())
    }
}
