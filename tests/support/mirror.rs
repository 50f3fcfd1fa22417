//! The service between a store and a GitHub, as processes.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use codex_miroir::store::directory::DirectoryStore;
use codex_miroir::store::{BlobKey, BlobStore, GetIf, GetOutcome, Prefix};
use codex_miroir::task::TOMBSTONE_FILE;
use codex_miroir::user::UserId;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::azurite::azurite;
use super::github::{Change, GitHub, Replica, Setup};
use super::process::{Answer, Service, begin, codex_miroir, eventually};
use super::scene::task;

/// The key that signs the hook's deliveries.
pub(crate) const HOOK_SECRET: &str = "a-secret-of-the-hook-for-tests";

/// The time limit within which a file must be in every timeline.
pub(crate) const SOON: Duration = Duration::from_secs(5);

/// A store and a GitHub, for services to connect.
pub(crate) struct Mirror {
    pub(crate) github: GitHub,
    settings: Vec<(&'static str, String)>,
    store: Arc<dyn BlobStore>,
    base: &'static str,
    data: Option<TempDir>,
}

/// Files by name.
pub(crate) type Files = BTreeMap<String, String>;

impl Mirror {
    /// Over a folder.
    pub(crate) fn new() -> Self {
        Self::over_folder(GitHub::start(), "codex-miroir")
    }

    /// With the task files below this path of the repository.
    pub(crate) fn at(base: &'static str) -> Self {
        Self::over_folder(GitHub::start(), base)
    }

    /// With a repository that has no commit yet.
    pub(crate) fn empty() -> Self {
        let setup = Setup {
            empty: true,
            ..Setup::default()
        };
        Self::over_folder(GitHub::start_with(setup), "codex-miroir")
    }

    fn over_folder(github: GitHub, base: &'static str) -> Self {
        let data = TempDir::new().unwrap();
        let store = DirectoryStore::open(data.path(), chrono::Utc::now).unwrap();
        let folder = data.path().display().to_string();
        let storage = vec![("CODEX_DATA_DIR", folder)];
        Self::between(github, base, storage, Arc::new(store), Some(data))
    }

    /// Over a container of the storage emulator.
    pub(crate) fn over_azurite() -> Self {
        let (connection, container) = (azurite().with_key(azurite().port()), azurite().container());
        let store = azurite().store(&container);
        let storage = vec![
            ("AZURE_BLOB_CONN", connection),
            ("AZURE_BLOB_CONTAINER", container),
        ];
        Self::between(
            GitHub::start(),
            "codex-miroir",
            storage,
            Arc::new(store),
            None,
        )
    }

