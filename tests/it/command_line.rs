//! The command line of `serve` and `demo`: flags, refusals, help, and warnings about unknown settings.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use crate::support::process::{Service, codex_miroir, eventually};
use crate::support::scene::{task, titles};

/// The binary with these arguments and no settings.
fn binary(arguments: &[&str]) -> Command {
    let mut command = codex_miroir();
    command.env_remove("PORT").args(arguments);
    command
}

/// What the command writes to stderr when it exits without serving.
fn refusal(command: &mut Command) -> String {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().unwrap();
    assert!(!status.success() && stdout.is_empty());
    String::from_utf8(stderr).unwrap()
}

fn help(arguments: &[&str]) -> String {
    let output = binary(arguments).arg("--help").output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

/// Writes a folder of the user `local` with one task.
fn save(folder: &Path, title: &str) {
    let tasks = folder.join("raw/local/tasks");
    fs::create_dir_all(&tasks).unwrap();
    fs::write(tasks.join("0000-Aufgabe.md"), task(title)).unwrap();
}

fn port(service: &Service) -> u16 {
    service.address.rsplit_once(':').unwrap().1.parse().unwrap()
}

/// A port that no process listens on at the moment.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// The unknown setting that a line of the log warns about, and the nearest setting that exists.
fn unknown_setting(line: &str) -> Option<(String, Option<String>)> {
    let line = serde_json::from_str::<Value>(line).ok()?;
    let text = |name: &str| line[name].as_str().map(str::to_owned);
    (line["message"] == "unknown setting").then(|| {
        assert_eq!(line["level"], "WARN");
        (text("variable").unwrap(), text("nearest"))
    })
}

/// Those of all lines, sorted, once there are `count`: they arrive on another stream than the line with the address.
fn unknown_settings(service: &Service, count: usize) -> Vec<(String, Option<String>)> {
    let all = || -> Vec<_> {
        service
            .log()
            .iter()
            .filter_map(|it| unknown_setting(it))
            .collect()
    };
    eventually("the settings that don't exist are named", || {
        all().len() >= count
    });
    let mut all = all();
    all.sort();
    all
}

fn pair(name: &str, nearest: Option<&str>) -> (String, Option<String>) {
    (name.to_owned(), nearest.map(str::to_owned))
}

#[test]
fn a_port_that_is_taken_ends_the_start_with_a_line_that_says_how_to_name_another() {
    let folder = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let start = |arguments: &[&str], variable: &str| {
        let mut command = binary(arguments);
        command.current_dir(folder.path()).env("CODEX_AUTH", "dev");
        refusal(command.env("CODEX_DATA_DIR", "d").env(variable, &port))
    };
    for said in [
        start(&[], "PORT"),
        start(&["serve"], "PORT"),
        start(&["demo"], "PORT"),
        start(&["serve", "--port", &port], "RUST_BACKTRACE"),
        start(&["demo", "--port", &port], "RUST_BACKTRACE"),
    ] {
        let begins = format!("codex-miroir: can't listen on 127.0.0.1:{port}: ");
        let ends = "; PORT or --port names another port, 0 a free one\n";
        assert!(said.starts_with(&begins) && said.ends_with(ends), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
    let by_host = start(&[], "FUNCTIONS_CUSTOMHANDLER_PORT");
    let line: Value = serde_json::from_str(&by_host).unwrap();
    let message = line["message"].as_str().unwrap();
    assert!(message.starts_with("can't listen on "), "{message}");
    assert!(!message.contains("--port"), "the host chose it: {message}");
    let left = fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(left, 0, "nothing was made before it was known");
}

#[test]
fn flags_win_over_the_variables() {
    let folder = tempfile::tempdir().unwrap();
    let [here, there] = ["hier", "dort"].map(|name| folder.path().join(name));
    save(&here, "Hier");
    save(&there, "Dort");
    let free = free_port();
    let mut command = codex_miroir();
    command.arg("serve").arg("--folder").arg(&here);
    command.args(["--port", &free.to_string()]);
    // `PORT` is invalid, and isn't even read.
    let service = Service::start(command.env("CODEX_DATA_DIR", &there).env("PORT", "viele"));
    assert_eq!(port(&service), free);
    assert_eq!(titles(&service.get("/codex").json()), ["Hier"]);
    let start: Value = serde_json::from_str(&service.log()[0]).unwrap();
    let storage = format!("folder {} (--folder)", here.display());
    assert_eq!(start["storage"], storage);
    assert_eq!(start["public_url"], format!("http://127.0.0.1:{free}"));
    service.kill();

    let demos = folder.path().join("probe");
    let mut command = codex_miroir();
    command.arg("demo").arg("--folder").arg(&demos);
    command.args(["--port", "0"]);
    let demo = Service::start(command.env("CODEX_DATA_DIR", &there).env("PORT", "viele"));
    assert!(titles(&demo.get("/codex").json()).len() >= 12);
    assert!(demos.join("raw/local/tasks").is_dir());
    let tasks = fs::read_dir(there.join("raw/local/tasks")).unwrap().count();
    assert_eq!(tasks, 1, "the other folder isn't touched");
}

#[test]
fn a_demo_has_a_folder_of_its_own_beside_a_storage_account() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("probe");
    let mut command = codex_miroir();
    command.arg("demo").arg("--folder").arg(&data);
    let demo = Service::start(command.env("AZURE_BLOB_CONN", "UseDevelopmentStorage=true"));
    assert!(titles(&demo.get("/codex").json()).len() >= 12);
    assert!(data.join("raw/local/tasks").is_dir());
}

#[test]
fn a_demo_never_writes_into_a_folder_that_a_flag_names_and_that_holds_something_else() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("brief.txt"), "Liebe Anna").unwrap();
    let shown = folder.path().display().to_string();
    let said = refusal(codex_miroir().args(["demo", "--folder", &shown]));
    assert_eq!(
        said,
        format!(
            "codex-miroir: {shown} holds something else and is left alone; name an empty or new folder by --folder or \
             CODEX_DATA_DIR\n"
        )
    );
    let names = fs::read_dir(folder.path()).unwrap();
    let names: Vec<_> = names.map(|it| it.unwrap().file_name()).collect();
    assert_eq!(names, ["brief.txt"]);
}

