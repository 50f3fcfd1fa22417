//! What the benches share: sample files, and processes that end with them.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use codex_miroir::task::{Kategorie, NewTask, Status, new_file};

/// A typical open task: a title of five words, two tags, a few lines of text.
pub fn sample_file(number: usize) -> (String, String) {
    let task = NewTask {
        title: Some(format!("Angebot {number} für Kunden prüfen")),
        kategorie: if number % 3 == 0 {
            Kategorie::Privat
        } else {
            Kategorie::Arbeit
        },
        status: Status::Offen,
        tags: vec!["büro".to_owned(), format!("projekt-{}", number % 7)],
        deadline: None,
        fixed_slot: None,
        abgeschlossen_am: None,
        body: "Erst die Zahlen, dann der Text.\n\n- Preise\n- Fristen\n- Unterschrift\n".to_owned(),
    };
    let (slug, text) = new_file(&task).expect("a sample is a task");
    (format!("{number:04}-{slug}.md"), text)
}

/// Writes `count` sample files of `user` below `root`.
pub fn write_samples(root: &Path, user: &str, count: usize) {
    let folder = root.join("raw").join(user).join("tasks");
    std::fs::create_dir_all(&folder).expect("the folder can be made");
    for (name, text) in (0..count).map(sample_file) {
        std::fs::write(folder.join(name), text).expect("a sample can be written");
    }
}

/// A child process that is ended with the value.
pub struct Process {
    child: Child,
    /// Where it listens, as it said itself.
    pub address: String,
}

impl Process {
    /// Starts `command` and waits for the line of its output in which `address_in` finds an address.
    pub fn start(command: &mut Command, address_in: fn(&str) -> Option<String>) -> Self {
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
    pub fn service(data: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_codex-miroir"));
        command
            .env_clear()
            .env("CODEX_DATA_DIR", data)
            .env("PORT", "0");
        Self::start(&mut command, |line| {
            let line: serde_json::Value = serde_json::from_str(line).ok()?;
            Some(line["address"].as_str()?.to_owned())
        })
    }

    /// Resident memory in KiB, as the kernel counts it.
    pub fn resident_kib(&self) -> u64 {
        resident_kib(&self.child.id().to_string())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Resident memory of `process` (an id, or `self`) in KiB.
pub fn resident_kib(process: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("Linux tells");
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .expect("it has a size");
    line.split_whitespace()
        .nth(1)
        .and_then(|kib| kib.parse().ok())
        .expect("in KiB")
}

/// The middle of `values`.
pub fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
