//! One simulated run: instances, clients, and a scheduler whose decisions all come from one seed.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use codex_miroir::cache::CacheSettings;
use codex_miroir::codex::{
    BatchItem, BatchResult, ChangeOutcome, Codex, CodexSettings, CompletionResult, Consistency,
    CreatedTask, FileOp, FileOutcome, KeyHashes, Layer, Read, ReadRequest, Refusal, TaskDetail,
    TaskError, Version,
};
use codex_miroir::now::Now;
use codex_miroir::rules::Rules;
use codex_miroir::shared_cache::SharedCache;
use codex_miroir::store::{ETag, WriteIds};
use codex_miroir::task::{Datum, Edit, FileName, GitSha, Kategorie, NewTask, Slot, Status, Zeit};
use codex_miroir::user::UserId;
use codex_miroir::user_state::{Mutation, State};
use fastrand::Rng;

use crate::checker::{
    Acknowledged, Floors, Shown, absence_since, check_acknowledged, check_contents, check_editors,
    check_floors, check_shown, files_made_with, position_of, positions_of_body, raise,
    record_shown, removal_of, reuses_shown_number, shown_of_editors, was_absent,
};
use crate::search::{Plan, RunReport};
use crate::shared::{SimShared, heard};
use crate::world::{ARTIFACT, Call, FileVersion, RAW, STATE, SimStore, World};

/// Counts of a run's events, to assert coverage.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Tally {
    pub(crate) steps: u64,
    pub(crate) reads: u64,
    pub(crate) writes: u64,
    pub(crate) deletions: u64,
    pub(crate) failures: u64,
    pub(crate) crashes: u64,
    pub(crate) lost: u64,
    pub(crate) stale: u64,
    pub(crate) janitor_passes: u64,
    /// Reads that the shared cache answered.
    pub(crate) shared: u64,
    /// Hints that reached an instance.
    pub(crate) hints: u64,
    /// Faults of the shared cache.
    pub(crate) shared_faults: u64,
    /// Tombstones that the janitor removed.
    pub(crate) removed_tombstones: u64,
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, more: Self) {
        self.steps += more.steps;
        self.reads += more.reads;
        self.writes += more.writes;
        self.deletions += more.deletions;
        self.failures += more.failures;
        self.crashes += more.crashes;
        self.lost += more.lost;
        self.stale += more.stale;
        self.janitor_passes += more.janitor_passes;
        self.shared += more.shared;
        self.hints += more.hints;
        self.shared_faults += more.shared_faults;
        self.removed_tombstones += more.removed_tombstones;
    }
}

const REVALIDATE: Duration = Duration::from_secs(5);
const EXPIRY: Duration = Duration::from_secs(60);

/// After that an editor's file is shown, however often a snapshot without it was confirmed, copied or left for others.
const LISTING_LIFE: Duration = Duration::from_secs(902);

/// The largest clock skew of a storage server: more than the pending expiry, so a new write intent looks overdue.
const MAX_CLOCK_SKEW: TimeDelta = TimeDelta::seconds(75);

/// The odds of each kind of step, in a thousand; drawn for each seed, so that seeds differ in their focus.
struct Odds {
    request: u32,
    crash: u32,
    fail: u32,
    retry: u32,
    foreign: u32,
    sleep: u32,
    long_sleep: u32,
    outage: u32,
    lose_artifact: u32,
    lose_state: u32,
    janitor: u32,
    /// The percentage of requests that write.
    writes: u32,
    /// The memory layer's limit in bytes; with 0 entries are evicted at once.
    memory: u64,
    slow_one_in: u64,
    /// One in so many instances sees a skewed storage clock.
    skewed_clock_one_in: u32,
    /// With a shared cache: the odds of its faults, and of a hint's arrival; else 0.
    shared_fault: u32,
    hint: u32,
    /// The percentage of calls of the shared cache that fail.
    shared_fail: u32,
}

impl Odds {
    fn draw(rng: &mut Rng) -> Self {
        let mut some = |of: &[u32]| of[rng.usize(..of.len())];
        Self {
            request: some(&[100, 200, 300]),
            crash: some(&[0, 0, 2, 8]),
            fail: some(&[0, 0, 10, 40]),
            retry: some(&[0, 10, 60]),
            foreign: some(&[0, 0, 2, 10]),
            sleep: some(&[5, 20, 60]),
            long_sleep: some(&[0, 4, 12]),
            outage: some(&[0, 0, 0, 4]),
            lose_artifact: some(&[0, 0, 4]),
            lose_state: some(&[0, 0, 0, 6]),
            janitor: some(&[0, 3, 8]),
            writes: some(&[20, 50, 80]),
            memory: u64::from(some(&[1 << 24, 1 << 24, 1 << 24, 1 << 24, 0])),
            slow_one_in: u64::from(some(&[7, 20, 1_000_000])),
            skewed_clock_one_in: some(&[2, u32::MAX, u32::MAX]),
            shared_fault: 0,
            hint: 0,
            shared_fail: 0,
        }
    }

    fn with_shared_cache(self, rng: &mut Rng) -> Self {
        let mut some = |of: &[u32]| of[rng.usize(..of.len())];
        Self {
            shared_fault: some(&[0, 10, 40]),
            hint: some(&[0, 20, 80]),
            shared_fail: some(&[0, 2, 20]),
            request: some(&[200, 300, 400]),
            writes: some(&[10, 20, 50]),
            // Without memory every read asks it.
            memory: u64::from(some(&[1 << 24, 0])),
            ..self
        }
    }
}

/// A client's request.
#[derive(Debug, Clone)]
enum Request {
    Read(Consistency),
    Task(FileName),
    Create {
        token: String,
        keyed: bool,
    },
    Update {
        name: FileName,
        token: String,
    },
    Complete {
        name: FileName,
        token: String,
    },
    /// With the number of the store's writes before it.
    Delete {
        name: FileName,
        writes: u64,
    },
    Batch(Vec<(FileName, BatchOp)>),
}

#[derive(Debug, Clone)]
enum BatchOp {
    Create(String),
    Replace(String, ETag, WriteIds),
    Remove(ETag),
}

