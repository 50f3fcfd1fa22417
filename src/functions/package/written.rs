//! What a person reads after packaging: what was written, and what to do next.

use std::fmt;
use std::path::{Path, PathBuf};

use super::contents::AppFile;
use super::{Build, EXECUTABLE, Order, SETTINGS};

/// A package that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    folder: PathBuf,
    zip: Option<PathBuf>,
    functions: usize,
    kept_settings: bool,
    build: Build,
}

impl Written {
    pub(super) fn new(order: &Order, files: &[AppFile], kept_settings: bool, build: Build) -> Self {
        let functions = files.iter().filter(|file| file.name.contains('/'));
        Self {
            folder: order.folder.clone(),
            zip: order.zip.clone(),
            functions: functions.count(),
            kept_settings,
            build,
        }
    }
}

impl fmt::Display for Written {
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
        // In a shell of its own: the archive's path is seen from here.
        let folder = for_a_shell(&self.folder);
        writeln!(
            f,
            "\nTo try it, with Azurite running:\n  (cd {folder} && func start)"
        )?;
        writeln!(
            f,
            "To deploy it:\n  (cd {folder} && func azure functionapp publish APP)"
        )?;
        if let Some(zip) = &self.zip {
            let zip = for_a_shell(zip);
            write!(
                f,
                "or\n  az functionapp deployment source config-zip --resource-group GROUP --name APP --src {zip}"
            )?;
        }
        Ok(())
    }
}

/// In quotes, where a shell would take it for something else.
fn for_a_shell(path: &Path) -> String {
    let path = path.display().to_string();
    let plain = |it: char| it.is_alphanumeric() || "/._-+,:@%".contains(it);
    match !path.is_empty() && path.chars().all(plain) {
        true => path,
        false => format!("'{}'", path.replace('\'', r"'\''")),
    }
}

/// What has to change before this executable runs on Azure.
fn advice(build: Build) -> Option<String> {
    let fault = match build {
        Build::Static => return None,
        Build::NeedsLibraries => "needs the C library of a Linux like this one",
        Build::OtherProcessor => "is for another processor than x86-64",
        Build::NotLinux => "is no Linux executable",
    };
    Some(format!(
        "This {EXECUTABLE} {fault}. On Azure's Linux plans use the static build:\n  \
         cargo build --release --target x86_64-unknown-linux-musl\n  \
         and --executable target/x86_64-unknown-linux-musl/release/{EXECUTABLE}"
    ))
}
