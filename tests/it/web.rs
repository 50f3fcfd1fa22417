//! The web app in a real Chromium. Each test sets up the real service and plays a scenario of `tests/web`.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use tempfile::TempDir;

use crate::support::process::{Service, codex_miroir};

/// A browser takes all the machine has.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Plays `tests/web/{scenario}.mjs` with the services' addresses. A line `> WHAT` of it asks for something that
/// happens elsewhere: `outside` does it, and what it gives is the answer.
fn play_with(scenario: &str, addresses: &[&str], mut outside: impl FnMut(&str) -> String) {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let chromium = Path::new("/usr/bin/chromium").exists();
    assert!(chromium, "Chromium isn't installed: tests/run installs it");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let driver = folder.join("node_modules/playwright-core").exists();
    assert!(
        driver,
        "playwright-core isn't installed: tests/run installs it"
    );
    let mut node = Command::new("node")
        .arg(folder.join(format!("web/{scenario}.mjs")))
        .args(addresses)
        .env("WEB_PICTURES", concat!(env!("CARGO_TARGET_TMPDIR"), "/web"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut answers = node.stdin.take().unwrap();
    for line in BufReader::new(node.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        println!("{line}");
        if let Some(what) = line.strip_prefix("> ") {
            writeln!(answers, "{}", outside(what)).unwrap();
        }
    }
    let status = node.wait().unwrap();
    assert!(status.success(), "{scenario}: {status}, see above");
}

fn play(scenario: &str, addresses: &[&str]) {
    play_with(scenario, addresses, |what| panic!("nobody does {what}"));
}

/// The demo, over a folder of its own.
fn demo() -> (Service, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("demo");
    let demo = Service::start(codex_miroir().arg("demo").env("CODEX_DATA_DIR", data));
    (demo, folder)
}

#[test]
fn the_week_in_three_sizes_two_schemes_and_two_languages() {
    let (demo, _folder) = demo();
    play("week", &[&demo.address]);
}