#[test]
fn what_a_flag_may_not_say_is_refused_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |arguments: &[&str], settings: &[(&str, &str)]| {
        let mut command = binary(arguments);
        command.current_dir(folder.path());
        refusal(command.envs(settings.iter().copied()))
    };
    for command in ["serve", "demo"] {
        for port in ["70000", "-1", "http", ""] {
            let said = refused(&[command, &format!("--port={port}")], &[]);
            let first = said.lines().next().unwrap();
            assert!(first.contains("'--port <PORT>'"), "{port}: {said}");
        }
        let said = refused(&[command, "--folder="], &[]);
        assert!(said.contains("'--folder <FOLDER>'"), "{said}");
        let folder = ["--port", "0", "--folder", "/dev/null/daten"];
        let said = refused(&[&[command][..], &folder].concat(), &[]);
        let named = said.contains("--folder") && said.contains("/dev/null/daten");
        assert!(named && said.contains(" can't be used: "), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
    let account = "AccountName=a;AccountKey=geheim";
    for (variable, value) in [
        ("AZURE_BLOB_CONN", account),
        ("AZURE_BLOB_CONN__accountName", "konto"),
        ("AzureWebJobsStorage", account),
    ] {
        let said = refused(&["serve", "--folder", "d"], &[(variable, value)]);
        assert_eq!(
            said,
            format!(
                "codex-miroir: --folder is given while {variable} names a storage account; it must be left out where \
                 the files are in an account\n"
            )
        );
    }
    let hosted = [("FUNCTIONS_CUSTOMHANDLER_PORT", "0"), ("CODEX_AUTH", "dev")];
    let said = refused(&["serve", "--port", "0", "--folder", "d"], &hosted);
    let line: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(
        line["message"],
        "--port is given while FUNCTIONS_CUSTOMHANDLER_PORT is set; it must be left out where a Functions host says \
         the port"
    );
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_folder_by_a_flag_is_named_explicitly_also_under_a_host() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = binary(&["serve", "--folder"]);
    command.arg(folder.path()).env("CODEX_AUTH", "dev");
    let service = Service::start(command.env("FUNCTIONS_CUSTOMHANDLER_PORT", "0"));
    assert_eq!(service.get("/healthz").status, 200);
}

#[test]
fn help_says_where_settings_are_documented_and_what_the_flags_are_for() {
    for arguments in [&[][..], &["serve"], &["demo"]] {
        let said = help(arguments);
        assert!(said.contains("src/config/README.md"), "{said}");
    }
    for command in ["serve", "demo"] {
        let said = help(&[command]);
        for part in [
            "--port <PORT>",
            "in place of PORT",
            "--folder <FOLDER>",
            "CODEX_DATA_DIR",
        ] {
            assert!(said.contains(part), "{part}: {said}");
        }
    }
}

#[test]
fn a_setting_that_doesnt_exist_is_named_with_the_nearest_that_does() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = codex_miroir();
    command
        .env("CODEX_DATA_DIR", folder.path())
        .env("CODEX_DATA_DIRR", "geheim")
        .env("CODEX_MEMORY_TTL", "geheim")
        .env("CODEX_AUHT", "geheim")
        .env("CODEX_PORT", "geheim")
        .env("CODEX_SOMETHING_ELSE_ALTOGETHER", "geheim")
        .env("CODEX_NOTHING", "  ")
        .env("CODE_DATA_DIR", "geheim")
        .env("RUST_LOG", "trace");
    let service = Service::start(&mut command);
    assert_eq!(
        unknown_settings(&service, 5),
        [
            pair("CODEX_AUHT", Some("CODEX_AUTH")),
            pair("CODEX_DATA_DIRR", Some("CODEX_DATA_DIR")),
            pair("CODEX_MEMORY_TTL", Some("CODEX_MEMORY_TTL_SECONDS")),
            pair("CODEX_PORT", Some("PORT")),
            pair("CODEX_SOMETHING_ELSE_ALTOGETHER", None),
        ]
    );
    let log = service.log();
    assert!(log.iter().all(|line| !line.contains("geheim")), "{log:?}");
    service.kill();

    let mut demo = codex_miroir();
    let data = folder.path().join("probe");
    demo.arg("demo").arg("--folder").arg(data);
    let demo = Service::start(demo.env("CODEX_TIMEZONE", "Europe/Berlin"));
    let named = pair("CODEX_TIMEZONE", Some("CODEX_TIME_ZONE"));
    assert_eq!(unknown_settings(&demo, 1), [named]);
}

