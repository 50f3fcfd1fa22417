//! The simulated shared cache: commands are delayed, lost and doubled like the store's calls, another node takes over
//! with an older copy and another clock, everything vanishes, and hints are lost, late, doubled or made up.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use codex_miroir::shared_cache::{
    Away, CLOCK_SKEW, Hint, LookupOutcome, Published, ServerClock, ServerTime, SharedBody,
    SharedCache, SharedEntry, SharedReply, Stamp,
};
use codex_miroir::user::UserId;
use codex_miroir::user_state::Version;
use fastrand::Rng;

use crate::run::anna;
use crate::shared_model::SharedModel;
use crate::world::{Call, Reply, World};

/// How long an instance waits for an answer; long, so that an answer may be old when it arrives.
const LIMIT: Duration = Duration::from_secs(4);

/// How often an instance hears the server's clock, if not by a look-up.
const CHECK_INTERVAL: Duration = Duration::from_secs(5);

/// Copies that are kept, one of which takes over.
const COPIES: usize = 12;

#[derive(Debug, Clone)]
pub(crate) enum SharedCall {
    Time,
    Get,
    Publish(Stamp, Option<SharedBody>),
    Hint(Version),
}

impl SharedCall {
    pub(crate) fn writes(&self) -> bool {
        matches!(self, Self::Publish(..) | Self::Hint(_))
    }
}

#[derive(Debug, Clone)]
pub(crate) enum SharedAnswer {
    Done,
    Published(Published),
    Found(Option<SharedEntry>, ServerTime),
}

/// The server, and the hints on their way.
#[derive(Default)]
pub(crate) struct SharedServer {
    model: SharedModel,
    copies: Vec<SharedModel>,
    /// Microseconds by which the answering node's clock is ahead of the slowest.
    offset: u64,
    /// The instances that a hint hasn't reached yet, and its version.
    hints: Vec<(usize, Version)>,
    /// Whether it answers.
    is_away: bool,
}

impl SharedServer {
    /// What a call does, `micros` after the beginning of the run, with these instances connected.
    pub(crate) fn answer(
        &mut self,
        call: &SharedCall,
        micros: u64,
        alive: &[bool],
    ) -> SharedAnswer {
        let time = ServerTime(1_000_000_000 + micros + self.offset);
        match call {
            SharedCall::Time => SharedAnswer::Found(None, time),
            SharedCall::Get => SharedAnswer::Found(self.model.entries.get(&anna()).cloned(), time),
            SharedCall::Publish(stamp, body) => {
                self.copies.push(self.model.clone());
                let surplus = self.copies.len().saturating_sub(COPIES);
                self.copies.drain(..surplus);
                SharedAnswer::Published(self.model.publish(&anna(), stamp, body.clone()))
            }
            SharedCall::Hint(version) => {
                let reached = alive.iter().enumerate().filter(|(_, alive)| **alive);
                self.hints.extend(reached.map(|(at, _)| (at, *version)));
                SharedAnswer::Done
            }
        }
    }

    pub(crate) fn is_away(&self) -> bool {
        self.is_away
    }

    /// Ends every fault.
    pub(crate) fn heal(&mut self) {
        self.is_away = false;
    }

    /// Something goes wrong; returns what, for the trace.
    pub(crate) fn meet_a_fault(&mut self, rng: &mut Rng, instances: usize) -> &'static str {
        match rng.u8(..8) {
            0 => {
                self.model = SharedModel::default();
                "loses everything"
            }
            1..=3 => {
                if !self.copies.is_empty() && rng.bool() {
                    self.model = self.copies.swap_remove(rng.usize(..self.copies.len()));
                }
                let skew = u64::try_from(CLOCK_SKEW.as_micros()).unwrap();
                self.offset = [0, skew / 2, skew][rng.usize(..3)];
                "fails over, maybe to an older copy"
            }
            4 => {
                self.is_away = !self.is_away;
                "goes or comes back"
            }
            5 => {
                let made_up = [1, 1_773_000_000_000, u64::MAX / 2][rng.usize(..3)];
                self.hints.push((rng.usize(..instances), Version(made_up)));
                "gets a hint that is made up"
            }
            6 => {
                self.hints.clear();
                "loses all hints"
            }
            _ => {
                let doubled = self.hints.clone();
                self.hints.extend(doubled);
                "sends every hint twice"
            }
        }
    }

    /// A hint that reaches its instance now.
    pub(crate) fn next_hint(&mut self, rng: &mut Rng) -> Option<(usize, Version)> {
        (!self.hints.is_empty()).then(|| self.hints.swap_remove(rng.usize(..self.hints.len())))
    }
}

