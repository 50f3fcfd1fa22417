//! The service as its users run it: real processes on a data folder.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::process::{Answer, Service, codex_miroir, eventually, stable};
use crate::support::scene::{task, titles};

/// A data folder with `count` open work tasks of the user `local`.
fn folder(count: usize) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(tasks(&folder)).unwrap();
    for number in 0..count {
        save(
            &folder,
            &format!("{number:04}-Aufgabe.md"),
            &task(&format!("Aufgabe {number}")),
        );
    }
    folder
}

fn tasks(folder: &TempDir) -> PathBuf {
    folder.path().join("raw/local/tasks")
}

/// Writes a task file in place, as an editor does.
fn save(folder: &TempDir, name: &str, text: &str) {
    fs::write(tasks(folder).join(name), text).unwrap();
}

/// Every file below `folder` with its bytes.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(contents(&path));
        } else {
            let bytes = fs::read(&path).unwrap();
            found.insert(path, bytes);
        }
    }
    found
}

#[test]
fn the_demo_fills_a_new_folder_with_a_believable_week_and_serves_it() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("neu");
    let demo = Service::start(codex_miroir().arg("demo").env("CODEX_DATA_DIR", &data));
    let document = demo.get("/codex").json();
    assert!(titles(&document).len() >= 12, "{document}");
    let reasons: Vec<&str> = document["unplaced"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["reason"].as_str().unwrap())
        .collect();
    assert!(
        reasons.contains(&"horizon_full") && reasons.contains(&"slot_taken"),
        "more tasks than slots: {reasons:?}"
    );
    let problems = document["problems"].as_array().unwrap();
    assert_eq!(problems.len(), 1, "one broken file: {problems:?}");
    assert!(problems[0]["line"].is_u64() && problems[0]["code"] == "bad_yaml");
    let home = format!(
        "http://localhost:{}/",
        demo.address.rsplit_once(':').unwrap().1
    );
    assert!(
        demo.log()
            .iter()
            .any(|line| line.starts_with("Open ") && line.ends_with(&home)),
        "{:?}",
        demo.log()
    );
    let html = demo.get("/codex?format=html&bodies=true");
    assert!(html.body.contains("Ohne Platz") && html.body.contains("Nicht lesbar"));
    demo.kill();

    let before = contents(&data.join("raw"));
    let again = Service::start(codex_miroir().arg("demo").env("CODEX_DATA_DIR", &data));
    assert_eq!(
        stable(&again.get("/codex"))["timeline"],
        document["timeline"]
    );
    assert_eq!(
        contents(&data.join("raw")),
        before,
        "an earlier demo's files stay"
    );
}

#[test]
fn the_demo_never_writes_into_a_folder_that_holds_something_else() {
    let folder = folder(1);
    let before = contents(folder.path());
    let output = codex_miroir()
        .arg("demo")
        .env("CODEX_DATA_DIR", folder.path())
        .output()
        .unwrap();
    assert!(!output.status.success());
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(
        stderr.contains("holds something else") && stderr.contains("CODEX_DATA_DIR"),
        "{stderr}"
    );
    assert_eq!(contents(folder.path()), before);
}

