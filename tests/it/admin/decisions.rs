//! The decisions of the commands, without a store.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use codex_miroir::admin::delete::plan::{BlobRemoval, is_creating, may_forget, refuse, removal};
use codex_miroir::admin::inspect::differences::{Author, DifferenceKind, differences};
use codex_miroir::admin::inspect::judge::judge;
use codex_miroir::admin::inspect::seen::{SeenFiles, SeenUser};
use codex_miroir::admin::rebind::decide;
use codex_miroir::admin::{AdminError, Holdings, InspectSettings, UserFolder};
use codex_miroir::codex::State;
use codex_miroir::git_sync::UserSyncState;
use codex_miroir::owners::AccountIdentity;
use codex_miroir::store::{Blob, ETag, StoreError, WriteId, WriteIds};
use codex_miroir::task::{FileRecord, TOMBSTONE_FILE, TaskTable};
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

use super::PLACE;
use crate::support::cases;
use crate::support::scene::{MONDAY, anna, task};

fn date() -> DateTime<Utc> {
    MONDAY.parse().unwrap()
}

/// The file's record, with an ETag.
fn record(name: &str, etag: &str, text: &str) -> FileRecord {
    FileRecord::of(&name.parse().unwrap(), etag, text.as_bytes())
}

fn files(records: &[FileRecord], written: &[&str]) -> SeenFiles {
    let ids = |name: &&str| {
        (
            (*name).to_owned(),
            WriteIds::default().with_newest(WriteId(1)),
        )
    };
    SeenFiles {
        table: TaskTable::new(records.to_vec()),
        writes: written.iter().map(ids).collect(),
        ..SeenFiles::default()
    }
}

fn lost() -> StoreError {
    StoreError::Unavailable {
        operation: "get",
        key: "k".to_owned(),
        reason: "r".to_owned(),
    }
}

fn blob(bytes: &[u8]) -> Blob {
    Blob {
        bytes: bytes.to_vec().into(),
        etag: ETag::new("e"),
        writes: WriteIds::default(),
    }
}

#[test]
fn each_difference_has_a_kind_and_an_author() {
    let then = [
        record("0000-Gleich.md", "1", &task("A")),
        record("0001-Anders.md", "1", &task("A")),
        record("0002-Neu-geschrieben.md", "1", &task("A")),
        record("0003-Anders-gelesen.md", "1", &task("A")),
        record("0004-Weg.md", "1", &task("A")),
        record("0005-Erledigt.md", "1", &task("A")),
        record("0006-Nie.md", "1", TOMBSTONE_FILE),
        record("0008-Unbekannt.md", "1", &task("A")),
    ];
    let now = [
        record("0000-Gleich.md", "1", &task("A")),
        record("0001-Anders.md", "2", &task("B")),
        record("0002-Neu-geschrieben.md", "2", &task("A")),
        record("0003-Anders-gelesen.md", "1", &task("B")),
        record("0005-Erledigt.md", "2", TOMBSTONE_FILE),
        record("0007-Neu.md", "1", &task("A")),
    ];
    let mut raw = files(&now, &["0001-Anders.md"]);
    raw.failed.insert("0008-Unbekannt.md".to_owned(), lost());
    let found = differences(&TaskTable::new(then.to_vec()), &raw);
    let told: Vec<_> = found
        .iter()
        .map(|it| (&*it.name, it.change, it.by))
        .collect();
    let (service, other) = (Some(Author::Service), Some(Author::SomethingElse));
    assert_eq!(
        told,
        [
            ("0001-Anders.md", DifferenceKind::Changed, service),
            ("0002-Neu-geschrieben.md", DifferenceKind::Rewritten, other),
            (
                "0003-Anders-gelesen.md",
                DifferenceKind::ReadDifferently,
                other
            ),
            ("0004-Weg.md", DifferenceKind::Removed, None),
            ("0005-Erledigt.md", DifferenceKind::Removed, None),
            ("0007-Neu.md", DifferenceKind::Added, other),
        ]
    );
}

