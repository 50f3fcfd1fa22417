//! The web app in a real Chromium. Each test starts the real service and plays a scenario of `tests/web`.

mod hostile;
mod people;
mod surroundings;

use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use chrono::{NaiveDate, Utc, Weekday};
use chrono_tz::Europe::Berlin;
use futures::executor::block_on;
use tempfile::TempDir;
use tokio::sync::Semaphore;

use crate::support::azurite::azurite;
use crate::support::process::{Service, codex_miroir, other_clock};

/// Two browsers at a time: scenarios mostly wait, but a browser that draws uses more than one core.
static BROWSERS: Semaphore = Semaphore::const_new(2);

/// Plays `tests/web/{scenario}.mjs` with the services' addresses. A line `> WHAT` of its output requests an action
/// outside the browser: `outside` performs it, and its result is the answer.
fn play_with(scenario: &str, addresses: &[&str], mut outside: impl FnMut(&str) -> String) {
    let _browser = block_on(BROWSERS.acquire()).unwrap();
    let chromium = Path::new("/usr/bin/chromium").exists();
    assert!(chromium, "Chromium isn't installed: tests/run installs it");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let driver = folder.join("node_modules/playwright-core").exists();
    assert!(
        driver,
        "playwright-core isn't installed: tests/run installs it"
    );
    // What went wrong is then in the test's own output.
    let (output, errors) = io::pipe().unwrap();
    let mut node = Command::new("node")
        .arg(folder.join(format!("web/{scenario}.mjs")))
        .args(addresses)
        .env("WEB_PICTURES", concat!(env!("CARGO_TARGET_TMPDIR"), "/web"))
        .stdin(Stdio::piped())
        .stdout(errors.try_clone().unwrap())
        .stderr(errors)
        .spawn()
        .unwrap();
    let mut answers = node.stdin.take().unwrap();
    for line in BufReader::new(output).lines() {
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

/// This week's Monday: the browser's clock is a few days ahead, and what it keeps for a year is as fresh as ever.
fn monday() -> NaiveDate {
    let today = Utc::now().with_timezone(&Berlin).date_naive();
    today.week(Weekday::Mon).first_day()
}

/// The demo, over a folder of its own, on [`monday`] at 8:00: the week's slots are all ahead, and none passes while a
/// scenario runs.
fn demo() -> (Service, TempDir) {
    demo_at(&format!("{} 08:00:00", monday()))
}

/// The demo whose clock starts at `moment`, Berlin time.
fn demo_at(moment: &str) -> (Service, TempDir) {
    let mut command = codex_miroir();
    command
        .env("LD_PRELOAD", other_clock())
        .env("FAKETIME", format!("@{moment}"))
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .env("TZ", "Europe/Berlin");
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("demo");
    let demo = Service::start(command.arg("demo").env("CODEX_DATA_DIR", data));
    (demo, folder)
}

/// Processes over one empty container of the storage emulator.
fn over_azurite<const N: usize>() -> [Service; N] {
    let (connection, container) = (azurite().with_key(azurite().port()), azurite().container());
    std::array::from_fn(|_| {
        let mut command = codex_miroir();
        command
            .env("AZURE_BLOB_CONN", &connection)
            .env("AZURE_BLOB_CONTAINER", &container);
        Service::start(&mut command)
    })
}

/// Without a browser.
#[test]
fn the_scripts_decisions_hold_in_their_tables() {
    play("decisions", &[]);
}

#[test]
fn two_taps_on_one_spot_complete_one_task() {
    let [(mouse, _a), (touch, _b)] = [demo(), demo()];
    play("taps", &[&mouse.address, &touch.address]);
}

#[test]
fn overdue_planned_late_and_placeless_are_three_things() {
    let (demo, _folder) = demo_at("2026-11-30 08:00:00");
    play("attention", &[&demo.address]);
}

#[test]
fn the_week_in_three_sizes_two_schemes_and_two_languages() {
    let (demo, _folder) = demo();
    play("week", &[&demo.address]);
}

#[test]
fn everything_that_can_be_done_to_a_task_of_the_demo() {
    let (demo, _folder) = demo();
    play("do", &[&demo.address]);
}

#[test]
fn who_is_later_sees_both_versions_and_decides() {
    let (demo, _folder) = demo();
    play("conflict", &[&demo.address]);
}

#[test]
fn the_keyboard_is_enough_and_the_focus_is_never_lost() {
    let (demo, _folder) = demo();
    play("keyboard", &[&demo.address]);
}

#[test]
fn a_line_means_what_people_mean_by_it_and_loses_nothing_of_it() {
    play("quick_add", &[]);
}

#[test]
fn one_line_makes_a_task_by_keyboard_by_touch_and_on_any_screen() {
    let (demo, _folder) = demo();
    play("quick", &[&demo.address]);
}

#[test]
fn a_card_moves_by_mouse_keyboard_and_menu_and_back() {
    let (demo, _folder) = demo_at("2026-11-30 08:00:00");
    play("move", &[&demo.address]);
}

#[test]
fn a_card_moves_by_touch_and_on_any_screen() {
    let (demo, _folder) = demo_at("2026-11-30 08:00:00");
    play("move_screens", &[&demo.address]);
}

#[test]
fn on_small_screens_everything_is_in_reach() {
    let (demo, _folder) = demo_at("2026-11-30 08:00:00");
    play("phone", &[&demo.address]);
}

#[test]
fn a_week_without_a_task_says_what_one_is() {
    let folder = tempfile::tempdir().unwrap();
    let service = Service::over(folder.path());
    play("empty", &[&service.address]);
}

#[test]
fn the_page_asks_with_what_it_knows_and_draws_only_what_is_new() {
    let (demo, _folder) = demo();
    play("refresh", &[&demo.address]);
}

#[test]
fn the_calendars_address_is_got_and_ended_in_the_app() {
    let (demo, _folder) = demo();
    play("calendar", &[&demo.address]);
}

#[test]
fn a_second_browser_at_another_instance_sees_a_change_in_time() {
    let [a, b] = over_azurite();
    play("two", &[&a.address, &b.address]);
}
