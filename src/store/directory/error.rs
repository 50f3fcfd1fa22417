//! Maps I/O errors to store errors.

use std::io::{self, ErrorKind};

use crate::store::error::StoreError;

/// [`StoreError::Denied`] for errors that persist until an operator changes the disk; the others may be transient.
pub(super) fn store_error(operation: &'static str, path: &str, error: &io::Error) -> StoreError {
    let (key, reason) = (path.to_owned(), error.to_string());
    match error.kind() {
        ErrorKind::IsADirectory => StoreError::NotAFile { key },
        // The process lacks permission for the file itself.
        ErrorKind::PermissionDenied if operation == "get" => StoreError::Unreadable { key, reason },
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
        _ => StoreError::unavailable(operation, path, reason),
    }
}

/// No file can exist under this name: it is missing, or the file system doesn't support the name.
pub(super) fn is_not_found(error: &io::Error) -> bool {
    let kind = error.kind();
    matches!(kind, ErrorKind::NotFound | ErrorKind::InvalidFilename)
}

/// A symbolic link loop, for which [`ErrorKind`] has no stable variant.
pub(super) fn is_link_loop(error: &io::Error) -> bool {
    // Linux's error number for too many levels of symbolic links.
    const ELOOP: i32 = 40;
    cfg!(target_os = "linux") && error.raw_os_error() == Some(ELOOP)
}

/// The path is taken by something that isn't a file.
pub(super) fn not_a_file() -> io::Error {
    io::Error::from(ErrorKind::IsADirectory)
}