/// The missing required setting may be the one that was misspelled, so the warning comes before the error.
#[test]
fn it_is_named_before_what_is_missing_for_want_of_it() {
    let mut command = codex_miroir();
    command.env("CODEX_ALLOWED_LOGIN", "anna");
    let said = refusal(command.env("GITHUB_TOKEN", "geheim"));
    let (first, last) = said.trim_end().split_once('\n').unwrap();
    let named = pair("CODEX_ALLOWED_LOGIN", Some("CODEX_ALLOWED_LOGINS"));
    assert_eq!(unknown_setting(first), Some(named), "{said}");
    assert!(
        last.starts_with("codex-miroir: CODEX_ALLOWED_LOGINS "),
        "{said}"
    );
}

#[test]
fn no_setting_that_exists_is_named_and_no_command_that_doesnt_serve_names_any() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = codex_miroir();
    command
        .env("CODEX_DATA_DIR", folder.path())
        .env("CODEX_AUTH", "dev")
        .env("CODEX_EASYAUTH_IDP", "aad")
        .env("CODEX_ALLOWED_LOGINS", "anna")
        .env("CODEX_SESSION_KEY", "0123456789abcdef0123456789abcdef")
        .env("CODEX_METRICS_TOKEN", "0123456789abcdef")
        .env(
            "CODEX_ZZZ",
            "the last one, so that all others would have been named",
        );
    let service = Service::start(&mut command);
    assert_eq!(unknown_settings(&service, 1), [pair("CODEX_ZZZ", None)]);
    service.kill();
    let mut inspect = codex_miroir();
    inspect
        .args(["inspect", "local"])
        .env("CODEX_TEST_CASES", "7");
    let output = inspect
        .env("CODEX_DATA_DIR", folder.path())
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!said.contains("CODEX_TEST_CASES"), "{said}");
}