#[test]
fn a_deletion_is_refused_for_what_is_newer_and_then_for_what_git_has() {
    let held = |newer, in_git: &[&str]| Holdings {
        newer,
        in_git: in_git.iter().map(|it| (*it).to_owned()).collect(),
        ..Holdings::default()
    };
    let some = held(None, &["a", "b"]);
    assert!(matches!(refuse(&some, false), Err(AdminError::InGit(2))));
    assert!(refuse(&some, true).is_ok() && refuse(&held(None, &[]), false).is_ok());
    for despite_git in [false, true] {
        let newer = refuse(&held(Some("git.json"), &["a"]), despite_git);
        assert!(matches!(newer, Err(AdminError::Newer("git.json"))));
    }
}

#[test]
fn a_folders_blobs_go_but_for_the_two_that_go_last() {
    let user = anna();
    let (now, later, never) = ("now", "later", "never");
    let cases = [
        (UserFolder::Artifacts, "timeline.json", now),
        (UserFolder::Artifacts, r"x\xff", never),
        (UserFolder::State, "git.json", now),
        (UserFolder::State, "state.json", later),
        (UserFolder::State, "owner.json", later),
        (UserFolder::State, "..", never),
        (UserFolder::Records, "k.txt", now),
        (UserFolder::Records, "k.json", later),
        (UserFolder::Records, r"x\xff.txt", later),
    ];
    for (folder, name, expected) in cases {
        let found = match removal(folder, &user, name) {
            BlobRemoval::Now(key) => {
                assert_eq!(key.path(), format!("{}{name}", folder.prefix(&user)));
                now
            }
            BlobRemoval::Later => later,
            BlobRemoval::Impossible => never,
        };
        assert_eq!(found, expected, "{folder:?} {name}");
    }
}

#[test]
fn only_a_pending_create_is_waited_for() {
    for (kind, waits) in [("create", true), ("update", false), ("delete", false)] {
        let file = json!({"name": "0000.md", "writeId": "1", "kind": kind});
        let intent = json!({"version": 1, "at": MONDAY, "files": [file]});
        let state = json!({"format": "1.0", "version": 1, "nextId": 1, "pending": {"a": intent}});
        let state = State::parse(state.to_string().as_bytes());
        assert_eq!(is_creating(&state.unwrap().unwrap()), waits, "{kind}");
    }
}

#[test]
fn git_is_forgotten_only_where_it_is_known_to_hold_nothing() {
    let sha = "1".repeat(40);
    for (git, may) in [
        (json!({"format": "1.0", "place": PLACE}), true),
        (json!({"format": "1.0"}), false),
        (
            json!({"format": "1.0", "place": PLACE, "files": {"a.md": sha}}),
            false,
        ),
        (
            json!({"format": "1.0", "place": PLACE, "pushing": {"a.md": [sha]}}),
            false,
        ),
    ] {
        let note = UserSyncState::parse(git.to_string().as_bytes());
        assert_eq!(may_forget(&note.unwrap().unwrap()), may, "{git}");
    }
}

