//! What `inspect` prints, as text and as JSON.

use std::time::Duration;

use codex_miroir::admin::{self, InspectSettings};
use codex_miroir::task::TOMBSTONE_FILE;
use insta::{assert_json_snapshot, assert_snapshot};
use serde_json::json;

use super::{GIT, HINT, OWNER, PLACE};
use crate::support::losing_store::Loss;
use crate::support::scene::{ARTIFACT, RAW, STATE, Scene, anna, task};

const SETTINGS: InspectSettings = InspectSettings {
    artifact_ttl: Duration::from_secs(900),
    pending_expiry: Duration::from_secs(60),
    mirrored_in: None,
};

fn mirrored_elsewhere() -> InspectSettings {
    InspectSettings {
        mirrored_in: Some("anna/other@main:codex-miroir".to_owned()),
        ..SETTINGS
    }
}

/// A state of a newer version with every part that a report can have, and a `git.json` likewise.
fn rare() -> Scene {
    let scene = Scene::with_tasks(2);
    let write = |path: &str, value: serde_json::Value| {
        scene
            .store
            .foreign_write(path, value.to_string().as_bytes());
    };
    let file =
        |name: &str, kind: &str| json!({"name": name, "writeId": "0000000000000001", "kind": kind});
    let sha = "1".repeat(40);
    scene.own_file("0003-Eigen.md", &task("Eigen"));
    write(
        STATE,
        json!({
            "format": "2.1", "version": 12, "nextId": 10_000,
            "pending": {
                "b": {"version": 12, "at": "2026-03-09T06:59:50Z", "files": [file("0001-Aufgabe.md", "update")]},
                "a\u{7}": {"version": 10, "at": "2026-03-06T05:00:00Z", "files": [
                    file("0000-Aufgabe.md", "delete"), file("0009-Weg.md", "delete"), file("0003-Eigen.md", "update"),
                    file("0004-Fehlt.md", "create"), file("Unlesbar.md", "create"),
                ]},
            },
            "idempotency": {"0a": {"body": "b", "op": "o", "id": 1, "file": "0001.md", "version": 1, "at": "2026-03-09T06:59:50Z"}},
            "legacyNextId": {"number": 7, "etag": "e"},
            "merged": {"0001-Aufgabe.md": {"sha": sha, "fields": ["status"], "version": 3}},
        }),
    );
    write(
        GIT,
        json!({
            "format": "1.0", "place": PLACE, "commit": sha, "syncedAt": "2026-03-09T06:00:00Z",
            "files": {"0000-Aufgabe.md": sha, "0008-In-Git.md": sha},
            "pushing": {"0001-Aufgabe.md": [sha]},
            "taking": {"0005-Kommt.md": [{"sha": sha, "write": "1", "at": "2026-03-09T06:00:00Z"}]},
            "proposing": {"0006-Neu.md": "zweig"},
            "pulls": {"0007-PR.md": {"branch": "z", "sha": sha, "number": 4, "htmlUrl": "https://github.com/a/b/pull/4", "open": true}},
            "lastError": {"code": "mass_delete", "message": "Too\u{1b}[1m many.", "at": "2026-03-09T05:00:00Z"},
        }),
    );
    write(
        OWNER,
        json!({"format": "1.0", "provider": "a\u{7}ad", "subject": "s-1"}),
    );
    scene.file("Unlesbar.md", "");
    scene.file(".#0001.md", "");
    scene.store.obstruct(&format!("{RAW}0002-Ordner.md"), true);
    scene.store.foreign_write(HINT, b" gestern\n");
    scene
}

