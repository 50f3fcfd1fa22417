//! Other programs that tests run.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// The path, absolute or below `tests`, of a program that `tests/run` installs.
#[track_caller]
pub(crate) fn installed(program: &str) -> PathBuf {
    let path = [env!("CARGO_MANIFEST_DIR"), "tests", program];
    let path: PathBuf = path.iter().collect();
    let missing = "is missing: tests/run installs it, run that once";
    assert!(path.exists(), "{program} {missing}");
    path
}

/// Copies a program, or a folder with programs, by another process. What this one has open for writing is inherited by
/// what another thread starts at that moment, and can't be run until then.
pub(crate) fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-Rp").args([from, to]).status();
    assert!(copied.unwrap().success(), "{}", from.display());
}

/// Runs a program that reads its input to the end before it says much.
pub(crate) fn run_with_input(command: &mut Command, input: &str) -> Output {
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).unwrap();
    drop(stdin);
    child.wait_with_output().unwrap()
}