    fn between(
        github: GitHub,
        base: &'static str,
        storage: Vec<(&'static str, String)>,
        store: Arc<dyn BlobStore>,
        data: Option<TempDir>,
    ) -> Self {
        github.set_hook_secret(Some(HOOK_SECRET));
        let url = github.url().to_owned();
        let mut settings = storage;
        settings.extend([
            ("GITHUB_OWNER", github.owner().to_owned()),
            ("GITHUB_REPO", github.repo().to_owned()),
            ("GITHUB_TOKEN", github.personal_token(github.owner())),
            ("GITHUB_API_URL", url.clone()),
            ("GITHUB_URL", url),
            ("GITHUB_BASE_PATH", base.to_owned()),
            ("GITHUB_WEBHOOK_SECRET", HOOK_SECRET.to_owned()),
            ("CODEX_AUTH", "dev".to_owned()),
            ("CODEX_DEV_USER", "anna".to_owned()),
        ]);
        Self {
            github,
            settings,
            store,
            base,
            data,
        }
    }

    /// Adds or replaces a setting.
    pub(crate) fn with(mut self, name: &'static str, value: &str) -> Self {
        self.settings.retain(|(known, _)| *known != name);
        self.settings.push((name, value.to_owned()));
        self
    }

    /// Removes one of the usual settings.
    pub(crate) fn without(mut self, name: &str) -> Self {
        self.settings.retain(|(known, _)| *known != name);
        self
    }

    /// Moves the task files of the repository below another path.
    pub(crate) fn moved_to(self, base: &'static str) -> Self {
        let moved = self.with("GITHUB_BASE_PATH", base);
        Self { base, ..moved }
    }

    /// The binary with all settings, as the Functions host starts it.
    pub(crate) fn command(&self) -> Command {
        let mut command = codex_miroir();
        command.env("FUNCTIONS_CUSTOMHANDLER_PORT", "0");
        command.envs(self.settings.iter().map(|(name, value)| (*name, value)));
        command
    }

    pub(crate) fn service(&self) -> Service {
        Service::start(&mut self.command())
    }

    /// The binary with all settings, with a replica as its GitHub.
    pub(crate) fn command_at(&self, replica: &Replica) -> Command {
        let mut command = self.command();
        for name in ["GITHUB_API_URL", "GITHUB_URL"] {
            command.env(name, replica.url());
        }
        command
    }

    /// A service with a replica as its GitHub.
    pub(crate) fn service_at(&self, replica: &Replica) -> Service {
        Service::start(&mut self.command_at(replica))
    }

    /// A service without GitHub mode.
    pub(crate) fn service_without_github(&self) -> Service {
        let mut command = self.command();
        Service::start(command.env_remove("GITHUB_TOKEN"))
    }

    /// The path of one of anna's task files in the repository.
    pub(crate) fn path(&self, name: &str) -> String {
        format!("{}/anna/tasks/{name}", self.base)
    }

    /// Commits these files of anna's from another clone; `None` removes one.
    pub(crate) fn commit(&self, files: &[(&str, Option<&str>)], message: &str) -> String {
        let paths: Vec<String> = files.iter().map(|(name, _)| self.path(name)).collect();
        let changes = paths.iter().zip(files).map(|(path, (_, text))| {
            let change = text.map_or(Change::Delete, Change::from);
            (path.as_str(), change)
        });
        let changes: Vec<_> = changes.collect();
        self.github.commit("main", &changes, message)
    }

    /// The same, given a name and a text for each file.
    pub(crate) fn commit_all(&self, files: &[(String, String)], message: &str) -> String {
        let files = files.iter().map(|(name, text)| (&**name, Some(&**text)));
        self.commit(&files.collect::<Vec<_>>(), message)
    }

    /// Commits the tasks `a` and `b`.
    pub(crate) fn commit_two(&self) -> String {
        let (a, b) = (task("a"), task("b"));
        self.commit(&[("0001-a.md", Some(&a)), ("0002-b.md", Some(&b))], "Add")
    }

    /// Anna's files in the repository.
    pub(crate) fn in_git(&self) -> Files {
        self.in_git_of("anna")
    }

    pub(crate) fn in_git_of(&self, user: &str) -> Files {
        let folder = format!("{}/{user}/tasks/", self.base);
        let files = self.github.files("main").into_iter();
        let files = files.filter_map(|(path, bytes)| {
            let name = path.strip_prefix(&folder)?.to_owned();
            Some((name, String::from_utf8_lossy(&bytes).into_owned()))
        });
        files.filter(|(name, _)| !name.contains('/')).collect()
    }

    /// Anna's files in the store; settled ones count as absent.
    pub(crate) async fn in_store(&self) -> Files {
        self.in_store_of("anna").await
    }

    pub(crate) async fn in_store_of(&self, user: &str) -> Files {
        let user = UserId::parse(user).unwrap();
        let listing = self.store.list(&Prefix::raw(&user)).await.unwrap().value;
        let mut files = Files::new();
        for listed in listing.blobs {
            let key = BlobKey::raw(&user, &listed.name).unwrap();
            if let GetOutcome::Blob(blob) = self.store.get(&key, GetIf::Any).await.unwrap().value
                && &*blob.bytes != TOMBSTONE_FILE.as_bytes()
            {
                let text = String::from_utf8_lossy(&blob.bytes).into_owned();
                files.insert(listed.name, text);
            }
        }
        files
    }

    /// The users whose hints wait in the queue.
    pub(crate) async fn queue(&self) -> Vec<String> {
        let queue = self.store.list(&Prefix::queue()).await.unwrap().value;
        queue.blobs.into_iter().map(|it| it.name).collect()
    }

    /// The user's `git.json`: what Git is known to hold.
    pub(crate) async fn book(&self) -> Value {
        self.book_of("anna").await
    }

    pub(crate) async fn book_of(&self, user: &str) -> Value {
        let key = BlobKey::git(&UserId::parse(user).unwrap());
        match self.store.get(&key, GetIf::Any).await.unwrap().value {
            GetOutcome::Blob(blob) => serde_json::from_slice(&blob.bytes).unwrap(),
            _ => Value::Null,
        }
    }

    /// The same synchronously, for a test that polls it.
    pub(crate) fn book_now(&self) -> Value {
        tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(self.book()))
    }

    /// Waits until every process has removed the intents of anna's finished writes, as one that is killed can't.
    pub(crate) fn until_nothing_is_pending(&self) {
        let path = self.data().join("state/anna/state.json");
        eventually("the intents are removed", || {
            let state = std::fs::read(&path).unwrap();
            let state: Value = serde_json::from_slice(&state).unwrap();
            state["pending"] == json!({})
        });
    }

    /// The folder of its store.
    pub(crate) fn data(&self) -> &Path {
        self.data.as_ref().unwrap().path()
    }

    pub(crate) fn store(&self) -> &Arc<dyn BlobStore> {
        &self.store
    }

