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
    let report = admin::inspect(&scene.store, None, &anna(), &SETTINGS).await;
    assert_snapshot!(report.to_string(), @r"
    userId: anna
    askedAt: 2026-03-09T07:00:00Z
    movedMeanwhile: false
    state: present
      finished: 9
      format: 2.1
      idempotencyRecords: 1
      legacyNextId: 7
      merged:
        0001-Aufgabe.md
      nextId: 10000
      readOnly: true
      version: 12
    pending:
      ageSeconds: 266400, at: 2026-03-06T05:00:00Z, op: a\u{7}, overdue: true, version: 10
        files:
          name: 0000-Aufgabe.md, kind: delete, landed: false
          name: 0009-Weg.md, kind: delete, landed: true
          name: 0003-Eigen.md, kind: update, landed: true
          name: 0004-Fehlt.md, kind: create, landed: false
          name: Unlesbar.md, kind: create, landed: -
      ageSeconds: 10, at: 2026-03-09T06:59:50Z, op: b, overdue: false, version: 12
        files:
          name: 0001-Aufgabe.md, kind: update, landed: false
    artifact: absent
    differences: -
    raw: present
      failed: none
      files: 5
      others: 1
      settled: none
      tasks: 3
      unreadable:
        name: 0002-Ordner.md, code: not_a_file, line: -
        name: Unlesbar.md, code: bad_file_name, line: -
    owner: present
      provider: a\u{7}ad
      subject: s-1
    spellings: absent
    git: present
      commit: 1111111111111111111111111111111111111111
      current: false
      files: 2
      lastError:
        mass_delete
        Too\u{1b}[1m many.
        2026-03-09T05:00:00Z
      place: anna/week@main:codex-miroir
      proposing:
        0006-Neu.md
      pulls:
        0007-PR.md, https://github.com/a/b/pull/4
      pushing:
        0001-Aufgabe.md
      syncedAt: 2026-03-09T06:00:00Z
      taking:
        0005-Kommt.md
    unpushed:
      0000-Aufgabe.md
      0001-Aufgabe.md
      0003-Eigen.md
    queue: present
      since: gestern
    leftovers: absent
    ");
    assert_json_snapshot!(report, @r#"
    {
      "userId": "anna",
      "askedAt": "2026-03-09T07:00:00Z",
      "movedMeanwhile": false,
      "state": {
        "finished": 9,
        "format": "2.1",
        "idempotencyRecords": 1,
        "legacyNextId": 7,
        "merged": [
          "0001-Aufgabe.md"
        ],
        "nextId": 10000,
        "readOnly": true,
        "status": "present",
        "version": 12
      },
      "pending": [
        {
          "ageSeconds": 266400,
          "at": "2026-03-06T05:00:00Z",
          "files": [
            {
              "kind": "delete",
              "landed": false,
              "name": "0000-Aufgabe.md"
            },
            {
              "kind": "delete",
              "landed": true,
              "name": "0009-Weg.md"
            },
            {
              "kind": "update",
              "landed": true,
              "name": "0003-Eigen.md"
            },
            {
              "kind": "create",
              "landed": false,
              "name": "0004-Fehlt.md"
            },
            {
              "kind": "create",
              "landed": null,
              "name": "Unlesbar.md"
            }
          ],
          "op": "a\u0007",
          "overdue": true,
          "version": 10
        },
        {
          "ageSeconds": 10,
          "at": "2026-03-09T06:59:50Z",
          "files": [
            {
              "kind": "update",
              "landed": false,
              "name": "0001-Aufgabe.md"
            }
          ],
          "op": "b",
          "overdue": false,
          "version": 12
        }
      ],
      "artifact": {
        "status": "absent"
      },
      "differences": null,
      "raw": {
        "failed": [],
        "files": 5,
        "others": 1,
        "settled": [],
        "status": "present",
        "tasks": 3,
        "unreadable": [
          {
            "code": "not_a_file",
            "line": null,
            "name": "0002-Ordner.md"
          },
          {
            "code": "bad_file_name",
            "line": null,
            "name": "Unlesbar.md"
          }
        ]
      },
      "owner": {
        "provider": "a\u0007ad",
        "status": "present",
        "subject": "s-1"
      },
      "spellings": {
        "status": "absent"
      },
      "git": {
        "commit": "1111111111111111111111111111111111111111",
        "current": false,
        "files": 2,
        "lastError": [
          "mass_delete",
          "Too\u001b[1m many.",
          "2026-03-09T05:00:00Z"
        ],
        "place": "anna/week@main:codex-miroir",
        "proposing": [
          "0006-Neu.md"
        ],
        "pulls": [
          [
            "0007-PR.md",
            "https://github.com/a/b/pull/4"
          ]
        ],
        "pushing": [
          "0001-Aufgabe.md"
        ],
        "status": "present",
        "syncedAt": "2026-03-09T06:00:00Z",
        "taking": [
          "0005-Kommt.md"
        ]
      },
      "unpushed": [
        "0000-Aufgabe.md",
        "0001-Aufgabe.md",
        "0003-Eigen.md"
      ],
      "queue": {
        "since": "gestern",
        "status": "present"
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
    let report = admin::inspect(&looking.requests, None, &anna(), &mirrored_elsewhere()).await;
    assert_snapshot!(report.to_string(), @"
    userId: anna
    askedAt: 2026-03-09T08:06:40Z
    movedMeanwhile: false
    state: present
      finished: 1773039600001
      format: 1.0
      idempotencyRecords: 0
      legacyNextId: -
      merged: none
      nextId: 4
      readOnly: false
      version: 1773039600001
    pending: none
    artifact: present
      ageSeconds: 4000
      builtBy: codex-miroir 0.1.0
      builtFrom: 1773039600001
      cacheCreatedAt: 2026-03-09T07:00:00Z
      files: 4
      reason: it is past CODEX_ARTIFACT_TTL_SECONDS, or from the future
      taken: false
    differences:
      name: 0000-Aufgabe.md, by: something_else, change: rewritten, number: 0000
      name: 0001-Aufgabe.md, by: service, change: changed, number: 0001
      name: 0002-Aufgabe.md, by: -, change: removed, number: 0002
      name: 0007-Neu.md, by: service, change: added, number: 0007
      name: Notiz.md, by: -, change: added, number: -
    raw: present
      failed:
        name: 0003-Aufgabe.md, reason: storage can't be reached for get raw/anna/tasks/0003…: request lost
      files: 4
      others: 0
      settled:
        0009-Nie.md
      tasks: 2
      unreadable:
        name: Notiz.md, code: bad_file_name, line: -
    owner: damaged
      reason: owner.json has a newer format: sign-in is refused
    spellings: absent
    git: absent
    unpushed:
      0000-Aufgabe.md
      0001-Aufgabe.md
      0007-Neu.md
    queue: absent
    leftovers: present
      blobs:
        state/anna/nextId.txt
    ");
    assert_json_snapshot!(report, @r#"
    {
      "userId": "anna",
      "askedAt": "2026-03-09T08:06:40Z",
      "movedMeanwhile": false,
      "state": {
        "finished": 1773039600001,
        "format": "1.0",
        "idempotencyRecords": 0,
        "legacyNextId": null,
        "merged": [],
        "nextId": 4,
        "readOnly": false,
        "status": "present",
        "version": 1773039600001
      },
      "pending": [],
      "artifact": {
        "ageSeconds": 4000,
        "builtBy": "codex-miroir 0.1.0",
        "builtFrom": 1773039600001,
        "cacheCreatedAt": "2026-03-09T07:00:00Z",
        "files": 4,
        "reason": "it is past CODEX_ARTIFACT_TTL_SECONDS, or from the future",
        "status": "present",
        "taken": false
      },
      "differences": [
        {
          "by": "something_else",
          "change": "rewritten",
          "name": "0000-Aufgabe.md",
          "number": "0000"
        },
        {
          "by": "service",
          "change": "changed",
          "name": "0001-Aufgabe.md",
          "number": "0001"
        },
        {
          "by": null,
          "change": "removed",
          "name": "0002-Aufgabe.md",
          "number": "0002"
        },
        {
          "by": "service",
          "change": "added",
          "name": "0007-Neu.md",
          "number": "0007"
        },
        {
          "by": null,
          "change": "added",
          "name": "Notiz.md",
          "number": null
        }
      ],
      "raw": {
        "failed": [
          {
            "name": "0003-Aufgabe.md",
            "reason": "storage can't be reached for get raw/anna/tasks/0003…: request lost"
          }
        ],
        "files": 4,
        "others": 0,
        "settled": [
          "0009-Nie.md"
        ],
        "status": "present",
        "tasks": 2,
        "unreadable": [
          {
            "code": "bad_file_name",
            "line": null,
            "name": "Notiz.md"
          }
        ]
      },
      "owner": {
        "reason": "owner.json has a newer format: sign-in is refused",
        "status": "damaged"
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
        "blobs": [
          "state/anna/nextId.txt"
        ],
        "status": "present"
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
    let report = admin::inspect(&scene.store, None, &anna(), &SETTINGS).await;
    assert_snapshot!(report.to_string(), @"
    userId: anna
    askedAt: 2026-03-09T07:00:00Z
    movedMeanwhile: false
    state: absent
    pending: none
    artifact: absent
    differences: -
    raw: present
      failed: none
      files: 1
      others: 0
      settled: none
      tasks: 1
      unreadable: none
    owner: absent
    spellings: present
      folders:
        userId: ANNA
          owner: absent
        userId: Anna
          owner: present
            githubId: 7
        userId: aNNa
          owner: damaged
            reason: owner.json can't be read: sign-in is refused
    git: absent
    unpushed: -
    queue: absent
    leftovers: absent
    ");
}

#[tokio::test]
async fn nothing_is_printed_as_nothing() {
    let scene = Scene::new();
    let report = admin::inspect(&scene.store, None, &anna(), &SETTINGS).await;
    assert_snapshot!(report.to_string(), @"
    userId: anna
    askedAt: 2026-03-09T07:00:00Z
    movedMeanwhile: false
    state: absent
    pending: none
    artifact: absent
    differences: -
    raw: absent
    owner: absent
    spellings: absent
    git: absent
    unpushed: -
    queue: absent
    leftovers: absent
    ");
    let here = InspectSettings {
        mirrored_in: Some(PLACE.to_owned()),
        ..SETTINGS
    };
    let report = admin::inspect(&scene.store, None, &anna(), &here).await;
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
    let report = admin::inspect(&scene.store, None, &anna(), &SETTINGS).await;
    assert_snapshot!(report.to_string(), @"
    userId: anna
    askedAt: 2026-03-09T07:00:00Z
    movedMeanwhile: false
    state: damaged
      reason: It is no state document: the next read recreates it.
    pending: none
    artifact: damaged
      reason: It is of another format, such as the older service's, and is ignored.
    differences: -
    raw: absent
    owner: absent
    spellings: absent
    git: absent
    unpushed: -
    queue: absent
    leftovers: absent
    ");
}
