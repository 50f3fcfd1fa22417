//! Why a command failed.

use crate::codex::{Refusal, TaskError};
use crate::shared_cache::NoAnswer;
use crate::store::StoreError;
use crate::user::UserId;

/// Why a command didn't do, or couldn't tell, all that it was asked for. Each of these ends the process with exit code
/// 1 and is printed as its one line, as is a wrong argument or setting.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// A storage request failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The user's data can't be read through the cache.
    #[error(transparent)]
    Read(#[from] TaskError),
    /// The write protocol refused or failed to change task files.
    #[error("{}", .0.error)]
    Write(Refusal),
    /// A single file takes longer than a write intent may stay pending.
    #[error("the storage is too slow for CODEX_PENDING_EXPIRY_SECONDS; increase it")]
    TooSlow,
    /// Nothing is stored for the user.
    #[error("nothing is stored for {0}; logins are written as GitHub spells them")]
    Nothing(UserId),
    /// `doctor`: so many parts are broken.
    #[error("{0} of these {are} broken", are = if *.0 == 1 { "is" } else { "are" })]
    Broken(usize),
    /// `inspect`: a part of the report is missing, because it can't be read.
    #[error("not everything can be read")]
    Incomplete,

    /// `export`: the zip writer failed.
    #[error("the zip can't be written: {0}")]
    Zip(#[from] zip::result::ZipError),
    /// `export`: the zip is written, without the files that can't be read.
    #[error("these can't be read and aren't in {zip}: {}", .names.escape_debug())]
    LeftOut {
        /// The zip's path.
        zip: String,
        /// The files' names.
        names: String,
    },

    /// `delete`: a request failed on the way. What was removed until then stays removed.
    #[error("{0}; run the same command again to remove the rest")]
    Interrupted(Box<AdminError>),
    /// `delete`: the storage's part is done, and the snapshot that instances share may be left.
    #[error(
        "{0}, so a snapshot of the user may be left there for up to CODEX_ARTIFACT_TTL_SECONDS; run the same command again to remove it"
    )]
    InShared(#[from] NoAnswer),
    /// `delete`: `git.json` lists so many files, and `--despite-git` isn't given.
    #[error(
        "by git.json, Git holds {0} of the user's files, which a sync would import again: remove them there first, or add --despite-git"
    )]
    InGit(usize),
    /// `delete`: a newer version of the service wrote this blob.
    #[error("a newer version of the service wrote {0}: delete the user with that version")]
    Newer(&'static str),
    /// `delete`: other writers kept changing the user's data.
    #[error(
        "the user's data keeps changing: revoke the login's access (CODEX_ALLOWED_LOGINS), and try again"
    )]
    Contended,

    /// `rebind`: the login has no `owner.json`: no account has signed in by it.
    #[error(
        "{0} has no owner.json, so the first account to sign in by that login gets it; to name the account now, add --create"
    )]
    NoOwner(UserId),
    /// `rebind`: the login's folder is spelled in another letter case.
    #[error("this login's folder is spelled {0}: use that spelling")]
    Spelling(UserId),
    /// `rebind`: accounts of this sign-in provider have no numbers.
    #[error(
        "behind {0}, owner.json holds the provider's id, which is no number: there is nothing to rebind"
    )]
    NoNumbers(String),
    /// `rebind`: a newer version of the service wrote `owner.json`.
    #[error("a newer version of the service wrote owner.json: use that version")]
    NewerOwner,
    /// `rebind`: `owner.json` was changed between the read and the write.
    #[error("owner.json was changed in between: check it, and try again")]
    Changed,
}
