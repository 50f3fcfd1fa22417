//! PURE. What one round of a reconcile pass has found, and how `git.json` changes by it.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};

use super::plan::AgreedBase;
use super::report::{SyncMode, UserReport};
use super::sync_state::{LastError, UserSyncState};
use crate::github::{SkipCode, UserTree};
use crate::task::{FileName, GitSha};
use crate::user::UserId;

/// The findings of a round.
pub(super) struct RoundFindings<'a> {
    pub mode: SyncMode,
    pub at: DateTime<Utc>,
    pub tree: &'a UserTree,
    /// The head that was read, the known heads that it comes after, and those of them that the branch was moved away
    /// from.
    pub head: Option<GitSha>,
    pub passed: &'a [GitSha],
    pub abandoned: &'a [GitSha],
    /// Contents both sides agree on.
    pub agreed: &'a [AgreedBase],
    /// Files that were held before.
    pub held_before: &'a BTreeSet<String>,
    /// Files that are held now; `None` if removals weren't judged.
    pub held: Option<&'a BTreeSet<FileName>>,
    /// The error to show, with its code.
    pub error: Option<(&'static str, String)>,
}

impl RoundFindings<'_> {
    /// Records the findings, unless another pass or push has recorded a newer commit since.
    pub(super) fn note(&self, sync_state: &mut UserSyncState) {
        if !sync_state.is_newest(self.head, self.passed) {
            return;
        }
        for agreed in self.agreed {
            agreed.note(sync_state);
        }
        sync_state.respelt = self.tree.respelt.iter().map(UserId::to_string).collect();
        sync_state.renamed = !self.tree.respelt.is_empty() && self.tree.folder.is_none();
        if sync_state.commit != self.head || self.mode.manual {
            sync_state.synced_at = Some(self.at);
        }
        if let Some(head) = self.head {
            sync_state.record_head(head, self.abandoned);
        }
        if let Some(held) = self.held {
            // Replace those held before this pass; files that another pass has held since stay.
            sync_state
                .held
                .retain(|name| !self.held_before.contains(name));
            sync_state.held.extend(held.iter().map(FileName::to_string));
        }
        let shown = sync_state.last_error.as_ref();
        let is_over = self.mode.request.clean && shown.is_some_and(LastError::is_from_reconcile);
        if self.error.is_some() || is_over {
            sync_state.set_last_error(self.error.clone(), self.at);
        }
    }
}

/// The error to show for a round, with its code. `path` is that of a file in Git.
pub(super) fn error_to_show(
    report: &UserReport,
    path: impl Fn(&FileName) -> String,
) -> Option<(&'static str, String)> {
    let skipped = |code, name| {
        let found = report.skipped.iter().find(|it| it.code == code);
        found.map(|it| (name, it.message.clone()))
    };
    let blocked = || {
        let path = path(report.blocked.first()?);
        let message =
            format!("In Git {path} isn't a plain file of at most 1 MiB: move it away there.");
        Some(("not_a_file", message))
    };
    skipped(SkipCode::MassDelete, "mass_delete")
        .or_else(|| skipped(SkipCode::OtherSpelling, "other_spelling"))
        .or_else(blocked)
}
