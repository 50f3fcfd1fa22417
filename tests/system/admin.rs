//! The administrative commands as an operator runs them, with instances running alongside.

use std::path::Path;
use std::process::{Command, Output};

use codex_miroir::store::{BlobKey, GetIf, GetOutcome, Put, PutIf};
use serde_json::Value;

use crate::support::azurite::{KEY, azurite};
use crate::support::mirror::{Mirror, create};
use crate::support::process::{Service, codex_miroir, eventually};
use crate::support::scene::{anna, task};

/// Where the blobs are stored.
enum Place {
    Folder(tempfile::TempDir),
    Container(String),
}

impl Place {
    fn both() -> [Self; 2] {
        [
            Self::Folder(tempfile::tempdir().unwrap()),
            Self::Container(azurite().container()),
        ]
    }

    /// The binary over this place, for the user `anna`.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = codex_miroir();
        command.env("CODEX_DEV_USER", "anna").args(arguments);
        match self {
            Self::Folder(folder) => command.env("CODEX_DATA_DIR", folder.path()),
            Self::Container(container) => command
                .env("AZURE_BLOB_CONN", azurite().with_key(azurite().port()))
                .env("AZURE_BLOB_CONTAINER", container),
        };
        command
    }

    fn run(&self, arguments: &[&str]) -> Outcome {
        Outcome::of(self.command(arguments).output().unwrap())
    }
}

/// The outcome of a command.
#[derive(Debug)]
struct Outcome {
    success: bool,
    stdout: String,
    stderr: String,
}

impl Outcome {
    fn of(output: Output) -> Self {
        let done = Self {
            success: output.status.success(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        };
        assert!(!format!("{done:?}").contains(KEY), "{done:?}");
        done
    }

    #[track_caller]
    fn ok(self) -> String {
        assert!(self.success, "{self:?}");
        self.stdout
    }

    #[track_caller]
    fn refused(self) -> String {
        assert!(!self.success, "{self:?}");
        self.stderr
    }
}

fn tasks(service: &Service) -> usize {
    let list = service.get("/api/tasks?status=alle").json();
    list["tasks"].as_array().unwrap().len()
}

#[test]
fn a_user_is_inspected_exported_and_deleted_beside_a_running_instance() {
    for place in Place::both() {
        let service = Service::start(&mut place.command(&[]));
        for title in ["Eins", "Zwei", "Drei"] {
            create(&service, title);
        }
        assert_eq!(tasks(&service), 3);

        let text = place.run(&["inspect", "anna"]).ok();
        let raw = "\nraw: present\n  failed: none\n  files: 3\n";
        assert!(text.contains(raw), "{text}");
        let json = place.run(&["inspect", "anna", "--json"]).ok();
        let json: Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json["raw"]["tasks"], 3);
        assert_eq!(json["state"]["nextId"], 3);

        let out = tempfile::tempdir().unwrap();
        let zip = out.path().join("a.zip");
        let zip = zip.to_str().unwrap();
        let said = place.run(&["user", "export", "anna", "--zip", zip]).ok();
        assert!(said.starts_with(&format!("{zip}: 3 task files")), "{said}");
        assert_eq!(count_zipped_tasks(zip.as_ref()), 3);
        let before = std::fs::read(zip).unwrap();
        let again = place.run(&["user", "export", "anna", "--zip", zip]);
        assert!(again.refused().contains("exists already"));
        assert_eq!(std::fs::read(zip).unwrap(), before);

        let said = place.run(&["user", "delete", "anna"]).ok();
        assert!(said.contains("Nothing was removed"), "{said}");
        let wrong = ["user", "delete", "anna", "--yes-delete", "berta"];
        assert!(place.run(&wrong).refused().contains("says berta, not anna"));
        assert_eq!(tasks(&service), 3);
        let meant = ["user", "delete", "anna", "--yes-delete", "anna"];
        let said = place.run(&meant).ok();
        assert!(said.contains("blobs of anna removed"), "{said}");
        eventually("the week is empty", || tasks(&service) == 0);
        drop(service);
        place.run(&meant).ok();
        let gone = place.run(&["inspect", "anna"]).refused();
        assert!(gone.contains("nothing is stored for anna"), "{gone}");
        assert!(
            place
                .run(&["inspect", "a/b"])
                .refused()
                .contains("a user name is")
        );
    }
}

#[test]
fn commands_that_only_read_make_nothing_in_a_folder() {
    let reading = [
        &["inspect", "anna"][..],
        &["user", "export", "anna"],
        &["user", "delete", "anna"],
    ];
    let folder = tempfile::tempdir().unwrap();
    let entries = |path: &Path| std::fs::read_dir(path).unwrap().count();
    for arguments in reading {
        let over = |path: &Path| {
            let mut command = codex_miroir();
            command.env("CODEX_DEV_USER", "anna").args(arguments);
            Outcome::of(command.env("CODEX_DATA_DIR", path).output().unwrap()).refused()
        };
        let said = over(&folder.path().join("typo"));
        assert!(said.contains("there is no such folder"), "{said}");
        assert_eq!(entries(folder.path()), 0, "{arguments:?}");
        let said = over(folder.path());
        assert!(said.contains("has never used this folder"), "{said}");
        assert_eq!(entries(folder.path()), 0, "{arguments:?}");
    }
}

