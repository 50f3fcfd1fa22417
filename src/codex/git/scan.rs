//! Finding what Git doesn't have and nobody remembers: a hint that couldn't be written beside its file, a
//! file that something else wrote.

use super::fetch::hint_text;
use super::plan::unpushed;
use super::{GitTrouble, want};
use crate::cache::Freshness;
use crate::codex::Codex;
use crate::now::Now;
use crate::store::{Key, Put, PutIf, Written};
use crate::user::UserId;

impl Codex {
    /// Leaves a hint for a user who has files that Git doesn't have as they are, or pull requests of which it isn't
    /// known what became, unless there is one already. Whether it did.
    ///
    /// # Errors
    /// When GitHub mode is off, or the store can't be read or written.
    pub(in crate::codex) async fn hint_at_unpushed(
        &self,
        user: &UserId,
        now: Now,
    ) -> Result<bool, GitTrouble> {
        let (book, _) = self.book(user).await?;
        let want = want(user, now.later(), Freshness::Bounded);
        let entry = self.cache.read(&want).await?.entry;
        if unpushed(&book, entry.table()).is_empty() && !book.has_open_pulls() {
            return Ok(false);
        }
        let put = Put {
            bytes: hint_text(now.later()),
            ..Put::default()
        };
        // One that is there may be just being followed: a look finds more than this one did.
        let written = self.store.put(&Key::hint(user), put, PutIf::Absent).await?;
        Ok(matches!(written.value, Written::Done(_)))
    }
}
