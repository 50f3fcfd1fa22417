//! The summary that is printed after packaging: what was written, and the next steps.

use std::fmt;
use std::path::{Path, PathBuf};

use super::build::ExecutableKind;
use super::contents::{EXECUTABLE, SETTINGS};
use super::deploy::{DeployFile, Outcome};

/// The summary of a written package; `Display` is what is printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageSummary {
    pub(super) folder: PathBuf,
    pub(super) zip: Option<PathBuf>,
    pub(super) deploy: Vec<DeployFile>,
    pub(super) functions: usize,
    pub(super) kept_settings: bool,
    pub(super) build: ExecutableKind,
}

impl fmt::Display for PackageSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let settings = match self.kept_settings {
            true => " was there and stays as it is",
            false => ": with placeholders, for func start",
        };
        let (archived, deploy) = match &self.zip {
            Some(zip) => (
                format!("{}: the same without {SETTINGS}\n", zip.display()),
                format!(
                    "or\n  az functionapp deployment source config-zip --resource-group GROUP --name APP --src {}",
                    shell_quoted(zip)
                ),
            ),
            None => (String::new(), String::new()),
        };
        // In a subshell: the archive's path is relative to the present folder.
        write!(
            f,
            "{folder}: {functions} functions, host.json, .funcignore, {EXECUTABLE}\n\
             {folder}/{SETTINGS}{settings}\n\
             {archived}{deploy_files}{advice}\n\
             To try it, with Azurite running:\n  (cd {quoted} && func start)\n\
             To deploy it:\n  (cd {quoted} && func azure functionapp publish APP)\n{deploy}",
            folder = self.folder.display(),
            functions = self.functions,
            deploy_files = self.deploy.iter().map(line).collect::<String>(),
            advice = advice(self.build),
            quoted = shell_quoted(&self.folder),
        )
    }
}

/// The line of a file that deploys the app.
fn line(file: &DeployFile) -> String {
    let outcome = match file.outcome {
        Outcome::Written => ": written",
        Outcome::Same => " was there and is the same",
        Outcome::Differs => " was there and differs: it stays as it is",
    };
    format!("{}{outcome}\n", file.path.display())
}

/// The path, quoted where a shell would interpret it.
fn shell_quoted(path: &Path) -> String {
    let path = path.display().to_string();
    let plain = |it: char| it.is_alphanumeric() || "/._-+,:@%".contains(it);
    match !path.is_empty() && path.chars().all(plain) {
        true => path,
        false => format!("'{}'", path.replace('\'', r"'\''")),
    }
}

/// What has to change before this executable runs on Azure, if anything.
fn advice(build: ExecutableKind) -> String {
    let fault = match build {
        ExecutableKind::Static => return String::new(),
        ExecutableKind::DynamicallyLinked => "needs the C library of a Linux like this one",
        ExecutableKind::OtherArchitecture => "is for another processor than x86-64",
        ExecutableKind::NotLinux => "is no Linux executable",
    };
    format!(
        "\nThis {EXECUTABLE} {fault}. On Azure's Linux plans use the static build:\n  \
         cargo build --profile dist --target x86_64-unknown-linux-musl\n  \
         and --executable target/x86_64-unknown-linux-musl/dist/{EXECUTABLE}\n"
    )
}
