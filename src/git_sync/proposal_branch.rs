//! PURE. Which branch a change is proposed on, and what of a branch may be used (`src/git_sync/README.md`,
//! "Pull requests").

use crate::task::GitSha;

/// The highest number suffix of a branch name, for names taken by branches that were never deleted. After that the
/// suffix is the content's SHA, or where that was proposed before, the SHA of the commit the branch is made from.
const MAX_COUNTED: u32 = 3;

/// The names to try for a new request's branch, in this order. First the one that is `recorded`: it may have an open
/// request whose answer was lost.
pub fn branch_names(
    first: &str,
    recorded: Option<&str>,
    content: GitSha,
    head: GitSha,
) -> Vec<String> {
    let counted = (2..=MAX_COUNTED).map(|number| format!("{first}-{number}"));
    let named = [content, head].map(|sha| format!("{first}-{:.7}", sha.to_string()));
    let others = std::iter::once(first.to_owned())
        .chain(counted)
        .chain(named);
    let others = others.filter(|it| Some(it.as_str()) != recorded);
    recorded
        .map(str::to_owned)
        .into_iter()
        .chain(others)
        .collect()
}

/// What is done with a branch of one of these names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BranchUse {
    /// It is another change's or person's: try the next name.
    Skip,
    /// Record it, then create it.
    RecordAndCreate,
    /// It is recorded for this file, by an interrupted push: create it if it isn't there, and go on with it.
    Resume,
}

impl BranchUse {
    /// Decides, by whether the branch exists, and whether it is recorded for this file.
    pub fn of(exists: bool, is_recorded: bool) -> Self {
        match (exists, is_recorded) {
            (_, true) => Self::Resume,
            (true, false) => Self::Skip,
            (false, false) => Self::RecordAndCreate,
        }
    }
}

/// The content of the file on a branch, if it is neither absent nor one of the `own` ones: then it is a reviewer's, or
/// that of another change.
pub fn foreign_content(
    on_branch: Option<GitSha>,
    own: impl IntoIterator<Item = GitSha>,
) -> Option<GitSha> {
    let mut own = own.into_iter();
    on_branch.filter(|sha| own.all(|it| it != *sha))
}