#[test]
fn a_new_process_takes_the_artifact_with_two_requests_and_shows_the_same() {
    let folder = folder(20);
    let first = Service::over(folder.path());
    let rebuilt = first.get("/codex");
    assert_eq!(rebuilt.header("x-codex-cache"), "rebuild");
    eventually("the artifact is written", || {
        folder.path().join("artifacts/local/timeline.json").exists()
    });
    first.kill();
    let second = Service::over(folder.path());
    let taken = second.get("/codex");
    assert_eq!(
        (taken.header("x-codex-cache"), taken.header("server-timing")),
        ("artifact", r#"reads;desc="2", writes;desc="0""#)
    );
    assert_eq!(
        (taken.header("etag"), stable(&taken)),
        (rebuilt.header("etag"), stable(&rebuilt))
    );
    assert_eq!(second.get("/codex").header("x-codex-cache"), "memory");
}

/// An editor's file that is listed while a write intent is pending, or just after: once a response has shown it, later
/// ones show it, too.
#[test]
fn an_editors_file_behind_an_own_write_stays_once_it_was_shown() {
    let folder = folder(2);
    let (a, b) = (Service::over(folder.path()), Service::over(folder.path()));
    for round in 0..10 {
        let number = 100 + 10 * round;
        b.get("/codex");
        let edit = format!(r#"{{"tags":["r{round}"]}}"#);
        a.send_json("PATCH", "/api/tasks/0000", &edit).json();
        let title = format!("Vom Editor {number}");
        save(&folder, &format!("{number:04}-neu.md"), &task(&title));
        let first = a.get("/codex?nocache=true");
        let shows = |answer: &Answer| answer.body.contains(&title);
        assert!(shows(&first), "round {round}: {}", first.body);
        let version = format!("x-codex-version: {}\r\n", first.header("x-codex-version"));
        for wait in [0, 1, 20] {
            std::thread::sleep(Duration::from_millis(wait));
            let reads = [
                ("plain", a.get("/codex")),
                ("strict", a.send("/codex", "cache-control: no-cache\r\n")),
                ("with the version", a.send("/codex", &version)),
                (
                    "strict, elsewhere",
                    b.send("/codex", "cache-control: no-cache\r\n"),
                ),
                ("with the version, elsewhere", b.send("/codex", &version)),
            ];
            for (kind, read) in reads {
                assert!(shows(&read), "round {round}, {kind}, after {wait} ms");
            }
        }
        let new = r#"{"title":"Neu","kategorie":"arbeit"}"#;
        let created = a.send_json("POST", "/api/tasks", new).json();
        let id: u32 = created["id"].as_str().unwrap().parse().unwrap();
        assert!(id > number, "{id} after {number} was shown");
    }
}

#[test]
fn deleting_the_artifacts_under_a_running_service_and_the_state_between_two_changes_no_answer() {
    let folder = folder(30);
    let a = Service::over(folder.path());
    let before = stable(&a.get("/codex"));
    let artifacts = folder.path().join("artifacts");
    eventually("the artifact is written", || {
        artifacts.join("local/timeline.json").exists()
    });
    fs::remove_dir_all(&artifacts).unwrap();
    assert_eq!(stable(&a.get("/codex")), before);
    assert_eq!(
        stable(&a.send("/codex", "cache-control: no-cache\r\n")),
        before
    );
    assert_eq!(stable(&Service::over(folder.path()).get("/codex")), before);
    a.kill();
    fs::remove_dir_all(folder.path().join("state")).unwrap();
    assert_eq!(stable(&Service::over(folder.path()).get("/codex")), before);
}

#[test]
fn sigterm_finishes_running_requests() {
    let folder = folder(5_000);
    let service = Service::start(
        codex_miroir()
            .env("CODEX_DATA_DIR", folder.path())
            .env("RUST_LOG", "debug"),
    );
    let log_index = |what: &str| service.log().iter().position(|line| line.contains(what));
    let running = service.begin("/codex", "");
    eventually("the request is under way", || {
        log_index("asking storage").is_some()
    });
    service.terminate();
    let answer = Answer::read(running);
    assert_eq!(shown(&answer.json()), 5_000);
    eventually("the request's end is logged", || {
        log_index("took_ms").is_some()
    });
    assert!(log_index("finishing running requests").is_some());
    assert!(
        log_index("finishing running requests") < log_index("took_ms"),
        "it was still running: {:?}",
        service.log()
    );
    assert!(service.wait().success());
}

type Settings = &'static [(&'static str, &'static str)];

/// An invalid value of each setting, with the other settings it needs to take effect.
const WRONG: &[(&str, &str, Settings)] = &[
    ("AZURE_BLOB_CONN", "AccountName=a;AccountKey=geheim!", &[]),
    ("AZURE_BLOB_CONN__accountName", "Konto!", &[]),
    (
        "AZURE_BLOB_CONN__blobServiceUri",
        "http://konto.example",
        &[],
    ),
    (
        "AZURE_BLOB_CONN__clientId",
        "meine",
        &[("AZURE_BLOB_CONN__accountName", "konto")],
    ),
    ("AZURE_BLOB_CONTAINER", "Codex_Cache", &[]),
    (
        "AZURE_REDIS_CONNECTION_STRING",
        "redis.example:6380,password=geheim,ssl=False",
        &[],
    ),
    ("AzureWebJobsStorage", "UseDevelopmentStorage=maybe", &[]),
    ("AzureWebJobsStorage__accountName", "Konto!", &[]),
    ("CODEX_ALLOWED_LOGINS", "anna,be n", &[]),
    ("CODEX_ALLOWED_ORIGINS", "app.example", &[]),
    ("CODEX_ARTIFACT_TTL_SECONDS", "15m", &[]),
    ("CODEX_AUTH", "gitlab", &[]),
    ("CODEX_BIND", "localhost", &[]),
    ("CODEX_CALENDAR_MINUTES", "0", &[]),
    ("CODEX_DATA_DIR", "/dev/null/daten", &[]),
    ("CODEX_DEV_USER", "../etc", &[]),
    (
        "CODEX_EASYAUTH_IDP",
        "git hub",
        &[
            ("CODEX_AUTH", "easyauth"),
            ("WEBSITE_AUTH_ENABLED", "true"),
            ("WEBSITE_SITE_NAME", "app"),
            ("CODEX_DATA_DIR", "d"),
            ("CODEX_ALLOWED_LOGINS", "*"),
        ],
    ),
    ("CODEX_BODY_SECONDS", "0", &[]),
    ("CODEX_IDLE_SECONDS", "eine", &[]),
    ("CODEX_MAX_CONNECTIONS", "0", &[]),
    ("CODEX_MEMORY_MAX_BYTES", "128 MiB", &[]),
    ("CODEX_MEMORY_TTL_SECONDS", "-5", &[]),
    ("CODEX_METRICS_TOKEN", "geheim", &[]),
    ("CODEX_PENDING_EXPIRY_SECONDS", "0", &[]),
    ("CODEX_PUBLIC_URL", "codex.example", &[]),
    ("CODEX_REBUILDS_PER_MINUTE", "viele", &[]),
    (
        "CODEX_REDIS_ENTRA",
        "true",
        &[("CODEX_REDIS_URL", "rediss://:geheim@redis.example")],
    ),
    ("CODEX_REDIS_URL", "redis://:geheim@redis.example", &[]),
    ("CODEX_REVALIDATE_SECONDS", "1.5", &[]),
    (
        "CODEX_SESSION_KEY",
        "geheim",
        &[
            ("CODEX_ALLOWED_LOGINS", "anna"),
            ("GITHUB_OAUTH_CLIENT_ID", "c"),
            ("GITHUB_OAUTH_CLIENT_SECRET", "s"),
        ],
    ),
    ("CODEX_STALE_IF_ERROR_SECONDS", "99999999999", &[]),
    ("CODEX_TIME_ZONE", "Berlin", &[]),
    ("CODEX_WRITES_PER_MINUTE", "-1", &[]),
    ("CREATE_VIA_PR", "ja", &[]),
    (
        "FUNCTIONS_CUSTOMHANDLER_PORT",
        "siebzig",
        &[("CODEX_DATA_DIR", "d"), ("CODEX_AUTH", "dev")],
    ),
    ("GITHUB_API_URL", "http://api.github.example", &[]),
    (
        "GITHUB_APP_ID",
        "",
        &[
            ("GITHUB_APP_PRIVATE_KEY", "k"),
            ("GITHUB_APP_INSTALLATION_ID", "1"),
        ],
    ),
    (
        "GITHUB_APP_INSTALLATION_ID",
        "eins",
        &[("GITHUB_APP_ID", "1"), ("GITHUB_APP_PRIVATE_KEY", "k")],
    ),
    (
        "GITHUB_APP_PRIVATE_KEY",
        "geheim",
        &[
            ("GITHUB_APP_ID", "1"),
            ("GITHUB_APP_INSTALLATION_ID", "1"),
            ("GITHUB_OWNER", "anna"),
            ("GITHUB_REPO", "codex"),
        ],
    ),
    ("GITHUB_BASE_PATH", "a/../b", &[]),
    ("GITHUB_BRANCH", "dev", &[("GITHUB_DEFAULT_BRANCH", "main")]),
    ("GITHUB_COMMITTER_EMAIL", "<bot@example.com>", REPOSITORY),
    ("GITHUB_COMMITTER_NAME", "Bot\nBot", REPOSITORY),
    ("GITHUB_DEFAULT_BRANCH", "zwei worte", &[]),
    (
        "GITHUB_OAUTH_CLIENT_ID",
        "zwei worte",
        &[
            ("CODEX_ALLOWED_LOGINS", "anna"),
            ("GITHUB_OAUTH_CLIENT_SECRET", "s"),
        ],
    ),
    (
        "GITHUB_OAUTH_CLIENT_SECRET",
        "geheim geheim",
        &[
            ("CODEX_ALLOWED_LOGINS", "anna"),
            ("GITHUB_OAUTH_CLIENT_ID", "c"),
        ],
    ),
    (
        "GITHUB_OAUTH_REDIRECT_URI",
        "https://anders.example/x",
        &[
            ("CODEX_ALLOWED_LOGINS", "anna"),
            ("GITHUB_OAUTH_CLIENT_ID", "c"),
            ("GITHUB_OAUTH_CLIENT_SECRET", "s"),
        ],
    ),
    ("GITHUB_OWNER", "anna/codex", &[]),
    ("GITHUB_PR_BRANCH_PREFIX", "codex..tasks", &[]),
    ("GITHUB_REPO", "https://github.example/anna/codex", &[]),
    ("GITHUB_TOKEN", "geheim\ngeheim", REPOSITORY),
    ("GITHUB_URL", "ftp://github.example", &[]),
    (
        "GITHUB_WEBHOOK_SECRET",
        "ein-sehr-langes-geheim,geheim",
        &[],
    ),
    ("IDENTITY_ENDPOINT", "127.0.0.1:41741", IDENTITY),
    ("IDENTITY_HEADER", "geheim geheim", IDENTITY),
    ("PORT", "70000", &[]),
    ("RUST_LOG", "laut", &[]),
    ("SSL_CERT_DIR", "/nirgends", &[]),
    ("SSL_CERT_FILE", "/nirgends/wurzel.pem", &[]),
    (
        "WEBSITE_HOSTNAME",
        "app example",
        &[
            ("WEBSITE_SITE_NAME", "app"),
            ("CODEX_DATA_DIR", "d"),
            ("CODEX_ALLOWED_LOGINS", "anna"),
        ],
    ),
    ("OTEL_SDK_DISABLED", "ja", &[]),
    (
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "https://anna:geheim@otlp.example",
        &[],
    ),
    (
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "http://otlp.example",
        &[("OTEL_EXPORTER_OTLP_HEADERS", "api-key=geheim")],
    ),
    ("OTEL_EXPORTER_OTLP_HEADERS", "geheim", OTLP),
    ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", OTLP),
    ("OTEL_EXPORTER_OTLP_TIMEOUT", "0", OTLP),
    ("OTEL_RESOURCE_ATTRIBUTES", "name", OTLP),
    ("OTEL_TRACES_SAMPLER", "jaeger_remote", OTLP),
    (
        "OTEL_TRACES_SAMPLER_ARG",
        "1.5",
        &[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318"),
            ("OTEL_TRACES_SAMPLER", "traceidratio"),
        ],
    ),
    ("OTEL_BSP_SCHEDULE_DELAY", "5s", OTLP),
    ("OTEL_METRIC_EXPORT_INTERVAL", "-1", OTLP),
];

const OTLP: Settings = &[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318")];

const REPOSITORY: Settings = &[
    ("GITHUB_OWNER", "anna"),
    ("GITHUB_REPO", "codex"),
    ("GITHUB_TOKEN", "t"),
];

const IDENTITY: Settings = &[
    ("AZURE_BLOB_CONN__accountName", "konto"),
    ("IDENTITY_ENDPOINT", "http://127.0.0.1:41741/msi/token"),
    ("IDENTITY_HEADER", "geheim"),
];

#[test]
fn a_wrong_value_of_each_setting_ends_the_start_with_a_line_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    for (variable, value, more) in WRONG {
        let mut command = codex_miroir();
        command.current_dir(folder.path());
        if variable.starts_with("GITHUB_") {
            // Settings for GitHub imply sign-in, which needs the allowed logins.
            command.env("CODEX_ALLOWED_LOGINS", "anna");
        }
        command.envs(more.iter().copied()).env(variable, value);
        let output = command.output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        println!("{}", stderr.trim_end());
        let one_line = stderr.lines().count() == 1 && output.stdout.is_empty();
        // Under a Functions host it is a log line in JSON.
        let by_host = serde_json::from_str::<Value>(&stderr).ok();
        let by_host = by_host.and_then(|line| Some(line["message"].as_str()?.to_owned()));
        let message = by_host.unwrap_or_else(|| stderr.replacen("codex-miroir: ", "", 1));
        let named = message.starts_with(&format!("{variable} "));
        assert!(
            one_line && named && stderr.contains("; it must be "),
            "{variable}: {stderr}"
        );
        assert!(!stderr.contains("geheim"), "{stderr}");
        assert_eq!(output.status.code(), Some(1), "{variable}");
    }
}

/// Settings that the platform sets, and those that may have any value.
const FREE: [&str; 3] = [
    "OTEL_SERVICE_NAME",
    "WEBSITE_AUTH_ENABLED",
    "WEBSITE_SITE_NAME",
];

#[test]
fn no_setting_is_left_out_of_those_that_are_tried_wrong() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let files = [
        "config/lookup.rs",
        "config/auth.rs",
        "config/github.rs",
        "config/otel.rs",
        "config/public_url.rs",
        "config/redis.rs",
        "config/settings.rs",
        "config/storage.rs",
        "main.rs",
        "telemetry/mod.rs",
    ];
    let texts = files.map(|file| fs::read_to_string(src.join(file)).unwrap());
    let names = texts
        .iter()
        .flat_map(|text| text.split('"').skip(1).step_by(2));
    let prefixes = [
        "CODEX_",
        "GITHUB_",
        "AZURE_BLOB_",
        "AZURE_REDIS_",
        "FUNCTIONS_",
        "WEBSITE_",
        "CREATE_",
        "IDENTITY_",
        "OTEL_",
        "SSL_CERT_",
    ];
    let is_name = |text: &&str| {
        let whole = text.bytes().all(|c| c.is_ascii_uppercase() || c == b'_');
        whole && !text.ends_with('_') && prefixes.iter().any(|it| text.starts_with(it))
    };
    let names: BTreeSet<&str> = names.filter(is_name).collect();
    assert!(names.len() > 40, "{names:?}");
    let tried = |name: &str| WRONG.iter().any(|(it, ..)| *it == name) || FREE.contains(&name);
    let left: Vec<&&str> = names.iter().filter(|name| !tried(name)).collect();
    assert!(left.is_empty(), "{left:?}");
}

/// The host does not restart a process that exited with 0 (`src/functions/README.md`, "The process").
#[test]
fn under_the_functions_host_its_end_asks_for_a_new_start() {
    let folder = folder(1);
    let mut command = codex_miroir();
    command.env("CODEX_DATA_DIR", folder.path());
    command.env("CODEX_AUTH", "dev");
    let service = Service::start(command.env("FUNCTIONS_CUSTOMHANDLER_PORT", "0"));
    service.terminate();
    assert_eq!(service.wait().code(), Some(200));
}

/// The number of tasks in a slot or in `unplaced`: independent of the time of day.
fn shown(document: &Value) -> usize {
    titles(document).len() + document["unplaced"].as_array().unwrap().len()
}

#[test]
fn what_is_no_file_is_its_own_problem() {
    let folder = folder(3);
    let link = |target: &str, name: &str| {
        std::os::unix::fs::symlink(target, tasks(&folder).join(name)).unwrap();
    };
    link("0003-im-Kreis.md", "0003-im-Kreis.md");
    link("nirgends.md", "0004-Link.md");
    fs::create_dir(tasks(&folder).join("0005-Ordner.md")).unwrap();
    // Files that an editor keeps beside an open file, and folders, aren't tasks.
    link("anna@rechner.1", ".#0001-Aufgabe.md");
    for beside in ["._0001-Aufgabe.md", "~$01-Aufgabe.md", ".#x.md"] {
        save(&folder, beside, &task("Niemandes"));
    }
    fs::create_dir(tasks(&folder).join("alt")).unwrap();
    let service = Service::over(folder.path());
    for path in ["/codex", "/codex?nocache=true", "/codex"] {
        let document = service.get(path).json();
        let problems = document["problems"].as_array().unwrap().iter();
        let codes: Vec<_> = problems.map(|it| it["code"].as_str().unwrap()).collect();
        assert_eq!((shown(&document), codes), (3, vec!["not_a_file"; 3]));
    }
    let patched = service.send_json("PATCH", "/api/tasks/0005", r#"{"tags":["x"]}"#);
    assert_eq!(patched.status, 409, "{}", patched.body);
    assert!(patched.body.contains("no file"), "{}", patched.body);
    let new = r#"{"title":"Neu","kategorie":"arbeit"}"#;
    let created = service.send_json("POST", "/api/tasks", new).json();
    assert_eq!(created["id"], "0006", "their numbers are taken");
    fs::remove_file(tasks(&folder).join("0003-im-Kreis.md")).unwrap();
    fs::remove_file(tasks(&folder).join("0004-Link.md")).unwrap();
    fs::remove_dir(tasks(&folder).join("0005-Ordner.md")).unwrap();
    save(&folder, "0003-im-Kreis.md", &task("Wieder da"));
    let document = service.get("/codex?nocache=true").json();
    let problems = document["problems"].as_array().unwrap().len();
    assert_eq!((shown(&document), problems), (5, 0));
}

#[test]
fn a_demo_that_was_cut_off_is_filled_up_and_one_that_wasnt_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("demo");
    let tasks_of = |data: &Path| contents(&data.join("raw")).len();
    let start = || Service::start(codex_miroir().arg("demo").env("CODEX_DATA_DIR", &data));
    start().kill();
    let all = tasks_of(&data);
    let first = contents(&data.join("raw")).into_keys().next().unwrap();
    fs::remove_file(&first).unwrap();
    start().kill();
    assert_eq!(
        tasks_of(&data),
        all - 1,
        "what the person removed stays removed"
    );
    fs::write(
        data.join("codex-miroir-demo.txt"),
        "codex-miroir demo is filling this folder.\n",
    )
    .unwrap();
    start().kill();
    assert_eq!(tasks_of(&data), all);
}

#[test]
fn of_a_path_only_what_is_a_route_is_logged() {
    let folder = folder(1);
    let mut command = codex_miroir();
    command.env("CODEX_DATA_DIR", folder.path());
    let service = Service::start(command.env("RUST_LOG", "trace"));
    for (method, path, shown) in [
        ("GET", "/healthz", "/healthz"),
        ("GET", "/codex?x=Titelgeheimnis", "/codex"),
        ("GET", "/api/tasks/0042", "/api/tasks/0042"),
        ("GET", "/api/tasks/0042-Titelgeheimnis", "/api/tasks/0042…"),
        (
            "POST",
            "/api/tasks/0042-Titelgeheimnis/complete",
            "/api/tasks/0042…/complete",
        ),
        (
            "GET",
            "/api/tasks/0042-%54itelgeheimnis",
            "/api/tasks/0042…",
        ),
        ("GET", "/api/tasks//0042-Titelgeheimnis", "…"),
        ("GET", "/API/tasks/0042-Titelgeheimnis/", "/api/tasks/0042…"),
        ("GET", "//api/tasks/0042-Titelgeheimnis", "…"),
        ("GET", "/api/tasks/0042/Titelgeheimnis", "…"),
        ("GET", "/api/tasks/0042-a/Titelgeheimnis", "…"),
        ("GET", "/api/tasks/0042-a/Titelgeheimnis/complete", "…"),
        ("GET", "/api/tasks/0042Titelgeheimnis", "…"),
        ("GET", "/api/tasks/Titelgeheimnis", "…"),
        ("GET", "/api/tasks/004912345678", "…"),
        ("GET", "/api/task/0042-Titelgeheimnis", "…"),
        ("GET", "/Titelgeheimnis", "…"),
    ] {
        let before = service.log().len();
        service.send_json(method, path, "");
        let line = || {
            let log = service.log();
            let line = log[before..].iter().find(|it| it.contains("took_ms"));
            line.map(|it| serde_json::from_str::<Value>(it).unwrap())
        };
        eventually("it is logged", || line().is_some());
        let route = format!("{method} {shown}");
        assert_eq!(line().unwrap()["route"], route, "{path}");
    }
    for line in service.log() {
        let secrets = ["itelgeheimnis", "004912345678"];
        assert!(!secrets.iter().any(|it| line.contains(it)), "{line}");
    }
}

#[test]
fn a_read_from_memory_logs_nothing_and_the_start_names_the_storage() {
    let folder = folder(1);
    let service = Service::over(folder.path());
    service.get("/codex");
    let is_version_logged = || {
        service
            .log()
            .iter()
            .any(|line| line.contains("new version"))
    };
    eventually("the first read is logged", is_version_logged);
    let log_lines = |service: &Service| -> Vec<String> {
        // A busy machine may log slow requests.
        let lines = service.log().into_iter();
        lines
            .filter(|line| !line.contains("slow request"))
            .collect()
    };
    let before = log_lines(&service);
    for _ in 0..20 {
        service.get("/codex");
    }
    assert_eq!(log_lines(&service), before);
    let start: Value = serde_json::from_str(&before[0]).unwrap();
    let storage = start["storage"].as_str().unwrap();
    assert_eq!(
        storage,
        format!("folder {} (CODEX_DATA_DIR)", folder.path().display())
    );
    assert_eq!(
        (&start["auth"], &start["user"]),
        (&"dev".into(), &"local".into())
    );
}