#[derive(Debug)]
enum Response {
    Read(Result<Read, TaskError>),
    Task(Result<TaskDetail, Refusal>),
    Created(Result<CreatedTask, Refusal>),
    Changed(Result<ChangeOutcome<GitSha>, Refusal>),
    Completed(Result<ChangeOutcome<CompletionResult>, Refusal>),
    Deleted(Result<ChangeOutcome<()>, Refusal>),
    Batch(Result<BatchResult, Refusal>),
}

struct Finished {
    client: usize,
    instance: usize,
    request: Request,
    sent: Duration,
    /// The client's version and floors when it sent the request.
    seen: Option<Version>,
    floors: Floors,
    answered: Duration,
    answer: Response,
}

struct Client {
    /// Whether it sends the last version it was given.
    session: bool,
    seen: Option<Version>,
    floors: Floors,
    /// The instance it waits for, and its request.
    waits: Option<(usize, Request)>,
    /// A create with an idempotency key that got no response, to be retried.
    repeat: Option<Request>,
}

pub(crate) struct Run {
    plan: Plan<Mutation>,
    rng: Rng,
    odds: Odds,
    world: Arc<Mutex<World>>,
    epoch: (DateTime<Utc>, Instant, tokio::time::Instant),
    /// Every instance ever started; dead ones are never resumed.
    instances: Vec<Codex>,
    /// How long each of them serves a snapshot without asking the store.
    bounds: Vec<Duration>,
    has_shared_cache: bool,
    clients: Vec<Client>,
    finished: Arc<Mutex<Vec<Finished>>>,
    acknowledged: Vec<Acknowledged>,
    /// The foreign versions in responses, each as it was first shown.
    shown: Vec<Shown>,
    created: Vec<(String, Option<FileName>)>,
    /// The tokens of requests that failed without effect: they must be in no file.
    refused_tokens: Vec<String>,
    tokens: u32,
    steps: u64,
    tally: Tally,
}

pub(crate) fn anna() -> UserId {
    UserId::parse("anna").unwrap()
}

thread_local! {
    /// The last id of the run on this thread.
    static LAST_ID: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}

/// Restarts the ids for a new run.
pub(crate) fn reset_ids() {
    LAST_ID.set(0);
}

/// Ids that are unique within a run and the same in every run of its seed.
fn next_id() -> u64 {
    LAST_ID.with(|last| {
        last.set(last.get() + 1);
        last.get().wrapping_mul(0x9E37_79B9_7F4A_7C15)
    })
}

/// The rules of a protocol without the one that a run breaks.
pub(crate) fn rules_without<M: Copy + PartialEq>(mutation: Option<M>) -> Rules<M> {
    #[cfg(feature = "mutations")]
    let rules = mutation.map_or_else(Rules::default, Rules::breaking);
    #[cfg(not(feature = "mutations"))]
    let rules = mutation.map_or_else(Rules::default, |_| {
        unreachable!("a rule is broken only with the feature `mutations`")
    });
    rules
}

/// The cache's settings in a run.
pub(crate) fn cache_settings(memory_max_bytes: u64, rules: Rules<Mutation>) -> CacheSettings {
    CacheSettings {
        memory_ttl: Duration::from_secs(300),
        artifact_ttl: Duration::from_secs(900),
        revalidate: REVALIDATE,
        stale_if_error: Duration::from_secs(3600),
        memory_max_bytes,
        deadline: Duration::from_secs(30),
        pending_expiry: EXPIRY,
        zone: chrono_tz::Europe::Berlin,
        ids: next_id,
        rules,
    }
}

/// Runs `plan` to its end, or to the first violation.
pub(crate) fn run(plan: Plan<Mutation>) -> RunReport<Tally> {
    run_with(plan, false)
}

/// The same with a cache that the instances share.
pub(crate) fn run_with_shared_cache(plan: Plan<Mutation>) -> RunReport<Tally> {
    run_with(plan, true)
}

fn run_with(plan: Plan<Mutation>, has_shared_cache: bool) -> RunReport<Tally> {
    reset_ids();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async move {
        let mut run = Run::new(plan, has_shared_cache);
        let violation = run.play().await.err();
        let log = run.world().log();
        let removed_tombstones = run.world().removed_tombstones;
        run.tally.removed_tombstones = removed_tombstones;
        run.tally.steps = run.steps;
        RunReport {
            violation,
            log,
            tally: run.tally,
        }
    })
}

