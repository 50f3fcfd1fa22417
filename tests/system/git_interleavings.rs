//! Random interleavings of everything that happens between a store and a repository. Afterwards both are equal, and
//! every acknowledged edit is in them or in Git's history. Each service reads the repository with its own lag, and the
//! lag removes no edit from the store.
//!
//! `GIT_SEEDS=500..700 tests/run git_interleavings` runs other seeds; a failing one prints its number and its events.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use fastrand::Rng;
use serde_json::{Value, json};

use crate::support::github::{Change, Fault, Replica};
use crate::support::mirror::{Mirror, tick, timer};
use crate::support::process::{Answer, Service, begin};
use crate::support::scene::task;

/// Concurrent runs: most of the time is spent waiting.
const CONCURRENT_RUNS: usize = 6;

/// How long reads lag behind writes, in milliseconds; each service has its own lag.
const LAGS: [u64; 8] = [0, 0, 50, 50, 50, 300, 300, 2_000];

/// The time without a fault after which both sides must be equal.
const PATIENCE: Duration = Duration::from_secs(60);

/// The number of events of each kind, over all seeds.
#[derive(Default)]
struct Counts {
    edits: AtomicU64,
    pushes: AtomicU64,
    kills: AtomicU64,
    outages: AtomicU64,
    deliveries: AtomicU64,
}

#[test]
fn the_store_and_the_repository_end_equal_and_no_edit_is_lost() {
    let seeds = std::env::var("GIT_SEEDS").unwrap_or_else(|_| "0..200".to_owned());
    let (first, end) = seeds.split_once("..").unwrap();
    let (first, end): (u64, u64) = (first.parse().unwrap(), end.parse().unwrap());
    let next = AtomicU64::new(first);
    let failed = Mutex::new(vec![]);
    let counts = Counts::default();
    let began = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..CONCURRENT_RUNS {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end || failed.lock().unwrap().len() > 2 {
                        return;
                    }
                    if let Err(events) = Run::new(seed, &counts).finish() {
                        failed.lock().unwrap().push(format!(
                            "{events}\nreplay: GIT_SEEDS={seed}..{} tests/run git_interleavings",
                            seed + 1
                        ));
                    }
                }
            });
        }
    });
    let count = |it: &AtomicU64| it.load(Ordering::Relaxed);
    println!(
        "seeds {first}..{end}: {} edits acknowledged, {} pushes, {} deliveries, {} outages, {} kills in {:?}",
        count(&counts.edits),
        count(&counts.pushes),
        count(&counts.deliveries),
        count(&counts.outages),
        count(&counts.kills),
        began.elapsed()
    );
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "{}", failed.join("\n\n"));
    let seeds = end - first;
    if seeds < 50 {
        // A replay.
        return;
    }
    for (what, happened) in [
        ("edits", &counts.edits),
        ("pushes", &counts.pushes),
        ("kills", &counts.kills),
        ("outages", &counts.outages),
    ] {
        assert!(count(happened) >= seeds, "too few {what} to show anything");
    }
}

/// One run: two services between a store and a repository.
struct Run<'a> {
    rng: Rng,
    mirror: Mirror,
    /// The replica that each service reads; it outlives the service's restarts.
    replicas: Vec<Replica>,
    services: Vec<Option<Service>>,
    counts: &'a Counts,
    /// Marks in texts, one for each acknowledged edit.
    edits: Vec<String>,
    /// Marks that the second clone pushed.
    pushed: Vec<String>,
    /// Whether the second clone removed text that may have contained marks of edits.
    removed_text: bool,
    /// Whether a process was killed during a write: between the file and its hint, it leaves no hint.
    killed_in_write: bool,
    next_mark: u32,
    events: Vec<String>,
}

impl<'a> Run<'a> {
    fn new(seed: u64, counts: &'a Counts) -> Self {
        let mirror = Mirror::new().with("CODEX_PENDING_EXPIRY_SECONDS", "1");
        let mut rng = Rng::with_seed(seed);
        let (mut replicas, mut services, mut events) = (vec![], vec![], vec![]);
        for at in 0..2 {
            let replica = mirror.github.replica();
            let lag = *rng.choice(&LAGS).unwrap();
            replica.set_lag(Duration::from_millis(lag));
            events.push(format!("what {at} reads is {lag} ms old"));
            services.push(Some(mirror.service_at(&replica)));
            replicas.push(replica);
        }
        Self {
            rng,
            mirror,
            replicas,
            services,
            counts,
            edits: vec![],
            pushed: vec![],
            removed_text: false,
            killed_in_write: false,
            next_mark: 0,
            events,
        }
    }

