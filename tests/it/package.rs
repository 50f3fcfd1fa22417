//! `codex-miroir package`: the files it writes, the folders it refuses, and its output.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{Cursor, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use codex_miroir::functions::package::{
    AppFile, ExecutableKind, PackageRequest, Schedule, files, write,
};
use insta::assert_snapshot;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::process::codex_miroir;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A temporary folder for a package, with an executable as a build makes it.
struct Workspace(TempDir);

impl Workspace {
    fn new() -> Self {
        let workspace = Self(tempfile::tempdir().unwrap());
        fs::write(workspace.path("build"), elf(62, &[1, 2])).unwrap();
        workspace
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn package_request(&self) -> PackageRequest {
        PackageRequest {
            folder: self.path("dist"),
            executable: self.path("build"),
            zip: Some(self.path("app.zip")),
            deploy: None,
            push_schedule: None,
        }
    }
}

/// Every file below `folder` with its bytes and mode.
fn contents(folder: &Path) -> BTreeMap<String, (Vec<u8>, u32)> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() {
            let inner = contents(&path).into_iter();
            found.extend(inner.map(|(file, what)| (format!("{name}/{file}"), what)));
        } else {
            let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
            found.insert(name, (fs::read(&path).unwrap(), mode));
        }
    }
    found
}

fn by_name(files: &[AppFile]) -> BTreeMap<&str, &[u8]> {
    let pairs = files.iter().map(|file| (file.name, file.bytes.as_ref()));
    pairs.collect()
}

/// A minimal ELF header for the machine type `machine`, with program headers of the types `headers`.
fn elf(machine: u8, headers: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 64 + headers.len() * 56];
    bytes[..6].copy_from_slice(b"\x7fELF\x02\x01");
    bytes[18] = machine;
    bytes[32] = 64;
    bytes[54] = 56;
    bytes[56] = u8::try_from(headers.len()).unwrap();
    for (index, kind) in headers.iter().enumerate() {
        bytes[64 + index * 56] = *kind;
    }
    bytes
}

#[test]
fn a_package_has_every_template_as_it_is() {
    let packaged = files("x".into(), None);
    let packaged = by_name(&packaged);
    let mut expected = BTreeSet::from(["codex-miroir".to_owned()]);
    for name in [".funcignore", "host.json", "local.settings.json"] {
        assert_eq!(packaged[name], fs::read(root().join(name)).unwrap());
        expected.insert(name.to_owned());
    }
    for (name, (bytes, _)) in contents(&root().join("function.json-templates")) {
        assert_eq!(
            packaged.get(name.as_str()),
            Some(&bytes.as_slice()),
            "{name}: the list is in src/functions/package/contents.rs"
        );
        expected.insert(name);
    }
    let names: BTreeSet<String> = packaged.keys().map(|name| (*name).to_owned()).collect();
    assert_eq!(names, expected);
}

#[test]
fn the_executable_is_called_as_the_host_file_says_and_may_run() {
    let packaged = files("x".into(), None);
    let host: Value = serde_json::from_slice(by_name(&packaged)["host.json"]).unwrap();
    let named = &host["customHandler"]["description"]["defaultExecutablePath"];
    let executable = packaged.iter().find(|file| file.name == named).unwrap();
    assert_eq!((executable.mode, &executable.bytes[..]), (0o755, &b"x"[..]));
}

#[test]
fn the_folder_on_disk_holds_the_package_with_its_modes() {
    let workspace = Workspace::new();
    write(&workspace.package_request()).unwrap();
    let mut found = contents(&workspace.path("dist"));
    let manifest = found.remove(".codex-miroir-package").unwrap().0;
    let expected: BTreeMap<_, _> = files(elf(62, &[1, 2]).into(), None)
        .into_iter()
        .map(|file| (file.name.to_owned(), (file.bytes.to_vec(), file.mode)))
        .collect();
    assert_eq!(found, expected);
    let manifest = String::from_utf8(manifest).unwrap();
    let noted: BTreeSet<&str> = manifest.lines().skip(1).collect();
    let own = found.keys().map(String::as_str);
    assert_eq!(
        noted,
        own.filter(|name| *name != "local.settings.json").collect()
    );
}

