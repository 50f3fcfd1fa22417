//! The summary that is printed after packaging: what was written, and the next steps.

use std::fmt;
use std::path::{Path, PathBuf};

use super::build::ExecutableKind;
use super::contents::{EXECUTABLE, SETTINGS};

/// The summary of a written package; `Display` is what is printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageSummary {
    pub(super) folder: PathBuf,
    pub(super) zip: Option<PathBuf>,
    pub(super) functions: usize,
    pub(super) kept_settings: bool,
    pub(super) build: ExecutableKind,
}

impl fmt::Display for PackageSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (folder, functions) = (self.folder.display(), self.functions);
        writeln!(
            f,
            "{folder}: {functions} functions, host.json, .funcignore, {EXECUTABLE}"
        )?;
        match self.kept_settings {
            true => writeln!(f, "{folder}/{SETTINGS} was there and stays as it is")?,
            false => writeln!(f, "{folder}/{SETTINGS}: with placeholders, for func start")?,
        }
        if let Some(zip) = &self.zip {
            writeln!(f, "{}: the same without {SETTINGS}", zip.display())?;
        }
        if let Some(advice) = advice(self.build) {
            writeln!(f, "\n{advice}")?;
        }
        // In a subshell: the archive's path is relative to the present folder.
        let folder = shell_quoted(&self.folder);
        writeln!(
            f,
            "\nTo try it, with Azurite running:\n  (cd {folder} && func start)"
        )?;
        writeln!(
            f,
            "To deploy it:\n  (cd {folder} && func azure functionapp publish APP)"
        )?;
        if let Some(zip) = &self.zip {
            let zip = shell_quoted(zip);
            write!(
                f,
                "or\n  az functionapp deployment source config-zip --resource-group GROUP --name APP --src {zip}"
            )?;
        }
        Ok(())
    }
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
fn advice(build: ExecutableKind) -> Option<String> {
    let fault = match build {
        ExecutableKind::Static => return None,
        ExecutableKind::DynamicallyLinked => "needs the C library of a Linux like this one",
        ExecutableKind::OtherArchitecture => "is for another processor than x86-64",
        ExecutableKind::NotLinux => "is no Linux executable",
    };
    Some(format!(
        "This {EXECUTABLE} {fault}. On Azure's Linux plans use the static build:\n  \
         cargo build --profile dist --target x86_64-unknown-linux-musl\n  \
         and --executable target/x86_64-unknown-linux-musl/dist/{EXECUTABLE}"
    ))
}