    fn finish(mut self) -> Result<(), String> {
        for _ in 0..self.rng.usize(12..30) {
            match self.rng.u8(0..20) {
                0..3 => self.create(),
                3..8 => self.edit(),
                8..12 => self.push(),
                12..14 => self.deliver(),
                14..16 => self.outage(),
                16 => self.mirror.github.recover(),
                17 => self.kill(),
                18 => self.tick(),
                _ => std::thread::sleep(Duration::from_millis(self.rng.u64(5..80))),
            }
        }
        self.heal()?;
        self.check()
    }

    fn record_event(&mut self, what: impl Into<String>) {
        self.events.push(what.into());
    }

    fn failed(&self, why: &str) -> String {
        let logs: Vec<String> = self
            .services
            .iter()
            .flatten()
            .flat_map(Service::log)
            .collect();
        format!("{why}\n{}\n{}", self.events.join("\n"), logs.join("\n"))
    }

    fn mark(&mut self) -> String {
        self.next_mark += 1;
        format!("Marke-{:04}-Ende", self.next_mark)
    }

    fn service(&mut self) -> (usize, &Service) {
        let at = self.rng.usize(0..self.services.len());
        let (mirror, replica) = (&self.mirror, &self.replicas[at]);
        (
            at,
            self.services[at].get_or_insert_with(|| mirror.service_at(replica)),
        )
    }

    fn create(&mut self) {
        let mark = self.mark();
        let title = *self.rng.choice(&["Eins", "Zwei", "Drei"]).unwrap();
        let body = json!({"kategorie": "arbeit", "title": title, "body": format!("\n{mark}\n")});
        self.write("POST", "/api/tasks", "", &body, mark);
    }

    /// Adds a line to a task's body, as a client does that reads before it writes, or completes the task.
    fn edit(&mut self) {
        let (_, service) = self.service();
        let list = service.get("/api/tasks?status=alle");
        let list: Value = serde_json::from_str(&list.body).unwrap_or_default();
        let stems = list["tasks"].as_array().into_iter().flatten();
        let stems: Vec<String> = stems
            .filter_map(|it| Some(it["filename"].as_str()?.strip_suffix(".md")?.to_owned()))
            .collect();
        let Some(stem) = self.rng.choice(stems) else {
            return;
        };
        let path = format!("/api/tasks/{}", stem.replace(' ', "%20"));
        let (_, service) = self.service();
        let found = service.get(&path);
        if found.status != 200 {
            return;
        }
        let found: Value = serde_json::from_str(&found.body).unwrap();
        let mark = self.mark();
        let mut body =
            json!({"body": format!("{}{mark}\n", found["body"].as_str().unwrap_or_default())});
        if self.rng.bool() {
            body["status"] = json!("abgeschlossen");
        }
        let headers = format!(
            "if-match: \"{}\"\r\n",
            found["etag"].as_str().unwrap_or_default()
        );
        self.write("PATCH", &path, &headers, &body, mark);
    }

    /// Sends a write; in one of eight cases the service is killed before it answers.
    fn write(&mut self, method: &str, path: &str, headers: &str, body: &Value, mark: String) {
        let killed = self.rng.u8(0..8) == 0;
        let after = Duration::from_micros(self.rng.u64(0..12_000));
        let (at, service) = self.service();
        let headers = format!("content-type: application/json\r\n{headers}");
        let stream = begin(&service.address, method, path, &headers, &body.to_string());
        self.killed_in_write |= killed;
        if killed {
            std::thread::sleep(after);
            self.services[at].take().unwrap().kill();
            self.counts.kills.fetch_add(1, Ordering::Relaxed);
        }
        let answer = Answer::try_read(stream);
        let status = answer.map(|it| it.status);
        self.record_event(format!(
            "{method} {path} {mark} by {at}{}: {status:?}",
            if killed { ", killed" } else { "" }
        ));
        if matches!(status, Some(200 | 201)) {
            self.counts.edits.fetch_add(1, Ordering::Relaxed);
            self.edits.push(mark);
        }
    }

    /// Pushes one or two commits from a clone.
    fn push(&mut self) {
        self.counts.pushes.fetch_add(1, Ordering::Relaxed);
        let head = self.mirror.github.head("main").unwrap();
        for _ in 0..self.rng.usize(1..3) {
            while !self.push_one() {}
        }
        if self.rng.u8(0..12) == 0 {
            self.record_event("forced back");
            self.removed_text = true;
            self.mirror.github.set_branch("main", &head);
        }
    }

