//! Child processes that are killed on drop, and their memory.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A child process that is killed on drop.
pub(crate) struct Process {
    pub(crate) child: Child,
    /// The address it listens on, by its own output.
    pub(crate) address: String,
}

impl Process {
    /// Starts a command of the service, or a bare server, and waits for the output line with its address.
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .spawn()
            .expect("the process starts");
        let output = BufReader::new(child.stdout.take().expect("its output is piped"));
        let mut lines = output.lines().map_while(Result::ok);
        let address = lines
            .find_map(|line| address_in(&line))
            .expect("it says where it listens");
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, address }
    }

    /// Starts the service on the folder `data`, on a free port.
    pub(crate) fn service(data: &Path, arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_codex-miroir"));
        command
            .args(arguments)
            .env_clear()
            .env("CODEX_DATA_DIR", data)
            .env("PORT", "0");
        Self::start(&mut command)
    }
}

/// The address in a line of the service's log, or in the one line that a bare server prints.
fn address_in(line: &str) -> Option<String> {
    match serde_json::from_str::<serde_json::Value>(line) {
        Ok(line) => Some(line["address"].as_str()?.to_owned()),
        Err(_) => line.starts_with("127.").then(|| line.to_owned()),
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The median of `values`, which are sorted.
pub(crate) fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The resident memory (`VmRSS`) of a process, in KiB.
pub(crate) fn resident_kib(process: u32) -> u64 {
    let status =
        std::fs::read_to_string(format!("/proc/{process}/status")).expect("Linux has /proc");
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1));
    kib.and_then(|kib| kib.parse().ok()).expect("in KiB")
}
