//! The janitor's search for unsynchronised files without a hint: the hint of a write failed, or an editor wrote the
//! file directly.

use super::fetch::hint_text;
use super::plan::unpushed;
use super::{GitSyncError, read_request};
use crate::cache::Consistency;
use crate::codex::Codex;
use crate::now::Now;
use crate::store::{BlobKey, Put, PutIf, PutOutcome};
use crate::user::UserId;

impl Codex {
    /// Leaves a hint for a user who has unpushed files or open pull requests, unless there is one already. Whether it
    /// did.
    ///
    /// # Errors
    /// When GitHub mode is off, or the store can't be read or written.
    pub(in crate::codex) async fn hint_at_unpushed(
        &self,
        user: &UserId,
        now: Now,
    ) -> Result<bool, GitSyncError> {
        let (sync_state, _) = self.sync_state(user).await?;
        let read_request = read_request(user, now.later(), Consistency::Bounded);
        let entry = self.cache.read(&read_request).await?.entry;
        if unpushed(&sync_state, entry.table()).is_empty() && !sync_state.has_open_pulls() {
            return Ok(false);
        }
        let put = Put {
            bytes: hint_text(now.later()),
            ..Put::default()
        };
        // An existing hint may be in process; that pass finds at least what this check found.
        let written = self
            .store
            .put(&BlobKey::hint(user), put, PutIf::Absent)
            .await?;
        Ok(matches!(written.value, PutOutcome::Done(_)))
    }
}
