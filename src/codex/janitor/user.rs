//! One user's share of the janitor's work.

use super::{JanitorError, JanitorReport, Pass};
use crate::store::{Key, Listed, Prefix};
use crate::user::UserId;

impl Pass {
    /// Does it all, or as much as goes; `report` has what was done in either case.
    pub(super) async fn tidy_up_after(
        &self,
        user: &UserId,
        report: &mut JanitorReport,
    ) -> Result<(), JanitorError> {
        let now = self.now.later();
        // Before the state: an artifact is only made where there is one, so that a new user's isn't taken
        // for that of somebody who is gone.
        let artifact = self.user_artifacts(user, report).await?;
        let tidied = self.codex.cache.tidy(user, &now).await?;
        report.records += tidied.records;
        report.marks += tidied.marks;
        report.settled += tidied.settled;
        let is_gone = !tidied.has_state && !tidied.has_files;
        if let Some(artifact) = artifact.filter(|_| is_gone) {
            let gone = self.remove(Key::artifact(user), artifact.etag).await?;
            report.artifacts += usize::from(gone);
        }
        self.user_state(user, report).await?;
        let may_be_unpushed = self.codex.git.is_some() && tidied.has_files;
        if may_be_unpushed && !self.known.queue.contains(user) {
            let hinted = self.codex.hint_at_unpushed(user, now).await?;
            report.hints += usize::from(hinted);
        }
        Ok(())
    }

    /// The user's artifact, after the older service's have gone.
    async fn user_artifacts(
        &self,
        user: &UserId,
        report: &mut JanitorReport,
    ) -> Result<Option<Listed>, JanitorError> {
        if !self.known.artifacts.contains(user) {
            return Ok(None);
        }
        let prefix = Prefix::artifacts(user);
        let contents = self.codex.store.contents(&prefix).await?;
        self.remove_leftovers(&prefix, &contents, report).await?;
        let path = Key::artifact(user);
        let is_ours = |blob: &Listed| format!("{prefix}{}", blob.name) == path.path();
        Ok(contents.value.blobs.into_iter().find(is_ours))
    }

    /// What the older service left beside the user's state.
    async fn user_state(
        &self,
        user: &UserId,
        report: &mut JanitorReport,
    ) -> Result<(), JanitorError> {
        if !self.known.state.contains(user) {
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