#[test]
fn a_rebind_replaces_what_it_can_read_and_what_nobody_can() {
    let decided = |found: Option<&[u8]>| decide(found, 7, date());
    let new = json!({"format": "1.0", "githubId": 7, "sessionGeneration": 1_773_039_600});
    let rewritten = json!({"format": "1.1", "githubId": 7, "later": 1});
    for (found, before, written, expected) in [
        (None, None, true, &new),
        (Some("damaged"), None, true, &new),
        (
            Some(r#"{"format":"1.1","githubId":1,"later":1}"#),
            Some(AccountIdentity::GitHub { number: 1 }),
            true,
            &rewritten,
        ),
        (
            Some(r#"{"format":"1.1","githubId":7,"later":1}"#),
            Some(AccountIdentity::GitHub { number: 7 }),
            false,
            &rewritten,
        ),
    ] {
        let (report, bytes) = decided(found.map(str::as_bytes)).unwrap();
        assert_eq!(
            (report.before, report.written),
            (before, written),
            "{found:?}"
        );
        let file: Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(file, *expected, "{found:?}");
    }
    let newer = decided(Some(br#"{"format":"2.0","githubId":1}"#));
    assert!(matches!(newer, Err(AdminError::NewerOwner)));
}

/// Names with what a key or some system forbids.
fn odd_name() -> impl Strategy<Value = String> {
    let parts = vec![
        "con", "COM1", "lpt", "1", "a", "A", "ä", "a\u{308}", ".", " ", ":", "?", "/", r"\",
        "\u{7}", "~2", ".md",
    ];
    let parts = prop::collection::vec(select(parts), 1..5);
    parts.prop_map(|parts| parts.concat())
}

/// The bytes of a blob: anything, or parts of what the service writes.
fn odd_bytes() -> impl Strategy<Value = Vec<u8>> {
    let known = vec![
        "",
        "{",
        "{}",
        r#"{"format":"2.0"}"#,
        r#"{"format":"1.0","githubId":7}"#,
        r#"{"format":"1.0","version":3,"nextId":4}"#,
        r#"{"format":"2.0","version":3,"nextId":4,"pending":{"\u0007":{"version":3,"at":"2026-03-09T07:00:00Z","files":[{"name":"0000-A.md","writeId":"1","kind":"create"}]}}}"#,
        r#"{"format":"1.0","place":"a\u001b","files":{}}"#,
        "---\ntyp: task\n---\n",
    ];
    let known = select(known).prop_map(|text| text.as_bytes().to_vec());
    prop_oneof![3 => known, 1 => prop::collection::vec(any::<u8>(), 0..20)]
}

fn odd_blob() -> impl Strategy<Value = Result<Option<Blob>, StoreError>> {
    prop_oneof![
        1 => Just(Ok(None)),
        1 => Just(Err(lost())),
        4 => odd_bytes().prop_map(|bytes| Ok(Some(blob(&bytes)))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases(256)))]

    #[test]
    fn what_is_the_same_doesnt_differ(texts in prop::collection::vec(odd_bytes(), 0..8)) {
        let named = texts.iter().enumerate().map(|(at, bytes)| {
            FileRecord::of(&format!("{at:04}-A.md").parse().unwrap(), "e", bytes)
        });
        let records: Vec<FileRecord> = named.collect();
        prop_assert_eq!(differences(&TaskTable::new(records.clone()), &files(&records, &[])), []);
        let added = differences(&TaskTable::default(), &files(&records, &[]));
        prop_assert!(added.len() == records.len() && added.iter().all(|it| it.change == DifferenceKind::Added));
    }

    #[test]
    fn a_folder_step_removes_only_what_is_in_the_folder(name in odd_name()) {
        for folder in [UserFolder::Artifacts, UserFolder::State, UserFolder::Records] {
            if let BlobRemoval::Now(key) = removal(folder, &anna(), &name) {
                let prefix = folder.prefix(&anna());
                let below = key.path().strip_prefix(prefix.as_str());
                prop_assert_eq!(below, Some(&*name));
                prop_assert!(!name.contains('/'));
            }
        }
    }

    #[test]
    fn a_deletion_never_removes_what_is_newer_nor_unasked_what_git_has(
        newer in any::<bool>(),
        in_git in 0..3_usize,
        despite_git in any::<bool>(),
    ) {
        let held = Holdings {
            newer: newer.then_some("git.json"),
            in_git: (0..in_git).map(|it| it.to_string()).collect(),
            ..Holdings::default()
        };
        prop_assert_eq!(refuse(&held, despite_git).is_ok(), !newer && (in_git == 0 || despite_git));
    }

    #[test]
    fn one_pending_create_is_enough_to_wait(kinds in prop::collection::vec(select(vec!["create", "update", "delete"]), 0..5)) {
        let files = kinds.iter().map(|kind| json!({"name": "0000.md", "writeId": "1", "kind": kind}));
        let intents = files.enumerate().map(|(at, file)| {
            (at.to_string(), json!({"version": 1, "at": MONDAY, "files": [file]}))
        });
        let pending: Value = intents.collect::<serde_json::Map<_, _>>().into();
        let state = json!({"format": "1.0", "version": 1, "nextId": 1, "pending": pending});
        let state = State::parse(state.to_string().as_bytes()).unwrap().unwrap();
        prop_assert_eq!(is_creating(&state), kinds.contains(&"create"));
    }

    #[test]
    fn git_is_not_forgotten_while_it_may_hold_a_file(
        files in prop::collection::btree_set("[a-c]\\.md", 0..3),
        pushing in prop::collection::btree_set("[a-c]\\.md", 0..3),
    ) {
        let sha = "1".repeat(40);
        let of = |names: &BTreeSet<String>, value: Value| -> Value {
            names.iter().map(|name| (name.clone(), value.clone())).collect::<serde_json::Map<_, _>>().into()
        };
        let git = json!({
            "format": "1.0", "place": PLACE, "files": of(&files, json!(sha)), "pushing": of(&pushing, json!([sha])),
        });
        let note = UserSyncState::parse(git.to_string().as_bytes()).unwrap().unwrap();
        prop_assert_eq!(may_forget(&note), files.is_empty() && pushing.is_empty());
    }

    #[test]
    fn a_rebind_is_done_once(bytes in odd_bytes(), number in any::<u64>()) {
        if let Ok((report, written)) = decide(Some(&bytes), number, date()) {
            let (again, same) = decide(Some(&written), number, date()).unwrap();
            prop_assert!(!again.written);
            prop_assert_eq!(same, written);
            prop_assert!(report.written || report.before == again.before);
        }
    }

    #[test]
    fn whatever_is_stored_every_part_is_told(
        blobs in prop::array::uniform5(odd_blob()),
        texts in prop::collection::vec(odd_bytes(), 0..3),
        dated in any::<bool>(),
        mirrored in any::<bool>(),
    ) {
        let records: Vec<FileRecord> = texts.iter().enumerate().map(|(at, bytes)| {
            FileRecord::of(&format!("{at:04}-A.md").parse().unwrap(), "e", bytes)
        }).collect();
        let is_unread = blobs.iter().any(Result::is_err);
        let is_there = !records.is_empty() || blobs.iter().any(|it| !matches!(it, Ok(None)));
        let [state, artifact, owner, git, hint] = blobs;
        let seen = SeenUser {
            user: anna(),
            date: (dated && state.is_ok()).then(date),
            state, artifact, owner, git, hint,
            shared: None,
            raw: Ok(files(&records, &[])),
            spellings: Ok(vec![]),
            paths: Ok(vec![]),
            state_changed: false,
        };
        let settings = InspectSettings {
            artifact_ttl: std::time::Duration::from_secs(900),
            pending_expiry: std::time::Duration::from_secs(60),
            mirrored_in: mirrored.then(|| PLACE.to_owned()),
        };
        let report = judge(seen, &settings);
        prop_assert_eq!(report.is_complete(), !is_unread);
        prop_assert_eq!(report.is_there(), is_there);
        let json = serde_json::to_value(&report).unwrap();
        prop_assert_eq!(&json["leftovers"]["status"], "absent");
        let text = report.to_string();
        prop_assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "{text:?}");
        for label in ["state", "pending", "artifact", "differences", "raw", "owner", "git", "queue", "leftovers"] {
            let lines = text.lines().filter(|line| line.split(':').next() == Some(label));
            prop_assert_eq!(lines.count(), 1, "{}: {}", label, text);
        }
    }
}