    /// Whether Git accepted the push: it would undo what the service has committed since the clone was made, so Git
    /// refuses it, and the caller makes the push anew.
    fn push_one(&mut self) -> bool {
        let tip = self.mirror.github.head("main").unwrap();
        let removed_text = self.removed_text;
        let (changes, told) = self.random_change();
        let changes: Vec<(String, Change)> = changes
            .into_iter()
            .map(|(name, change)| (self.mirror.path(&name), change))
            .collect();
        let changes: Vec<_> = changes
            .iter()
            .map(|(path, change)| (path.as_str(), change.clone()))
            .collect();
        let github = &self.mirror.github;
        if github
            .commit_onto("main", &tip, &changes, "From a clone")
            .is_none()
        {
            self.pushed.pop();
            self.removed_text = removed_text;
            return false;
        }
        self.record_event(told);
        true
    }

    fn random_change(&mut self) -> (Vec<(String, Change)>, String) {
        let files = self.mirror.in_git();
        let mark = self.mark();
        self.pushed.push(mark.clone());
        let names: BTreeSet<String> = files.keys().cloned().collect();
        let Some((name, text)) = self.rng.choice(files).filter(|_| self.rng.u8(0..4) > 0) else {
            let number = self.rng.u16(0..12);
            let title = *self.rng.choice(&["Eins", "Zwei", "Drei"]).unwrap();
            let name = format!("{number:04}-{title}.md");
            self.removed_text |= names.contains(&name);
            let text = format!("{}\n{mark}\n", task(title));
            return (
                vec![(name.clone(), text.into())],
                format!("pushed {name} {mark}"),
            );
        };
        let anew = format!("{text}{mark}\n");
        let change = self.rng.u8(0..8);
        self.removed_text |= change < 2;
        match change {
            0 => (
                vec![(name.clone(), Change::Delete)],
                format!("pushed the removal of {name}"),
            ),
            1 => {
                let other = format!("{}-Umbenannt {}.md", &name[..4], self.rng.u8(0..9));
                let told = format!("pushed {name} as {other} {mark}");
                (vec![(name, Change::Delete), (other, anew.into())], told)
            }
            2 => {
                let done = anew.replace("status: offen", "status: abgeschlossen");
                (
                    vec![(name.clone(), done.into())],
                    format!("pushed {name} as done {mark}"),
                )
            }
            3 => {
                let first = text.replacen("\n\n", &format!("\n\n{mark}\n"), 1);
                (
                    vec![(name.clone(), first.into())],
                    format!("pushed a first line of {name} {mark}"),
                )
            }
            _ => (
                vec![(name.clone(), anew.into())],
                format!("pushed a last line of {name} {mark}"),
            ),
        }
    }

    fn deliver(&mut self) {
        let github = &self.mirror.github;
        match self.rng.u8(0..6) {
            0 => drop(github.drop_deliveries()),
            1 => github.duplicate_deliveries(),
            2 => github.shuffle_deliveries(self.rng.u64(..)),
            _ => {}
        }
        self.counts.deliveries.fetch_add(1, Ordering::Relaxed);
        let at_once = self.rng.bool();
        let (at, service) = self.service();
        let url = format!("http://{}/github/webhook", service.address);
        let github = &self.mirror.github;
        let outcomes = block_on(async {
            match at_once {
                true => github.deliver_at_once(&url).await,
                false => github.deliver_all(&url).await,
            }
        });
        let statuses: Vec<_> = outcomes.iter().map(|it| it.status).collect();
        self.record_event(format!("delivered to {at}: {statuses:?}"));
    }

    fn outage(&mut self) {
        self.counts.outages.fetch_add(1, Ordering::Relaxed);
        let nth = self.rng.usize(1..3);
        let github = &self.mirror.github;
        let told = match self.rng.u8(0..8) {
            0 => {
                github.fail(Fault::Status(503));
                "GitHub answers 503".to_owned()
            }
            1 => {
                github.fail(Fault::Reset);
                "GitHub resets".to_owned()
            }
            2 => {
                github.fail_at("GET", "/git/trees", Fault::Html);
                "trees are pages".to_owned()
            }
            3 => {
                github.plan("GET", "/git/blobs", nth, Fault::Status(500));
                "a blob fails".to_owned()
            }
            4 => {
                github.plan("PATCH", "/git/refs", 1, Fault::LoseAnswer);
                "the move of the branch gets lost".to_owned()
            }
            _ => {
                github.plan("PUT", "/contents", nth, Fault::LoseAnswer);
                format!("the answer to commit {nth} gets lost")
            }
        };
        self.record_event(told);
    }

    fn kill(&mut self) {
        self.counts.kills.fetch_add(1, Ordering::Relaxed);
        let at = self.rng.usize(0..self.services.len());
        if let Some(service) = self.services[at].take() {
            service.kill();
        }
        self.record_event(format!("killed {at}"));
    }

