//! One user, one store, any number of instances, and a clock that the test moves.

use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use codex_miroir::cache::CacheSettings;
use codex_miroir::codex::{
    Codex, CodexSettings, Consistency, Encoding, PageFormat, Read, ReadRequest, TaskError, Version,
};
use codex_miroir::config::Config;
use codex_miroir::git_sync::{GitSettings, GitSync};
use codex_miroir::github::{GitHubRepository, Transport};
use codex_miroir::http::Routes;
use codex_miroir::now::{ClockPair, Now};
use codex_miroir::rules::Rules;
use codex_miroir::store::BlobStore;
use codex_miroir::task::{Kategorie, NewTask, Status};
use codex_miroir::user::UserId;
use codex_miroir::user_state::State;
use serde_json::Value;

use super::counting_store::CountingStore;
use super::gate_store::GateStore;
use super::github::GitHub;
use super::losing_store::LosingStore;
use super::memory_store::MemoryStore;
use super::shared_server::SharedServer;

pub(crate) const RAW: &str = "raw/anna/tasks/";
pub(crate) const STATE: &str = "state/anna/state.json";
pub(crate) const ARTIFACT: &str = "artifacts/anna/timeline.json";

/// Monday, 9 March 2026, 8:00 in Berlin: all 21 slots are ahead.
pub(crate) const MONDAY: &str = "2026-03-09T07:00:00Z";

pub(crate) struct Scene {
    pub(crate) store: MemoryStore,
    now: Arc<Mutex<Now>>,
}

/// A process of the service: a cache of its own over the shared store.
pub(crate) struct Instance {
    pub(crate) codex: Codex,
    pub(crate) requests: CountingStore,
    pub(crate) line: LosingStore,
    pub(crate) gate: GateStore,
    /// Built by the first request to them.
    pub(crate) routes: OnceLock<Routes>,
}

pub(crate) fn anna() -> UserId {
    UserId::parse("anna").unwrap()
}

/// An open work task.
pub(crate) fn task(title: &str) -> String {
    format!("---\ntyp: task\nkategorie: arbeit\nstatus: offen\n---\n\n# {title}\n")
}

/// The request of a user who gives only a title.
pub(crate) fn new_task(title: &str) -> NewTask {
    NewTask {
        title: Some(title.to_owned()),
        kategorie: Kategorie::Arbeit,
        status: Status::Offen,
        tags: vec![],
        deadline: None,
        fixed_slot: None,
        abgeschlossen_am: None,
        body: String::new(),
    }
}

impl Scene {
    pub(crate) fn new() -> Self {
        Self::starting(MONDAY)
    }

    pub(crate) fn starting(moment: &str) -> Self {
        let utc: DateTime<Utc> = moment.parse().unwrap();
        Self {
            store: MemoryStore::new(utc),
            now: Arc::new(Mutex::new(Now::from_clocks(utc, Instant::now()))),
        }
    }

    /// A scene with `count` open work tasks, numbered from 0000.
    pub(crate) fn with_tasks(count: usize) -> Self {
        let scene = Self::new();
        for number in 0..count {
            scene.file(
                &format!("{number:04}-Aufgabe.md"),
                &task(&format!("Aufgabe {number}")),
            );
        }
        scene
    }

    /// Writes a file as another program.
    pub(crate) fn file(&self, name: &str, text: &str) {
        self.store
            .foreign_write(&format!("{RAW}{name}"), text.as_bytes());
    }

    /// Writes a file as another instance.
    pub(crate) fn own_file(&self, name: &str, text: &str) {
        let path = format!("{RAW}{name}");
        self.store.service_write(&path, text.as_bytes());
    }

    pub(crate) fn now(&self) -> Now {
        Now {
            started: tokio::time::Instant::now(),
            ..*self.now.lock().unwrap()
        }
    }

    /// Advances the clocks of the store and of the instances.
    pub(crate) fn pass(&self, by: Duration) {
        self.store.advance(by);
        let mut now = self.now.lock().unwrap();
        *now = Now {
            utc: now.utc + by,
            mono: now.mono + by,
            ..*now
        };
    }