impl Run {
    fn new(plan: Plan<Mutation>, has_shared_cache: bool) -> Self {
        let mut rng = Rng::with_seed(plan.seed);
        let utc: DateTime<Utc> = "2026-03-09T07:00:00Z".parse().unwrap();
        let odds = match (Odds::draw(&mut rng), has_shared_cache) {
            (odds, true) => odds.with_shared_cache(&mut rng),
            (odds, false) => odds,
        };
        let mut run = Self {
            world: Arc::new(Mutex::new(World::new(utc, plan.traced))),
            epoch: (utc, Instant::now(), tokio::time::Instant::now()),
            instances: vec![],
            bounds: vec![],
            has_shared_cache,
            clients: vec![],
            finished: Arc::default(),
            acknowledged: vec![],
            shown: vec![],
            created: vec![],
            refused_tokens: vec![],
            tokens: 0,
            steps: 0,
            tally: Tally::default(),
            plan,
            rng,
            odds,
        };
        for _ in 0..run.rng.usize(3..=4) {
            run.start_instance();
        }
        for _ in 0..run.rng.usize(2..=5) {
            let session = run.rng.u8(..4) > 0;
            run.clients.push(Client {
                session,
                seen: None,
                floors: Floors::new(),
                waits: None,
                repeat: None,
            });
        }
        if run.rng.u8(..6) == 0 {
            // The number counter is exhausted from the start: numbers are reused.
            let text = text_of("s9999.");
            run.world().foreign_write("9999-Ende.md", &text);
        }
        for number in 0..run.rng.usize(1..=3) {
            let text = text_of(&format!("s{number}."));
            run.world()
                .foreign_write(&format!("{number:04}-Datei.md"), &text);
        }
        run
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    fn trace(&self, line: impl FnOnce() -> String) {
        self.world().trace(line);
    }

    fn elapsed(&self) -> Duration {
        self.epoch.2.elapsed()
    }

    fn now(&self) -> Now {
        let elapsed = self.elapsed();
        Now {
            utc: self.epoch.0 + elapsed,
            mono: self.epoch.1 + elapsed,
            started: self.epoch.2 + elapsed,
            suspended: Duration::ZERO,
        }
    }

    fn start_instance(&mut self) {
        let clock_offsets = match (
            self.rng.u32(..self.odds.skewed_clock_one_in),
            self.rng.bool(),
        ) {
            (0, true) => MAX_CLOCK_SKEW,
            (0, false) => -MAX_CLOCK_SKEW,
            _ => TimeDelta::zero(),
        };
        let instance = {
            let mut world = self.world();
            world.clock_offsets.push(clock_offsets);
            world.alive.push(true);
            world.reachable.push(true);
            world.alive.len() - 1
        };
        let store = SimStore {
            world: Arc::clone(&self.world),
            instance,
            slow_one_in: self.odds.slow_one_in,
        };
        let rules = rules_without(self.plan.mutation);
        let mut cache = cache_settings(self.odds.memory, rules);
        let shared = self.has_shared_cache.then(|| {
            let shared = Arc::new(SimShared {
                world: Arc::clone(&self.world),
                instance,
                slow_one_in: self.odds.slow_one_in,
                epoch: (self.epoch.1, self.epoch.2),
                clock: Mutex::default(),
            });
            tokio::spawn(Arc::clone(&shared).check_in_background());
            cache.revalidate = REVALIDATE * [1, 1, 4][self.rng.usize(..3)];
            shared as Arc<dyn SharedCache>
        });
        self.bounds.push(cache.revalidate);
        let settings = CodexSettings {
            cache,
            rebuilds_per_minute: u32::MAX,
            writes_per_minute: u32::MAX,
            git: None,
            shared,
        };
        self.instances.push(Codex::new(Arc::new(store), settings));
    }

    fn living(&self) -> Vec<usize> {
        let world = self.world();
        (0..world.alive.len())
            .filter(|it| world.alive[*it])
            .collect()
    }

    fn pick_instance(&mut self) -> usize {
        let living = self.living();
        living[self.rng.usize(..living.len())]
    }

    fn token(&mut self) -> String {
        self.tokens += 1;
        // Ends in a dot, so that no token is a prefix of another.
        format!("t{}.", self.tokens)
    }

    async fn play(&mut self) -> Result<(), String> {
        for _ in 0..self.plan.steps {
            self.step().await;
            self.run_until_idle().await?;
        }
        self.end().await
    }

    /// Runs every task until it blocks: with the clock paused, a sleep returns once all others wait.
    async fn run_until_idle(&mut self) -> Result<(), String> {
        tokio::time::sleep(Duration::from_millis(1)).await;
        let finished = std::mem::take(&mut *self.finished.lock().unwrap());
        finished.into_iter().try_for_each(|it| self.check(it))
    }

    async fn step(&mut self) {
        let mut roll = self.rng.u32(..1000);
        let mut is = |odds: u32| {
            let hit = roll < odds;
            roll = roll.saturating_sub(odds);
            hit
        };
        let o = &self.odds;
        let (shared_fault, hint) = (o.shared_fault, o.hint);
        let (request, crash, foreign, sleep, long, outage, artifact, state, janitor) = (
            o.request,
            o.crash,
            o.foreign,
            o.sleep,
            o.long_sleep,
            o.outage,
            o.lose_artifact,
            o.lose_state,
            o.janitor,
        );
        self.steps += 1;
        if is(request) {
            self.send_request();
        } else if is(crash) {
            self.crash();
        } else if is(foreign) {
            self.foreign_write();
            self.read_after_edit();
        } else if is(sleep) {
            let millis = [100, 1_000, 3_000, 5_100][self.rng.usize(..4)];
            self.sleep(Duration::from_millis(millis)).await;
        } else if is(long) {
            let seconds = [16, 31, 62, 62, 70, 301, 901][self.rng.usize(..7)];
            self.sleep(Duration::from_secs(seconds)).await;
        } else if is(outage) {
            let instance = self.pick_instance();
            let mut world = self.world();
            let on = !world.reachable[instance];
            world.reachable[instance] = on;
            world.trace(|| format!("i{instance} reaches the store: {on}"));
        } else if is(artifact) {
            self.trace(|| "the artifact vanishes".to_owned());
            self.world().blobs.remove(ARTIFACT);
        } else if is(state) {
            self.lose_state();
        } else if is(janitor) {
            if self.rng.bool() {
                // Tombstones are old enough for the janitor then.
                self.sleep(Duration::from_secs(3_700)).await;
            }
            self.run_janitor();
        } else if is(shared_fault) {
            self.meet_a_shared_fault();
        } else if is(hint) {
            self.deliver_hint();
        } else {
            self.steps -= 1;
            self.advance_call();
        }
    }

    fn meet_a_shared_fault(&mut self) {
        self.tally.shared_faults += 1;
        let instances = self.instances.len();
        let mut world = self.world.lock().unwrap();
        let what = world.shared.meet_a_fault(&mut self.rng, instances);
        world.trace(|| format!("the shared cache {what}"));
    }

    fn deliver_hint(&mut self) {
        let mut world = self.world.lock().unwrap();
        let Some((instance, version)) = world.shared.next_hint(&mut self.rng) else {
            return;
        };
        if world.alive[instance] {
            self.tally.hints += 1;
            world.trace(|| format!("i{instance} hears of {version}"));
            self.instances[instance].hear(&heard(version));
        }
    }

    /// Runs the janitor on an instance.
    fn run_janitor(&mut self) {
        self.tally.janitor_passes += 1;
        let instance = self.pick_instance();
        self.trace(|| format!("i{instance} tidies up"));
        let (codex, now) = (self.instances[instance].clone(), self.now());
        tokio::spawn(async move { drop(codex.janitor().run(now).await) });
    }

    async fn sleep(&mut self, time: Duration) {
        self.trace(|| format!("{time:?} pass"));
        tokio::time::sleep(time).await;
    }

    /// One call takes effect, gets its response, or meets a fault.
    fn advance_call(&mut self) {
        self.steps += 1;
        let shared = Arc::clone(&self.world);
        let mut world = shared.lock().unwrap();
        if world.calls.is_empty() {
            // Nothing moved.
            self.steps -= 1;
            return;
        }
        let mut at = self.rng.usize(..world.calls.len());
        if world.calls[at].slow && self.rng.u8(..25) > 0 {
            // Prefer another call that isn't slow.
            let quick: Vec<usize> = (0..world.calls.len())
                .filter(|it| !world.calls[*it].slow)
                .collect();
            match quick.len() {
                0 => {}
                count => at = quick[self.rng.usize(..count)],
            }
        }
        let call = &world.calls[at];
        let (instance, answered, writes) =
            (call.instance, call.answer.is_some(), call.call.writes());
        let abandoned = call.is_abandoned();
        if !world.alive[instance] || abandoned {
            // The caller is gone. The call may still arrive, late, or never.
            match (answered, self.rng.u8(..30)) {
                (true, _) | (false, 0) => world.deliver(at),
                (false, 1 | 2) => {
                    let late = writes && call.call.path().starts_with(RAW);
                    world.perform(at);
                    drop(world);
                    if late && self.rng.bool() {
                        self.force_cold_read();
                    }
                }
                _ => {}
            }
            return;
        }
        let fails = match &call.call {
            Call::Shared(_) => {
                world.shared.is_away() || self.rng.u32(..100) < self.odds.shared_fail
            }
            _ => !world.reachable[instance] || self.rng.u32(..1000) < self.odds.fail,
        };
        if fails {
            self.tally.lost += 1;
            world.fail(at);
        } else if answered {
            world.deliver(at);
        } else if writes && self.rng.u32(..1000) < self.odds.retry {
            self.tally.lost += 1;
            world.perform_twice(at);
        } else {
            world.perform(at);
        }
    }

    /// After a write has landed late: an instance with exact bounds takes it for a foreign edit, so start a cold
    /// instance that has to rebuild.
    fn force_cold_read(&mut self) {
        self.world().blobs.remove(ARTIFACT);
        let instance = self.pick_instance();
        self.kill(instance);
    }

    /// Kills an instance, preferably one with a task file's write in flight.
    fn crash(&mut self) {
        let writing: Vec<usize> = {
            let world = self.world();
            let calls = world.calls.iter().filter(|call| {
                call.call.writes()
                    && call.call.path().starts_with(RAW)
                    && world.alive[call.instance]
            });
            calls.map(|call| call.instance).collect()
        };
        let instance = match writing.len() {
            count if count > 0 && self.rng.u8(..3) > 0 => writing[self.rng.usize(..count)],
            _ => self.pick_instance(),
        };
        self.kill(instance);
    }

    fn kill(&mut self, instance: usize) {
        self.tally.crashes += 1;
        {
            let mut world = self.world();
            world.alive[instance] = false;
            world.trace(|| format!("i{instance} is killed"));
        }
        for client in &mut self.clients {
            if let Some((_, request)) = client.waits.take_if(|(of, _)| *of == instance) {
                // No response will come; a client with an idempotency key retries.
                let keyed = matches!(request, Request::Create { keyed: true, .. });
                client.repeat = keyed.then_some(request);
            }
        }
        self.start_instance();
    }

    /// An editor saves an existing or a new file.
    fn foreign_write(&mut self) {
        let token = self.token();
        let number = self.rng.usize(..4);
        let any = self.rng.bool().then(|| self.any_file().to_string());
        let mut world = self.world.lock().unwrap();
        // Not while an instance writes the file or checks the outcome: on finding an editor's file over a create
        // whose response was lost, it can't tell it from an earlier file, and creates another.
        let is_free = |name: &String| {
            let path = format!("{RAW}{name}");
            let last = world.history[name].last();
            let mut calls = world.calls.iter();
            last.is_some_and(|last| !last.is_absent())
                && !calls.any(|it| world.alive[it.instance] && it.call.path() == path)
        };
        let name = match self.rng.u8(..4) {
            0 => {
                // The next create's number, or one near it.
                let state = world.blobs.get(STATE);
                let state = state.and_then(|blob| State::parse(&blob.bytes).unwrap());
                let next = state.map_or(50, |state| state.next_id.min(9_990));
                format!("{:04}-Fremd.md", next as usize + number / 2)
            }
            _ => any
                .filter(is_free)
                .unwrap_or_else(|| format!("{number:04}-Datei.md")),
        };
        world.trace(|| format!("an editor saves {name}"));
        world.foreign_write(&name, &text_of(&token));
    }

    /// Often, a read right after an editor's save, mostly by `nocache`; sometimes on a cold instance, while others
    /// have exact bounds for the files before the save.
    fn read_after_edit(&mut self) {
        let idle = (0..self.clients.len()).find(|it| self.clients[*it].waits.is_none());
        let Some(client) = idle.filter(|_| self.rng.bool()) else {
            return;
        };
        let instance = match self.rng.u8(..6) {
            0 => {
                self.world().blobs.remove(ARTIFACT);
                let instance = self.pick_instance();
                self.kill(instance);
                self.instances.len() - 1
            }
            _ => self.pick_instance(),
        };
        let consistency = match self.rng.u8(..4) {
            0 => Consistency::Strict,
            _ => Consistency::Rebuilt,
        };
        self.begin(client, instance, Request::Read(consistency));
    }

    /// Deletes the state document, while no write is in flight or to be retried, and not right after its creation:
    /// that it is recreated with higher versions relies on the storage's clock having advanced by more than its skew.
    fn lose_state(&mut self) {
        let busy = self
            .clients
            .iter()
            .any(|client| client.waits.is_some() || client.repeat.is_some());
        let mut world = self.world();
        let writing = world.calls.iter().any(|call| {
            let in_store = !matches!(call.call, Call::Shared(_));
            in_store && call.call.writes() && call.call.path() != ARTIFACT
        });
        let state = world
            .blobs
            .get(STATE)
            .and_then(|blob| State::parse(&blob.bytes).unwrap());
        let clock = world.date() - MAX_CLOCK_SKEW * 2;
        let clock = u64::try_from(clock.timestamp_millis()).unwrap();
        let quiet = state.is_some_and(|it| it.pending.is_empty() && it.version < Version(clock));
        if !busy && !writing && quiet {
            world.trace(|| "the state vanishes".to_owned());
            world.blobs.remove(STATE);
        }
    }

    fn send_request(&mut self) {
        let idle: Vec<usize> = (0..self.clients.len())
            .filter(|it| self.clients[*it].waits.is_none())
            .collect();
        if idle.is_empty() {
            self.steps -= 1;
            return self.advance_call();
        }
        let client = idle[self.rng.usize(..idle.len())];
        if self.rng.u8(..8) == 0 {
            self.share_version(client);
        }
        let instance = self.pick_instance();
        let request = match self.clients[client].repeat.take() {
            Some(request) => request,
            None => self
                .duplicate_keyed_create()
                .unwrap_or_else(|| self.random_request()),
        };
        self.begin(client, instance, request);
    }

    /// A client is given another client's version, and inherits its floors.
    fn share_version(&mut self, client: usize) {
        let other = self.rng.usize(..self.clients.len());
        if !self.clients[client].session || !self.clients[other].session {
            return;
        }
        let (seen, floors) = (self.clients[other].seen, self.clients[other].floors.clone());
        let client = &mut self.clients[client];
        client.seen = client.seen.max(seen);
        for (file, position) in &floors {
            raise(&mut client.floors, file, *position);
        }
    }

    /// Sometimes, a duplicate of a keyed create that another client waits for, as a form submitted twice.
    fn duplicate_keyed_create(&mut self) -> Option<Request> {
        let waiting = self
            .clients
            .iter()
            .filter_map(|client| client.waits.as_ref());
        let keyed = waiting
            .map(|(_, request)| request)
            .find(|it| matches!(it, Request::Create { keyed: true, .. }))?
            .clone();
        (self.rng.u8(..6) == 0).then_some(keyed)
    }

    fn random_request(&mut self) -> Request {
        if self.rng.u32(..100) >= self.odds.writes {
            if self.has_shared_cache && self.rng.bool() {
                return Request::Read(Consistency::Bounded);
            }
            return match self.rng.u8(..10) {
                0 | 1 => Request::Read(Consistency::Strict),
                2 => Request::Read(Consistency::Rebuilt),
                3 | 4 => Request::Task(self.any_file()),
                _ => Request::Read(Consistency::Bounded),
            };
        }
        let token = self.token();
        match self.rng.u8(..10) {
            0 | 1 => {
                let keyed = self.rng.bool();
                self.created.push((token.clone(), None));
                Request::Create { token, keyed }
            }
            2 => Request::Complete {
                name: self.any_file(),
                token: day_of(self.tokens),
            },
            3..=5 => self.random_batch(),
            6 => Request::Delete {
                name: self.any_file(),
                writes: self.world().writes,
            },
            _ => Request::Update {
                name: self.any_file(),
                token,
            },
        }
    }

    fn any_file(&mut self) -> FileName {
        let names: Vec<FileName> = self
            .world()
            .history
            .keys()
            .filter_map(|name| name.parse().ok())
            .collect();
        names[self.rng.usize(..names.len())].clone()
    }

    /// A sync's batch: files that are created, replaced or removed.
    fn random_batch(&mut self) -> Request {
        let mut ops: Vec<(FileName, BatchOp)> = vec![];
        for _ in 0..self.rng.usize(1..=4) {
            let name = match self.rng.u8(..4) {
                0 => format!("{:04}-Datei.md", self.rng.usize(..5))
                    .parse()
                    .unwrap(),
                _ => self.any_file(),
            };
            if ops.iter().any(|(other, _)| *other == name) {
                continue;
            }
            let token = self.token();
            let (blob, was_tombstone, is_tombstone) = {
                let world = self.world();
                let versions = world.history.get(name.as_str()).map_or(&[][..], |it| it);
                let was_tombstone = versions.iter().any(FileVersion::is_tombstone);
                let is_tombstone = versions.last().is_some_and(FileVersion::is_tombstone);
                let blob = world.blobs.get(&format!("{RAW}{name}")).cloned();
                (blob, was_tombstone, is_tombstone)
            };
            let operation = match blob {
                None => BatchOp::Create(token),
                // A tombstone counts as absent.
                Some(_) if is_tombstone && self.rng.bool() => BatchOp::Create(token),
                // Only the janitor removes a tombstone.
                Some(blob) if !was_tombstone && self.rng.u8(..3) == 0 => BatchOp::Remove(blob.etag),
                Some(blob) => BatchOp::Replace(token, blob.etag, blob.writes),
            };
            ops.push((name, operation));
        }
        Request::Batch(ops)
    }

    fn begin(&mut self, client: usize, instance: usize, request: Request) {
        let of = &mut self.clients[client];
        of.waits = Some((instance, request.clone()));
        let (seen, floors) = match of.session {
            true => (of.seen, of.floors.clone()),
            false => (None, Floors::new()),
        };
        // Wall clocks differ between instances; nothing may rely on them.
        let offset = TimeDelta::hours(instance as i64 % 5 - 2);
        let now = self.now();
        let read_request = ReadRequest {
            user: anna(),
            seen,
            consistency: Consistency::Bounded,
            now: Now {
                utc: now.utc + offset,
                ..now
            },
        };
        self.trace(|| {
            format!("client {client} having seen {seen:?} asks i{instance} for {request:?}")
        });
        let (codex, finished) = (self.instances[instance].clone(), Arc::clone(&self.finished));
        let (sent, epoch) = (self.elapsed(), self.epoch.2);
        tokio::spawn(async move {
            let answer = perform_request(&codex, read_request, &request).await;
            finished.lock().unwrap().push(Finished {
                client,
                instance,
                request,
                sent,
                seen,
                floors,
                answered: epoch.elapsed(),
                answer,
            });
        });
    }

    fn check(&mut self, it: Finished) -> Result<(), String> {
        if !self.world().alive[it.instance] {
            return Ok(());
        }
        self.trace(|| format!("client {} gets {}", it.client, summary(&it.answer)));
        let (client, instance) = (it.client, it.instance);
        let checked = match &it.answer {
            Response::Read(Ok(read)) => self.check_read(&it, read),
            Response::Task(Ok(shown)) => self.check_task(&it, shown),
            Response::Created(Ok(created)) => {
                let Request::Create { token, .. } = &it.request else {
                    unreachable!()
                };
                for (of, name) in &mut self.created {
                    if of == token {
                        *name = Some(created.name.clone());
                    }
                }
                self.refused_tokens.retain(|it| it != token);
                let before = self.shown.iter().filter(|shown| shown.at < it.sent);
                let taken = reuses_shown_number(&self.world(), &created.name, before);
                if let Some(taken) = taken.filter(|_| !created.reused) {
                    return Err(format!(
                        "{} was created, {taken} has been shown before",
                        created.name
                    ));
                }
                self.acknowledge(
                    &it,
                    created.version,
                    &[(created.name.clone(), token.clone())],
                )
            }
            Response::Changed(Ok(changed)) => {
                let Request::Update { token, .. } = &it.request else {
                    unreachable!()
                };
                self.acknowledge(
                    &it,
                    changed.version,
                    &[(changed.name.clone(), token.clone())],
                )
            }
            Response::Completed(Ok(done)) if done.value.already => {
                self.record_completion(&it, done)
            }
            Response::Completed(Ok(done)) => {
                let Request::Complete { token, .. } = &it.request else {
                    unreachable!()
                };
                self.acknowledge(&it, done.version, &[(done.name.clone(), token.clone())])
            }
            Response::Deleted(Ok(deleted)) => self.acknowledge_deletion(&it, deleted),
            Response::Batch(Ok(done)) => self.acknowledge_batch(&it, done),
            _ => {
                self.tally.failures += 1;
                self.check_refusal(&it)?;
                if let (Request::Create { keyed: true, .. }, Response::Created(Err(refusal))) =
                    (&it.request, &it.answer)
                    && matches!(
                        refusal.error,
                        TaskError::OutcomeUnknown | TaskError::Read(_)
                    )
                    && self.rng.u8(..4) > 0
                {
                    self.clients[client].repeat = Some(it.request.clone());
                }
                Ok(())
            }
        };
        self.clients[client]
            .waits
            .take_if(|(of, _)| *of == instance);
        checked
    }

    /// A task that the client has seen isn't "not found", unless it was removed; and a request that failed because
    /// the store is unavailable wrote nothing.
    fn check_refusal(&mut self, it: &Finished) -> Result<(), String> {
        let refusal = match &it.answer {
            Response::Task(Err(refusal))
            | Response::Created(Err(refusal))
            | Response::Changed(Err(refusal))
            | Response::Completed(Err(refusal))
            | Response::Deleted(Err(refusal)) => refusal,
            _ => return Ok(()),
        };
        let (name, token) = match &it.request {
            Request::Task(name) | Request::Delete { name, .. } => (Some(name), None),
            Request::Update { name, token } | Request::Complete { name, token } => {
                (Some(name), Some(token))
            }
            Request::Create {
                token,
                keyed: false,
            } => (None, Some(token)),
            _ => (None, None),
        };
        if let (TaskError::NotFound, Some(name)) = (&refusal.error, name) {
            let world = self.world();
            let floor = it.floors.get(name.as_str());
            let gone = |floor: &usize| was_absent(&world, name.as_str(), *floor);
            if !floor.is_none_or(gone) {
                return Err(format!(
                    "P1: {name} isn't found, the client knows {floor:?}"
                ));
            }
        }
        // With editors: one may have overwritten a write whose response was lost, which hides the outcome.
        let refused_tokens = matches!(refusal.error, TaskError::Read(_)) && self.odds.foreign == 0;
        if let Some(token) = token.filter(|_| refused_tokens) {
            self.refused_tokens.push(token.clone());
        }
        Ok(())
    }

    fn check_read(&mut self, it: &Finished, read: &Read) -> Result<(), String> {
        self.tally.reads += 1;
        let stale = read.layer == Layer::Stale;
        self.tally.stale += u64::from(stale);
        self.tally.shared += u64::from(read.layer == Layer::Shared);
        let Request::Read(consistency) = it.request else {
            unreachable!()
        };
        if stale && consistency != Consistency::Bounded {
            return Err(format!("P9: something stale for a {consistency:?} read"));
        }
        let table = read.entry.table();
        let world = self.world.lock().unwrap();
        check_contents(&world, table)?;
        check_floors(&world, &it.floors, table).map_err(|why| format!("P1 or P3: {why}"))?;
        let late = match consistency {
            Consistency::Bounded => self.bounds[it.instance],
            Consistency::Strict | Consistency::Rebuilt => Duration::ZERO,
        };
        let due = self.acknowledged.iter().filter(|change| match stale {
            true => change.instance == it.instance && change.at < it.sent,
            false => change.at + late < it.sent,
        });
        check_acknowledged(&world, due, table)
            .map_err(|why| format!("{}: {why}", if stale { "P9" } else { "P2" }))?;
        // The instance that has shown it keeps it in memory, if it has any.
        let keeps = self.odds.memory > 0;
        let due = self.shown.iter().filter(|shown| match stale {
            true => false,
            false if keeps && shown.instance == it.instance => shown.at < it.sent,
            false => shown.at + late < it.sent,
        });
        check_shown(&world, due, table).map_err(|why| format!("P2: {why}"))?;
        // Artifacts are dated by the storage's clock, in whole seconds.
        let is_dated_well = self.odds.skewed_clock_one_in == u32::MAX && !stale;
        if let Some(due) = it.sent.checked_sub(LISTING_LIFE).filter(|_| is_dated_well) {
            check_editors(&world, due, table).map_err(|why| format!("listings: {why}"))?;
        }
        for (file, position) in shown_of_editors(&world, table) {
            let known = |it: &Shown| it.file == file && it.position == position;
            if !self.shown.iter().any(known) {
                self.shown.push(Shown {
                    file,
                    position,
                    at: it.answered,
                    instance: it.instance,
                });
            }
        }
        let of = &mut self.clients[it.client];
        of.seen = of.seen.max(Some(read.entry.bounds.hi));
        record_shown(&world, &mut of.floors, table);
        Ok(())
    }

    fn check_task(&mut self, it: &Finished, shown: &TaskDetail) -> Result<(), String> {
        self.tally.reads += 1;
        let name = shown.read.entry.table().file(shown.row).name.to_owned();
        let world = self.world.lock().unwrap();
        let body = shown.body.as_deref().unwrap_or_default();
        let (first, last) = positions_of_body(&world, &name, body)
            .ok_or_else(|| format!("{name} is shown with a body it never had"))?;
        if it.floors.get(&name).is_some_and(|floor| last < *floor) {
            return Err(format!(
                "P1 or P3: the body of {name} is of {last}, the client knows {:?}",
                it.floors
            ));
        }
        let late = self.bounds[it.instance];
        let due = self.acknowledged.iter().find(|change| {
            change.file == name && change.at + late < it.sent && change.position > last
        });
        if let Some(change) = due.filter(|_| shown.read.layer != Layer::Stale) {
            return Err(format!(
                "P2: the body of {name} is of {last}: {change:?} is missing"
            ));
        }
        let of = &mut self.clients[it.client];
        of.seen = of.seen.max(Some(shown.read.entry.bounds.hi));
        raise(&mut of.floors, &name, first);
        Ok(())
    }

    /// The response says that the task was completed already; the client's floors rise to that completion.
    fn record_completion(
        &mut self,
        it: &Finished,
        done: &ChangeOutcome<CompletionResult>,
    ) -> Result<(), String> {
        let name = done.name.as_str();
        let day = done.value.at.map(|slot| slot.datum.to_string());
        let day = day.ok_or_else(|| format!("{name} was done without a day"))?;
        let position = position_of(&self.world(), name, &day)
            .ok_or_else(|| format!("{name} was never done on {day}"))?;
        let of = &mut self.clients[it.client];
        of.seen = of.seen.max(it.seen).max(Some(done.version));
        raise(&mut of.floors, name, position);
        Ok(())
    }

    fn acknowledge_deletion(
        &mut self,
        it: &Finished,
        deleted: &ChangeOutcome<()>,
    ) -> Result<(), String> {
        let Request::Delete { name, writes } = &it.request else {
            unreachable!()
        };
        self.tally.writes += 1;
        self.tally.deletions += 1;
        let position = absence_since(&self.world(), name.as_str(), *writes);
        let position = position.ok_or_else(|| format!("P7: {name} was never removed"))?;
        self.acknowledge_at(it, deleted.version, name, position);
        Ok(())
    }

    fn acknowledge_batch(&mut self, it: &Finished, done: &BatchResult) -> Result<(), String> {
        let Request::Batch(ops) = &it.request else {
            unreachable!()
        };
        let mut written = vec![];
        for ((name, operation), outcome) in ops.iter().zip(&done.outcomes) {
            match (operation, outcome) {
                (_, FileOutcome::Conflict | FileOutcome::NotAttempted) => {}
                (BatchOp::Create(token) | BatchOp::Replace(token, ..), FileOutcome::Done) => {
                    written.push((name.clone(), token.clone()));
                }
                (BatchOp::Remove(etag), FileOutcome::Done) => {
                    let position = removal_of(&self.world(), name.as_str(), etag.as_str());
                    let position =
                        position.ok_or_else(|| format!("P7: {name} was never removed"))?;
                    self.acknowledge_at(it, done.version, name, position);
                }
            }
        }
        self.acknowledge(it, done.version, &written)
    }

    fn acknowledge(
        &mut self,
        it: &Finished,
        version: Version,
        written: &[(FileName, String)],
    ) -> Result<(), String> {
        self.tally.writes += 1;
        for (name, token) in written {
            let position = position_of(&self.world(), name.as_str(), token);
            let position = position.ok_or_else(|| {
                format!("P7: {token} was acknowledged and is in no version of {name}")
            })?;
            self.acknowledge_at(it, version, name, position);
        }
        Ok(())
    }

    fn acknowledge_at(
        &mut self,
        it: &Finished,
        version: Version,
        name: &FileName,
        position: usize,
    ) {
        self.acknowledged.push(Acknowledged {
            file: name.to_string(),
            position,
            at: it.answered,
            instance: it.instance,
        });
        let of = &mut self.clients[it.client];
        of.seen = of.seen.max(it.seen).max(Some(version));
        raise(&mut of.floors, name.as_str(), position);
    }

    /// The final phase: faults end, pending intents are recovered, and all instances must agree with the store.
    async fn end(&mut self) -> Result<(), String> {
        self.odds.fail = 0;
        self.odds.retry = 0;
        self.odds.shared_fail = 0;
        self.world().shared.heal();
        self.trace(|| "everything heals".to_owned());
        let reachable = vec![true; self.instances.len()];
        self.world().reachable = reachable;
        // Twice: a request that times out in the first wait may still record a write intent.
        for _ in 0..2 {
            self.drain().await?;
            // Long enough for two skewed clocks: that of the writer, and that of the reader.
            let wrong = (MAX_CLOCK_SKEW * 2).to_std().unwrap();
            self.sleep(EXPIRY + wrong + Duration::from_secs(5)).await;
        }
        for instance in self.living() {
            self.request_alone(instance, Request::Read(Consistency::Strict))
                .await?;
        }
        let state = self
            .world()
            .blobs
            .get(STATE)
            .map(|blob| State::parse(&blob.bytes).unwrap().unwrap());
        if let Some(state) = state.filter(|state| !state.pending.is_empty()) {
            return Err(format!("P7: marks are left: {:?}", state.pending));
        }
        let token = self.token();
        self.created.push((token.clone(), None));
        let writer = self.pick_instance();
        self.request_alone(
            writer,
            Request::Create {
                token,
                keyed: false,
            },
        )
        .await?;
        for instance in self.living() {
            self.request_alone(instance, Request::Read(Consistency::Strict))
                .await?;
            self.request_alone(instance, Request::Read(Consistency::Rebuilt))
                .await?;
            self.check_equal(instance)?;
        }
        self.start_instance();
        let newest = self.instances.len() - 1;
        self.request_alone(newest, Request::Read(Consistency::Strict))
            .await?;
        self.check_equal(newest)?;
        self.check_creates()
    }

    /// No create was duplicated, and no acknowledged one lost. An unacknowledged create whose file was removed may
    /// be made again.
    fn check_creates(&self) -> Result<(), String> {
        let world = self.world();
        // If the file was removed since, the request could not know that it had landed.
        let stays = |token: &&String| {
            files_made_with(&world, token)
                .iter()
                .any(|(.., end)| *end == u64::MAX)
        };
        if let Some(token) = self.refused_tokens.iter().find(stays) {
            return Err(format!(
                "{token} was refused, and is in {:?}",
                files_made_with(&world, token)
            ));
        }
        for (token, name) in &self.created {
            let made = files_made_with(&world, token);
            let doubled = made.iter().enumerate().any(|(at, (_, begin, end))| {
                let later = made[at + 1..].iter();
                later
                    .into_iter()
                    .any(|(_, other, over)| other < end && begin < over)
            });
            let there = name
                .as_ref()
                .is_none_or(|name| made.iter().any(|(made, ..)| made == name.as_str()));
            if doubled || !there {
                return Err(format!(
                    "P7: {token} is {name:?} by its answer, and was made as {made:?}"
                ));
            }
        }
        Ok(())
    }

    /// The instance's table equals the store's task files.
    fn check_equal(&self, instance: usize) -> Result<(), String> {
        let world = self.world();
        let Some(entry) = self.instances[instance].known(&anna()) else {
            // Its memory layer is off.
            return Ok(());
        };
        let there = |name: &str, text: &str| {
            (name.ends_with(".md") && !text.contains("typ: settled")).then(|| name.to_owned())
        };
        let stored: Vec<(String, String)> = world
            .blobs
            .iter()
            .filter_map(|(path, blob)| {
                let name = path.strip_prefix(RAW)?;
                let name = there(name, &String::from_utf8_lossy(&blob.bytes))?;
                Some((name, blob.etag.as_str().to_owned()))
            })
            .collect();
        let known: Vec<(String, String)> = entry
            .table()
            .iter()
            .filter(|file| !file.is_tombstone())
            .map(|file| (file.name.to_owned(), file.etag.to_owned()))
            .collect();
        match known == stored {
            true => Ok(()),
            false => Err(format!(
                "i{instance} knows {known:?}, the store has {stored:?}"
            )),
        }
    }

    async fn request_alone(&mut self, instance: usize, request: Request) -> Result<(), String> {
        let client = 0;
        self.clients[client].waits = None;
        self.begin(client, instance, request);
        let failures = self.tally.failures;
        self.drain().await?;
        match &self.clients[client].waits {
            None if self.tally.failures == failures => Ok(()),
            None => Err(format!("P7: after everything healed i{instance} refuses")),
            Some(_) => Err(format!("P7: i{instance} doesn't answer")),
        }
    }

    async fn drain(&mut self) -> Result<(), String> {
        for _ in 0..5_000 {
            self.run_until_idle().await?;
            if self.world().calls.is_empty() {
                return Ok(());
            }
            self.advance_call();
        }
        Err("the calls never end".to_owned())
    }
}

async fn perform_request(codex: &Codex, read_request: ReadRequest, request: &Request) -> Response {
    match request.clone() {
        Request::Read(consistency) => Response::Read(
            codex
                .reader()
                .week(&ReadRequest {
                    consistency,
                    ..read_request
                })
                .await,
        ),
        Request::Task(name) => {
            Response::Task(codex.reader().task(&read_request, &by_stem(&name)).await)
        }
        Request::Create { token, keyed } => {
            let task = new_task(&token);
            let key = keyed.then(|| KeyHashes {
                key: format!("key-{token}"),
                body: token.clone(),
            });
            Response::Created(codex.writer().create(&read_request, task, key).await)
        }
        Request::Update { name, token } => {
            let edit = Edit {
                body: Some(format!("{token}\n")),
                ..Edit::default()
            };
            Response::Changed(
                codex
                    .writer()
                    .update(&read_request, &by_stem(&name), edit, None)
                    .await,
            )
        }
        Request::Complete { name, token } => {
            let slot = Slot {
                datum: token.parse().unwrap(),
                zeit: Zeit::Morgens,
            };
            Response::Completed(
                codex
                    .writer()
                    .complete(&read_request, &by_stem(&name), Some(slot))
                    .await,
            )
        }
        Request::Delete { name, .. } => {
            let writer = codex.writer();
            Response::Deleted(writer.delete(&read_request, &by_stem(&name), None).await)
        }
        Request::Batch(ops) => {
            let changes = ops.into_iter().map(|(name, operation)| BatchItem {
                name,
                merged: vec![],
                write: None,
                operation: match operation {
                    BatchOp::Create(token) => FileOp::Create(text_of(&token).into()),
                    BatchOp::Replace(token, etag, writes) => FileOp::Replace {
                        bytes: text_of(&token).into(),
                        etag,
                        writes,
                    },
                    BatchOp::Remove(etag) => FileOp::Remove(etag),
                },
            });
            Response::Batch(
                codex
                    .writer()
                    .write_files(&read_request, changes.collect())
                    .await,
            )
        }
    }
}

fn by_stem(name: &FileName) -> codex_miroir::task::TaskRef {
    codex_miroir::task::TaskRef::File(name.clone())
}

/// A task whose body is a token.
pub(crate) fn new_task(token: &str) -> NewTask {
    NewTask {
        title: None,
        kategorie: Kategorie::Arbeit,
        status: Status::Offen,
        tags: vec![],
        deadline: None,
        fixed_slot: None,
        abgeschlossen_am: None,
        body: format!("{token}\n"),
    }
}

pub(crate) fn text_of(token: &str) -> String {
    format!("---\ntyp: task\nkategorie: arbeit\nstatus: offen\n---\n\n{token}\n")
}

/// A day that serves as a token.
pub(crate) fn day_of(token: u32) -> String {
    let first = NaiveDate::from_ymd_opt(1900, 1, 1).unwrap();
    Datum(first + TimeDelta::days(i64::from(token))).to_string()
}

fn summary(answer: &Response) -> String {
    match answer {
        Response::Read(Ok(read)) => format!(
            "a week from {:?} lo {} hi {} exact {}: {:?}",
            read.layer,
            read.entry.bounds.lo,
            read.entry.bounds.hi,
            read.entry.bounds.exact,
            read.entry
                .table()
                .iter()
                .map(|file| (file.name.to_owned(), file.etag.to_owned()))
                .collect::<Vec<_>>()
        ),
        Response::Task(Ok(shown)) => {
            format!("{:?} of {}", shown.body, shown.read.entry.bounds.hi)
        }
        Response::Created(Ok(it)) => format!("{} created as {}", it.name, it.version),
        Response::Changed(Ok(it)) => format!("{} changed as {}", it.name, it.version),
        Response::Completed(Ok(it)) => format!(
            "{} done as {}, already: {}",
            it.name, it.version, it.value.already
        ),
        Response::Deleted(Ok(it)) => format!("{} deleted as {}", it.name, it.version),
        Response::Batch(Ok(it)) => format!("{:?} as {}", it.outcomes, it.version),
        Response::Read(Err(error)) => format!("{error}"),
        Response::Task(Err(error))
        | Response::Created(Err(error))
        | Response::Changed(Err(error))
        | Response::Completed(Err(error))
        | Response::Deleted(Err(error))
        | Response::Batch(Err(error)) => format!("{:?}", error.error),
    }
}
