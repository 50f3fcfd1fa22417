//! The packaged folder under the tests' own Functions host, which behaves as `src/functions/README.md` describes.

mod forms;
mod restarts;
mod sign_in;
mod starts;
mod traces;
mod triggers;

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use crate::support::functions_host::{Form, FunctionsHost, Trigger, packaged};
use crate::support::github::{Change, GitHub};
use crate::support::process::codex_miroir;
use crate::support::scene::task;

const HOOK_SECRET: &str = "a-secret-of-the-hook-for-tests";

/// The surroundings of a process: a folder as its store, and a GitHub.
struct Place {
    data: TempDir,
    github: GitHub,
}

impl Place {
    fn new() -> Self {
        let github = GitHub::start();
        github.set_hook_secret(Some(HOOK_SECRET));
        Self {
            data: tempfile::tempdir().unwrap(),
            github,
        }
    }

    /// A host over this place, for the local user `anna`, with GitHub mode.
    fn host(&self, form: Form) -> FunctionsHost {
        let token = self.github.personal_token(self.github.owner());
        let mut settings = over(&self.data);
        settings.extend([
            ("CODEX_DEV_USER", "anna"),
            ("CODEX_ALLOWED_ORIGINS", "https://app.example"),
            ("GITHUB_OWNER", self.github.owner()),
            ("GITHUB_REPO", self.github.repo()),
            ("GITHUB_TOKEN", &token),
            ("GITHUB_API_URL", self.github.url()),
            ("GITHUB_URL", self.github.url()),
            ("GITHUB_WEBHOOK_SECRET", HOOK_SECRET),
        ]);
        FunctionsHost::start(form, &settings)
    }

    /// Commits a task of `anna`'s to the repository.
    fn commit(&self, file: &str, title: &str) {
        let path = format!("codex-miroir/anna/tasks/{file}");
        let text = task(title);
        let changes = [(path.as_str(), Change::from(text.as_str()))];
        self.github.commit("main", &changes, "Add a task");
    }

    /// Writes a task file of `anna`'s past the service.
    fn save(&self, file: &str, text: &str) {
        let tasks = self.data.path().join("raw/anna/tasks");
        fs::create_dir_all(&tasks).unwrap();
        fs::write(tasks.join(file), text).unwrap();
    }
}

/// Settings with this folder as the store.
fn over(data: &TempDir) -> Vec<(&'static str, &str)> {
    let folder = data.path().to_str().unwrap();
    vec![
        // The folder's own settings name the emulator.
        ("AzureWebJobsStorage", ""),
        ("AzureWebJobsDisableHomepage", "true"),
        ("CODEX_AUTH", "dev"),
        ("CODEX_DATA_DIR", folder),
    ]
}

/// Packages this executable into a folder of the test's own.
fn package_in(folder: &Path) {
    let mut command = codex_miroir();
    command.arg("package").arg(folder);
    command
        .arg("--executable")
        .arg(packaged().join("codex-miroir"));
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}

/// The names of the functions with a timer trigger.
fn timers(host: &FunctionsHost) -> Vec<String> {
    let functions = host.functions().iter();
    let timers = functions.filter(|it| matches!(it.trigger, Trigger::Timer { .. }));
    timers.map(|it| it.name.clone()).collect()
}
