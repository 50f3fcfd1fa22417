//! The page's surroundings: time passes, the connection is lost, there is no JavaScript.

use std::fs;

use chrono::{NaiveDate, TimeDelta};

use super::{demo, demo_at, monday, play, play_with};
use crate::support::scene::task;

#[test]
fn a_slot_that_passes_goes_while_the_page_is_open() {
    let (demo, _folder) = demo_at("2026-11-27 08:59:30");
    play("slot", &[&demo.address]);
}

#[test]
fn in_the_evening_tomorrow_is_what_one_works_from() {
    let (demo, _folder) = demo_at("2026-11-30 20:00:00");
    play("evening", &[&demo.address]);
}

#[test]
fn what_a_planner_does_beside_the_week() {
    let (demo, folder) = demo();
    let tasks = folder.path().join("demo/raw/local/tasks");
    let done = |title: &str, datum: NaiveDate| {
        let datum = datum.format("%d.%m.%Y");
        let front =
            format!("status: abgeschlossen\nabgeschlossen_am:\n  datum: {datum}\n  zeit: abends");
        format!("---\ntyp: task\nkategorie: privat\n{front}\n---\n# {title}\n")
    };
    let long_ago = monday() - TimeDelta::days(300);
    fs::write(tasks.join("0900-Alt.md"), done("Vor langer Zeit", long_ago)).unwrap();
    play_with("plan", &[&demo.address], |what| {
        assert_eq!(what, "done yesterday");
        let yesterday = monday() - TimeDelta::days(1);
        fs::write(
            tasks.join("0901-Gestern.md"),
            done("Gestern geschafft", yesterday),
        )
        .unwrap();
        String::new()
    });
}

#[test]
fn what_an_editor_does_is_on_the_open_page_by_itself() {
    let (demo, folder) = demo();
    let tasks = folder.path().join("demo/raw/local/tasks");
    let (made, renamed) = (
        tasks.join("0900-Editor.md"),
        tasks.join("0901-Umbenannt.md"),
    );
    play_with("editor", &[&demo.address], |what| {
        let done = match what {
            "a file is made" => fs::write(&made, task("Aus dem Editor")),
            "it is saved in place" => fs::write(&made, task("Anders betitelt")),
            "it is saved by a rename" => {
                let draft = tasks.join(".0900-Editor.md.swp");
                let written = fs::write(&draft, task("Noch einmal anders"));
                written.and_then(|()| fs::rename(draft, &made))
            }
            "it gets another name" => fs::rename(&made, &renamed),
            "it is removed" => fs::remove_file(&renamed),
            other => panic!("nobody does {other}"),
        };
        done.unwrap();
        String::new()
    });
}

#[test]
fn the_last_week_stays_readable_without_a_connection() {
    let (demo, _folder) = demo();
    let id = demo.id().to_string();
    play_with("offline", &[&demo.address], |what| {
        assert_eq!(what, "kill the service");
        let killed = std::process::Command::new("kill")
            .args(["-9", &id])
            .status();
        assert!(killed.unwrap().success());
        String::new()
    });
}

#[test]
fn a_first_visit_is_three_requests_to_the_first_paint_and_a_second_one_fetches_no_file() {
    let (demo, _folder) = demo();
    play("weight", &[&demo.address]);
}

#[test]
fn without_javascript_the_week_is_one_printable_page() {
    let (demo, _folder) = demo();
    play("plain", &[&demo.address]);
}
