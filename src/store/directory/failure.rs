//! What an operating system's error means to the store's callers.

use std::io::{self, ErrorKind};

use crate::store::StoreError;

/// A refusal that stays until somebody changes the disk is [`StoreError::Denied`]; the rest may pass.
pub(super) fn store_error(operation: &'static str, path: &str, error: &io::Error) -> StoreError {
    let (key, reason) = (path.to_owned(), error.to_string());
    match error.kind() {
        ErrorKind::IsADirectory => StoreError::NotAFile { key },
        _ if operation == "get" && is_closed(error) => StoreError::Unreadable { key, reason },
        ErrorKind::PermissionDenied
        | ErrorKind::ReadOnlyFilesystem
        | ErrorKind::StorageFull
        | ErrorKind::QuotaExceeded
        | ErrorKind::FileTooLarge
        | ErrorKind::InvalidFilename => StoreError::Denied {
            operation,
            key,
            reason,
        },
        _ => StoreError::Unavailable {
            operation,
            key,
            reason,
        },
    }
}

/// No file can be under this name: there is none, or the disk can't have such a name.
pub(super) fn is_nowhere(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::NotFound | ErrorKind::InvalidFilename
    )
}

/// The file itself is closed to us.
fn is_closed(error: &io::Error) -> bool {
    error.kind() == ErrorKind::PermissionDenied
}

/// Links that lead to each other, for which [`ErrorKind`] has no stable name.
pub(super) fn is_circle(error: &io::Error) -> bool {
    cfg!(target_os = "linux") && error.raw_os_error() == Some(ELOOP)
}

/// Something is there that is no file.
pub(super) fn not_a_file() -> io::Error {
    io::Error::from(ErrorKind::IsADirectory)
}

/// Linux's number for too many levels of symbolic links.
const ELOOP: i32 = 40;
