//! Clients that openapi-typescript and openapi-python-client generate from a running service's document: nothing is
//! left out, the types are right, and a program of `tests/clients` calls every JSON operation through them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::{Setting, tests};
use crate::support::contract::{answers, operation, operations};
use crate::support::mirror::HOOK_SECRET;
use crate::support::programs::installed;

/// The folder in which a client is generated, and the service that it calls.
struct ClientFolder {
    folder: TempDir,
    setting: Setting,
}

impl ClientFolder {
    fn new() -> Self {
        let setting = Setting::new();
        let unreadable = "---\ntyp: task\nkategorie: garten\n---\n";
        let done_by_hand = "---\ntyp: task\nkategorie: privat\nstatus: abgeschlossen\n---\n";
        let files = [
            ("0007-Garten.md", Some(unreadable)),
            ("0008-Zaun.md", Some(done_by_hand)),
        ];
        setting.mirror.commit(&files, "By hand");
        let folder = tempfile::tempdir().unwrap();
        Self { folder, setting }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The document's address.
    fn document(&self) -> String {
        format!("{}/openapi.json", self.url())
    }

    fn url(&self) -> String {
        format!("http://{}", self.setting.service.address)
    }

    /// Copies a file of `tests/clients` into the folder.
    fn copy_in(&self, file: &str) {
        let from = tests().join("clients").join(file);
        fs::copy(from, self.at(file)).unwrap();
    }

    /// The output of a program, which must succeed.
    fn run(&self, program: impl AsRef<Path>, arguments: &[&str]) -> String {
        let github = &self.setting.mirror.github;
        let program = program.as_ref();
        let output = Command::new(program)
            .args(arguments)
            .env("CODEX_URL", self.url())
            .env("CODEX_TOKEN", &self.setting.token)
            .env("HOOK_SECRET", HOOK_SECRET)
            .env(
                "REPOSITORY",
                format!("{}/{}", github.owner(), github.repo()),
            )
            // Node.js's own warnings aren't about the document.
            .env("NODE_NO_WARNINGS", "1")
            .current_dir(self.folder.path())
            .output()
            .unwrap_or_else(|error| panic!("{}: {error}", program.display()));
        let said = [output.stdout, output.stderr].map(|it| String::from_utf8(it).unwrap());
        let said = said.concat();
        assert!(output.status.success(), "{}: {said}", program.display());
        said
    }
}

/// Checks that a program which has printed each call's method and path called every operation that succeeds with JSON,
/// the calendar, which is text, and no other.
#[track_caller]
fn check_called(said: &str) {
    let calls = said.lines().filter_map(|line| line.split_once(' '));
    let called = calls.map(|(method, path)| {
        let operation = operation(method, path).unwrap_or_else(|| panic!("{method} {path}"));
        operation["operationId"].as_str().unwrap()
    });
    let gives_json = |(status, media, _): (&str, &str, _)| {
        status.starts_with('2') && media == "application/json"
    };
    let of_json = operations().filter(|it| answers(it).any(gives_json));
    let of_json = of_json.map(|it| it["operationId"].as_str().unwrap());
    let expected = of_json.chain(["calendar"]);
    assert_eq!(called.collect::<BTreeSet<_>>(), expected.collect());
}

#[test]
fn the_typescript_client_calls_every_json_operation() {
    let workshop = ClientFolder::new();
    let [generator, compiler] =
        ["openapi-typescript", "tsc"].map(|name| installed(&format!("node_modules/.bin/{name}")));
    let said = workshop.run(generator, &[&workshop.document(), "-o", "service.d.ts"]);
    let mut lines = said.lines().filter(|line| !line.is_empty());
    assert!(lines.all(|line| line.starts_with(['✨', '🚀'])), "{said}");
    let types = fs::read_to_string(workshop.at("service.d.ts")).unwrap();
    for operation in operations() {
        let id = operation["operationId"].as_str().unwrap();
        assert!(
            types.contains(&format!("\n    {id}: {{")),
            "{id} was left out"
        );
    }
    let modules = tests().join("node_modules");
    std::os::unix::fs::symlink(modules, workshop.at("node_modules")).unwrap();
    for file in ["tsconfig.json", "client.mts"] {
        workshop.copy_in(file);
    }
    workshop.run(compiler, &["--project", "."]);
    check_called(&workshop.run("node", &["client.mjs"]));
}

#[test]
fn the_python_client_calls_every_json_operation() {
    let workshop = ClientFolder::new();
    let [generator, types, python] = ["openapi-python-client", "mypy", "python"]
        .map(|name| installed(&format!(".venv/bin/{name}")));
    let config = tests().join("clients/generator.json");
    let (document, config) = (workshop.document(), config.to_str().unwrap());
    let arguments = "generate --fail-on-warning --meta none --output-path service --url";
    let mut arguments: Vec<_> = arguments.split(' ').collect();
    arguments.extend([&document, "--config", config]);
    workshop.run(generator, &arguments);
    for operation in operations() {
        let [tag, id] = [&operation["tags"][0], &operation["operationId"]]
            .map(|it| snake_case(it.as_str().unwrap()));
        let module = format!("service/api/{tag}/{id}.py");
        assert!(workshop.at(&module).exists(), "{module} was left out");
    }
    workshop.copy_in("client.py");
    workshop.run(types, &["--strict", "service", "client.py"]);
    check_called(&workshop.run(python, &["client.py"]));
}

/// The name in Python's spelling.
fn snake_case(name: &str) -> String {
    let letters = name.chars().map(|letter| match letter {
        '-' => "_".to_owned(),
        _ if letter.is_ascii_uppercase() => format!("_{}", letter.to_ascii_lowercase()),
        _ => letter.to_string(),
    });
    letters.collect()
}
