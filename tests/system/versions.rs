//! Two versions over one storage: this one, and a made-up newer one (`tests/newer`) that writes a newer format with
//! more members, and exits when one of those is missing or altered.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use codex_miroir::store::{BlobKey, GetIf, GetOutcome, Put, PutIf};
use codex_miroir::user::UserId;
use codex_miroir::user_state::State;
use serde_json::{Value, json};

use crate::support::mirror::{Mirror, tick};
use crate::support::process::{Answer, Asked, Service, eventually};
use crate::support::scene::task;

/// How often a client tries a request before it counts as unanswered.
const TRIES: usize = 400;

/// The format that the newer version writes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Newer {
    /// With members that this version doesn't know.
    Minor,
    /// With a major version that this version mustn't write.
    Major,
}

/// A storage and a repository that both versions share, and the answers that clients received.
struct Shared {
    mirror: Mirror,
    token: String,
    newer: Newer,
    /// Every acknowledged task: its file name, and the last tag that was acknowledged for it.
    acknowledged: Mutex<BTreeMap<String, String>>,
    /// The number of requests that the older version refused.
    refused: AtomicUsize,
}

impl Shared {
    fn over(mirror: Mirror, newer: Newer) -> Self {
        let token = mirror.github.personal_token("anna");
        let mirror = mirror
            .without("CODEX_DEV_USER")
            .with("CODEX_AUTH", "github");
        let mirror = mirror.with("CODEX_ALLOWED_LOGINS", "*");
        Self {
            mirror: mirror.with("CODEX_PENDING_EXPIRY_SECONDS", "1"),
            token,
            newer,
            acknowledged: Mutex::default(),
            refused: AtomicUsize::new(0),
        }
    }

    fn this_version(&self) -> Service {
        self.mirror.service()
    }

    fn newer_version(&self) -> Service {
        let mut command = Command::new(newer_executable());
        command.arg(match self.newer {
            Newer::Minor => "minor",
            Newer::Major => "major",
        });
        let settings = self.mirror.command();
        command.env_clear();
        for (name, value) in settings.get_envs() {
            command.env(name, value.unwrap());
        }
        Service::start(&mut command)
    }

    fn headers(&self) -> String {
        let token = &self.token;
        format!("authorization: Bearer {token}\r\ncontent-type: application/json\r\n")
    }

