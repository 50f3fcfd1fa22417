//! What deploys the app: Azure's resources, the project of the Azure Developer CLI, a workflow. It belongs into a
//! repository of the user's, who edits it, so a file that is there is never replaced.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Component, Path, PathBuf};

use super::folder::{PackageError, replace};

/// The templates, by their paths in the folder.
const FILES: [(&str, &str); 4] = [
    ("azure.yaml", include_str!("../deploy/azure.yaml")),
    ("infra/main.bicep", include_str!("../deploy/main.bicep")),
    (
        "infra/main.parameters.json",
        include_str!("../deploy/main.parameters.json"),
    ),
    (
        ".github/workflows/deploy.yml",
        include_str!("../deploy/deploy.yml"),
    ),
];

/// A file of the deployment, and what happened to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DeployFile {
    pub(super) path: PathBuf,
    pub(super) outcome: Outcome,
    text: &'static str,
}

/// What a template finds at its path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Nothing: it is written.
    Written,
    /// Itself.
    Same,
    /// Something else, which stays.
    Differs,
}

/// What is to be done to each file in `folder`; writes nothing.
///
/// # Errors
/// `Nested` if `folder` and the app folder are one, or one is inside the other: the files would be deployed, or the
/// app's files be committed.
pub(super) fn plan(folder: &Path, app: &Path) -> Result<Vec<DeployFile>, PackageError> {
    let nested = || PackageError::Nested {
        deploy: folder.to_owned(),
        app: app.to_owned(),
    };
    let app_folder = resolved(app)?;
    if app_folder.starts_with(resolved(folder)?) {
        return Err(nested());
    }
    FILES
        .iter()
        .map(|&(name, text)| {
            let path = folder.join(name);
            // Not the folder alone: its subfolders may be links.
            if resolved(&path)?.starts_with(&app_folder) {
                return Err(nested());
            }
            let outcome = outcome(&path, text).map_err(PackageError::at(&path))?;
            Ok(DeployFile {
                path,
                outcome,
                text,
            })
        })
        .collect()
}

/// Writes the files that are missing.
pub(super) fn write(files: &[DeployFile]) -> Result<(), PackageError> {
    let missing = files.iter().filter(|it| it.outcome == Outcome::Written);
    for file in missing {
        replace(&file.path, file.text.as_bytes(), 0o644)?;
    }
    Ok(())
}

fn outcome(path: &Path, text: &str) -> io::Result<Outcome> {
    match fs::read(path) {
        Ok(bytes) if bytes == text.as_bytes() => Ok(Outcome::Same),
        Ok(_) => Ok(Outcome::Differs),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Outcome::Written),
        Err(error) => Err(error),
    }
}

/// The absolute path without links, also of a folder that doesn't exist yet: the part that exists is resolved by the
/// system, the rest by its components.
fn resolved(path: &Path) -> Result<PathBuf, PackageError> {
    let absolute = std::path::absolute(path).map_err(PackageError::at(path))?;
    let mut found = PathBuf::new();
    for component in absolute.components() {
        match component {
            Component::ParentDir => {
                found.pop();
            }
            component => found.push(component),
        }
        found = match found.canonicalize() {
            Err(error) if error.kind() == ErrorKind::NotFound => found,
            canonical => canonical.map_err(PackageError::at(path))?,
        };
    }
    Ok(found)
}
