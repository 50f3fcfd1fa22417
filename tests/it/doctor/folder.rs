//! Over a folder, and with wrong settings.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use chrono::Utc;
use codex_miroir::store::directory::DirectoryStore;
use insta::assert_snapshot;

use crate::support::doctor::{about, doctor};
use crate::support::process::{Service, codex_miroir};
use crate::support::programs::copy;
use crate::support::scene::task;

/// Everything in a folder: the content of files, `None` for folders.
fn everything(folder: &Path) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(everything(&path));
            found.insert(path, None);
        } else {
            let content = fs::read(&path).unwrap();
            found.insert(path, Some(content));
        }
    }
    found
}

/// A folder that the service has used, with a task.
fn used(folder: &Path) {
    let tasks = folder.join("raw/local/tasks");
    fs::create_dir_all(&tasks).unwrap();
    fs::write(tasks.join("0000-Eins.md"), task("Eins")).unwrap();
    let service = Service::over(folder);
    assert_eq!(service.get("/codex").status, 200);
    service.terminate();
    service.wait();
}

fn over(folder: &Path) -> Command {
    let mut command = codex_miroir();
    command.env("CODEX_DATA_DIR", folder);
    command
}

#[test]
fn a_fine_folder_is_left_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    used(folder.path());
    let before = everything(folder.path());
    assert_snapshot!(doctor(&mut over(folder.path()), &[(path, "DATA")]), @"
    exit code 0
    ok       settings    the service starts with them
    ok       leftovers   no misspelled setting, and none of the older service
    ok       storage     folder DATA (CODEX_DATA_DIR): can be read and written
    ok       conditions  hold for PUT (If-None-Match, If-Match) and DELETE (If-Match)
    -        clock       nothing to compare: a folder's clock is this machine's
    -        container   a folder is as private as its permissions
    -        github      off: it takes GITHUB_OWNER, GITHUB_REPO, and GITHUB_TOKEN or GITHUB_APP_…
    -        webhook     off, as is github
    -        sign-in     off: whoever reaches the service on this machine is local
    -        redis       off: CODEX_REDIS_URL isn't set
    warning  executable  needs this system's LINKER
                         -> fine where it was built; for Azure Functions build it for x86_64-unknown-linux-musl
    ");
    assert_eq!(everything(folder.path()), before);
}

#[test]
fn a_folder_that_the_service_has_not_used_or_not_made_yet_is_not_made_either() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    let said = |data: &Path| {
        let said = doctor(&mut over(data), &[(path, "DATA")]);
        about(&said, &["code", "storage", "conditions"])
    };
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let all = [
        said(folder.path()),
        said(&folder.path().join("new/data")),
        said(&file),
    ];
    assert_snapshot!(all.join("\n"), @"
    exit code 0
    ok       storage     folder DATA (CODEX_DATA_DIR): can be read and written; the service hasn't used it yet
    ok       conditions  hold for PUT (If-None-Match, If-Match) and DELETE (If-Match)
    exit code 0
    warning  storage     folder DATA/new/data (CODEX_DATA_DIR): there is no such folder; the service makes it
                         -> if it has run before, mount the folder's disk or correct the path
    ok       conditions  hold for PUT (If-None-Match, If-Match) and DELETE (If-Match)
    exit code 1
    broken   storage     folder DATA/file (CODEX_DATA_DIR): storage refuses open DATA/file: it is no folder
                         -> name a folder that the user who runs the service may read and write, with all that is in it
    -        conditions  not checked, because storage is broken
    ");
    assert_eq!(everything(folder.path()).len(), 1);
}

/// What a killed process has left in the past.
fn make_old(path: &Path) {
    let hours_ago = SystemTime::now() - Duration::from_secs(7200);
    let file = fs::File::open(path).unwrap();
    file.set_modified(hours_ago).unwrap();
}

#[test]
fn what_a_killed_doctor_has_left_is_removed_by_the_next() {
    let folder = tempfile::tempdir().unwrap();
    DirectoryStore::open(folder.path(), Utc::now).unwrap();
    let private = folder.path().join(".codex-miroir");
    let [old, new] = ["0", "1"].map(|it| private.join(format!(".codex-miroir-{it:0>16}.tmp")));
    for left in [&old, &new] {
        fs::create_dir_all(left.join("state")).unwrap();
    }
    make_old(&old);
    doctor(&mut over(folder.path()), &[]);
    assert!(!old.exists() && new.exists());
}

