//! `codex-miroir package`: what it writes, where it doesn't, and what it says.

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

/// A place for a package, and an executable as a build makes it.
struct Desk(TempDir);

impl Desk {
    fn new() -> Self {
        let desk = Self(tempfile::tempdir().unwrap());
        fs::write(desk.path("build"), elf(62, &[1, 2])).unwrap();
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn order(&self) -> PackageRequest {
        PackageRequest {
            folder: self.path("dist"),
            executable: self.path("build"),
            zip: Some(self.path("app.zip")),
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

/// The smallest head of an executable for this processor with these kinds of program headers.
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
    let desk = Desk::new();
    write(&desk.order()).unwrap();
    let mut found = contents(&desk.path("dist"));
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
    let desk = Desk::new();
    fs::create_dir(desk.path("dist")).unwrap();
    // A Functions app, even: of somebody else.
    fs::write(desk.path("dist/host.json"), "{}").unwrap();
    let before = contents(&desk.path("dist"));
    let error = write(&desk.order()).unwrap_err().to_string();
    assert!(
        error.starts_with(&desk.path("dist").display().to_string())
            && error.contains("holds something else"),
        "{error}"
    );
    assert_eq!(contents(&desk.path("dist")), before);
    assert!(!desk.path("app.zip").exists());
}

#[test]
fn an_empty_folder_is_filled() {
    let desk = Desk::new();
    fs::create_dir(desk.path("dist")).unwrap();
    write(&desk.order()).unwrap();
    assert!(desk.path("dist/web/function.json").exists());
}

#[test]
fn packaging_again_replaces_what_it_wrote_and_keeps_what_a_person_did() {
    let desk = Desk::new();
    write(&desk.order()).unwrap();
    let dist = desk.path("dist");
    let first = contents(&dist);
    // Of an earlier version that had another function; one file is a person's.
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
    let outside = desk.path("outside.txt");
    fs::write(&outside, "theirs").unwrap();
    let noted = fs::read_to_string(&manifest).unwrap()
        + "old/function.json\nolder/function.json\n../outside.txt\nlocal.settings.json\n";
    fs::write(&manifest, noted).unwrap();
    write(&desk.order()).unwrap();
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
    let desk = Desk::new();
    let order = desk.order();
    write(&order).unwrap();
    // A folder where a file has to be.
    fs::remove_file(desk.path("dist/host.json")).unwrap();
    fs::create_dir_all(desk.path("dist/host.json/x")).unwrap();
    let error = write(&order).unwrap_err().to_string();
    let path = desk.path("dist/host.json").display().to_string();
    assert!(error.starts_with(&format!("{path}: ")), "{error}");
    fs::remove_dir_all(desk.path("dist/host.json")).unwrap();
    write(&order).unwrap();
    let left = contents(&desk.path("dist")).into_keys();
    assert_eq!(left.filter(|name| name.ends_with("-new")).count(), 0);
}

/// So early that only the manifest was begun.
#[test]
fn a_first_packaging_that_was_cut_off_can_be_repeated() {
    let desk = Desk::new();
    let begun = desk.path("dist/.codex-miroir-package.codex-miroir-new");
    fs::create_dir(desk.path("dist")).unwrap();
    fs::write(&begun, "# half a l").unwrap();
    fs::write(desk.path("dist/notes.txt"), "theirs").unwrap();
    let error = write(&desk.order()).unwrap_err().to_string();
    assert!(error.contains("holds something else"), "{error}");
    fs::remove_file(desk.path("dist/notes.txt")).unwrap();
    write(&desk.order()).unwrap();
    assert!(desk.path("dist/web/function.json").exists() && !begun.exists());
}

#[test]
fn what_is_no_archive_is_not_replaced_by_one() {
    for theirs in ["", "P", "# notes"] {
        let desk = Desk::new();
        fs::write(desk.path("app.zip"), theirs).unwrap();
        let error = write(&desk.order()).unwrap_err().to_string();
        let path = desk.path("app.zip").display().to_string();
        let expected = format!("{path} is no zip archive and is left alone");
        assert!(error.starts_with(&expected), "{error}");
        assert_eq!(fs::read_to_string(desk.path("app.zip")).unwrap(), theirs);
        assert!(!desk.path("dist").exists(), "nothing is written");
    }
}

#[test]
fn the_archive_holds_what_is_deployed_and_is_the_same_each_time() {
    let desk = Desk::new();
    write(&desk.order()).unwrap();
    let first = fs::read(desk.path("app.zip")).unwrap();
    write(&desk.order()).unwrap();
    assert_eq!(fs::read(desk.path("app.zip")).unwrap(), first);
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
    let mut expected = contents(&desk.path("dist"));
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

/// Whether the command did it, and what it prints.
fn said(desk: &Desk, arguments: &[&str]) -> (bool, String) {
    let output = codex_miroir()
        // Of the machine, not of the app: nothing here may stop it.
        .env("CODEX_TIME_ZONE", "Berlin")
        .current_dir(desk.0.path())
        .arg("package")
        .args(arguments)
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    (
        output.status.success(),
        said + &String::from_utf8(output.stderr).unwrap(),
    )
}

#[test]
fn the_command_says_what_it_wrote_and_what_to_do_next() {
    let desk = Desk::new();
    let (done, text) = said(
        &desk,
        &["dist", "--executable", "build", "--zip", "app.zip"],
    );
    assert!(done);
    assert_snapshot!(text, @r"
    dist: 15 functions, host.json, .funcignore, codex-miroir
    dist/local.settings.json: with placeholders, for func start
    app.zip: the same without local.settings.json

    To try it, with Azurite running:
      (cd dist && func start)
    To deploy it:
      (cd dist && func azure functionapp publish APP)
    or
      az functionapp deployment source config-zip --resource-group GROUP --name APP --src app.zip
    ");
    fs::write(desk.path("build"), elf(62, &[3])).unwrap();
    let (done, text) = said(&desk, &["dist", "--executable", "build"]);
    assert!(done);
    assert_snapshot!(text, @r"
    dist: 15 functions, host.json, .funcignore, codex-miroir
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
    let desk = Desk::new();
    let (folder, zip) = ("my app", "it's.zip");
    let (done, text) = said(&desk, &[folder, "--executable", "build", "--zip", zip]);
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
    let desk = Desk::new();
    let refused = |arguments: &[&str]| {
        let (done, text) = said(&desk, arguments);
        assert!(!done && !desk.path("dist").exists(), "{text}");
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
