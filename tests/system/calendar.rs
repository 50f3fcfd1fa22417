//! The calendar of the real binary, read by two programs that aren't ours: PyPI's `icalendar`, and Debian's `khal`.

use std::fs;
use std::process::{Command, Output};

use chrono::{Days, Utc};
use chrono_tz::Europe::Berlin;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::process::{Answer, Service, begin, codex_miroir};
use crate::support::programs::{installed, run_with_input};

#[track_caller]
fn text(output: Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    String::from_utf8(output.stdout).unwrap()
}

/// A service over a folder with a task in each kind of entry. Its fixed ones are after the week, in summer and in winter.
struct Setting {
    /// The service's folder, for as long as it runs.
    _data: TempDir,
    service: Service,
    /// The path of the calendar.
    path: String,
    /// The year of the fixed tasks.
    year: i32,
}

impl Setting {
    fn new() -> Self {
        let data = tempfile::tempdir().unwrap();
        let tasks = data.path().join("raw/local/tasks");
        fs::create_dir_all(&tasks).unwrap();
        let year = 1 + Utc::now().format("%Y").to_string().parse::<i32>().unwrap();
        let fixed =
            |day: &str, zeit: &str| format!("fixedSlot:\n  datum: {day}.{year}\n  zeit: {zeit}\n");
        for (name, more, title) in [
            (
                "0000-Steuer",
                format!("deadline: 24.12.{year}\n"),
                "Steuer, Teil 2; C:\\Daten \"quer\"",
            ),
            (
                "0001-Sommer",
                fixed("01.07", "morgens"),
                "Zahnarzt im Sommer",
            ),
            ("0002-Winter", fixed("01.12", "abends"), "Konzert im Winter"),
            (
                "0003-Lang",
                fixed("02.12", "nachmittags"),
                &"Lang ü𝄞 ".repeat(100),
            ),
        ] {
            let text = format!("---\ntyp: task\nkategorie: arbeit\n{more}---\n\n# {title}\n");
            fs::write(tasks.join(format!("{name}.md")), text).unwrap();
        }
        let mut command = codex_miroir();
        command.env("CODEX_DATA_DIR", data.path());
        let service = Service::start(command.env("CODEX_CALENDAR_MINUTES", "45"));
        let created = service.send_json("POST", "/api/calendar", "");
        assert_eq!(created.status, 200, "{}", created.body);
        let created: Value = serde_json::from_str(&created.body).unwrap();
        let url = created["url"].as_str().unwrap();
        let origin = format!("http://{}", service.address);
        let path = url.strip_prefix(&*origin).unwrap().to_owned();
        Self {
            _data: data,
            service,
            path,
            year,
        }
    }

    fn feed(&self) -> String {
        let answer = self.service.get(&self.path);
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.body
    }
}

/// The entries that PyPI's `icalendar` reads.
fn entries(feed: &str) -> Vec<Value> {
    let mut python = Command::new(installed(".venv/bin/python"));
    python.arg(installed("clients/read_calendar.py"));
    let rows = text(run_with_input(&mut python, feed));
    rows.lines()
        .map(|row| serde_json::from_str(row).unwrap())
        .collect()
}

#[test]
fn pythons_icalendar_reads_it() {
    let setting = Setting::new();
    let year = setting.year;
    let mut rows = entries(&setting.feed());
    let uids: Vec<Value> = rows.iter_mut().map(|row| row["uid"].take()).collect();
    let placed = rows.remove(0);
    assert_eq!(
        (
            &placed["title"],
            &placed["transparency"],
            &placed["reminders"]
        ),
        (
            &json!("Steuer, Teil 2; C:\\Daten \"quer\""),
            &json!("TRANSPARENT"),
            &json!([])
        )
    );
    let long = format!(
        "{}…",
        &"Lang ü𝄞 ".repeat(25).chars().take(200).collect::<String>()
    );
    let fixed = |start: &str, end: &str, reminder: &str, title: &str| {
        let at = |time: &str| format!("{year}-{time}:00+00:00");
        let reminder = at(reminder).replace('T', " ");
        json!({
            "uid": null, "start": at(start), "end": at(end), "title": title, "transparency": "OPAQUE",
            "reminders": [reminder], "categories": ["Arbeit"],
        })
    };
    assert_eq!(
        rows,
        [
            fixed(
                "07-01T07:00",
                "07-01T07:45",
                "07-01T06:45",
                "Zahnarzt im Sommer"
            ),
            fixed(
                "12-01T18:00",
                "12-01T18:45",
                "12-01T17:45",
                "Konzert im Winter"
            ),
            fixed("12-02T13:00", "12-02T13:45", "12-02T12:45", &long),
            json!({
                "uid": null, "start": format!("{year}-12-24"), "end": null, "transparency": "TRANSPARENT",
                "title": "Frist: Steuer, Teil 2; C:\\Daten \"quer\"", "reminders": [], "categories": ["Arbeit"],
            }),
        ]
    );
    let again = entries(&setting.feed());
    let again: Vec<Value> = again.into_iter().map(|mut row| row["uid"].take()).collect();
    assert_eq!(again, uids);
}