/// `doctor` over a folder as a user who owns nothing, if the tests run as root, who may write everywhere. Its program is
/// copied to where that user may read it.
fn unprivileged(data: &Path, folder: &Path) -> Command {
    const NOBODY: u32 = 65534;
    let command = over(data);
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        return command;
    }
    let program = folder.join("codex-miroir");
    copy(Path::new(command.get_program()), &program);
    let mut other = Command::new(program);
    other.env_clear().env("CODEX_DATA_DIR", data);
    other.uid(NOBODY).gid(NOBODY).current_dir("/");
    other
}

#[test]
fn a_read_only_folder_is_broken() {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
    let data = folder.path().join("data");
    used(&data);
    let folders: Vec<PathBuf> = everything(&data)
        .into_iter()
        .filter(|(_, content)| content.is_none())
        .map(|(path, _)| path)
        .chain([data.clone()])
        .collect();
    let set = |mode| {
        for path in &folders {
            fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        }
    };
    set(0o555);
    let mut command = unprivileged(&data, folder.path());
    let said = doctor(&mut command, &[(data.to_str().unwrap(), "DATA")]);
    set(0o755);
    assert_snapshot!(about(&said, &["code", "storage", "conditions"]), @"
    exit code 1
    broken   storage     folder DATA (CODEX_DATA_DIR): storage refuses put DATA/.codex-miroir: Permission denied (os error 13)
                         -> name a folder that the user who runs the service may read and write, with all that is in it
    -        conditions  not checked, because storage is broken
    ");
}

#[test]
fn wrong_settings_end_what_depends_on_them_and_no_value_is_printed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    let mut command = over(folder.path());
    command
        .env("CODEX_SESSION_KEY", "geheim")
        .env("CODEX_REBILDS_PER_MINUTE", "geheim")
        .env("COSMOS_KEY", "geheim")
        .env("USERS_CSV", "geheim");
    let said = doctor(&mut command, &[(path, "DATA")]);
    assert!(!said.contains("geheim"), "{said}");
    assert_snapshot!(said, @"
    exit code 1
    broken   settings    CODEX_SESSION_KEY holds a shorter key; it must be random text of at least 32 characters; several, separated by commas, to change it
                         -> correct it, and run this again: one wrong setting may hide others
    warning  leftovers   CODEX_REBILDS_PER_MINUTE isn't a setting (perhaps CODEX_REBUILDS_PER_MINUTE), COSMOS_KEY is the older service's, USERS_CSV is the older service's
                         -> they do nothing: remove them
    -        storage     not checked, because the settings are wrong
    -        conditions  not checked, because the settings are wrong
    -        clock       not checked, because the settings are wrong
    -        container   not checked, because the settings are wrong
    -        github      not checked, because the settings are wrong
    -        webhook     not checked, because the settings are wrong
    -        sign-in     not checked, because the settings are wrong
    -        redis       not checked, because the settings are wrong
    warning  executable  needs this system's LINKER
                         -> fine where it was built; for Azure Functions build it for x86_64-unknown-linux-musl
    codex-miroir: 1 of these is broken
    ");
}

#[test]
fn a_part_whose_own_settings_are_wrong_leaves_the_others_checked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    let mut command = over(folder.path());
    command
        .env("AZURE_BLOB_CONN", "AccountName=konto;AccountKey")
        .env("CODEX_REDIS_URL", "redis://127.0.0.1:1");
    let said = doctor(&mut command, &[(path, "DATA")]);
    assert_snapshot!(about(&said, &["settings", "storage", "sign-in", "redis"]), @"
    broken   settings    AZURE_BLOB_CONN can't be used: part 2 of the connection string has no '='; it must be an Azure Storage connection string
                         -> correct it, and run this again: one wrong setting may hide others
    -        storage     not checked, because the settings are wrong
    -        sign-in     off: whoever reaches the service on this machine is local
    -        redis       not checked, because the settings are wrong
    ");
}

#[test]
fn redis_that_is_away_is_broken() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = over(folder.path());
    command.env("CODEX_REDIS_URL", "redis://:geheim@127.0.0.1:1");
    let said = doctor(&mut command, &[]);
    assert!(!said.contains("geheim"), "{said}");
    assert_snapshot!(about(&said, &["redis"]), @"
    broken   redis       127.0.0.1:1 (CODEX_REDIS_URL): Redis can't be asked: Connection refused (os error 111)
                         -> correct host, port and password, or let this machine reach it; meanwhile the service goes on without it
    ");
}
