//! The server of a shared cache in memory, which decides as the real one's script does.

use std::collections::BTreeMap;

use codex_miroir::shared_cache::{
    Published, ReplaceStep, SharedBody, SharedEntry, Stamp, decide_replace,
};
use codex_miroir::user::UserId;

/// Every user's snapshot.
#[derive(Debug, Clone, Default)]
pub(crate) struct SharedModel {
    pub(crate) entries: BTreeMap<UserId, SharedEntry>,
}

impl SharedModel {
    /// What the server does with a snapshot that it is offered.
    pub(crate) fn publish(
        &mut self,
        user: &UserId,
        stamp: &Stamp,
        body: Option<SharedBody>,
    ) -> Published {
        let present = self.entries.get_mut(user);
        match (
            decide_replace(present.as_deref().map(|it| &it.stamp), stamp),
            present,
        ) {
            (ReplaceStep::Keep, _) => Published::Kept,
            (ReplaceStep::Raise, Some(present)) => {
                let confirmed = &mut present.stamp.confirmed;
                *confirmed = stamp.confirmed.max(*confirmed);
                Published::Raised
            }
            _ => match body {
                None => Published::Wanted,
                Some(body) => {
                    let stamp = stamp.clone();
                    self.entries
                        .insert(user.clone(), SharedEntry { stamp, body });
                    Published::Stored
                }
            },
        }
    }
}