#[test]
fn a_dead_process_files_are_left_to_the_service_by_who_only_reads() {
    let place = Place::Folder(tempfile::tempdir().unwrap());
    drop(Service::start(&mut place.command(&[])));
    let Place::Folder(folder) = &place else {
        unreachable!("it is a folder");
    };
    let state = folder.path().join("state/berta");
    std::fs::create_dir_all(&state).unwrap();
    let left = state.join(".codex-miroir-0000000000000000.tmp");
    let file = std::fs::File::create(&left).unwrap();
    file.set_modified(std::time::UNIX_EPOCH).unwrap();
    place.run(&["inspect", "anna"]).refused();
    assert!(left.exists());
}

/// The number of task files in a zip.
fn count_zipped_tasks(path: &Path) -> usize {
    let zip = zip::ZipArchive::new(std::fs::File::open(path).unwrap()).unwrap();
    zip.file_names()
        .filter(|name| name.as_ref().is_ok_and(|it| it.starts_with("tasks/")))
        .count()
}

#[cfg(unix)]
#[test]
fn an_export_is_only_its_owners_and_called_after_the_day() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::Folder(tempfile::tempdir().unwrap());
    create(&Service::start(&mut place.command(&[])), "Eins");
    let out = tempfile::tempdir().unwrap();
    let mut command = place.command(&["user", "export", "anna"]);
    Outcome::of(command.current_dir(out.path()).output().unwrap()).ok();
    let entry = std::fs::read_dir(out.path())
        .unwrap()
        .next()
        .unwrap()
        .unwrap();
    let name = entry.file_name().into_string().unwrap();
    let day = name
        .strip_prefix("anna-")
        .and_then(|it| it.strip_suffix(".zip"));
    assert!(
        day.is_some_and(|it| it.parse::<chrono::NaiveDate>().is_ok()),
        "{name}"
    );
    assert_eq!(
        entry.metadata().unwrap().permissions().mode() & 0o777,
        0o600
    );
}

#[test]
fn a_login_is_rebound_from_the_command_line() {
    for place in Place::both() {
        let rebind = |more: &[&str]| {
            let mut arguments = vec!["user", "rebind", "anna", "--account"];
            arguments.extend(more);
            place.run(&arguments)
        };
        assert!(rebind(&["7"]).refused().contains("anna has no owner.json"));
        assert!(
            rebind(&["7", "--create"])
                .ok()
                .contains("no account -> GitHub account 7")
        );
        let moved = rebind(&["8"]).ok();
        assert!(
            moved.contains("GitHub account 7 -> GitHub account 8"),
            "{moved}"
        );
        assert!(moved.contains("isn't read"), "without sign-in: {moved}");
        assert!(rebind(&["8"]).ok().contains("GitHub account 8, as before"));
        rebind(&["0"]).refused();
        let owner = place.run(&["inspect", "anna", "--json"]).ok();
        let owner: Value = serde_json::from_str(&owner).unwrap();
        assert_eq!(owner["owner"]["githubId"], 8);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_users_files_come_back_from_git_with_nobody_elses_commit() {
    let mirror = Mirror::new();
    let service = mirror.service();
    create(&service, "Eins");
    mirror.until_equal(&service).await;
    eventually("the look is noted", || {
        crate::support::mirror::tick(&service);
        folders(&mirror).contains("anna")
    });
    let run = |arguments: &[&str]| Outcome::of(mirror.command().args(arguments).output().unwrap());
    let unpushed = run(&["inspect", "anna", "--json"]).ok();
    let unpushed: Value = serde_json::from_str(&unpushed).unwrap();
    assert_eq!(unpushed["unpushed"], serde_json::json!([]));
    let meant = ["user", "delete", "anna", "--yes-delete", "anna"];
    let refused = run(&meant).refused();
    assert!(
        refused.contains("Git holds 1 of the user's files"),
        "{refused}"
    );
    assert_eq!(mirror.in_store().await.len(), 1);
    let said = run(&[&meant[..], &["--despite-git"]].concat()).ok();
    let path = "1 file in codex-miroir/anna/tasks of";
    assert!(
        said.contains(path) && said.contains("In state/.github.json"),
        "{said}"
    );
    let text = task("B");
    let of_berta = [("codex-miroir/berta/tasks/0000-B.md", text.as_str().into())];
    mirror.github.commit("main", &of_berta, "Somebody else's");
    mirror.deliver(&service).await;
    assert_eq!(
        mirror.in_store_of("berta").await.len(),
        1,
        "it was looked at"
    );
    assert!(mirror.in_store().await.is_empty());
    // A hint from an instance that was still working for the user when the deletion ended.
    let (hint, put) = (BlobKey::hint(&anna()), Put::default());
    mirror.store().put(&hint, put, PutIf::Any).await.unwrap();
    crate::support::mirror::tick(&service);
    assert!(mirror.queue().await.is_empty(), "it was followed");
    assert!(mirror.in_store().await.is_empty());
    assert!(folders(&mirror).contains("anna"));
    let berta = [
        "user",
        "delete",
        "berta",
        "--yes-delete",
        "berta",
        "--despite-git",
    ];
    run(&berta).ok();
}

/// The contents of `state/.github.json` as text, without the place.
fn folders(mirror: &Mirror) -> String {
    let key = BlobKey::github();
    let got = tokio::task::block_in_place(|| {
        let get = mirror.store().get(&key, GetIf::Any);
        tokio::runtime::Handle::current().block_on(get)
    });
    let GetOutcome::Blob(blob) = got.unwrap().value else {
        return String::new();
    };
    let mirror: Value = serde_json::from_slice(&blob.bytes).unwrap();
    mirror["users"].to_string()
}