    /// Suspends the machine, as seen by its clocks: the one of [`Instant`] stops.
    pub(crate) fn suspend(&self, seconds: u64) {
        let asleep = Duration::from_secs(seconds);
        self.store.advance(asleep);
        let mut now = self.now.lock().unwrap();
        let up = Duration::from_secs(60);
        let clocks = ClockPair::new(now.mono, up);
        *now = clocks.at(now.utc + asleep, now.mono, up + asleep);
    }

    pub(crate) fn pass_seconds(&self, seconds: u64) {
        self.pass(Duration::from_secs(seconds));
    }

    pub(crate) fn instance(&self) -> Instance {
        self.instance_with(1_000, 64 << 20)
    }

    pub(crate) fn instance_with(
        &self,
        rebuilds_per_minute: u32,
        memory_max_bytes: u64,
    ) -> Instance {
        self.instance_of(rebuilds_per_minute, 10_000, memory_max_bytes)
    }

    /// An instance with this limit of writes per minute for each user.
    pub(crate) fn instance_limited(&self, writes_per_minute: u32) -> Instance {
        self.instance_of(1_000, writes_per_minute, 64 << 20)
    }

    /// A server of a cache that instances share.
    pub(crate) fn shared_server(&self) -> SharedServer {
        SharedServer::new(&self.now)
    }

    /// An instance that shares a cache with others.
    pub(crate) fn instance_sharing(&self, server: &SharedServer) -> Instance {
        self.instance_from(CodexSettings {
            shared: Some(Arc::new(server.clone())),
            ..settings(1_000, 10_000, 64 << 20, None)
        })
    }

    fn instance_of(
        &self,
        rebuilds_per_minute: u32,
        writes_per_minute: u32,
        memory_max_bytes: u64,
    ) -> Instance {
        self.instance_beside(
            rebuilds_per_minute,
            writes_per_minute,
            memory_max_bytes,
            None,
        )
    }

    /// An instance in GitHub mode, without a worker that pushes its writes.
    pub(crate) fn instance_mirrored(&self, github: &GitHub) -> Instance {
        self.mirrored(github, false)
    }

    /// The same with pull requests.
    pub(crate) fn instance_proposing(&self, github: &GitHub) -> Instance {
        self.mirrored(github, true)
    }

    fn mirrored(&self, github: &GitHub, proposes: bool) -> Instance {
        let settings = [
            ("GITHUB_OWNER", github.owner().to_owned()),
            ("GITHUB_REPO", github.repo().to_owned()),
            ("GITHUB_TOKEN", github.personal_token(github.owner())),
            ("GITHUB_API_URL", github.url().to_owned()),
            ("CREATE_VIA_PR", proposes.to_string()),
        ];
        let lookup = |name: &str| {
            let found = settings.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| value.clone())
        };
        let Config {
            github: config,
            trust,
            ..
        } = Config::from_lookup(lookup).unwrap();
        let transport = Arc::new(Transport::new(&config.api_url, &trust).unwrap());
        let git = GitSettings {
            repository: GitHubRepository::new(&config, &transport).unwrap().unwrap(),
            base_path: config.base_path,
            clock: || Now::from_clocks(Utc::now(), Instant::now()),
            rules: Rules::default(),
        };
        self.instance_beside(1_000, 10_000, 64 << 20, Some(git))
    }

    fn instance_beside(
        &self,
        rebuilds_per_minute: u32,
        writes_per_minute: u32,
        memory_max_bytes: u64,
        git: Option<GitSettings>,
    ) -> Instance {
        self.instance_from(settings(
            rebuilds_per_minute,
            writes_per_minute,
            memory_max_bytes,
            git,
        ))
    }

    pub(crate) fn instance_from(&self, settings: CodexSettings) -> Instance {
        let line = LosingStore::new(Arc::new(self.store.clone()));
        let gate = GateStore::new(Arc::new(line.clone()));
        let requests = CountingStore::new(Arc::new(gate.clone()));
        let codex = Codex::new(Arc::new(requests.clone()), settings);
        Instance {
            codex,
            requests,
            line,
            gate,
            routes: OnceLock::new(),
        }
    }

    pub(crate) fn read_request(&self, consistency: Consistency) -> ReadRequest {
        ReadRequest {
            user: anna(),
            seen: None,
            consistency,
            now: self.now(),
        }
    }

    pub(crate) async fn read(&self, instance: &Instance) -> Read {
        instance.read(self.read_request(Consistency::Bounded)).await
    }

    pub(crate) async fn read_strictly(&self, instance: &Instance) -> Read {
        instance.read(self.read_request(Consistency::Strict)).await
    }

    pub(crate) async fn rebuild(&self, instance: &Instance) -> Read {
        instance.read(self.read_request(Consistency::Rebuilt)).await
    }

    pub(crate) async fn read_having_seen(&self, instance: &Instance, seen: Version) -> Read {
        instance
            .read(ReadRequest {
                seen: Some(seen),
                ..self.read_request(Consistency::Bounded)
            })
            .await
    }

    pub(crate) fn state(&self) -> State {
        let blob = self.store.peek(STATE).expect("there is a state");
        State::parse(&blob.bytes).unwrap().unwrap()
    }

    /// Changes the state blob as another process does.
    pub(crate) fn change_state(&self, change: impl FnOnce(&mut State)) -> Version {
        let mut state = self.state();
        change(&mut state);
        self.store.foreign_write(STATE, &state.to_bytes());
        state.version
    }
}

