//! Why a store call has no outcome.

/// A path for the log. Of a task file's name only the number is shown, because the rest is the task's title.
fn redact_title(key: &str) -> String {
    match key.split_once("/tasks/") {
        Some((folder, name)) if key.starts_with("raw/") => {
            let rest = name.trim_start_matches(|c: char| c.is_ascii_digit());
            format!("{folder}/tasks/{}…", &name[..name.len() - rest.len()])
        }
        _ => key.to_owned(),
    }
}

/// Why a storage call has no outcome. Contains no account key, no signature and no URL with one.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// No usable response: connection refused or reset, timeout, 5xx. A write may or may not have happened.
    #[error(
        "storage can't be reached for {operation} {}: {reason}",
        redact_title(key)
    )]
    Unavailable {
        /// `get`, `put`, `delete`, `list`; `open` for a directory.
        operation: &'static str,
        /// The requested path.
        key: String,
        /// The cause, for the log.
        reason: String,
    },
    /// The store refuses the operation until an operator changes something: wrong key, missing role, read-only or full
    /// disk.
    #[error("storage refuses {operation} {}: {reason}", redact_title(key))]
    Denied {
        /// `get`, `put`, `delete`, `list`; `open` for a directory.
        operation: &'static str,
        /// The requested path.
        key: String,
        /// The cause, for the log.
        reason: String,
    },
    /// The entry isn't a file: a folder, a dangling or circular link, a socket; on Azure a folder of a hierarchical
    /// namespace. The blob doesn't exist, but its name isn't free: conditional writes and deletions are refused until the
    /// entry is moved away.
    #[error("{} is no file", redact_title(key))]
    NotAFile {
        /// The requested path.
        key: String,
    },
    /// This blob can't be read, although others can: a file without permission, a blob in the archive tier.
    #[error("{} can't be read: {reason}", redact_title(key))]
    Unreadable {
        /// The requested path.
        key: String,
        /// The cause, for the log.
        reason: String,
    },
}

impl StoreError {
    /// [`Self::Unavailable`] for this operation on this path.
    pub fn unavailable(operation: &'static str, path: &str, reason: impl ToString) -> Self {
        Self::Unavailable {
            operation,
            key: path.to_owned(),
            reason: reason.to_string(),
        }
    }
}
