//! The janitor's work for one user.

use super::{JanitorError, JanitorPass, JanitorReport};
use crate::store::{BlobKey, ListedBlob, Prefix};
use crate::user::UserId;

impl JanitorPass {
    /// Collects all that expired of one user.
    ///
    /// # Errors
    /// At the first failure; `report` counts what was done before it.
    pub(super) async fn clean_up_user(
        &self,
        user: &UserId,
        report: &mut JanitorReport,
    ) -> Result<(), JanitorError> {
        let now = self.now.later();
        // List the artifact before reading the state: an artifact is written only while there is a state, so a new
        // user's artifact can't be taken for a deleted user's.
        let artifact = self.clean_up_artifacts(user, report).await?;
        let cache = &self.codex.cache;
        let collected = cache.states().collect_garbage(user, &now).await?;
        if let Some(stored) = &collected.stored {
            cache.attach_state(user, stored);
        }
        report.records += collected.records;
        report.intents += collected.intents;
        report.tombstones += collected.tombstones;
        let is_gone = !collected.has_state && !collected.has_files;
        if let Some(artifact) = artifact.filter(|_| is_gone) {
            let gone = self.remove(BlobKey::artifact(user), artifact.etag).await?;
            report.artifacts += usize::from(gone);
        }
        self.clean_up_state(user, report).await?;
        let may_be_unpushed = self.codex.git.is_some() && collected.has_files;
        if may_be_unpushed && !self.users_by_prefix.queue.contains(user) {
            let hinted = self.codex.hint_at_unpushed(user, now).await?;
            report.hints += usize::from(hinted);
        }
        Ok(())
    }

    /// Removes the older service's artifacts; returns the user's current one.
    async fn clean_up_artifacts(
        &self,
        user: &UserId,
        report: &mut JanitorReport,
    ) -> Result<Option<ListedBlob>, JanitorError> {
        if !self.users_by_prefix.artifacts.contains(user) {
            return Ok(None);
        }
        let prefix = Prefix::artifacts(user);
        let contents = self.codex.store.contents(&prefix).await?;
        self.remove_leftovers(&prefix, &contents, report).await?;
        let path = BlobKey::artifact(user);
        let is_ours = |blob: &ListedBlob| format!("{prefix}{}", blob.name) == path.path();
        Ok(contents.value.blobs.into_iter().find(is_ours))
    }

    /// Removes what the older service left beside the user's state.
    async fn clean_up_state(
        &self,
        user: &UserId,
        report: &mut JanitorReport,
    ) -> Result<(), JanitorError> {
        if !self.users_by_prefix.state.contains(user) {
            return Ok(());
        }
        let prefix = Prefix::state(user);
        let contents = self.codex.store.contents(&prefix).await?;
        self.remove_leftovers(&prefix, &contents, report).await?;
        if contents.value.folders.contains(Prefix::IDEMPOTENCY) {
            let prefix = Prefix::legacy_idempotency(user);
            let records = self.codex.store.contents(&prefix).await?;
            self.remove_leftovers(&prefix, &records, report).await?;
        }
        Ok(())
    }
}