    /// Sends a request; `None` without an answer.
    fn send(
        &self,
        address: &str,
        method: &str,
        path: &str,
        more: &str,
        body: &str,
    ) -> Option<Answer> {
        let mut stream = TcpStream::connect(address).ok()?;
        let (headers, length) = (self.headers(), body.len());
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}{more}\r\n{body}"
        );
        stream.write_all(request.as_bytes()).ok()?;
        Answer::try_read(Asked::on(stream, method, path))
    }

    /// Sends a request to one instance after the other until one has carried it out.
    fn until_done(
        &self,
        addresses: &[String],
        method: &str,
        path: &str,
        more: &str,
        body: &str,
    ) -> Value {
        let mut last = None;
        for address in addresses.iter().cycle().take(TRIES) {
            last = self.send(address, method, path, more, body);
            match &last {
                Some(answer) if answer.status < 300 => return answer.json(),
                Some(answer) if answer.body.contains("newer_format") => {
                    assert!(
                        answer.status == 503 && self.newer == Newer::Major,
                        "{} {}",
                        answer.status,
                        answer.body
                    );
                    self.refused.fetch_add(1, Ordering::Relaxed);
                }
                Some(answer) => assert!(
                    matches!(answer.status, 409 | 503),
                    "{method} {path}: {} {}",
                    answer.status,
                    answer.body
                ),
                None => thread::sleep(Duration::from_millis(5)),
            }
        }
        panic!("{method} {path}: {last:?}");
    }

    /// Three clients create, change and complete tasks, each request first at another instance.
    fn run_clients(&self, name: &str, services: &[&Service], meanwhile: impl FnOnce()) {
        let addresses: Vec<String> = services.iter().map(|it| it.address.clone()).collect();
        thread::scope(|scope| {
            for client in 0..3 {
                let mut addresses = addresses.clone();
                scope.spawn(move || {
                    for round in 0..4 {
                        addresses.rotate_left(1);
                        self.one_task(&format!("{name} {client} {round}"), &mut addresses);
                    }
                });
            }
            meanwhile();
        });
    }

    fn one_task(&self, title: &str, addresses: &mut [String]) {
        let body = json!({"kategorie": "arbeit", "title": title}).to_string();
        let key = format!("idempotency-key: {}\r\n", title.replace(' ', "-"));
        let created = self.until_done(addresses, "POST", "/api/tasks", &key, &body);
        let file = created["filename"].as_str().unwrap().to_owned();
        self.acknowledge(&file, "");
        let stem = file.strip_suffix(".md").unwrap();
        let path = format!("/api/tasks/{stem}");
        for tag in ["a", "b"] {
            addresses.rotate_left(1);
            let body = json!({"tags": [tag]}).to_string();
            self.until_done(addresses, "PATCH", &path, "", &body);
            self.acknowledge(&file, tag);
        }
        self.until_done(addresses, "POST", &format!("{path}/complete"), "", "{}");
        self.acknowledge(&file, "done");
    }

    fn acknowledge(&self, file: &str, what: &str) {
        let mut acknowledged = self.acknowledged.lock().unwrap();
        acknowledged.insert(file.to_owned(), what.to_owned());
    }

    /// Checks that this instance shows everything that was acknowledged.
    fn check_complete_on(&self, service: &Service) {
        let strict = "cache-control: no-cache\r\n";
        let list = self.send(
            &service.address,
            "GET",
            "/api/tasks?status=alle",
            strict,
            "",
        );
        let list = list.unwrap().json();
        let tasks = list["tasks"].as_array().unwrap();
        for (file, what) in self.acknowledged.lock().unwrap().iter() {
            let found = tasks.iter().find(|it| it["filename"] == file.as_str());
            let found = found.unwrap_or_else(|| panic!("{file} is gone"));
            match what.as_str() {
                "" => {}
                "done" => assert_eq!(found["status"], "abgeschlossen", "{found}"),
                tag => assert_eq!(found["tags"], json!([tag]), "{found}"),
            }
        }
    }

    fn blob(&self, key: &BlobKey) -> Option<Vec<u8>> {
        let got = tokio::task::block_in_place(|| {
            let get = self.mirror.store().get(key, GetIf::Any);
            tokio::runtime::Handle::current().block_on(get)
        });
        match got.unwrap().value {
            GetOutcome::Blob(blob) => Some(blob.bytes.to_vec()),
            _ => None,
        }
    }

    /// Writes a blob as another program would.
    async fn put(&self, key: &BlobKey, text: &str) {
        let blob = Put {
            bytes: text.to_owned().into(),
            ..Put::default()
        };
        let put = self.mirror.store().put(key, blob, PutIf::Any);
        put.await.unwrap();
    }

    /// The raw bytes of the blobs that declare a format.
    fn versioned_blobs(&self) -> BTreeMap<String, Option<Vec<u8>>> {
        let keys = [
            BlobKey::state(&anna()),
            BlobKey::git(&anna()),
            BlobKey::owner(&anna()),
            BlobKey::artifact(&anna()),
            BlobKey::github(),
        ];
        let blobs = keys.map(|key| (key.path().to_owned(), self.blob(&key)));
        blobs.into_iter().collect()
    }

    fn format_of(&self, key: &BlobKey) -> String {
        let blob: Value = serde_json::from_slice(&self.blob(key).unwrap()).unwrap();
        blob["format"].as_str().unwrap().to_owned()
    }

    /// Commits a new file to the repository.
    fn commit(&self, name: &str) {
        let text = task("Von anderswo");
        self.mirror.commit(&[(name, Some(&text))], "Write it down");
        self.acknowledge(name, "");
    }

    /// Calls this instance's timer, and waits until Git and the store are equal.
    async fn sync_by(&self, service: &Service) {
        assert_eq!(tick(service).status, 200);
        self.mirror.until_equal(service).await;
    }
}

