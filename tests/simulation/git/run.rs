//! One simulated run of the Git engine, determined by one seed.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use codex_miroir::codex::{Codex, CodexSettings, Consistency, ReadRequest};
use codex_miroir::config::{Credentials, RepositoryConfig, Secret};
use codex_miroir::git_sync::{
    GitMutation, GitSettings, GitStatus, GitSync, GitSyncError, PullRequestEntry, PushState,
    SyncRequest,
};
use codex_miroir::github::{EntryKind, Push, is_mirrored};
use codex_miroir::now::Now;
use codex_miroir::rules::Rules;
use codex_miroir::task::{Edit, FileName, GitSha, Slot, TOMBSTONE_FILE, Zeit, git_sha};
use codex_miroir::user::UserId;
use codex_miroir::user_state::State;
use fastrand::Rng;
use tokio::task::AbortHandle;

use super::checker::{Checker, tokens};
use super::repository::{FOLDER, GitHub, MAIN, Node, Paths, PullRequest, SimRepository};
use crate::run::{anna, cache_settings, day_of, new_task, reset_ids, text_of};
use crate::search::{Plan, RunReport};
use crate::world::{RAW, SimStore, World};

/// Counts of a run's events, to assert coverage.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Tally {
    pub(crate) steps: u64,
    /// Acknowledged changes.
    pub(crate) writes: u64,
    /// Acknowledged deletions among them.
    pub(crate) deletions: u64,
    /// Commits by the service.
    pub(crate) commits: u64,
    /// Commits by people with a clone.
    pub(crate) pushes: u64,
    pub(crate) forced: u64,
    pub(crate) deliveries: u64,
    pub(crate) crashes: u64,
    /// Lost responses.
    pub(crate) lost: u64,
    /// Reads of the head by a replica that lacked a commit of the service's.
    pub(crate) behind: u64,
    /// Merged pull requests.
    pub(crate) merged: u64,
    /// Removals held for a confirmation.
    pub(crate) held: u64,
    /// Open pull requests that were the only one of their file.
    pub(crate) requests: u64,
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, more: Self) {
        self.steps += more.steps;
        self.writes += more.writes;
        self.deletions += more.deletions;
        self.commits += more.commits;
        self.pushes += more.pushes;
        self.forced += more.forced;
        self.deliveries += more.deliveries;
        self.crashes += more.crashes;
        self.lost += more.lost;
        self.behind += more.behind;
        self.merged += more.merged;
        self.held += more.held;
        self.requests += more.requests;
    }
}

thread_local! {
    /// The start of the run on this thread, for the clock of background work.
    static EPOCH: Cell<Option<(DateTime<Utc>, Instant, tokio::time::Instant)>> = const { Cell::new(None) };
}

fn now() -> Now {
    let (utc, mono, started) = EPOCH.get().unwrap();
    let elapsed = started.elapsed();
    Now {
        utc: utc + elapsed,
        mono: mono + elapsed,
        started: started + elapsed,
        suspended: Duration::ZERO,
    }
}

/// The odds of each kind of step, in a thousand; drawn for each seed.
struct Odds {
    request: u32,
    push: u32,
    forced: u32,
    review: u32,
    deliver: u32,
    tick: u32,
    editor: u32,
    crash: u32,
    catch_up: u32,
    sleep: u32,
    fail: u32,
    irregular_entries: bool,
    pulls: bool,
    slow_one_in: u64,
    /// Whether deliveries carry the time of the push.
    delivery_timestamps: bool,
}

impl Odds {
    fn draw(rng: &mut Rng) -> Self {
        let mut some = |of: &[u32]| of[rng.usize(..of.len())];
        Self {
            request: some(&[30, 60, 120]),
            push: some(&[5, 15, 30]),
            forced: some(&[0, 3, 8, 16]),
            review: some(&[20, 60, 100]),
            deliver: some(&[10, 30]),
            tick: some(&[2, 6]),
            editor: some(&[0, 0, 5]),
            crash: some(&[0, 2, 6]),
            catch_up: some(&[10, 40, 200]),
            sleep: some(&[5, 20]),
            fail: some(&[0, 0, 8, 30]),
            irregular_entries: some(&[0, 1]) == 1,
            pulls: some(&[0, 1]) == 1,
            slow_one_in: u64::from(some(&[7, 20, 1_000_000])),
            delivery_timestamps: some(&[0, 1, 1, 1]) == 1,
        }
    }
}

/// A client's request.
#[derive(Debug, Clone)]
enum Request {
    Create(String),
    Update(FileName, String),
    Tag(FileName, String),
    /// Removes the tags, and replaces the text.
    Untag(FileName, String),
    Complete(FileName, String),
    Delete(FileName),
    Read,
    Sync,
}

struct Acknowledged {
    name: FileName,
    /// `None` for a deletion.
    token: Option<String>,
    request_start: RequestStart,
}

/// The time at which a request was sent, and the number of writes to the store before.
#[derive(Clone, Copy)]
struct RequestStart {
    at: tokio::time::Instant,
    writes: u64,
}