/// One instance's connection to the server.
pub(crate) struct SimShared {
    pub(crate) world: Arc<Mutex<World>>,
    pub(crate) instance: usize,
    pub(crate) slow_one_in: u64,
    /// The same moment on both clocks.
    pub(crate) epoch: (Instant, tokio::time::Instant),
    pub(crate) clock: Mutex<ServerClock>,
}

impl SimShared {
    fn now(&self) -> Instant {
        self.epoch.0 + self.epoch.1.elapsed()
    }

    async fn call(&self, call: SharedCall) -> Result<SharedAnswer, Away> {
        let call = World::call(
            &self.world,
            self.instance,
            self.slow_one_in,
            Call::Shared(call),
        );
        let answer = tokio::time::timeout(LIMIT, call).await;
        let is_alive = {
            let mut world = self.world.lock().unwrap();
            // What is only read and no longer awaited does nothing.
            world.calls.retain(|it| {
                let is_look_up = matches!(&it.call, Call::Shared(call) if !call.writes());
                !(is_look_up && it.is_abandoned())
            });
            world.alive[self.instance]
        };
        if !is_alive {
            // The instance is dead: this task never resumes.
            std::future::pending::<()>().await;
        }
        match answer {
            Ok(Ok(Reply::Shared(answer))) => Ok(answer),
            _ => Err(Away),
        }
    }

    async fn ask(&self, call: SharedCall) -> Result<SharedReply, Away> {
        let sent = self.now();
        let SharedAnswer::Found(entry, time) = self.call(call).await? else {
            unreachable!()
        };
        let mut clock = self.clock.lock().unwrap();
        clock.observe(time, sent, self.now());
        let suspect = clock.suspect();
        assert_eq!(
            suspect,
            ServerTime::default(),
            "no step is larger than the skew"
        );
        Ok(SharedReply {
            entry,
            time,
            suspect,
        })
    }

    /// Hears the server's clock now and then.
    pub(crate) async fn check_in_background(self: Arc<Self>) {
        loop {
            // While it is away, the clock goes on from what was heard last.
            let _ = self.ask(SharedCall::Time).await;
            tokio::time::sleep(CHECK_INTERVAL).await;
        }
    }
}

#[async_trait]
impl SharedCache for SimShared {
    fn time_at(&self, moment: Instant) -> Option<ServerTime> {
        self.clock.lock().unwrap().at(moment)
    }

    async fn get(&self, _user: &UserId) -> Result<SharedReply, Away> {
        self.ask(SharedCall::Get).await
    }

    async fn publish(
        &self,
        _user: &UserId,
        stamp: &Stamp,
        body: Option<SharedBody>,
    ) -> Result<Published, Away> {
        match self.call(SharedCall::Publish(stamp.clone(), body)).await? {
            SharedAnswer::Published(published) => Ok(published),
            other => unreachable!("{other:?}"),
        }
    }

    async fn hint(&self, _user: &UserId, version: Version) {
        // A lost one costs nothing but time.
        let _ = self.call(SharedCall::Hint(version)).await;
    }

    fn hears(&self) -> bool {
        true
    }

    fn record(&self, lookup: LookupOutcome) {
        let mut world = self.world.lock().unwrap();
        world.lookups[lookup as usize] += 1;
    }
}

/// A hint as an instance hears it.
pub(crate) fn heard(version: Version) -> Hint {
    Hint {
        user: anna(),
        version,
        sent: ServerTime::default(),
    }
}
