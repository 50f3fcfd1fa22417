//! What an operating system's error means to the store's callers.

use std::io::{self, ErrorKind};

use crate::store::StoreError;

/// A refusal that stays until somebody changes the disk is [`StoreError::Denied`]; the rest may pass.
pub(super) fn store_error(operation: &'static str, path: &str, error: &io::Error) -> StoreError {
    let (key, reason) = (path.to_owned(), error.to_string());
    match error.kind() {
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
