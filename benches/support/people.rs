//! People with the platform's sign-in, a service that admits them, and its CPU and memory use.

use std::process::Command;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::process::{Process, resident_kib};

pub(crate) fn person(number: usize) -> String {
    format!("person-{number:05}")
}

/// The value of the platform's principal header (`easyauth`) for a person.
pub(crate) fn principal(number: usize) -> String {
    let claim = |typ: &str, val: &str| serde_json::json!({"typ": typ, "val": val});
    let document = serde_json::json!({"auth_typ": "github", "claims": [
        claim("http://schemas.xmlsoap.org/ws/2005/05/identity/claims/nameidentifier", &account(number).to_string()),
        claim("urn:github:login", &person(number)),
    ]});
    STANDARD.encode(document.to_string())
}

/// A person's GitHub account number.
pub(crate) fn account(number: usize) -> usize {
    number + 1
}

/// The request for a person's week.
pub(crate) fn week_of(number: usize) -> String {
    format!(
        "GET /codex HTTP/1.1\r\nhost: codex.example\r\naccept-encoding: gzip\r\nx-ms-client-principal: {}\r\n\r\n",
        principal(number)
    )
}

/// Starts the service with sign-in open to everyone, and further settings.
pub(crate) fn start(settings: &[(&str, &str)]) -> Process {
    Process::start(&mut command(settings))
}

/// The command for it.
pub(crate) fn command(settings: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_codex-miroir"));
    command
        .env_clear()
        .env("PORT", "0")
        .env("CODEX_AUTH", "easyauth")
        .env("WEBSITE_AUTH_ENABLED", "true")
        .env("WEBSITE_SITE_NAME", "codex")
        .env("CODEX_ALLOWED_LOGINS", "*")
        .env("CODEX_PUBLIC_URL", "https://codex.example")
        .env("CODEX_WRITES_PER_MINUTE", "1000000")
        .env("RUST_LOG", "error,codex_miroir::serve=info")
        .envs(settings.iter().copied());
    command
}

pub(crate) fn resident_mib(process: u32) -> f64 {
    resident_kib(process) as f64 / 1024.0
}

/// Waits until a process has used little CPU time for a second.
pub(crate) fn until_idle(process: u32) {
    loop {
        let before = cpu_seconds(process);
        std::thread::sleep(Duration::from_secs(1));
        if cpu_seconds(process) - before < 0.05 {
            return;
        }
    }
}

/// The CPU time of a process, all threads together.
pub(crate) fn cpu_seconds(process: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let after = stat.rsplit(')').next().unwrap();
    let fields: Vec<&str> = after.split_whitespace().collect();
    // utime and stime (proc(5)), in ticks of 10 ms.
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}