#[test]
fn a_folder_that_holds_something_else_is_left_alone() {
    let workspace = Workspace::new();
    fs::create_dir(workspace.path("dist")).unwrap();
    // Even if it is another Functions app.
    fs::write(workspace.path("dist/host.json"), "{}").unwrap();
    let before = contents(&workspace.path("dist"));
    let error = write(&workspace.package_request()).unwrap_err().to_string();
    assert!(
        error.starts_with(&workspace.path("dist").display().to_string())
            && error.contains("holds something else"),
        "{error}"
    );
    assert_eq!(contents(&workspace.path("dist")), before);
    assert!(!workspace.path("app.zip").exists());
}

#[test]
fn an_empty_folder_is_filled() {
    let workspace = Workspace::new();
    fs::create_dir(workspace.path("dist")).unwrap();
    write(&workspace.package_request()).unwrap();
    assert!(workspace.path("dist/web/function.json").exists());
}

#[test]
fn packaging_again_replaces_what_it_wrote_and_keeps_what_a_person_did() {
    let workspace = Workspace::new();
    write(&workspace.package_request()).unwrap();
    let dist = workspace.path("dist");
    let first = contents(&dist);
    // An earlier version's files, with functions that no longer exist, among files of the user's (`theirs`).
    for (name, text) in [
        ("local.settings.json", "theirs"),
        ("notes.txt", "theirs"),
        ("old/function.json", "{}"),
        ("older/function.json", "{}"),
        ("older/notes.txt", "theirs"),
        ("web/function.json", "{}"),
        ("codex-miroir", "an earlier build"),
    ] {
        fs::create_dir_all(dist.join(name).parent().unwrap()).unwrap();
        fs::write(dist.join(name), text).unwrap();
    }
    let manifest = dist.join(".codex-miroir-package");
    let outside = workspace.path("outside.txt");
    fs::write(&outside, "theirs").unwrap();
    let noted = fs::read_to_string(&manifest).unwrap()
        + "old/function.json\nolder/function.json\n../outside.txt\nlocal.settings.json\n";
    fs::write(&manifest, noted).unwrap();
    write(&workspace.package_request()).unwrap();
    let mut expected = first;
    for name in ["local.settings.json", "notes.txt", "older/notes.txt"] {
        expected.insert(name.to_owned(), (b"theirs".to_vec(), 0o644));
    }
    let mut found = contents(&dist);
    found.get_mut("local.settings.json").unwrap().1 = 0o644;
    assert_eq!(found, expected);
    assert!(!dist.join("old").exists() && outside.exists());
}

#[test]
fn packaging_that_was_cut_off_can_be_repeated() {
    let workspace = Workspace::new();
    let package_request = workspace.package_request();
    write(&package_request).unwrap();
    // A folder in the place of a file stops the write midway.
    fs::remove_file(workspace.path("dist/host.json")).unwrap();
    fs::create_dir_all(workspace.path("dist/host.json/x")).unwrap();
    let error = write(&package_request).unwrap_err().to_string();
    let path = workspace.path("dist/host.json").display().to_string();
    assert!(error.starts_with(&format!("{path}: ")), "{error}");
    fs::remove_dir_all(workspace.path("dist/host.json")).unwrap();
    write(&package_request).unwrap();
    let left = contents(&workspace.path("dist")).into_keys();
    assert_eq!(left.filter(|name| name.ends_with("-new")).count(), 0);
}

/// Interrupted so early that only the manifest was begun.
#[test]
fn a_first_packaging_that_was_cut_off_can_be_repeated() {
    let workspace = Workspace::new();
    let begun = workspace.path("dist/.codex-miroir-package.codex-miroir-new");
    fs::create_dir(workspace.path("dist")).unwrap();
    fs::write(&begun, "# half a l").unwrap();
    fs::write(workspace.path("dist/notes.txt"), "theirs").unwrap();
    let error = write(&workspace.package_request()).unwrap_err().to_string();
    assert!(error.contains("holds something else"), "{error}");
    fs::remove_file(workspace.path("dist/notes.txt")).unwrap();
    write(&workspace.package_request()).unwrap();
    assert!(workspace.path("dist/web/function.json").exists() && !begun.exists());
}

#[test]
fn what_is_no_archive_is_not_replaced_by_one() {
    for theirs in ["", "P", "# notes"] {
        let workspace = Workspace::new();
        fs::write(workspace.path("app.zip"), theirs).unwrap();
        let error = write(&workspace.package_request()).unwrap_err().to_string();
        let path = workspace.path("app.zip").display().to_string();
        let expected = format!("{path} is no zip archive and is left alone");
        assert!(error.starts_with(&expected), "{error}");
        assert_eq!(
            fs::read_to_string(workspace.path("app.zip")).unwrap(),
            theirs
        );
        assert!(!workspace.path("dist").exists(), "nothing is written");
    }
}

