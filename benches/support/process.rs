//! Processes that end with the value that holds them, and their size.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A child process that is ended with the value.
pub(crate) struct Process {
    pub(crate) child: Child,
    /// Where it listens, as it said itself.
    pub(crate) address: String,
}

impl Process {
    /// Starts `command` and waits for the line of its output in which `address_in` finds an address.
    pub(crate) fn start(command: &mut Command, address_in: fn(&str) -> Option<String>) -> Self {
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

    /// Starts the service over the folder `data`, on a port of its own.
    pub(crate) fn service(data: &Path, arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_codex-miroir"));
        command
            .args(arguments)
            .env_clear()
            .env("CODEX_DATA_DIR", data)
            .env("PORT", "0");
        Self::listening(&mut command)
    }

    /// Starts a command of the service, and waits for the line that says where it listens.
    pub(crate) fn listening(command: &mut Command) -> Self {
        Self::start(command, |line| {
            let line: serde_json::Value = serde_json::from_str(line).ok()?;
            Some(line["address"].as_str()?.to_owned())
        })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The middle of `values`.
pub(crate) fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Resident memory of a process in KiB.
pub(crate) fn resident_kib(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("Linux tells");
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1));
    kib.and_then(|kib| kib.parse().ok()).expect("in KiB")
}