#[test]
fn khal_imports_it() {
    let khal = installed("/usr/bin/khal");
    let setting = Setting::new();
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir(at("feed")).unwrap();
    fs::write(at("feed.ics"), setting.feed()).unwrap();
    let settings = format!(
        "[calendars]\n[[feed]]\npath = {}\n[sqlite]\npath = {}\n[default]\ndefault_calendar = feed\n[locale]\n\
         timeformat = %H:%M\ndateformat = %Y-%m-%d\nlongdateformat = %Y-%m-%d\ndatetimeformat = %Y-%m-%d %H:%M\n\
         longdatetimeformat = %Y-%m-%d %H:%M\nlocal_timezone = Europe/Berlin\ndefault_timezone = Europe/Berlin\n",
        at("feed").display(),
        at("khal.db").display()
    );
    fs::write(at("settings"), settings).unwrap();
    let run = |arguments: &[&str]| {
        let mut command = Command::new(&khal);
        command.arg("-c").arg(at("settings")).args(arguments);
        text(command.env("HOME", folder.path()).output().unwrap())
    };
    run(&["import", "--batch", at("feed.ics").to_str().unwrap()]);
    let year = setting.year;
    let format = [
        "--day-format",
        "",
        "--format",
        "{start}|{end}|{title}|{alarm-symbol}",
    ];
    let list = |day: String, span: &str| {
        let listed = run(&[&["list"], &format[..], &[&*day, span]].concat());
        listed.trim_end().replace(" ⏰", "!")
    };
    assert_eq!(
        list(format!("{year}-07-01"), "1d"),
        format!("{year}-07-01 09:00|{year}-07-01 09:45|Zahnarzt im Sommer|!")
    );
    assert_eq!(
        list(format!("{year}-12-01"), "1d"),
        format!("{year}-12-01 19:00|{year}-12-01 19:45|Konzert im Winter|!")
    );
    assert_eq!(
        list(format!("{year}-12-24"), "1d"),
        format!("{year}-12-24|{year}-12-24|Frist: Steuer, Teil 2; C:\\Daten \"quer\"|")
    );
    let today = Utc::now().with_timezone(&Berlin).date_naive();
    let week = list(today.to_string(), "8d");
    assert!(
        week.contains("|Steuer, Teil 2; C:\\Daten \"quer\"|"),
        "{week}"
    );
    assert!(
        !week.contains('!'),
        "no reminder of what isn't fixed: {week}"
    );
    assert!(today + Days::new(8) < chrono::NaiveDate::from_ymd_opt(year, 7, 1).unwrap());
    assert_eq!(
        fs::read_dir(at("feed")).unwrap().count(),
        5,
        "an entry each"
    );
}

/// In no line of the log, whatever is asked and however long it takes.
#[test]
fn its_address_is_in_no_line_of_the_log() {
    let data = tempfile::tempdir().unwrap();
    let mut command = codex_miroir();
    command.env("CODEX_DATA_DIR", data.path());
    let service = Service::start(command.env("RUST_LOG", "trace"));
    let created = service.send_json("POST", "/api/calendar", "").body;
    let secret = created.rsplit('.').nth(1).unwrap().to_owned();
    assert_eq!(secret.len(), 32);
    let path = format!("/calendar/local.{secret}.ics");
    let upper = format!("/CALENDAR/local.{secret}.ics/");
    for (method, path, status) in [
        ("GET", path.clone(), 200),
        ("HEAD", path.clone(), 200),
        ("GET", upper, 200),
        ("POST", path.clone(), 405),
        ("GET", format!("{path}/x"), 404),
        ("GET", format!("{path}?{secret}"), 200),
        ("GET", path.replace("local", "anna"), 404),
        ("DELETE", "/api/calendar".to_owned(), 200),
        ("GET", path.clone(), 404),
    ] {
        let answer = Answer::read(begin(&service.address, method, &path, "", ""));
        assert_eq!(answer.status, status, "{method} {path}");
        assert!(!answer.body.contains(&secret));
    }
    let log = service.log().join("\n");
    assert!(log.contains("GET /calendar/…"), "{log}");
    assert!(!log.contains(&secret), "{log}");
}
