//! A span for each call of a store.

use super::blob_store::StoreAnswer;
use super::error::StoreError;
use super::wrapped::AroundCall;
use crate::spans;

/// Makes the spans, as children of the current one.
pub struct StorageSpans;

impl AroundCall for StorageSpans {
    async fn run<T: Send>(
        &self,
        operation: &'static str,
        path: &str,
        call: impl Future<Output = StoreAnswer<T>> + Send,
    ) -> StoreAnswer<T> {
        let span = spans::client("storage", operation);
        if let Some(span) = &span {
            span.set("codex.blob", blob_kind(path));
        }
        let result = call.await;
        if let (Some(span), Err(error)) = (&span, &result) {
            span.fail(error_class(error));
        }
        result
    }
}

/// What a path is of. Unlike the path it has no user and no title.
pub fn blob_kind(path: &str) -> &'static str {
    let (folder, rest) = path.split_once('/').unwrap_or((path, ""));
    match (folder, rest.rsplit('/').next().unwrap_or_default()) {
        ("raw", _) => "task",
        ("artifacts", _) => "artifact",
        ("queue", _) => "hint",
        ("state", "state.json") => "state",
        ("state", "owner.json") => "owner",
        ("state", "git.json" | ".github.json") => "git",
        ("state", "calendar.json") => "calendar",
        ("state", "nextId.txt") => "legacy_counter",
        ("state", "") => "folder",
        _ => "other",
    }
}

fn error_class(error: &StoreError) -> &'static str {
    match error {
        StoreError::Unavailable { .. } => "unavailable",
        StoreError::Denied { .. } => "denied",
        StoreError::NotAFile { .. } => "not_a_file",
        StoreError::Unreadable { .. } => "unreadable",
    }
}
