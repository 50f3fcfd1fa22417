//! The contents of a Functions app folder. PURE: names and bytes, no file access.

use bytes::Bytes;

use super::schedule::{DEFAULT_PUSH, Schedule};

/// The templates of these functions: one folder each in `function.json-templates/`.
macro_rules! templates {
    ($($function:literal),+ $(,)?) => {
        &[$((
            concat!($function, "/function.json"),
            include_str!(concat!("../../../function.json-templates/", $function, "/function.json")),
        )),+]
    };
}

/// Every function, as the path and text of its `function.json`.
const FUNCTIONS: &[(&str, &str)] = templates![
    "authGithub",
    "authGithubCallback",
    "calendar",
    "completeTask",
    "createTask",
    "deleteTask",
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

/// The executable's name, also in `host.json`.
pub const EXECUTABLE: &str = "codex-miroir";

/// The file with the user's own settings and secrets: written once, never replaced.
pub const SETTINGS: &str = "local.settings.json";

/// A file of the app folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppFile {
    /// The path relative to the folder, with `/` separators.
    pub name: &'static str,
    /// The contents.
    pub bytes: Bytes,
    /// The Unix permissions: `0o755` for the executable.
    pub mode: u32,
}

impl AppFile {
    fn new(name: &'static str, bytes: impl Into<Bytes>, mode: u32) -> Self {
        let bytes = bytes.into();
        Self { name, bytes, mode }
    }

    /// Whether the file is deployed: those that `.funcignore` doesn't list are.
    pub fn is_deployed(&self) -> bool {
        FUNCIGNORE.lines().all(|line| line != self.name)
    }
}

/// The whole folder with the executable; `push_schedule` replaces the template's schedule of `gitPush`.
pub fn files(executable: Bytes, push_schedule: Option<&Schedule>) -> Vec<AppFile> {
    let mut files = vec![
        AppFile::new(EXECUTABLE, executable, 0o755),
        AppFile::new(SETTINGS, LOCAL_SETTINGS, 0o600),
        AppFile::new(".funcignore", FUNCIGNORE, 0o644),
        AppFile::new("host.json", HOST, 0o644),
    ];
    files.extend(
        FUNCTIONS
            .iter()
            .map(|(name, template)| AppFile::new(name, scheduled(template, push_schedule), 0o644)),
    );
    files
}

/// Applies the schedule. Only the template of `gitPush` has the default schedule.
fn scheduled(template: &'static str, push_schedule: Option<&Schedule>) -> Bytes {
    let quoted = |text| format!("\"{text}\"");
    match push_schedule {
        Some(schedule) => template
            .replace(&quoted(DEFAULT_PUSH), &quoted(schedule.as_str()))
            .into(),
        None => template.into(),
    }
}