#[tokio::test]
async fn rare_parts_are_printed() {
    let scene = rare();
    let report = admin::inspect(&scene.store, &anna(), &SETTINGS).await;
    assert_snapshot!(report.to_string(), @r"
    user            anna
    asked at        2026-03-09T07:00:00Z by the storage's clock
    state           version 12, next number the lowest free one, format 2.1
      finished      up to version 9
      read only     a newer version of the service wrote it
      idempotency   1 record
      nextId.txt    7, the older service's counter
      merged        0001-Aufgabe.md
    pending         2 write intents
      intent        a\u{7}, version 10, 3 d 2 h old, the next read recovers it
        delete      0000-Aufgabe.md: not landed
        delete      0009-Weg.md: landed
        update      0003-Eigen.md: landed
        create      0004-Fehlt.md: not landed
        create      Unlesbar.md: unknown whether it landed
      intent        b, version 12, 10 s old, not overdue yet
        update      0001-Aufgabe.md: not landed
    artifact        none
    differences     unknown without artifact and raw
    raw             5 files: 3 tasks, 2 unreadable; 0 tombstones
      unreadable    0002-Ordner.md: not_a_file
      unreadable    Unlesbar.md: bad_file_name
      ignored       1 file without a task file name
    owner           s-1 of a\u{7}ad
    git             2 files known in anna/week@main:codex-miroir
      elsewhere     files aren't mirrored there now
      commit        1111111111111111111111111111111111111111, compared at 2026-03-09T06:00:00Z
      pushing       0001-Aufgabe.md
      importing     0005-Kommt.md
      proposing     0006-Neu.md
      pull request  0007-PR.md: https://github.com/a/b/pull/4
      last error    mass_delete since 2026-03-09T05:00:00Z: Too\u{1b}[1m many.
    unpushed        3 files whose present version Git lacks
      unpushed      0000-Aufgabe.md
      unpushed      0001-Aufgabe.md
      unpushed      0003-Eigen.md
    queue           a hint since gestern
    leftovers       none
    ");
    assert_json_snapshot!(report, @r#"
    {
      "userId": "anna",
      "askedAt": "2026-03-09T07:00:00Z",
      "movedMeanwhile": false,
      "state": {
        "status": "present",
        "version": 12,
        "finished": 9,
        "nextId": 10000,
        "format": "2.1",
        "readOnly": true,
        "idempotencyRecords": 1,
        "merged": [
          "0001-Aufgabe.md"
        ],
        "legacyNextId": 7
      },
      "pending": [
        {
          "op": "a\u0007",
          "version": 10,
          "at": "2026-03-06T05:00:00Z",
          "ageSeconds": 266400,
          "overdue": true,
          "files": [
            {
              "name": "0000-Aufgabe.md",
              "kind": "delete",
              "landed": false
            },
            {
              "name": "0009-Weg.md",
              "kind": "delete",
              "landed": true
            },
            {
              "name": "0003-Eigen.md",
              "kind": "update",
              "landed": true
            },
            {
              "name": "0004-Fehlt.md",
              "kind": "create",
              "landed": false
            },
            {
              "name": "Unlesbar.md",
              "kind": "create",
              "landed": null
            }
          ]
        },
        {
          "op": "b",
          "version": 12,
          "at": "2026-03-09T06:59:50Z",
          "ageSeconds": 10,
          "overdue": false,
          "files": [
            {
              "name": "0001-Aufgabe.md",
              "kind": "update",
              "landed": false
            }
          ]
        }
      ],
      "artifact": {
        "status": "absent"
      },
      "differences": null,
      "raw": {
        "status": "present",
        "files": 5,
        "tasks": 3,
        "unreadable": [
          {
            "name": "0002-Ordner.md",
            "code": "not_a_file",
            "line": null
          },
          {
            "name": "Unlesbar.md",
            "code": "bad_file_name",
            "line": null
          }
        ],
        "settled": [],
        "others": 1,
        "failed": []
      },
      "owner": {
        "status": "present",
        "provider": "a\u0007ad",
        "subject": "s-1"
      },
      "spellings": {
        "status": "absent"
      },
      "git": {
        "status": "present",
        "place": "anna/week@main:codex-miroir",
        "current": false,
        "commit": "1111111111111111111111111111111111111111",
        "syncedAt": "2026-03-09T06:00:00Z",
        "files": 2,
        "pushing": [
          "0001-Aufgabe.md"
        ],
        "taking": [
          "0005-Kommt.md"
        ],
        "proposing": [
          "0006-Neu.md"
        ],
        "pulls": [
          [
            "0007-PR.md",
            "https://github.com/a/b/pull/4"
          ]
        ],
        "lastError": [
          "mass_delete",
          "Too\u001b[1m many.",
          "2026-03-09T05:00:00Z"
        ]
      },
      "unpushed": [
        "0000-Aufgabe.md",
        "0001-Aufgabe.md",
        "0003-Eigen.md"
      ],
      "queue": {
        "status": "present",
        "since": "gestern"
      },
      "leftovers": {
        "status": "absent"
      }
    }
    "#);
}

#[tokio::test]
async fn an_artifact_and_what_differs_from_it_are_serialised() {
    let scene = Scene::with_tasks(4);
    scene.read(&scene.instance()).await;
    scene.pass_seconds(4_000);
    scene.file("0000-Aufgabe.md", &task("Aufgabe 0"));
    scene.own_file("0001-Aufgabe.md", &task("Anders"));
    scene.store.foreign_delete(&format!("{RAW}0002-Aufgabe.md"));
    scene.own_file("0007-Neu.md", "");
    scene.file("Notiz.md", "");
    scene.file("0009-Nie.md", TOMBSTONE_FILE);
    let owner = br#"{"format":"2.0","githubId":1}"#;
    scene.store.foreign_write(OWNER, owner);
    scene.store.foreign_write("state/anna/nextId.txt", b"57");
    let looking = scene.instance();
    looking
        .line
        .lose_next("get", &format!("{RAW}0003"), Loss::Request);
    let report = admin::inspect(&looking.requests, &anna(), &mirrored_elsewhere()).await;
    assert_snapshot!(report.to_string(), @"
    user            anna
    asked at        2026-03-09T08:06:40Z by the storage's clock
    state           version 1773039600001, next number 0004, format 1.0
      idempotency   0 records
    pending         0 write intents
    artifact        4 files built by codex-miroir 0.1.0 from version 1773039600001
      listed        2026-03-09T07:00:00Z, 1 h 6 min ago
      valid         no: it is past CODEX_ARTIFACT_TTL_SECONDS, or from the future
    differences     5 files between the artifact and raw
      file          0000-Aufgabe.md: rewritten, by another program
      file          0001-Aufgabe.md: changed, by the service
      file          0002-Aufgabe.md: removed
      file          0007-Neu.md: added, by the service
      file          Notiz.md: added
    raw             4 files: 2 tasks, 1 unreadable; 1 tombstone
      unreadable    Notiz.md: bad_file_name
      tombstone     0009-Nie.md
      can't be read 0003-Aufgabe.md: storage can't be reached for get raw/anna/tasks/0003…: request lost
    owner           damaged: owner.json has a newer format: sign-in is refused
    git             none
    unpushed        3 files whose present version Git lacks
      unpushed      0000-Aufgabe.md
      unpushed      0001-Aufgabe.md
      unpushed      0007-Neu.md
    queue           none
    leftovers       1 blob that the service doesn't use
      blob          state/anna/nextId.txt
    ");
    assert_json_snapshot!(report, @r#"
    {
      "userId": "anna",
      "askedAt": "2026-03-09T08:06:40Z",
      "movedMeanwhile": false,
      "state": {
        "status": "present",
        "version": 1773039600001,
        "finished": 1773039600001,
        "nextId": 4,
        "format": "1.0",
        "readOnly": false,
        "idempotencyRecords": 0,
        "merged": [],
        "legacyNextId": null
      },
      "pending": [],
      "artifact": {
        "status": "present",
        "builtBy": "codex-miroir 0.1.0",
        "builtFrom": 1773039600001,
        "cacheCreatedAt": "2026-03-09T07:00:00Z",
        "ageSeconds": 4000,
        "files": 4,
        "taken": false,
        "reason": "it is past CODEX_ARTIFACT_TTL_SECONDS, or from the future"
      },
      "differences": [
        {
          "number": "0000",
          "name": "0000-Aufgabe.md",
          "change": "rewritten",
          "by": "something_else"
        },
        {
          "number": "0001",
          "name": "0001-Aufgabe.md",
          "change": "changed",
          "by": "service"
        },
        {
          "number": "0002",
          "name": "0002-Aufgabe.md",
          "change": "removed",
          "by": null
        },
        {
          "number": "0007",
          "name": "0007-Neu.md",
          "change": "added",
          "by": "service"
        },
        {
          "number": null,
          "name": "Notiz.md",
          "change": "added",
          "by": null
        }
      ],
      "raw": {
        "status": "present",
        "files": 4,
        "tasks": 2,
        "unreadable": [
          {
            "name": "Notiz.md",
            "code": "bad_file_name",
            "line": null
          }
        ],
        "settled": [
          "0009-Nie.md"
        ],
        "others": 0,
        "failed": [
          {
            "name": "0003-Aufgabe.md",
            "reason": "storage can't be reached for get raw/anna/tasks/0003…: request lost"
          }
        ]
      },
      "owner": {
        "status": "damaged",
        "reason": "owner.json has a newer format: sign-in is refused"
      },
      "spellings": {
        "status": "absent"
      },
      "git": {
        "status": "absent"
      },
      "unpushed": [
        "0000-Aufgabe.md",
        "0001-Aufgabe.md",
        "0007-Neu.md"
      ],
      "queue": {
        "status": "absent"
      },
      "leftovers": {
        "status": "present",
        "blobs": [
          "state/anna/nextId.txt"
        ]
      }
    }
    "#);
}

#[tokio::test]
async fn folders_in_other_letter_cases_are_printed_with_their_owners() {
    let scene = Scene::with_tasks(1);
    for (user, owner) in [("Anna", r#"{"format":"1.0","githubId":7}"#), ("aNNa", "{")] {
        let path = format!("state/{user}/owner.json");
        scene.store.foreign_write(&path, owner.as_bytes());
    }
    scene
        .store
        .foreign_write("raw/ANNA/tasks/0000-A.md", task("A").as_bytes());
    let report = admin::inspect(&scene.store, &anna(), &SETTINGS).await;
    assert_snapshot!(report.to_string(), @"
    user            anna
    asked at        2026-03-09T07:00:00Z by the storage's clock
    state           none
    pending         0 write intents
    artifact        none
    differences     unknown without artifact and raw
    raw             1 file: 1 task, 0 unreadable; 0 tombstones
    owner           none
    spellings       3 folders of this login in another letter case
      folder        ANNA, without an owner
      folder        Anna, of GitHub account 7
      folder        aNNa: owner.json can't be read: sign-in is refused
    git             none
    queue           none
    leftovers       none
    ");
}

#[tokio::test]
async fn nothing_is_printed_as_nothing() {
    let scene = Scene::new();
    let report = admin::inspect(&scene.store, &anna(), &SETTINGS).await;
    assert_snapshot!(report.to_string(), @"
    user            anna
    asked at        2026-03-09T07:00:00Z by the storage's clock
    state           none
    pending         0 write intents
    artifact        none
    differences     unknown without artifact and raw
    raw             none
    owner           none
    git             none
    queue           none
    leftovers       none
    ");
    let here = InspectSettings {
        mirrored_in: Some(PLACE.to_owned()),
        ..SETTINGS
    };
    let report = admin::inspect(&scene.store, &anna(), &here).await;
    assert_json_snapshot!(report, @r#"
    {
      "userId": "anna",
      "askedAt": "2026-03-09T07:00:00Z",
      "movedMeanwhile": false,
      "state": {
        "status": "absent"
      },
      "pending": [],
      "artifact": {
        "status": "absent"
      },
      "differences": null,
      "raw": {
        "status": "absent"
      },
      "owner": {
        "status": "absent"
      },
      "spellings": {
        "status": "absent"
      },
      "git": {
        "status": "absent"
      },
      "unpushed": [],
      "queue": {
        "status": "absent"
      },
      "leftovers": {
        "status": "absent"
      }
    }
    "#);
    scene.store.foreign_write(STATE, b"{}");
    scene.store.foreign_write(ARTIFACT, b"{}");
    let report = admin::inspect(&scene.store, &anna(), &SETTINGS).await;
    assert_snapshot!(report.to_string(), @"
    user            anna
    asked at        2026-03-09T07:00:00Z by the storage's clock
    state           damaged: It is no state document: the next read recreates it.
    pending         0 write intents
    artifact        damaged: It is of another format, such as the older service's, and is ignored.
    differences     unknown without artifact and raw
    raw             none
    owner           none
    git             none
    queue           none
    leftovers       none
    ");
}
