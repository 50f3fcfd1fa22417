//! The real process over a folder on a disk that is full, read-only or damaged. The disks are tmpfs mounts, which only
//! root may create.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::json;

use crate::support::process::{Answer, Service, codex_miroir};
use crate::support::scene::titles;

/// A small disk of its own, unmounted on drop.
struct Disk(tempfile::TempDir);

impl Disk {
    fn new() -> Self {
        let disk = Self(tempfile::tempdir().unwrap());
        disk.run("mount", &["-t", "tmpfs", "-o", "size=512k", "tmpfs"]);
        disk
    }

    fn run(&self, program: &str, arguments: &[&str]) {
        let status = Command::new(program)
            .args(arguments)
            .arg(self.0.path())
            .status();
        assert!(
            status.unwrap().success(),
            "{program} needs root: run the tests as root"
        );
    }

    fn data(&self) -> PathBuf {
        self.0.path().join("data")
    }

    fn fill(&self) {
        let chunk = vec![0; 4096];
        let mut filler = fs::File::create(self.0.path().join("filler")).unwrap();
        while std::io::Write::write_all(&mut filler, &chunk).is_ok() {}
    }

    fn free(&self) {
        fs::remove_file(self.0.path().join("filler")).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

fn service(data: &Path) -> Service {
    let mut command = codex_miroir();
    command
        .env("CODEX_DATA_DIR", data)
        .env("CODEX_REVALIDATE_SECONDS", "0")
        .env("CODEX_PENDING_EXPIRY_SECONDS", "1");
    Service::start(&mut command)
}

fn create(service: &Service, title: &str) -> Answer {
    let body = json!({"kategorie": "arbeit", "title": title}).to_string();
    service.send_json("POST", "/api/tasks", &body)
}

fn code(answer: &Answer) -> (u16, String) {
    let document: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
    (
        answer.status,
        document["code"].as_str().unwrap_or("").to_owned(),
    )
}

/// All tasks of the list, with the number of occurrences of each.
fn all_tasks(service: &Service) -> BTreeMap<String, usize> {
    let list = service
        .send("/api/tasks?status=alle", "cache-control: no-cache\r\n")
        .json();
    let mut counts = BTreeMap::new();
    for task in list["tasks"].as_array().unwrap() {
        *counts
            .entry(task["title"].as_str().unwrap().to_owned())
            .or_default() += 1;
    }
    counts
}

fn trouble(answer: &Answer) {
    let (status, code) = code(answer);
    assert_eq!(status, 503, "{}", answer.body);
    assert!(
        ["storage_unavailable", "outcome_unknown"].contains(&code.as_str()),
        "{code}"
    );
    assert!(!answer.header("retry-after").is_empty());
}

#[test]
fn on_a_full_disk_nothing_is_acknowledged_nothing_lost_and_it_goes_on_with_room() {
    let disk = Disk::new();
    let service = service(&disk.data());
    for number in 0..5 {
        assert_eq!(create(&service, &format!("vorher {number}")).status, 201);
    }
    disk.fill();
    let refused: Vec<(u16, String)> = (0..5)
        .map(|number| {
            let answer = create(&service, &format!("voll {number}"));
            trouble(&answer);
            code(&answer)
        })
        .collect();
    println!("on a full disk: {refused:?}");
    let shown = service.get("/codex");
    assert_eq!(shown.status, 200);
    assert_eq!(
        titles(&shown.json()).len(),
        5,
        "what is there is shown: {}",
        shown.body
    );
    disk.free();
    assert_eq!(create(&service, "nachher").status, 201);
    // A refused write may have got as far as its write intent, which is settled after its expiry.
    std::thread::sleep(Duration::from_millis(1_500));
    let counts = all_tasks(&service);
    println!("with room again: {counts:?}");
    assert!(counts.values().all(|count| *count == 1));
    assert_eq!(
        counts.keys().filter(|it| it.starts_with("vorher")).count(),
        5
    );
    assert!(counts.contains_key("nachher"));
    let known = service.get("/codex?nocache=true").json();
    assert_eq!(known["problems"], json!([]), "nothing is half written");
}

#[test]
fn on_a_read_only_disk_reads_go_on() {
    let disk = Disk::new();
    let before = service(&disk.data());
    assert_eq!(create(&before, "da").status, 201);
    assert_eq!(before.get("/codex").status, 200);
    disk.run("mount", &["-o", "remount,ro"]);
    trouble(&create(&before, "nicht"));
    let after = service(&disk.data());
    for reader in [&before, &after] {
        let shown = reader.get("/codex");
        assert_eq!(
            (shown.status, titles(&shown.json())),
            (200, vec!["da".to_owned()])
        );
    }
    trouble(&create(&after, "nicht"));
    disk.run("mount", &["-o", "remount,rw"]);
    assert_eq!(create(&after, "wieder").status, 201);
    assert_eq!(all_tasks(&before).len(), 2);
}

/// The damage that a power cut or an operator leaves: whichever file it hits, nothing is lost except its own contents.
#[test]
fn damaged_files_cost_a_rebuild_or_are_told_of() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    let first = service(data);
    for number in 0..3 {
        assert_eq!(create(&first, &format!("Aufgabe {number}")).status, 201);
    }
    first.get("/codex?nocache=true");
    first.kill();
    let mut known = 3;
    for (damaged, how) in [
        ("artifacts/local/timeline.json", "half"),
        ("artifacts/local/timeline.json", "zeros"),
        ("state/local/state.json", "half"),
        ("state/local/state.json", "zeros"),
        ("state/local/state.json", "empty"),
    ] {
        let path = data.join(damaged);
        let bytes = fs::read(&path).unwrap();
        let left = match how {
            "half" => bytes[..bytes.len() / 2].to_vec(),
            "zeros" => vec![0; bytes.len()],
            _ => Vec::new(),
        };
        fs::write(&path, left).unwrap();
        let service = service(data);
        let shown = service.get("/codex").json();
        assert_eq!(titles(&shown).len(), known, "{damaged}, {how}");
        let made = create(&service, &format!("nach {damaged} {how}")).json();
        assert_eq!(
            made["id"],
            format!("{known:04}"),
            "{damaged}, {how}: no number twice"
        );
        known += 1;
        let week = service.get("/codex?nocache=true").json();
        assert_eq!(titles(&week).len(), known);
        println!("{damaged}, {how}: all {known} are there");
        service.terminate();
        assert!(service.wait().success());
    }
    let task = data.join("raw/local/tasks/0001-Aufgabe-1.md");
    let bytes = fs::read(&task).unwrap();
    fs::write(&task, &bytes[..20]).unwrap();
    let service = service(data);
    let week = service.get("/codex?nocache=true").json();
    assert_eq!(titles(&week).len(), known - 1);
    assert_eq!(
        week["problems"].as_array().unwrap().len(),
        1,
        "{}",
        week["problems"]
    );
}
