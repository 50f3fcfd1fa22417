//! The commands as an operator runs them: what they print, and their exit codes.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use codex_miroir::admin::{DeletionReport, Holdings, Storage};
use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::support::process::codex_miroir;
use crate::support::scene::{anna, task};

#[test]
fn what_remains_of_a_deletion_is_printed() {
    let before = Holdings {
        raw: 1,
        in_git: vec!["0000-A.md".to_owned()],
        place: Some("anna/week@main".to_owned()),
        ..Holdings::default()
    };
    let report = DeletionReport {
        removed: 3,
        tombstones: 2,
        invalid_names: vec![r"x\xff".to_owned(), "y\u{7}".to_owned()],
        mirrored: true,
        recreated: vec!["owner.json".to_owned(), "state.json".to_owned()],
    };
    assert_snapshot!(report.describe_remaining(&anna(), &before, Storage::Folder).join("\n"), @r"
    In Git: 1 file in /anna/tasks of anna/week@main, and its history. A sync imports the files again: remove them there first.
    In the folder: empty folders, lock files with the user's name, and backups.
    In instances: cached data, until their next revalidation. Sessions stay valid: a user who may still sign in (CODEX_ALLOWED_LOGINS) starts a new, empty week, and the login then belongs to the first account that signs in by it.
    In raw: 2 tombstones, against creates that may still land; the janitor removes them.
    In state/.github.json: the name, so that other users' commits don't bring the files back from Git; the service removes it when it next sees a commit without the folder.
    x\xff: no blob can have this name; remove it by hand.
    y\u{7}: no blob can have this name; remove it by hand.
    In state: owner.json, state.json, recreated by a request for the user during the deletion.
    ");
    assert_snapshot!(before.to_string(), @"
    raw        1 file
    artifacts  0 blobs
    state      none
    queue      none
    ");
    assert_snapshot!(Holdings::default().in_git(&anna()), @"In Git: the files that were mirrored there, and their history.");
}

/// Runs the binary over a folder.
fn output(folder: &Path, arguments: &[&str]) -> Output {
    let mut command: Command = codex_miroir();
    command.args(arguments).current_dir(folder);
    command.env("CODEX_DEV_USER", "anna");
    command.env("CODEX_DATA_DIR", "daten").output().unwrap()
}

/// Runs the binary over a folder. Returns its exit code and both outputs, without log lines. Times
/// and versions are masked.
fn run(folder: &Path, arguments: &[&str]) -> String {
    let Output {
        status,
        stdout,
        stderr,
    } = output(folder, arguments);
    let text = [stdout, stderr].map(|it| String::from_utf8(it).unwrap());
    let lines = text.iter().flat_map(|it| it.lines());
    let lines = lines.filter(|line| !line.starts_with('{')).map(masked);
    let lines: Vec<String> = lines.collect();
    format!("{}: {}", status.code().unwrap(), lines.join("\n"))
}

fn masked(line: &str) -> String {
    if line.starts_with("  ageSeconds") {
        return "  ageSeconds: (…)".to_owned();
    }
    let is_time = |word: &str| word.len() > 18 && word.starts_with("20") && word.contains('T');
    let is_version = |word: &str| word.len() == 13 && word.bytes().all(|c| c.is_ascii_digit());
    let words = line.split(' ').map(|word| {
        let inner = word.trim_matches(|c: char| !c.is_alphanumeric());
        match is_time(inner) || is_version(inner) {
            true => word.replace(inner, "(…)"),
            false => word.to_owned(),
        }
    });
    words.collect::<Vec<_>>().join(" ")
}

#[test]
fn folders_in_other_letter_cases_are_told_as_json() {
    let folder = tempfile::tempdir().unwrap();
    let tasks = folder.path().join("alt/raw/anna/tasks");
    fs::create_dir_all(&tasks).unwrap();
    fs::write(tasks.join("0000-A.md"), task("A")).unwrap();
    run(folder.path(), &["import", "alt"]);
    for (user, owner) in [("ANNA", r#"{"format":"1.0","githubId":7}"#), ("Anna", "{")] {
        let state = folder.path().join(format!("daten/state/{user}"));
        fs::create_dir_all(&state).unwrap();
        fs::write(state.join("owner.json"), owner).unwrap();
    }
    let said = output(folder.path(), &["inspect", "anna", "--json"]);
    assert!(said.status.success(), "{said:?}");
    let report: Value = serde_json::from_slice(&said.stdout).unwrap();
    let reason = "owner.json can't be read: sign-in is refused";
    let expected = json!({
        "status": "present",
        "folders": [
            {"userId": "ANNA", "owner": {"status": "present", "githubId": 7}},
            {"userId": "Anna", "owner": {"status": "damaged", "reason": reason}},
        ],
    });
    assert_eq!(report["spellings"], expected);
}

#[test]
fn the_commands_print_and_exit_like_this() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let tasks = path.join("alt/raw/anna/tasks");
    fs::create_dir_all(&tasks).unwrap();
    fs::write(tasks.join("0000-Eins.md"), task("Eins")).unwrap();
    fs::write(tasks.join("0001-a:b.md"), task("Zwei")).unwrap();
    fs::write(tasks.join("notiz.txt"), "").unwrap();
    let confirmed = ["user", "delete", "anna", "--yes-delete", "anna"];
    let calls: [&[&str]; 17] = [
        &["inspect", "anna"],
        &["import", "nirgends"],
        &["import", "alt"],
        &["import", "alt"],
        &["inspect", "anna"],
        &["inspect", "berta"],
        &["inspect", "a/b"],
        &["user", "export", "berta"],
        &["user", "export", "anna", "--zip", "a.zip"],
        &["user", "export", "anna", "--zip", "a.zip"],
        &["user", "delete", "berta"],
        &["user", "delete", "anna"],
        &["user", "delete", "anna", "--yes-delete", "berta"],
        &["user", "rebind", "anna", "--account", "7"],
        &["user", "rebind", "anna", "--account", "7", "--create"],
        &confirmed,
        &confirmed,
    ];
    let said = calls.map(|arguments| {
        let call = arguments.join(" ");
        format!("$ {call}\n{}", run(path, arguments))
    });
    assert_snapshot!(said.join("\n\n"), @"
    $ inspect anna
    1: codex-miroir: CODEX_DATA_DIR can't be read: storage can't be reached for open daten: there is no such folder; it must be a folder that the service has used

    $ import nirgends
    1: codex-miroir: nirgends is no data folder: it has no folder raw

    $ import alt
    0: folder daten (CODEX_DATA_DIR): 2 files copied, 0 existed already, 1 skipped: not named as task files

    $ import alt
    0: folder daten (CODEX_DATA_DIR): 0 files copied, 2 existed already, 1 skipped: not named as task files

    $ inspect anna
    0: storage: folder daten (CODEX_DATA_DIR)
    userId: anna
    askedAt: (…)
    movedMeanwhile: false
    state: present
      finished: (…)
      format: 1.0
      idempotencyRecords: 0
      legacyNextId: -
      merged: none
      nextId: 2
      readOnly: false
      version: (…)
    pending: none
    artifact: present
      ageSeconds: (…)
      builtBy: codex-miroir 0.1.0
      builtFrom: (…)
      cacheCreatedAt: (…)
      files: 2
      reason: the state is at another version
      taken: false
    differences: none
    raw: present
      failed: none
      files: 2
      others: 0
      settled: none
      tasks: 2
      unreadable: none
    owner: absent
    spellings: absent
    git: absent
    unpushed: -
    queue: absent
    leftovers: absent

    $ inspect berta
    1: storage: folder daten (CODEX_DATA_DIR)
    userId: berta
    askedAt: (…)
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
    codex-miroir: nothing is stored for berta; logins are written as GitHub spells them

    $ inspect a/b
    1: codex-miroir: a user name is 1 to 64 of A-Z, a-z, 0-9, '-' and '_'

    $ user export berta
    1: codex-miroir: nothing is stored for berta; logins are written as GitHub spells them

    $ user export anna --zip a.zip
    0: a.zip: 2 task files

    $ user export anna --zip a.zip
    1: codex-miroir: a.zip exists already; name another file with --zip

    $ user delete berta
    1: codex-miroir: nothing is stored for berta; logins are written as GitHub spells them

    $ user delete anna
    0: storage    folder daten (CODEX_DATA_DIR)
    user       anna
    raw        2 files
    artifacts  1 blob
    state      state.json
    queue      none

    This would be deleted. What remains: In Git: the files that were mirrored there, and their history.
    Nothing was removed. To remove it: codex-miroir user delete anna --yes-delete anna

    $ user delete anna --yes-delete berta
    1: codex-miroir: --yes-delete says berta, not anna

    $ user rebind anna --account 7
    1: codex-miroir: anna has no owner.json, so the first account to sign in by that login gets it; to name the account now, add --create

    $ user rebind anna --account 7 --create
    0: folder daten (CODEX_DATA_DIR): anna: no account -> GitHub account 7
    There is no sign-in here (dev), so owner.json isn't read; it takes effect where people sign in.

    $ user delete anna --yes-delete anna
    0: folder daten (CODEX_DATA_DIR): 5 blobs of anna removed. What remains:
    - In Git: the files that were mirrored there, and their history.
    - In the folder: empty folders, lock files with the user's name, and backups.
    - In instances: cached data, until their next revalidation. Sessions stay valid: a user who may still sign in (CODEX_ALLOWED_LOGINS) starts a new, empty week, and the login then belongs to the first account that signs in by it.

    $ user delete anna --yes-delete anna
    0: folder daten (CODEX_DATA_DIR): nothing is stored for anna
    ");
}
