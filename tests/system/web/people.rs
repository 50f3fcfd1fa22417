//! The user at the browser, and the repository behind the service.

use std::cell::RefCell;
use std::fs;
use std::path::Path;
use std::time::Duration;

use super::play_with;
use crate::support::github::{Fault, GitHub};
use crate::support::mirror::Mirror;
use crate::support::process::{Service, codex_miroir};
use crate::support::scene::task;

const CLIENT: &str = "Iv1.madeup";
const SECRET: &str = "made-up-client-secret";

fn settings(github: &GitHub, data: &Path) -> std::process::Command {
    let mut command = codex_miroir();
    command
        .env("CODEX_DATA_DIR", data)
        .env("GITHUB_API_URL", github.url())
        .env("GITHUB_URL", github.url())
        .env("CODEX_ALLOWED_LOGINS", "anna,berta");
    command
}

#[test]
fn signing_in_leads_back_and_signing_out_leaves_nothing() {
    let github = GitHub::start();
    github.add_user("berta", 1_002);
    github.add_user("carla", 1_003);
    github.add_oauth_app(CLIENT, SECRET, "http://127.0.0.1");
    github.sign_in("anna");
    let data = tempfile::tempdir().unwrap();
    for (user, title) in [("anna", "Annas Geheimnis"), ("berta", "Bertas Sache")] {
        let folder = data.path().join("raw").join(user).join("tasks");
        fs::create_dir_all(&folder).unwrap();
        let name = format!("0001-{}.md", title.replace(' ', "-"));
        fs::write(folder.join(name), task(title)).unwrap();
    }
    let mut command = settings(&github, data.path());
    command
        .env("GITHUB_OAUTH_CLIENT_ID", CLIENT)
        .env("GITHUB_OAUTH_CLIENT_SECRET", SECRET);
    let service = Service::start(&mut command);
    let by_tokens = Service::start(settings(&github, data.path()).env("CODEX_AUTH", "github"));
    let addresses = [service.address.as_str(), by_tokens.address.as_str()];
    play_with("people", &addresses, |what| {
        github.sign_in(what.strip_suffix(" is at GitHub").unwrap());
        String::new()
    });
}

#[test]
fn a_sync_shows_its_progress_and_its_result() {
    let mirror = Mirror::new();
    let (service, off) = (mirror.service(), mirror.service_without_github());
    let stack: Vec<String> = (10..18).map(|it| format!("{it:04}-Stapel.md")).collect();
    let committed = RefCell::new(false);
    play_with("sync", &[&service.address, &off.address], |what| {
        match what {
            "GitHub is away" => mirror.github.fail(Fault::Status(500)),
            "GitHub is back" => mirror.github.recover(),
            "GitHub is slow" => mirror.github.set_latency(Duration::from_millis(700)),
            "GitHub is quick" => mirror.github.set_latency(Duration::ZERO),
            "a file comes by Git" => {
                let text = task("Aus Git");
                mirror.commit(&[("0100-Aus-Git.md", Some(&text))], "a file");
            }
            "eight files come by Git" | "eight files go from Git" => {
                let text = task("Stapel");
                let text = (!committed.replace(true)).then_some(text.as_str());
                let files: Vec<_> = stack.iter().map(|name| (name.as_str(), text)).collect();
                mirror.commit(&files, what);
            }
            other => panic!("nobody does {other}"),
        }
        String::new()
    });
}