impl Instance {
    /// Reads, and lets the work after the answer finish.
    pub(crate) async fn read(&self, read_request: ReadRequest) -> Read {
        let read = self
            .try_read(read_request)
            .await
            .expect("the read has an answer");
        settle().await;
        read
    }

    pub(crate) async fn try_read(&self, read_request: ReadRequest) -> Result<Read, TaskError> {
        self.codex.reader().week(&read_request).await
    }

    /// The synchronisation of a mirrored instance.
    pub(crate) fn git(&self) -> &Arc<GitSync> {
        self.codex.git().unwrap()
    }

    /// The timeline document of an answer.
    pub(crate) fn json(&self, read: &Read) -> Value {
        let page = self
            .codex
            .reader()
            .page(&read.entry, PageFormat::Json, Encoding::Identity);
        serde_json::from_slice(&page.bytes).unwrap()
    }

    /// The requests since the last call, as in `1 get artifacts, 1 get state`.
    pub(crate) fn took(&self) -> String {
        self.requests.take().to_string()
    }
}

/// The operations over any store, as the command line assembles them.
pub(crate) fn codex_over(store: Arc<dyn BlobStore>) -> Codex {
    Codex::new(store, settings(1_000, 10_000, 64 << 20, None))
}

pub(crate) fn settings(
    rebuilds_per_minute: u32,
    writes_per_minute: u32,
    memory_max_bytes: u64,
    git: Option<GitSettings>,
) -> CodexSettings {
    let cache = CacheSettings {
        memory_ttl: Duration::from_secs(300),
        artifact_ttl: Duration::from_secs(900),
        revalidate: Duration::from_secs(5),
        stale_if_error: Duration::from_secs(3600),
        memory_max_bytes,
        deadline: Duration::from_secs(30),
        pending_expiry: Duration::from_secs(60),
        zone: chrono_tz::Europe::Berlin,
        ids: || getrandom::u64().unwrap(),
        rules: Rules::default(),
    };
    CodexSettings {
        cache,
        rebuilds_per_minute,
        writes_per_minute,
        git,
        shared: None,
    }
}

/// Runs every task that is ready: the in-memory store never waits.
pub(crate) async fn settle() {
    for _ in 0..64 {
        tokio::task::yield_now().await;
    }
}

/// The titles of the tasks in slots, in order.
pub(crate) fn titles(document: &Value) -> Vec<String> {
    let days = document["timeline"].as_array().unwrap();
    let slots = days.iter().flat_map(|day| day["slots"].as_array().unwrap());
    slots
        .filter_map(|slot| Some(slot["task"]["title"].as_str()?.to_owned()))
        .collect()
}