fn anna() -> UserId {
    UserId::parse("anna").unwrap()
}

/// Cargo puts examples next to the folder of the test executables.
fn newer_executable() -> PathBuf {
    let here = std::env::current_exe().unwrap();
    let found = here.ancestors().nth(2).unwrap().join("examples/newer");
    assert!(
        found.exists(),
        "build it: cargo build --example newer (tests/run does, cargo test --test system doesn't)"
    );
    found
}

/// Checks that the newer version found all its members each time it read a blob.
#[track_caller]
fn check_nothing_lost(service: &Service) {
    let log = service.log();
    let lost = log.iter().find(|line| line.starts_with("LOST"));
    assert!(lost.is_none(), "{lost:?}");
}

#[track_caller]
fn kill(service: Service) {
    check_nothing_lost(&service);
    service.kill();
}

#[test]
fn every_object_of_the_state_keeps_members_that_this_version_doesnt_know() {
    let sha = "ab".repeat(20);
    let state = json!({
        "format": "1.3", "version": 7, "nextId": 3, "newer": {"a": [1, null]},
        "pending": {"op": {"version": 7, "at": "2026-01-02T03:04:05Z", "newer": 1, "files": [
            {"name": "0000.md", "writeId": "1", "kind": "create", "newer": {"b": 2}}]}},
        "idempotency": {"key": {"body": "b", "op": "op", "id": 0, "file": "0000.md", "version": 7,
            "at": "2026-01-02T03:04:05Z", "newer": "3"}},
        "legacyNextId": {"number": 5, "etag": "e", "newer": 4},
        "merged": {"0000.md": {"sha": sha, "fields": ["tags"], "version": 6, "newer": []}},
    });
    let parsed = State::parse(state.to_string().as_bytes()).unwrap().unwrap();
    let written: Value = serde_json::from_slice(&parsed.to_bytes()).unwrap();
    assert_eq!(written, state);
}

/// Old, both, new, both, old: with a newer minor version everything works on each side.
async fn a_rolling_update_and_back_with_a_newer_minor(mirror: Mirror) {
    let shared = Shared::over(mirror, Newer::Minor);
    shared.put(&BlobKey::legacy_next_id(&anna()), "3").await;
    let olds = [shared.this_version(), shared.this_version()];
    shared.run_clients("alt", &[&olds[0], &olds[1]], || {
        shared.commit("0900-Eins.md")
    });
    shared.sync_by(&olds[0]).await;

    let news = [shared.newer_version(), shared.newer_version()];
    let [old, doomed_old] = olds;
    let [new, doomed_new] = news;
    shared.run_clients("beide", &[&old, &doomed_new, &doomed_old, &new], || {
        thread::sleep(Duration::from_millis(150));
        kill_shared(&doomed_old);
        shared.commit("0901-Zwei.md");
        thread::sleep(Duration::from_millis(150));
        kill_shared(&doomed_new);
    });
    check_nothing_lost(&doomed_new);
    shared.sync_by(&old).await;
    shared.check_complete_on(&old);
    shared.check_complete_on(&new);

    kill(old);
    shared.run_clients("neu", &[&new], || shared.commit("0902-Drei.md"));
    shared.sync_by(&new).await;

    let old = shared.this_version();
    shared.run_clients("hin und her", &[&new, &old], || {
        thread::sleep(Duration::from_millis(200));
        kill_shared(&new);
    });
    check_nothing_lost(&new);
    shared.run_clients("wieder alt", &[&old], || shared.commit("0903-Vier.md"));
    shared.sync_by(&old).await;
    shared.check_complete_on(&old);
    for key in [
        BlobKey::state(&anna()),
        BlobKey::git(&anna()),
        BlobKey::github(),
    ] {
        assert_eq!(shared.format_of(&key), "1.3", "the newer one's, {key}");
    }

    let last = shared.newer_version();
    shared.check_complete_on(&last);
    shared.run_clients("wieder neu", &[&last], || {});
    shared.sync_by(&last).await;
    check_nothing_lost(&last);
    assert_eq!(shared.refused.load(Ordering::Relaxed), 0);
}