#[test]
fn the_archive_holds_what_is_deployed_and_is_the_same_each_time() {
    let workspace = Workspace::new();
    write(&workspace.package_request()).unwrap();
    let first = fs::read(workspace.path("app.zip")).unwrap();
    write(&workspace.package_request()).unwrap();
    assert_eq!(fs::read(workspace.path("app.zip")).unwrap(), first);
    let mut archive = zip::ZipArchive::new(Cursor::new(first)).unwrap();
    let packed: BTreeMap<String, (Vec<u8>, u32)> = (0..archive.len())
        .map(|index| {
            let mut entry = archive.by_index(index).unwrap();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            let mode = entry.unix_mode().unwrap() & 0o777;
            (entry.name().unwrap().into_owned(), (bytes, mode))
        })
        .collect();
    let mut expected = contents(&workspace.path("dist"));
    for at_home in [
        ".codex-miroir-package",
        ".funcignore",
        "local.settings.json",
    ] {
        expected.remove(at_home).unwrap();
    }
    assert_eq!(packed, expected);
    assert_eq!(packed["codex-miroir"].1, 0o755);
}

#[test]
fn a_schedule_of_ones_own_is_the_only_thing_that_differs() {
    let schedule: Schedule = "0  */5 * * * *".parse().unwrap();
    let (own, usual) = (files("x".into(), Some(&schedule)), files("x".into(), None));
    for (own, usual) in own.iter().zip(&usual) {
        match own.name {
            "gitPush/function.json" => {
                let mut function: Value = serde_json::from_slice(&own.bytes).unwrap();
                assert_eq!(function["bindings"][0]["schedule"], "0 */5 * * * *");
                function["bindings"][0]["schedule"] = "0 * * * * *".into();
                let usual: Value = serde_json::from_slice(&usual.bytes).unwrap();
                assert_eq!(function, usual);
            }
            _ => assert_eq!(own, usual),
        }
    }
}

#[test]
fn schedules_are_what_the_host_understands() {
    for good in [
        "0 * * * * *",
        "0 */5 * * * *",
        "15,45 0-30/10 9-17 1 JAN-Dec Mon-Fri",
        "59 59 23 31 december 0",
    ] {
        assert!(good.parse::<Schedule>().is_ok(), "{good}");
    }
    for bad in [
        "",
        "* * * * *",
        "0 * * * * * *",
        "60 * * * * *",
        "0 60 * * * *",
        "0 * 24 * * *",
        "0 * * 0 * *",
        "0 * * * 13 *",
        "0 * * * * 7",
        "0 */0 * * * *",
        "0 */ * * * *",
        "0 +5 * * * *",
        "0 5- * * * *",
        "0 30-10 * * * *",
        "0 , * * * *",
        "0 Mon * * * *",
        "0 * * * * Montag",
        "0 * * * * \"*",
        "every minute of the day, really",
    ] {
        assert!(bad.parse::<Schedule>().is_err(), "{bad}");
    }
}

#[test]
fn a_build_is_known_by_what_it_needs() {
    for (bytes, build) in [
        (elf(62, &[1, 2]), ExecutableKind::Static),
        (elf(62, &[]), ExecutableKind::Static),
        (elf(62, &[1, 3, 2]), ExecutableKind::DynamicallyLinked),
        (elf(183, &[1]), ExecutableKind::OtherArchitecture),
        (
            b"\x7fELF\x01\x01".to_vec(),
            ExecutableKind::OtherArchitecture,
        ),
        (b"MZ".to_vec(), ExecutableKind::NotLinux),
        (vec![], ExecutableKind::NotLinux),
    ] {
        assert_eq!(ExecutableKind::of(&bytes), build, "{bytes:?}");
    }
    let mut hostile = elf(62, &[3]);
    hostile[32..40].fill(0xff);
    assert_eq!(
        ExecutableKind::of(&hostile),
        ExecutableKind::Static,
        "nothing there to read"
    );
}

/// Runs the command; returns whether it succeeded, and what it prints.
fn run_package(workspace: &Workspace, arguments: &[&str]) -> (bool, String) {
    let output = codex_miroir()
        // An invalid setting of the packaging machine isn't the app's: it must not stop the packaging.
        .env("CODEX_TIME_ZONE", "Berlin")
        .current_dir(workspace.0.path())
        .arg("package")
        .args(arguments)
        .output()
        .unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    (
        output.status.success(),
        stdout + &String::from_utf8(output.stderr).unwrap(),
    )
}

