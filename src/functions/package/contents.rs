//! What a Functions app folder holds. PURE: names and bytes, no files.

use bytes::Bytes;

use super::schedule::{DEFAULT_PUSH, Schedule};

/// The templates of these functions; a folder of `function.json-templates/` each.
macro_rules! templates {
    ($($function:literal),+ $(,)?) => {
        &[$((
            concat!($function, "/function.json"),
            include_str!(concat!("../../../function.json-templates/", $function, "/function.json")),
        )),+]
    };
}

/// Every function there is, as the name of its file and what is in it.
const FUNCTIONS: &[(&str, &str)] = templates![
    "authGithub",
    "authGithubCallback",
    "completeTask",
    "createTask",
    "getTask",
    "gitPush",
    "githubWebhook",
    "janitor",
    "listTasks",
    "preview",
    "renderCodex",
    "session",
    "sync",
    "updateTask",
    "web",
];

const HOST: &str = include_str!("../../../host.json");
const LOCAL_SETTINGS: &str = include_str!("../../../local.settings.json");
const FUNCIGNORE: &str = include_str!("../../../.funcignore");

/// The executable's name; `host.json` says it, too.
pub const EXECUTABLE: &str = "codex-miroir";

/// Where a person's own settings and secrets are: written once, then theirs.
pub const SETTINGS: &str = "local.settings.json";

/// A file of the app folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppFile {
    /// Relative to the folder, with `/` between.
    pub name: &'static str,
    /// What is in it.
    pub bytes: Bytes,
    /// Who may do what with it, as Unix says it: `0o755` for the executable.
    pub mode: u32,
}

impl AppFile {
    fn text(name: &'static str, text: impl Into<Bytes>) -> Self {
        Self {
            name,
            bytes: text.into(),
            mode: 0o644,
        }
    }

    /// Whether it goes to Azure: whatever `.funcignore` doesn't name does.
    pub fn deployed(&self) -> bool {
        FUNCIGNORE.lines().all(|line| line != self.name)
    }
}

/// The whole folder, around an executable; `push` is when `gitPush` runs, if not when its template says.
pub fn files(executable: Bytes, push: Option<&Schedule>) -> Vec<AppFile> {
    let executable = AppFile {
        name: EXECUTABLE,
        bytes: executable,
        mode: 0o755,
    };
    let settings = AppFile {
        mode: 0o600,
        ..AppFile::text(SETTINGS, LOCAL_SETTINGS)
    };
    let functions = FUNCTIONS
        .iter()
        .map(|(name, template)| AppFile::text(name, scheduled(template, push)));
    let rest = [
        AppFile::text(".funcignore", FUNCIGNORE),
        AppFile::text("host.json", HOST),
    ];
    [executable, settings]
        .into_iter()
        .chain(functions)
        .chain(rest)
        .collect()
}

/// Only `gitPush` runs when the default says.
fn scheduled(template: &'static str, push: Option<&Schedule>) -> Bytes {
    match push {
        Some(schedule) => template
            .replace(&quoted(DEFAULT_PUSH), &quoted(schedule.as_str()))
            .into(),
        None => template.into(),
    }
}

fn quoted(text: &str) -> String {
    format!("\"{text}\"")
}
