//! What an instance keeps in memory about users, and for how long.

use crate::support::process::{Service, codex_miroir, eventually, other_clock};

/// Retention follows the process's real clock, which the test sets by libfaketime.
#[test]
fn what_is_too_old_is_let_go_of() {
    let token = "ein-langes-Kennwort";
    let data = tempfile::tempdir().unwrap();
    let clock = tempfile::NamedTempFile::new().unwrap();
    let set = |offset: &str| std::fs::write(clock.path(), offset).unwrap();
    set("+0");
    let service = Service::start(
        codex_miroir()
            .env("CODEX_DATA_DIR", data.path())
            .env("CODEX_METRICS_TOKEN", token)
            .env("LD_PRELOAD", other_clock())
            .env("FAKETIME_TIMESTAMP_FILE", clock.path())
            .env("FAKETIME_NO_CACHE", "1"),
    );
    let cached = || {
        let answer = service.send("/metrics", &format!("authorization: Bearer {token}\r\n"));
        let of = |name: &str| {
            let mut lines = answer.body.lines();
            let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            value.unwrap().parse::<u64>().unwrap()
        };
        (of("codex_cached_users"), of("codex_cached_bytes"))
    };
    assert_eq!(service.get("/codex").status, 200);
    assert_eq!(cached().0, 1);
    set("+2h");
    assert_eq!(cached().0, 1, "it may be of use for three hours");
    set("+4h");
    eventually("nothing is left", || cached() == (0, 0));
    assert_eq!(service.get("/codex").header("x-codex-cache"), "rebuild");
}