#[test]
fn the_command_says_what_it_wrote_and_what_to_do_next() {
    let workspace = Workspace::new();
    let (done, text) = run_package(
        &workspace,
        &["dist", "--executable", "build", "--zip", "app.zip"],
    );
    assert!(done);
    assert_snapshot!(text, @r"
    dist: 17 functions, host.json, .funcignore, codex-miroir
    dist/local.settings.json: with placeholders, for func start
    app.zip: the same without local.settings.json

    To try it, with Azurite running:
      (cd dist && func start)
    To deploy it:
      (cd dist && func azure functionapp publish APP)
    or
      az functionapp deployment source config-zip --resource-group GROUP --name APP --src app.zip
    ");
    fs::write(workspace.path("build"), elf(62, &[3])).unwrap();
    let (done, text) = run_package(&workspace, &["dist", "--executable", "build"]);
    assert!(done);
    assert_snapshot!(text, @r"
    dist: 17 functions, host.json, .funcignore, codex-miroir
    dist/local.settings.json was there and stays as it is

    This codex-miroir needs the C library of a Linux like this one. On Azure's Linux plans use the static build:
      cargo build --profile dist --target x86_64-unknown-linux-musl
      and --executable target/x86_64-unknown-linux-musl/dist/codex-miroir

    To try it, with Azurite running:
      (cd dist && func start)
    To deploy it:
      (cd dist && func azure functionapp publish APP)
    ");
}

#[test]
fn what_a_shell_would_split_is_printed_in_quotes() {
    let workspace = Workspace::new();
    let (folder, zip) = ("my app", "it's.zip");
    let (done, text) = run_package(&workspace, &[folder, "--executable", "build", "--zip", zip]);
    assert!(done);
    for line in [
        "  (cd 'my app' && func start)\n",
        "  (cd 'my app' && func azure functionapp publish APP)\n",
        r" --src 'it'\''s.zip'",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
}

#[test]
fn what_keeps_the_command_from_packaging_is_one_line() {
    let workspace = Workspace::new();
    let refused = |arguments: &[&str]| {
        let (done, text) = run_package(&workspace, arguments);
        assert!(!done && !workspace.path("dist").exists(), "{text}");
        text
    };
    let lines = [
        refused(&["dist", "--executable", "nowhere"]),
        refused(&["dist", "--push-schedule", "*/5 * * * *"]),
        refused(&["build"]),
        refused(&["."]),
    ];
    assert_snapshot!(lines.concat(), @r#"
    codex-miroir: nowhere: No such file or directory (os error 2)
    codex-miroir: the schedule is "*/5 * * * *": it has 5 fields; it must be six fields (second, minute, hour, day, month, day of the week), as in "0 */5 * * * *"
    codex-miroir: build: Not a directory (os error 20)
    codex-miroir: . holds something else and is left alone; name a new or empty folder, or an earlier package
    "#);
}

/// A run with `--deploy`.
fn run_deploy(workspace: &Workspace, deploy: &str) -> (bool, String) {
    let arguments = ["dist", "--executable", "build", "--deploy", deploy];
    run_package(workspace, &arguments)
}

/// The lines about the files that deploy the app.
fn about<'a>(text: &'a str, folder: &str) -> Vec<&'a str> {
    let lines = text.lines().filter(|line| line.starts_with(folder));
    lines.collect()
}

const DEPLOY_FILES: [&str; 4] = [
    ".github/workflows/deploy.yml",
    "azure.yaml",
    "infra/main.bicep",
    "infra/main.parameters.json",
];

#[test]
fn what_deploys_the_app_is_written_once_and_a_second_run_changes_nothing() {
    let workspace = Workspace::new();
    let (done, text) = run_deploy(&workspace, "repository");
    assert!(done, "{text}");
    assert_snapshot!(about(&text, "repository").join("\n"), @r"
    repository/azure.yaml: written
    repository/infra/main.bicep: written
    repository/infra/main.parameters.json: written
    repository/.github/workflows/deploy.yml: written
    ");
    let first = contents(&workspace.path("repository"));
    assert!(first.keys().eq(DEPLOY_FILES), "{:?}", first.keys());
    let written = |name: &str| {
        let path = workspace.path("repository").join(name);
        fs::metadata(path).unwrap().modified().unwrap()
    };
    let times = DEPLOY_FILES.map(written);

    let (done, text) = run_deploy(&workspace, "repository");
    assert!(done, "{text}");
    assert_snapshot!(about(&text, "repository").join("\n"), @r"
    repository/azure.yaml was there and is the same
    repository/infra/main.bicep was there and is the same
    repository/infra/main.parameters.json was there and is the same
    repository/.github/workflows/deploy.yml was there and is the same
    ");
    assert_eq!(contents(&workspace.path("repository")), first);
    assert_eq!(DEPLOY_FILES.map(written), times);
}

/// The parameters are made to be edited, so a file that differs is no error.
#[test]
fn what_a_person_made_of_the_files_stays_and_is_named() {
    let workspace = Workspace::new();
    let repository = workspace.path("repository");
    fs::create_dir_all(repository.join("infra")).unwrap();
    for name in ["infra/main.parameters.json", "README.md"] {
        fs::write(repository.join(name), "theirs").unwrap();
    }
    let (done, text) = run_deploy(&workspace, "repository");
    assert!(done, "{text}");
    assert_snapshot!(about(&text, "repository").join("\n"), @r"
    repository/azure.yaml: written
    repository/infra/main.bicep: written
    repository/infra/main.parameters.json was there and differs: it stays as it is
    repository/.github/workflows/deploy.yml: written
    ");
    let found = contents(&repository);
    assert_eq!(found["infra/main.parameters.json"].0, b"theirs");
    assert_eq!(found["README.md"].0, b"theirs");
}

#[test]
fn what_deploys_the_app_is_never_deployed() {
    let workspace = Workspace::new();
    let plain = {
        write(&workspace.package_request()).unwrap();
        (
            contents(&workspace.path("dist")),
            fs::read(workspace.path("app.zip")).unwrap(),
        )
    };
    let deploy = Some(workspace.path("repository"));
    write(&PackageRequest {
        deploy,
        ..workspace.package_request()
    })
    .unwrap();
    assert_eq!(contents(&workspace.path("dist")), plain.0);
    assert_eq!(fs::read(workspace.path("app.zip")).unwrap(), plain.1);
}

#[test]
fn the_app_and_what_deploys_it_are_in_two_folders() {
    let workspace = Workspace::new();
    fs::create_dir(workspace.path("other")).unwrap();
    std::os::unix::fs::symlink(workspace.path("dist"), workspace.path("link")).unwrap();
    std::os::unix::fs::symlink("../dist", workspace.path("other/infra")).unwrap();
    let nested = |deploy: &str| {
        let (done, text) = run_deploy(&workspace, deploy);
        assert!(!done, "{deploy}: {text}");
        assert_eq!(
            text,
            format!(
                "codex-miroir: {deploy} and dist must not be the same folder, nor one inside the other: what deploys \
                 the app isn't deployed itself\n"
            )
        );
    };
    let inside = ["dist", "./dist/", "dist/deploy", "new/../dist/a/b"];
    let around = [".", "other/..", "dist/.."];
    // Neither folder exists, then the app's does.
    for _ in 0..2 {
        inside.iter().chain(&around).for_each(|it| nested(it));
        assert!(!workspace.path("new").exists());
        if workspace.path("dist").exists() {
            // Through links.
            ["link", "link/deploy", "other"]
                .iter()
                .for_each(|it| nested(it));
            assert_eq!(fs::read_dir(workspace.path("dist")).unwrap().count(), 0);
            assert_eq!(fs::read_dir(workspace.path("other")).unwrap().count(), 1);
        }
        fs::create_dir_all(workspace.path("dist")).unwrap();
    }
    // Beside each other, even if one's name begins with the other's.
    let (done, text) = run_deploy(&workspace, "dist-repository");
    assert!(done, "{text}");
}

/// An interrupted run leaves at most a temporary file, which the next run replaces.
#[test]
fn writing_what_deploys_the_app_can_be_cut_off_and_repeated() {
    let workspace = Workspace::new();
    let repository = workspace.path("repository");
    let begun = repository.join("azure.yaml.codex-miroir-new");
    // A folder in the place of a file.
    fs::create_dir_all(repository.join("infra/main.bicep")).unwrap();
    fs::write(&begun, "# half a l").unwrap();
    let (done, text) = run_deploy(&workspace, "repository");
    assert!(
        !done && text.contains("repository/infra/main.bicep: "),
        "{text}"
    );
    assert!(!workspace.path("dist").exists(), "nothing is written");
    fs::remove_dir(repository.join("infra/main.bicep")).unwrap();
    let (done, text) = run_deploy(&workspace, "repository");
    assert!(done, "{text}");
    assert!(contents(&repository).keys().eq(DEPLOY_FILES));
}