/// `kill -9`, for a service that other threads still use.
fn kill_shared(service: &Service) {
    let killed = Command::new("kill")
        .args(["-9", &service.id().to_string()])
        .status();
    assert!(killed.unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_minor_and_this_version_lose_nothing_of_each_other_over_azurite() {
    a_rolling_update_and_back_with_a_newer_minor(Mirror::over_azurite()).await;
}

/// The same where changes are proposed: git.json records pull requests.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_newer_minor_notes_of_a_pull_request_stays() {
    let shared = Shared::over(Mirror::new().with("CREATE_VIA_PR", "true"), Newer::Minor);
    let (old, new) = (shared.this_version(), shared.newer_version());
    let addresses = [new.address.clone()];
    let body = r#"{"kategorie":"arbeit","title":"Steuer"}"#;
    shared.until_done(&addresses, "POST", "/api/tasks", "", body);
    let note = || shared.mirror.book_now()["pulls"]["0000-Steuer.md"].clone();
    eventually("the newer version has proposed it", || {
        note()["newerVersion"].is_u64()
    });
    let before = note();
    let addresses = [old.address.clone()];
    shared.until_done(
        &addresses,
        "PATCH",
        "/api/tasks/0000",
        "",
        r#"{"tags":["a"]}"#,
    );
    eventually("this one has proposed the edit on it", || {
        note()["sha"] != before["sha"]
    });
    for member in ["branch", "number"] {
        assert_eq!(note()[member], before[member], "{member}");
    }
    assert!(note()["newerVersion"].is_u64(), "{}", note());
    shared.until_done(std::slice::from_ref(&new.address), "GET", "/sync", "", "");
    let said = shared.until_done(&addresses, "GET", "/sync", "", "");
    assert!(!said.to_string().contains("newerVersion"), "{said}");
    check_nothing_lost(&new);
}

/// Old, both, new, old, new: this version only reads the blobs of a newer major version.
async fn a_rolling_update_and_back_with_a_newer_major(mirror: Mirror) {
    let shared = Shared::over(mirror, Newer::Major);
    let olds = [shared.this_version(), shared.this_version()];
    shared.run_clients("alt", &[&olds[0], &olds[1]], || {});
    shared.sync_by(&olds[0]).await;

    let [old, doomed_old] = olds;
    let (new, doomed_new) = (shared.newer_version(), shared.newer_version());
    shared.run_clients("beide", &[&old, &doomed_new, &doomed_old, &new], || {
        thread::sleep(Duration::from_millis(150));
        kill_shared(&doomed_old);
        thread::sleep(Duration::from_millis(150));
        kill_shared(&doomed_new);
    });
    check_nothing_lost(&doomed_new);
    assert!(shared.refused.load(Ordering::Relaxed) > 0);
    shared.check_complete_on(&new);
    shared.check_complete_on(&old);
    shared.sync_by(&new).await;
    kill(old);
    kill(new);

    check_only_reads(&shared).await;

    let new = shared.newer_version();
    shared.run_clients("wieder neu", &[&new], || shared.commit("0900-Eins.md"));
    shared.sync_by(&new).await;
    shared.check_complete_on(&new);
    check_nothing_lost(&new);
}

/// This version alone, over the blobs that the newer one has left.
async fn check_only_reads(shared: &Shared) {
    eventually("the newer version's artifact is there", || {
        shared.blob(&BlobKey::artifact(&anna())).is_some()
    });
    let before = shared.versioned_blobs();
    let old = shared.this_version();
    shared.check_complete_on(&old);
    for path in ["/codex", "/codex?nocache=true", "/codex?format=html"] {
        let read = shared.send(&old.address, "GET", path, "", "").unwrap();
        assert_eq!(read.status, 200, "{path}: {}", read.body);
        assert_ne!(read.header("x-codex-cache"), "artifact");
    }
    let file = shared.acknowledged.lock().unwrap().keys().next().cloned();
    let one = format!("/api/tasks/{}", file.unwrap().strip_suffix(".md").unwrap());
    assert_eq!(
        shared
            .send(&old.address, "GET", &one, "", "")
            .unwrap()
            .status,
        200
    );
    for (method, path, body) in [
        (
            "POST",
            "/api/tasks",
            r#"{"kategorie":"arbeit","title":"Nein"}"#,
        ),
        ("PATCH", &*one, r#"{"tags":["nein"]}"#),
        ("POST", "/sync", ""),
        ("GET", "/sync", ""),
    ] {
        let refused = shared.send(&old.address, method, path, "", body).unwrap();
        let said = (refused.status, refused.body.contains("newer_format"));
        assert_eq!(said, (503, true), "{method} {path}: {}", refused.body);
    }
    // A push, and the timer.
    shared.mirror.commit(
        &[("0800-Während.md", Some(&task("Während")))],
        "Write it down",
    );
    shared.mirror.deliver(&old).await;
    tick(&old);
    shared.acknowledge("0800-Während.md", "");
    thread::sleep(Duration::from_millis(1_500));
    shared.send(&old.address, "GET", "/codex?nocache=true", "", "");
    thread::sleep(Duration::from_millis(200));
    let after = shared.versioned_blobs();
    for (name, blob) in &before {
        let text = |blob: &Option<Vec<u8>>| {
            let blob = blob.as_deref().unwrap_or_default();
            String::from_utf8_lossy(blob).into_owned()
        };
        assert_eq!(text(&after[name]), text(blob), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_newer_major_keeps_is_only_read_over_a_folder() {
    a_rolling_update_and_back_with_a_newer_major(Mirror::new()).await;
}

/// A blob that this version can't even parse still belongs to a newer version; it isn't damage to be repaired.
#[tokio::test(flavor = "multi_thread")]
async fn blobs_of_a_newer_form_are_never_made_again() {
    for format in ["1.7", "2.0"] {
        let shared = Shared::over(Mirror::new(), Newer::Major);
        let old = shared.this_version();
        let addresses = [old.address.clone()];
        let body = r#"{"kategorie":"arbeit","title":"Da"}"#;
        shared.until_done(&addresses, "POST", "/api/tasks", "", body);
        shared.sync_by(&old).await;
        kill(old);
        let odd = json!({"format": format, "version": "v7", "files": 7, "users": 7}).to_string();
        for key in [
            BlobKey::state(&anna()),
            BlobKey::git(&anna()),
            BlobKey::github(),
        ] {
            shared.put(&key, &odd).await;
        }
        let before = shared.versioned_blobs();
        let old = shared.this_version();
        for (method, path, body) in [
            ("GET", "/codex", ""),
            ("POST", "/api/tasks", body),
            ("POST", "/sync", ""),
        ] {
            let refused = shared.send(&old.address, method, path, "", body).unwrap();
            let said = (refused.status, refused.body.contains("newer_format"));
            assert_eq!(said, (503, true), "{method} {path}: {}", refused.body);
        }
        shared.mirror.commit(&[("0800-Neu.md", None)], "Nothing");
        shared.mirror.deliver(&old).await;
        tick(&old);
        assert_eq!(shared.versioned_blobs(), before, "{format}");
    }
}

/// The newer major version recorded the login's owner: when in doubt, this version treats it as unowned.
#[tokio::test(flavor = "multi_thread")]
async fn an_owner_whom_a_newer_major_wrote_down_is_let_in_there_only() {
    let shared = Shared::over(Mirror::new(), Newer::Major);
    let new = shared.newer_version();
    let read = |service: &Service| shared.send(&service.address, "GET", "/codex", "", "");
    assert_eq!(read(&new).unwrap().status, 200);
    let before = shared.blob(&BlobKey::owner(&anna()));
    let refused = read(&shared.this_version()).unwrap();
    assert!(refused.status == 503 && refused.body.contains("newer_format"));
    assert_eq!(shared.blob(&BlobKey::owner(&anna())), before);
    assert_eq!(read(&new).unwrap().status, 200);
    check_nothing_lost(&new);
}