struct Run {
    plan: Plan<GitMutation>,
    rng: Rng,
    odds: Odds,
    world: Arc<Mutex<World>>,
    instances: Vec<(Codex, AbortHandle)>,
    pending_deliveries: Vec<Push>,
    acknowledged: Arc<Mutex<Vec<Acknowledged>>>,
    checker: Checker,
    numbers: u32,
    tally: Tally,
}

/// Runs `plan` to its end, or to the first violation.
pub(crate) fn run(plan: Plan<GitMutation>) -> RunReport<Tally> {
    reset_ids();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async move {
        let mut run = Run::new(plan);
        let violation = run.play().await.err();
        let (log, behind, commits) = {
            let world = run.world();
            (world.log(), world.github.behind, world.github.own_commits())
        };
        (run.tally.behind, run.tally.commits) = (behind, commits);
        run.tally.held = run.checker.held_ever;
        RunReport {
            violation,
            log,
            tally: run.tally,
        }
    })
}

impl Run {
    fn new(plan: Plan<GitMutation>) -> Self {
        let mut rng = Rng::with_seed(plan.seed);
        let utc: DateTime<Utc> = "2026-03-09T07:00:00Z".parse().unwrap();
        EPOCH.set(Some((utc, Instant::now(), tokio::time::Instant::now())));
        let odds = Odds::draw(&mut rng);
        let mut world = World::new(utc, plan.traced);
        world.drop_calls_of_dead = true;
        world.github.truncates_trees = rng.u8(..4) == 0;
        world.github.has_activity_api = rng.u8(..8) > 0;
        let mut run = Self {
            world: Arc::new(Mutex::new(world)),
            instances: vec![],
            pending_deliveries: vec![],
            acknowledged: Arc::default(),
            checker: Checker::default(),
            numbers: 0,
            tally: Tally::default(),
            plan,
            rng,
            odds,
        };
        let files = run.rng.usize(2..14);
        run.push_from_clone(|run, paths, github| {
            for number in 0..files {
                let token = run.token('g');
                let sha = github.blob(text_of(&token).into());
                let kind = EntryKind::File;
                paths.insert(format!("{FOLDER}{number:04}-Datei.md"), Node { kind, sha });
            }
        });
        for _ in 0..run.rng.usize(2..=3) {
            run.start_instance();
        }
        run
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    fn trace(&self, line: impl FnOnce() -> String) {
        self.world().trace(line);
    }

    fn token(&mut self, kind: char) -> String {
        self.numbers += 1;
        format!("{kind}{}.", self.numbers)
    }

    fn start_instance(&mut self) {
        let instance = {
            let mut world = self.world();
            world.clock_offsets.push(TimeDelta::zero());
            world.alive.push(true);
            world.reachable.push(true);
            let moment = world.github.moment;
            world.github.replicas.push([moment; 2]);
            world.alive.len() - 1
        };
        let store = SimStore {
            world: Arc::clone(&self.world),
            instance,
            slow_one_in: self.odds.slow_one_in,
        };
        let repository = SimRepository {
            world: Arc::clone(&self.world),
            instance,
            slow_one_in: self.odds.slow_one_in,
            config: RepositoryConfig {
                owner: "owner".to_owned(),
                repo: "notes".to_owned(),
                branch: MAIN.to_owned(),
                credentials: Credentials::Token(Secret::new("token".to_owned())),
                pull_requests: self.odds.pulls.then(|| "codex/tasks".to_owned()),
                committer_name: String::new(),
                committer_email: String::new(),
            },
        };
        let settings = CodexSettings {
            cache: cache_settings(1 << 24, Rules::default()),
            rebuilds_per_minute: u32::MAX,
            writes_per_minute: u32::MAX,
            git: Some(GitSettings {
                repository: Arc::new(repository),
                base_path: "notes/codex".to_owned(),
                clock: now,
                rules: self.rules(),
            }),
            shared: None,
        };
        let codex = Codex::new(Arc::new(store), settings);
        let worker = tokio::spawn(git_of(&codex).push_in_background());
        self.instances.push((codex, worker.abort_handle()));
    }

    fn rules(&self) -> Rules<GitMutation> {
        #[cfg(feature = "mutations")]
        if let Some(mutation) = self.plan.mutation {
            return Rules::breaking(mutation);
        }
        Rules::default()
    }

    fn pick_instance(&mut self) -> usize {
        let living: Vec<usize> = {
            let world = self.world();
            let all = 0..world.alive.len();
            all.filter(|it| world.alive[*it]).collect()
        };
        living[self.rng.usize(..living.len())]
    }

    async fn play(&mut self) -> Result<(), String> {
        for _ in 0..self.plan.steps {
            self.step().await;
            self.run_until_idle().await?;
        }
        self.end().await
    }

    async fn run_until_idle(&mut self) -> Result<(), String> {
        tokio::time::sleep(Duration::from_millis(1)).await;
        let acknowledged = std::mem::take(&mut *self.acknowledged.lock().unwrap());
        let world = self.world.lock().unwrap();
        for Acknowledged {
            name,
            token,
            request_start,
        } in acknowledged
        {
            self.tally.writes += 1;
            let Some(token) = token else {
                self.tally.deletions += 1;
                self.checker.acknowledge_deletion(&world, &name);
                continue;
            };
            let versions = world.history.get(name.as_str()).into_iter().flatten();
            let mut texts = versions.filter_map(|it| it.text.as_deref());
            if !texts.any(|text| tokens(text).contains(&token)) {
                return Err(format!("{token} was acknowledged, and never in {name}"));
            }
            let hint = world
                .hint_put()
                .is_some_and(|put| put > request_start.writes);
            // Otherwise the hint's write may have failed, or Git may reject the file.
            let must_stay = hint && request_start.at.elapsed() < Duration::from_secs(1);
            if must_stay && self.odds.fail == 0 && !self.odds.irregular_entries {
                self.checker.expect_hint(&name, token);
            }
        }
        self.checker.check(&world)
    }

    async fn step(&mut self) {
        let mut roll = self.rng.u32(..1000);
        let mut is = |odds: u32| {
            let hit = roll < odds;
            roll = roll.saturating_sub(odds);
            hit
        };
        let o = &self.odds;
        let steps = [
            o.request, o.push, o.forced, o.review, o.deliver, o.tick, o.editor, o.crash,
            o.catch_up, o.sleep,
        ];
        self.tally.steps += 1;
        match steps.into_iter().position(&mut is) {
            Some(0) => self.send_request(),
            Some(1) => self.random_push(),
            Some(2) => self.force(),
            Some(3) => self.review(),
            Some(4) => self.deliver(),
            Some(5) => {
                let instance = self.pick_instance();
                self.tick(instance);
            }
            Some(6) => self.random_editor_save(),
            Some(7) => self.crash(),
            Some(8) => self.catch_up(),
            Some(9) => {
                let millis = [100, 300, 1_000, 3_000, 21_000, 61_000][self.rng.usize(..6)];
                self.sleep(Duration::from_millis(millis)).await;
            }
            _ => self.advance_call(),
        }
        self.collect_deliveries();
    }

    async fn sleep(&mut self, time: Duration) {
        self.trace(|| format!("{time:?} pass"));
        tokio::time::sleep(time).await;
    }

    fn tick(&mut self, instance: usize) {
        self.trace(|| format!("the timer comes to i{instance}"));
        let codex = self.instances[instance].0.clone();
        tokio::spawn(async move { drop(git_of(&codex).tick(now()).await) });
    }

    fn catch_up(&mut self) {
        let (instance, replica) = (self.pick_instance(), self.rng.usize(..2));
        let mut world = self.world.lock().unwrap();
        let moment = world.github.moment;
        let seen = world.github.replicas[instance][replica];
        // Often exactly to the last force push.
        let mut forced = world.github.moves(MAIN).iter().rev();
        let forced = forced.find(|it| it.forced && it.at > seen).map(|it| it.at);
        world.github.replicas[instance][replica] = match (self.rng.u8(..4), forced) {
            (0, Some(forced)) => forced,
            (0 | 1, _) => self.rng.u64(seen..=moment),
            _ => moment,
        };
    }

    fn crash(&mut self) {
        self.tally.crashes += 1;
        let instance = self.pick_instance();
        self.instances[instance].1.abort();
        let mut world = self.world();
        world.alive[instance] = false;
        world.trace(|| format!("i{instance} is killed"));
        drop(world);
        self.start_instance();
    }

    fn advance_call(&mut self) {
        let shared = Arc::clone(&self.world);
        let mut world = shared.lock().unwrap();
        if world.calls.is_empty() {
            return;
        }
        let mut at = self.rng.usize(..world.calls.len());
        if world.calls[at].slow && self.rng.u8(..10) > 0 {
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
        if !world.alive[instance] || call.is_abandoned() {
            match (answered, self.rng.u8(..8)) {
                (true, _) | (false, 0) => world.deliver(at),
                (false, 1 | 2) => world.perform(at),
                _ => {}
            }
            return;
        }
        if self.rng.u32(..1000) < self.odds.fail {
            self.tally.lost += 1;
            if self.rng.u8(..4) == 0 && world.answer_rate_limited(at) {
                return;
            }
            if self.rng.bool() && !answered && writes {
                // The call takes effect, but its response is lost.
                world.perform(at);
            }
            world.fail(at);
        } else if answered {
            world.deliver(at);
        } else {
            world.perform(at);
        }
    }

    fn any_file(&mut self) -> Option<FileName> {
        let names: Vec<FileName> = {
            let world = self.world();
            let there = world.blobs.keys().filter_map(|path| path.strip_prefix(RAW));
            there.filter_map(|name| name.parse().ok()).collect()
        };
        (!names.is_empty()).then(|| names[self.rng.usize(..names.len())].clone())
    }

    fn send_request(&mut self) {
        let instance = self.pick_instance();
        let token = self.token('t');
        let file = self.any_file();
        let request = match (self.rng.u8(..12), file) {
            (0..4, _) => Request::Create(token),
            (4..6, Some(name)) => Request::Update(name, token),
            (6, Some(name)) => Request::Tag(name, token),
            (7, Some(name)) => Request::Untag(name, token),
            (8, Some(name)) => Request::Complete(name, day_of(self.numbers)),
            (9, _) => Request::Sync,
            (10, Some(name)) => Request::Delete(name),
            _ => Request::Read,
        };
        if let Request::Delete(name) = &request {
            self.checker.request_deletion(name);
        }
        let wait = self.rng.u8(..3) == 0;
        self.trace(|| format!("i{instance} is asked for {request:?}, waiting: {wait}"));
        let (codex, acknowledged) = (
            self.instances[instance].0.clone(),
            Arc::clone(&self.acknowledged),
        );
        let request_start = RequestStart {
            at: tokio::time::Instant::now(),
            writes: self.world().writes,
        };
        tokio::spawn(perform_request(
            codex,
            request,
            wait,
            acknowledged,
            request_start,
        ));
    }

    /// An editor saves an existing or a new file, or removes one.
    fn random_editor_save(&mut self) {
        let token = self.token('e');
        let name = match (self.rng.u8(..4), self.any_file()) {
            (0, _) => format!("{:04}-Editor.md", 60 + self.rng.u8(..4)),
            (1, _) if self.odds.irregular_entries => format!("0070-{}.md", "x".repeat(200)),
            (_, Some(name)) => name.to_string(),
            _ => return,
        };
        let removes = self.rng.u8(..4) == 0;
        let mut world = self.world.lock().unwrap();
        world.trace(|| format!("an editor saves {name}, or removes it: {removes}"));
        match removes {
            true => world.foreign_remove(&name),
            false => world.foreign_write(&name, &text_of(&token)),
        }
    }

    fn collect_deliveries(&mut self) {
        let moves = std::mem::take(&mut self.world.lock().unwrap().github.deliveries);
        self.pending_deliveries
            .extend(moves.into_iter().map(|it| Push {
                repository: "owner/notes".to_owned(),
                reference: format!("refs/heads/{MAIN}"),
                before: it.before,
                after: it.after,
                forced: it.forced,
                at: self.odds.delivery_timestamps.then(|| it.time()),
            }));
    }

    /// A delivery arrives out of order, is lost, or is duplicated later.
    fn deliver(&mut self) {
        if self.pending_deliveries.is_empty() {
            return;
        }
        let at = self.rng.usize(..self.pending_deliveries.len());
        let forced: Vec<usize> = (0..self.pending_deliveries.len())
            .filter(|at| self.pending_deliveries[*at].forced)
            .collect();
        let push = match (self.rng.u8(..8), self.rng.choice(&forced)) {
            // Deliveries of force pushes are often repeated, and late.
            (0..3, Some(at)) => self.pending_deliveries[*at].clone(),
            (3, _) => self.pending_deliveries[at].clone(),
            _ => self.pending_deliveries.swap_remove(at),
        };
        if self.rng.u8(..5) == 0 {
            return;
        }
        self.tally.deliveries += 1;
        let instance = self.pick_instance();
        self.trace(|| format!("i{instance} gets a delivery {push:?}"));
        let codex = self.instances[instance].0.clone();
        tokio::spawn(async move { drop(git_of(&codex).fetch_all(&push, now()).await) });
    }

    /// A person with a clone pushes a commit.
    fn push_from_clone(&mut self, change: impl FnOnce(&mut Self, &mut Paths, &mut GitHub)) {
        self.tally.pushes += 1;
        let shared = Arc::clone(&self.world);
        let (mut paths, mut github) = {
            let mut world = shared.lock().unwrap();
            (world.github.now(), std::mem::take(&mut world.github))
        };
        change(self, &mut paths, &mut github);
        github.push(MAIN, |now, _| *now = paths);
        let mut world = shared.lock().unwrap();
        world.github = github;
        let head = world.github.head(MAIN);
        world.trace(|| format!("somebody pushes {head:?}"));
        self.checker.branch_moved(&world, false);
    }

    fn random_push(&mut self) {
        self.push_from_clone(|run, paths, github| {
            let tasks: Vec<String> = paths
                .range(FOLDER.to_owned()..)
                .map(|(path, _)| path.clone())
                .take_while(|path| path.starts_with(FOLDER))
                .collect();
            let token = run.token('g');
            let Some(path) = run.rng.choice(&tasks).cloned() else {
                return run.add(paths, github, &token);
            };
            let node = paths[&path];
            let text = github.content(node.sha);
            let name = path[FOLDER.len()..].to_owned();
            let appended = format!("{text}{token}\n");
            let kind = node.kind;
            match run.rng.u8(..20) {
                0..4 => run.add(paths, github, &token),
                4..9 => {
                    let sha = github.blob(appended.into());
                    paths.insert(path, Node { kind, sha });
                }
                9..11 => {
                    let sha = github.blob(text_of(&token).into());
                    paths.insert(path, Node { kind, sha });
                }
                11 | 12 => drop(paths.remove(&path)),
                13 | 14 => {
                    paths.remove(&path);
                    let sha = match run.rng.bool() {
                        true => github.blob(appended.into()),
                        false => node.sha,
                    };
                    let other = format!("{FOLDER}{}-Anders {}.md", &name[..4], run.rng.u8(..9));
                    if GitHub::is_free(paths, &other) {
                        paths.insert(other, Node { kind, sha });
                    }
                }
                15 => {
                    let others = run.rng.bool();
                    run.replace_nearly_all(paths, github, others);
                }
                16 => {
                    let kind = EntryKind::Executable;
                    paths.insert(path, Node { kind, ..node });
                }
                17 | 18 if run.odds.irregular_entries => {
                    run.put_irregular_entry(paths, github, &path)
                }
                19 => {
                    // A revert to an earlier commit's contents.
                    let head = github.head(MAIN);
                    let back = run.rng.usize(1..4);
                    let earlier = (0..back).fold(head, |it, _| it.and_then(|it| github.before(it)));
                    if let Some(earlier) = earlier {
                        *paths = github.paths(earlier).clone();
                    }
                }
                _ => {
                    let sha = github.blob(token.into_bytes().into());
                    let kind = EntryKind::File;
                    paths.insert("README.md".to_owned(), Node { kind, sha });
                }
            }
        });
    }

    /// Removes nearly all tasks, and with `others` adds as many new ones.
    fn replace_nearly_all(&mut self, paths: &mut Paths, github: &mut GitHub, others: bool) {
        let tasks = paths.keys().filter(|path| path.starts_with(FOLDER));
        let tasks: Vec<String> = tasks.skip(self.rng.usize(..2)).cloned().collect();
        for path in &tasks {
            paths.remove(path);
        }
        for _ in tasks.iter().filter(|_| others) {
            let token = self.token('g');
            self.add(paths, github, &token);
        }
    }

    fn add(&mut self, paths: &mut Paths, github: &mut GitHub, token: &str) {
        let name = format!("{:04}-Git {}.md", 20 + self.rng.u8(..30), self.rng.u8(..2));
        let path = format!("{FOLDER}{name}");
        if !GitHub::is_free(paths, &path) {
            return;
        }
        let (kind, sha) = (EntryKind::File, github.blob(text_of(token).into()));
        paths.insert(path, Node { kind, sha });
    }

    /// Puts an entry that is no file at a task's path, or one that is no folder at a folder's.
    fn put_irregular_entry(&mut self, paths: &mut Paths, github: &mut GitHub, path: &str) {
        let sha = github.blob(b"elsewhere".to_vec().into());
        let kind = [EntryKind::Link, EntryKind::Other, EntryKind::File][self.rng.usize(..3)];
        match self.rng.u8(..6) {
            0 => {
                let sha = github.blob(TOMBSTONE_FILE.into());
                let kind = EntryKind::File;
                paths.insert(path.to_owned(), Node { kind, sha });
            }
            1 => {
                paths.remove(path);
                let kind = EntryKind::File;
                paths.insert(format!("{path}/inside.md"), Node { kind, sha });
            }
            2 | 3 => {
                let kind = [EntryKind::Link, EntryKind::Other][self.rng.usize(..2)];
                paths.insert(path.to_owned(), Node { kind, sha });
            }
            _ => {
                let levels = [
                    "notes",
                    "notes/codex",
                    "notes/codex/anna",
                    "notes/codex/anna/tasks",
                ];
                let level = levels[self.rng.usize(..4)];
                paths.retain(|path, _| !path.starts_with(&format!("{level}/")));
                paths.insert(level.to_owned(), Node { kind, sha });
            }
        }
    }

    /// Moves the branch to an earlier commit, or to a diverged one.
    fn force(&mut self) {
        self.tally.forced += 1;
        let (back, beside, right) = (self.rng.usize(1..4), self.rng.bool(), self.rng.u8(..3) == 0);
        let token = self.token('g');
        let shared = Arc::clone(&self.world);
        let mut world = shared.lock().unwrap();
        let github = &mut world.github;
        let head = github.head(MAIN);
        let mut forced = github.moves(MAIN).iter().rev().filter(|it| it.forced);
        let restored = forced.next().filter(|_| right).and_then(|it| it.before);
        let earlier = (0..back).fold(head, |it, _| {
            it.and_then(|it| github.before(it).or(Some(it)))
        });
        let Some(mut to) = restored.or(earlier).filter(|it| Some(*it) != head) else {
            return;
        };
        if beside && restored.is_none() {
            let mut paths = github.paths(to).clone();
            self.add(&mut paths, github, &token);
            to = github.commit_without_branch(to, paths);
        }
        // A move to a descendant is an ordinary push.
        let forced = head.is_none_or(|head| !github.descends_from(to, head));
        github.move_branch(MAIN, Some(to), forced);
        world.trace(|| format!("the branch is set to {to}, forced: {forced}"));
        self.checker.branch_moved(&world, true);
    }

    /// A reviewer acts on a pull request.
    fn review(&mut self) {
        let shared = Arc::clone(&self.world);
        let mut world = shared.lock().unwrap();
        let pulls = world.github.pulls.iter().enumerate();
        let (open, closed): (Vec<_>, Vec<_>) = pulls.partition(|(_, pull)| pull.is_open());
        let those = match self.rng.u8(..8) {
            0 => closed,
            _ => open,
        };
        let Some(&(number, _)) = self.rng.choice(&those) else {
            return;
        };
        let token = self.token('g');
        let github = &mut world.github;
        let (open, branch) = {
            let pull = &github.pulls[number];
            (pull.is_open(), pull.branch.clone())
        };
        let there = github.head(&branch).is_some();
        let merged = github.pulls[number].merged().is_some();
        let what = self.rng.u8(..12);
        match (what, open) {
            (0..5, true) => change_branch(github, &branch, what, &token),
            (5..10, true) => {
                self.tally.merged += 1;
                github.merge(number, what < 7);
            }
            (10, true) => github.set_pull(number, false, None),
            (11, _) if there => github.move_branch(&branch, None, false),
            (_, false) if there && !merged && what < 2 => github.set_pull(number, true, None),
            _ => return,
        }
        world.trace(|| format!("pull request {number} of {branch}: {what}, open before: {open}"));
        self.checker.branch_moved(&world, true);
    }

    /// The final phase: faults end, and both sides must become equal.
    async fn end(&mut self) -> Result<(), String> {
        self.odds.fail = 0;
        self.trace(|| "everything heals".to_owned());
        if self.rng.bool() {
            self.pending_deliveries.clear();
        }
        self.run_until_equal().await?;
        self.check_requests()?;
        self.check_removals()?;
        match self.rng.u8(..4) {
            0 => self.check_idle().await,
            1 => self.mass_deletion().await,
            2 => self.last_review().await,
            _ => Ok(()),
        }
    }

    async fn run_until_equal(&mut self) -> Result<(), String> {
        let mut last = String::new();
        for round in 0..40 {
            self.tick_and_wait().await?;
            match self.difference().await? {
                None => return Ok(()),
                Some(difference) => last = difference,
            }
            if round % 3 == 2 {
                self.confirm().await?;
            }
        }
        Err(format!("at rest both sides differ: {last}"))
    }

    /// Triggers the timer, and runs until idle.
    async fn tick_and_wait(&mut self) -> Result<(), String> {
        let instance = self.pick_instance();
        self.tick(instance);
        self.drain().await?;
        self.sleep(Duration::from_secs(61)).await;
        self.drain().await
    }

    /// Changes and merges a pull request that is still open.
    async fn last_review(&mut self) -> Result<(), String> {
        let (what, with_history) = (self.rng.u8(..5), self.rng.bool());
        let token = self.token('g');
        {
            let mut world = self.world();
            let github = &mut world.github;
            let Some(number) = github.pulls.iter().position(PullRequest::is_open) else {
                return Ok(());
            };
            let branch = github.pulls[number].branch.clone();
            change_branch(github, &branch, what, &token);
            github.merge(number, with_history);
            world.trace(|| format!("pull request {number} of {branch}: {what}, and merged"));
        }
        self.tally.merged += 1;
        self.run_until_equal().await
    }

    /// Syncs manually, and confirms whatever needs a confirmation.
    async fn confirm(&mut self) -> Result<(), String> {
        let mut request = SyncRequest {
            clean: true,
            confirm: None,
            confirm_head: None,
        };
        for _ in 0..4 {
            self.checker.confirm();
            let instance = self.pick_instance();
            self.trace(|| format!("i{instance} is asked to sync by hand: {request:?}"));
            let codex = self.instances[instance].0.clone();
            let sync = tokio::spawn(async move { codex.sync(&read_request(), request).await });
            self.drain().await?;
            // The sync may wait for a replica to catch up.
            for _ in 0..60 {
                if !sync.is_finished() {
                    self.sleep(Duration::from_secs(1)).await;
                    self.drain().await?;
                }
            }
            if !sync.is_finished() {
                return Err("a sync by hand doesn't end".to_owned());
            }
            match sync.await.unwrap() {
                Err(GitSyncError::MassDelete(count)) => request.confirm = Some(count),
                Err(GitSyncError::HistoryRewritten { head, .. }) => {
                    request.confirm_head = Some(head)
                }
                _ => return Ok(()),
            }
        }
        Ok(())
    }

    /// A difference between the store and Git, apart from those that are proposed or can't be mirrored.
    async fn difference(&mut self) -> Result<Option<String>, String> {
        let instance = self.pick_instance();
        let codex = self.instances[instance].0.clone();
        let status =
            tokio::spawn(async move { GitStatus::read(&git_of(&codex), &read_request()).await });
        self.drain().await?;
        let pulls = match status.is_finished() {
            true => {
                let status = status.await.unwrap();
                status.map_err(|error| error.to_string())?.pull_requests
            }
            false => return Ok(Some("the status isn't told".to_owned())),
        };
        let world = self.world();
        let is_proposed = |name: &FileName| {
            let noted = pulls.iter().find(|it| it.filename == name.as_str());
            noted.is_some_and(|PullRequestEntry { note, .. }| {
                let pull = &world.github.pulls[note.pull.number as usize];
                // Without the activity API a merge that the branch was forced away from can't be detected.
                let is_unknown = !world.github.has_activity_api && !note.pull.open;
                pull.merged().is_none() || is_unknown
            })
        };
        let paths = world.github.now();
        let blocks = |at: usize| paths.contains_key(&FOLDER[..at]);
        if FOLDER.match_indices('/').any(|(at, _)| blocks(at)) {
            return Ok(None);
        }
        let here = world.blobs.keys().filter_map(|path| path.strip_prefix(RAW));
        let there = paths.keys().filter_map(|path| path.strip_prefix(FOLDER));
        let there = there.map(|it| it.split('/').next().unwrap_or(it));
        let mut names: Vec<FileName> = here.chain(there).filter_map(|it| it.parse().ok()).collect();
        names.sort();
        names.dedup();
        for name in names.iter().filter(|name| is_mirrored(name)) {
            if is_proposed(name) {
                continue;
            }
            let blob = world.blobs.get(&format!("{RAW}{name}"));
            let ours = blob
                .filter(|it| it.bytes != TOMBSTONE_FILE)
                .map(|it| git_sha(&it.bytes));
            let path = format!("{FOLDER}{name}");
            let inside = format!("{path}/");
            let is_folder = paths.keys().any(|it| it.starts_with(&inside));
            let node = paths.get(&path);
            let plain = node.is_none_or(|it| {
                let is_file = matches!(it.kind, EntryKind::File | EntryKind::Executable);
                is_file && it.sha != git_sha(TOMBSTONE_FILE.as_bytes())
            });
            if plain && !is_folder && ours != node.map(|it| it.sha) {
                let theirs = node.map(|it| world.github.content(it.sha));
                let ours = blob.map(|it| String::from_utf8_lossy(&it.bytes).into_owned());
                return Ok(Some(format!("{name}: {ours:?} here, {theirs:?} in Git")));
            }
        }
        Ok(None)
    }

    /// A mass removal without a confirmation; other files are still synced.
    async fn mass_deletion(&mut self) -> Result<(), String> {
        self.push_from_clone(|run, paths, github| run.replace_nearly_all(paths, github, true));
        for _ in 0..3 {
            self.tick_and_wait().await?;
        }
        Ok(())
    }

    /// No file has two untouched pull requests of the service's. A file with a merged one is exempt: another may be
    /// left that proposes nothing new.
    fn check_requests(&mut self) -> Result<(), String> {
        let world = self.world.lock().unwrap();
        let github = &world.github;
        let merged = github.pulls.iter().filter(|it| it.merged().is_some());
        let merged = merged.flat_map(|it| github.files_of(&it.branch));
        let merged: BTreeSet<&str> = merged.collect();
        let mut files = BTreeSet::new();
        for pull in github.pulls.iter().filter(|it| it.is_untouched()) {
            let file = github.file_of(&pull.branch);
            let Some(file) = file.filter(|it| !merged.contains(it)) else {
                continue;
            };
            if !files.insert(file) {
                let branch = &pull.branch;
                return Err(format!("{branch} is a second open request for {file}"));
            }
        }
        self.tally.requests += files.len() as u64;
        Ok(())
    }

    /// The removal of a file that is on both sides again is forgotten: an editor's removal mustn't be taken for it.
    fn check_removals(&mut self) -> Result<(), String> {
        let world = self.world();
        let state = world.blobs.get("state/anna/state.json");
        let state = state.and_then(|it| State::parse(&it.bytes).unwrap());
        let removed = state.map(|it| it.removed).unwrap_or_default();
        let paths = world.github.now();
        let is_queued = world.blobs.contains_key("queue/anna");
        let kept = removed.keys().find(|name| {
            let blob = world.blobs.get(&format!("{RAW}{name}"));
            let node = paths.get(&format!("{FOLDER}{name}"));
            !is_queued
                && blob
                    .zip(node)
                    .is_some_and(|(blob, node)| git_sha(&blob.bytes) == node.sha)
        });
        match kept {
            Some(name) => Err(format!(
                "{name} is here and in Git, and still known as removed"
            )),
            None => Ok(()),
        }
    }

    /// When both sides are equal, no blobs are fetched.
    async fn check_idle(&mut self) -> Result<(), String> {
        // Instances that haven't reconciled yet do so now.
        for instance in 0..self.instances.len() {
            if self.world().alive[instance] {
                self.tick(instance);
                self.drain().await?;
            }
        }
        // Pending retries run now.
        self.sleep(Duration::from_secs(61)).await;
        self.drain().await?;
        let before = self.world().github.blobs_read;
        for _ in 0..2 {
            self.tick_and_wait().await?;
        }
        match self.world().github.blobs_read - before {
            0 => Ok(()),
            more => Err(format!("at rest {more} files are fetched")),
        }
    }

    async fn drain(&mut self) -> Result<(), String> {
        for _ in 0..20_000 {
            {
                let mut world = self.world();
                let moment = world.github.moment;
                for replica in world.github.replicas.iter_mut().flatten() {
                    *replica = moment;
                }
            }
            self.run_until_idle().await?;
            if self.world().calls.is_empty() {
                return Ok(());
            }
            self.advance_call();
        }
        Err("the calls never end".to_owned())
    }
}

fn read_request() -> ReadRequest {
    ReadRequest {
        user: user(),
        seen: None,
        consistency: Consistency::Bounded,
        now: now(),
    }
}

fn user() -> UserId {
    anna()
}

fn git_of(codex: &Codex) -> Arc<GitSync> {
    Arc::clone(codex.git().unwrap())
}

/// A reviewer's commit on a pull request's branch.
fn change_branch(github: &mut GitHub, branch: &str, what: u8, token: &str) {
    let before = github.now();
    github.push(branch, |paths, github| {
        let own = |path: &str| {
            let name = path.strip_prefix(FOLDER);
            name.and_then(|it| it.get(..4))
                .is_some_and(|id| branch.contains(id))
        };
        let Some(path) = paths.keys().find(|path| own(path)).cloned() else {
            return;
        };
        let node = paths[&path];
        let text = github.content(node.sha);
        let text = match what {
            0 => text_of(token),
            _ => format!("{text}{token}\n"),
        };
        let sha = github.blob(text.into());
        match (what, before.get(&path)) {
            (3, _) | (4, None) => drop(paths.remove(&path)),
            // The change is reverted, and another file changed instead.
            (4, Some(before)) => {
                paths.insert("README.md".to_owned(), Node { sha, ..node });
                paths.insert(path, *before);
            }
            _ => drop(paths.insert(path, Node { sha, ..node })),
        }
    });
}

async fn perform_request(
    codex: Codex,
    request: Request,
    wait: bool,
    acknowledged: Arc<Mutex<Vec<Acknowledged>>>,
    request_start: RequestStart,
) {
    let read_request = read_request();
    let acknowledge = |name: FileName, token: Option<String>| {
        let acknowledged = &mut *acknowledged.lock().unwrap();
        acknowledged.push(Acknowledged {
            name,
            token,
            request_start,
        });
    };
    let push_state = async |name: FileName, sha: Option<GitSha>, written: bool| {
        let git = git_of(&codex);
        let request = &read_request;
        PushState::after(&git, request, &name, sha, written, wait).await;
    };
    let edit = |name: FileName, token: String, edit: Edit| async {
        let by_name = codex_miroir::task::TaskRef::File(name.clone());
        if let Ok(changed) = codex
            .writer()
            .update(&read_request, &by_name, edit, None)
            .await
        {
            acknowledge(name, Some(token));
            push_state(changed.name, Some(changed.value), changed.written).await;
        }
    };
    match request {
        Request::Create(token) => {
            if let Ok(created) = codex
                .writer()
                .create(&read_request, new_task(&token), None)
                .await
            {
                acknowledge(created.name.clone(), Some(token));
                push_state(created.name, Some(created.etag), true).await;
            }
        }
        Request::Update(name, token) => {
            let body = Some(format!("{token}\n"));
            let change = Edit {
                body,
                ..Edit::default()
            };
            edit(name, token, change).await;
        }
        Request::Tag(name, token) => {
            let tags = Some(vec![token.clone()]);
            let change = Edit {
                tags,
                ..Edit::default()
            };
            edit(name, token, change).await;
        }
        Request::Untag(name, token) => {
            let (tags, body) = (Some(vec![]), Some(format!("{token}\n")));
            let change = Edit {
                tags,
                body,
                ..Edit::default()
            };
            edit(name, token, change).await;
        }
        Request::Complete(name, day) => {
            let slot = Slot {
                datum: day.parse().unwrap(),
                zeit: Zeit::Morgens,
            };
            let by_name = codex_miroir::task::TaskRef::File(name.clone());
            if let Ok(done) = codex
                .writer()
                .complete(&read_request, &by_name, Some(slot))
                .await
            {
                if done.written {
                    acknowledge(name, Some(day));
                }
                push_state(done.name, Some(done.value.etag), done.written).await;
            }
        }
        Request::Delete(name) => {
            let by_name = codex_miroir::task::TaskRef::File(name);
            let writer = codex.writer();
            if let Ok(deleted) = writer.delete(&read_request, &by_name, None).await {
                acknowledge(deleted.name.clone(), None);
                push_state(deleted.name, None, true).await;
            }
        }
        Request::Read => {
            let consistency = Consistency::Strict;
            let _ = codex
                .reader()
                .week(&ReadRequest {
                    consistency,
                    ..read_request
                })
                .await;
        }
        Request::Sync => {
            let request = SyncRequest {
                clean: true,
                confirm: None,
                confirm_head: None,
            };
            let _ = codex.sync(&read_request, request).await;
        }
    }
}