    /// Posts every waiting delivery to this service, one after the other.
    pub(crate) async fn deliver(&self, service: &Service) -> Vec<(Option<u16>, Value)> {
        let url = format!("http://{}/github/webhook", service.address);
        let outcomes = self.github.deliver_all(&url).await.into_iter();
        let parsed = outcomes.map(|it| {
            let body = serde_json::from_str(&it.body).unwrap_or(Value::Null);
            (it.status, body)
        });
        parsed.collect()
    }

    /// Posts every waiting delivery to this service, and waits until the store and the repository are equal.
    #[track_caller]
    pub(crate) fn taken_in(&self, service: &Service) -> impl Future<Output = ()> {
        let equal = self.until_equal(service);
        async move {
            self.deliver(service).await;
            equal.await;
        }
    }

    /// Waits until the store and the repository have the same files and no push is pending.
    #[track_caller]
    pub(crate) fn until_equal(&self, service: &Service) -> impl Future<Output = ()> {
        let caller = std::panic::Location::caller();
        async move {
            let began = Instant::now();
            loop {
                let (store, git) = (self.in_store().await, self.in_git());
                let queue = self.queue().await;
                if store == git && queue.is_empty() {
                    return;
                }
                if began.elapsed() > Duration::from_secs(40) {
                    let differ = |a: &Files, b: &Files| -> Vec<String> {
                        a.iter()
                            .filter(|(name, text)| b.get(*name) != Some(text))
                            .map(|it| it.0.clone())
                            .collect()
                    };
                    panic!(
                        "{caller}: not equal in time; only here {:?}, only in Git {:?}, queue {queue:?}, log {:#?}",
                        differ(&store, &git),
                        differ(&git, &store),
                        service.log()
                    );
                }
                tokio::time::sleep(Duration::from_millis(30)).await;
            }
        }
    }
}

/// Calls the timer function as the Functions host does.
pub(crate) fn tick(service: &Service) -> Answer {
    timer(service, "gitPush")
}

/// Fires the timer of a function.
pub(crate) fn timer(service: &Service, function: &str) -> Answer {
    let call = json!({
        "Data": {"timer": {"Schedule": {"AdjustForDST": true}, "ScheduleStatus": null, "IsPastDue": false}},
        "Metadata": {"sys": {"MethodName": function, "UtcNow": "2026-01-02T03:04:05.004275Z",
            "RandGuid": "35e6e68c-5583-436c-a277-5aec2b416ba8"}},
    });
    service.send_json("POST", &format!("/{function}"), &call.to_string())
}

/// Sends a JSON body with these additional header lines.
pub(crate) fn send(
    service: &Service,
    method: &str,
    path: &str,
    headers: &str,
    body: &str,
) -> Answer {
    let headers = format!("content-type: application/json\r\n{headers}");
    Answer::read(begin(&service.address, method, path, &headers, body))
}

/// The body of a refusal.
pub(crate) fn refusal(answer: &Answer) -> Value {
    serde_json::from_str(&answer.body).unwrap()
}

/// Creates a task and returns its file name.
pub(crate) fn create(service: &Service, title: &str) -> String {
    let body = json!({"kategorie": "arbeit", "title": title}).to_string();
    let answer = service.send_json("POST", "/api/tasks", &body);
    answer.json()["filename"].as_str().unwrap().to_owned()
}

/// The titles of all of a service's tasks.
pub(crate) fn titles(service: &Service) -> Vec<String> {
    let list = service.get("/api/tasks?status=alle").json();
    let tasks = list["tasks"].as_array().unwrap();
    tasks
        .iter()
        .map(|it| it["title"].as_str().unwrap().to_owned())
        .collect()
}

/// A delivery arrives at one of three instances.
pub(crate) async fn a_pushed_file_is_soon_in_every_timeline(mirror: Mirror) {
    let services = [mirror.service(), mirror.service(), mirror.service()];
    for service in &services {
        assert!(titles(service).is_empty());
    }
    mirror.commit(
        &[("0003-Steuer.md", Some(&task("Steuer")))],
        "Write it down",
    );
    let began = Instant::now();
    let outcome = mirror.deliver(&services[0]).await;
    assert_eq!(outcome[0].0, Some(200), "{outcome:?}");
    assert_eq!(outcome[0].1["results"][0]["changed"], 1);
    assert!(
        began.elapsed() < SOON,
        "the delivery alone took {:?}",
        began.elapsed()
    );
    tokio::time::sleep_until((began + SOON).into()).await;
    for service in &services {
        assert_eq!(titles(service), ["Steuer"]);
    }
}

/// This many task files, by name.
pub(crate) fn numbered(count: usize) -> Vec<(String, String)> {
    let file = |at| (format!("{at:04}-Nummer.md"), task(&format!("Nummer {at}")));
    (0..count).map(file).collect()
}
