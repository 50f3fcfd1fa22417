//! The packaged folder that the host starts.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::support::process::codex_miroir;
use crate::support::programs::copy;

/// The folder, packaged once per test run by the binary itself; with `CODEX_TEST_PACKAGE`, a copy of that folder.
pub(crate) fn packaged() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let given = std::env::var_os("CODEX_TEST_PACKAGE");
        let name = given
            .as_ref()
            .map_or("functions-app", |_| "functions-app-copy");
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        if folder.exists() {
            fs::remove_dir_all(&folder).unwrap();
        }
        match given {
            Some(given) => copy(Path::new(&given), &folder),
            None => package(&folder),
        }
        folder
    })
}

fn package(folder: &Path) {
    let mut command = codex_miroir();
    command.arg("package").arg(folder);
    // Beside the app: it must not change what is started.
    command.arg("--deploy").arg(folder.with_extension("deploy"));
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}