    /// Calls the timer; in one of three cases the service is killed during the call.
    fn tick(&mut self) {
        let killed = self.rng.u8(0..3) == 0;
        let after = Duration::from_millis(self.rng.u64(0..60));
        let (at, service) = self.service();
        if !killed {
            tick(service);
            return self.record_event(format!("the timer at {at}"));
        }
        let call = json!({"Data": {}, "Metadata": {"sys": {"MethodName": "gitPush"}}}).to_string();
        let headers = "content-type: application/json\r\n";
        let stream = begin(&service.address, "POST", "/gitPush", headers, &call);
        std::thread::sleep(after);
        self.services[at].take().unwrap().kill();
        drop(stream);
        self.counts.kills.fetch_add(1, Ordering::Relaxed);
        self.record_event(format!("the timer at {at}, killed"));
    }

    /// Ends all faults, and calls the timer until both sides are equal.
    fn heal(&mut self) -> Result<(), String> {
        self.mirror.github.recover();
        self.check_while_reads_lag()?;
        for replica in &self.replicas {
            replica.catch_up();
        }
        if self.rng.bool() {
            self.mirror.github.drop_deliveries();
        }
        self.record_event("everything works again");
        let began = Instant::now();
        loop {
            // Finding a file without a hint is the job of the hourly pass.
            let tidies = self.killed_in_write && began.elapsed() > PATIENCE / 2;
            let (_, service) = self.service();
            if tidies {
                timer(service, "janitor");
            }
            tick(service);
            let state: Value = serde_json::from_str(&service.get("/sync").body).unwrap_or_default();
            if state["lastError"]["code"] == "mass_delete" {
                let refused = service.send_json("POST", "/sync", "");
                let refused: Value = serde_json::from_str(&refused.body).unwrap_or_default();
                if let Some(count) = refused["count"].as_u64() {
                    service.send_json("POST", &format!("/sync?confirm={count}"), "");
                    self.record_event(format!("confirmed {count} removals"));
                }
            }
            let equal = block_on(async {
                self.mirror.queue().await.is_empty()
                    && self.mirror.in_store().await == self.mirror.in_git()
            });
            if equal {
                return Ok(());
            }
            if began.elapsed() > PATIENCE {
                let (store, queue) =
                    block_on(async { (self.mirror.in_store().await, self.mirror.queue().await) });
                let why = format!(
                    "not equal: queue {queue:?}\nstore {store:#?}\nGit {:#?}",
                    self.mirror.in_git()
                );
                return Err(self.failed(&why));
            }
            std::thread::sleep(Duration::from_millis(150));
        }
    }

    /// While reads still lag, each service looks at the repository once more; then every mark of an edit is in the
    /// store, unless the second clone removed it.
    fn check_while_reads_lag(&mut self) -> Result<(), String> {
        for (at, replica) in self.replicas.iter().enumerate() {
            let service = &mut self.services[at];
            tick(service.get_or_insert_with(|| self.mirror.service_at(replica)));
        }
        if self.removed_text {
            return Ok(());
        }
        let texts: String = block_on(self.mirror.in_store()).into_values().collect();
        let gone = |mark: &&String| !texts.contains(mark.as_str());
        let gone: Vec<&String> = self.edits.iter().filter(gone).collect();
        match gone.as_slice() {
            [] => Ok(()),
            gone => Err(self.failed(&format!("not in the store while reads lag: {gone:?}"))),
        }
    }

    /// Every mark is in the store, or in an object that Git has or had, forced pushes included.
    fn check(&self) -> Result<(), String> {
        let mut texts: String = block_on(self.mirror.in_store()).into_values().collect();
        texts.push_str(&all_objects(&self.mirror));
        let there: BTreeSet<&str> = self
            .edits
            .iter()
            .map(String::as_str)
            .filter(|mark| texts.contains(*mark))
            .collect();
        let lost: Vec<&String> = self
            .edits
            .iter()
            .filter(|mark| !there.contains(mark.as_str()))
            .collect();
        if !lost.is_empty() {
            return Err(self.failed(&format!("lost {lost:?}")));
        }
        let service = self.services.iter().flatten().next();
        let week = service.map(|it| it.get("/codex?nocache=true").status);
        match week {
            None | Some(200) => Ok(()),
            other => Err(self.failed(&format!("the week: {other:?}"))),
        }
    }
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.unwrap().block_on(work)
}

/// The contents of every object that was ever committed.
fn all_objects(mirror: &Mirror) -> String {
    let output = Command::new("git")
        .arg("-C")
        .arg(mirror.github.git_dir())
        .args(["cat-file", "--batch-all-objects", "--batch"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success());
    String::from_utf8_lossy(&output.stdout).into_owned()
}
