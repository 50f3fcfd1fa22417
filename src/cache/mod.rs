//! Two cache layers in front of a user's task files (snapshots in memory, one artifact blob per user), and the rebuild
//! from the files behind both.
//!
#![doc = include_str!("README.md")]

mod artifact;
mod decide;
mod layers;
mod listing;
mod memory;
mod read;
mod rebuild;
mod request;
mod responses;
mod settings;
mod shared;
mod shared_entry;
mod single_flight;
mod snapshot;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use crate::now::Now;
use crate::user::UserId;
use crate::user_state::{ReadError, State, StoredState, Version};

pub use artifact::{Artifact, ArtifactRejection};
pub use decide::{
    BoundsStep, Consistency, ListingFacts, PublishStep, ReadStep, ReadView, SeenArtifact,
    SeenState, SnapshotAge, VersionBounds, bounds_after_reread, decide_bounds, decide_publish,
    decide_publish_foreign, decide_read, finished_version, inexact_bounds, join_key, listing_floor,
    new_state,
};
pub use layers::Cache;
pub use listing::{
    KnownFiles, ListedTable, PartitionedListing, digest_of, is_foreign, non_file_problem,
    non_file_record, partition_listing, unreadable_record,
};
pub use memory::SnapshotMemory;
pub use request::{Layer, Read, ReadRequest};
pub use responses::{Encoding, PageBytes, PageFormat};
pub use settings::CacheSettings;
pub use shared_entry::{EntryAge, entry_age, entry_rejection, is_publishable, is_readable};
pub use snapshot::{Changed, Snapshot};

impl Cache {
    /// Returns the user's snapshot at the requested consistency. Makes no storage request while memory satisfies it.
    ///
    /// # Errors
    /// [`ReadError`], if the store fails and no snapshot may be served stale.
    pub async fn read(self: &Arc<Self>, request: &ReadRequest) -> Result<Read, ReadError> {
        read::read(self, request).await
    }

    /// The rendered response in this format. Rendered on first demand, then kept with the snapshot, which is weighed
    /// again.
    pub fn page(&self, entry: &Arc<Snapshot>, format: PageFormat, encoding: Encoding) -> PageBytes {
        let page = entry.page(format, encoding, self.settings.zone);
        if page.rendered {
            self.memory.replace(entry, entry);
        }
        page
    }

    /// The user's snapshot in memory, of any age.
    pub fn known(&self, user: &UserId) -> Option<Arc<Snapshot>> {
        self.memory.get(user)
    }

    /// Replaces the user's snapshot by one with this change, unless memory has more by now. `state` is the newest
    /// document known.
    pub fn publish_change(
        &self,
        snapshot: &Snapshot,
        change: &Changed,
        state: Option<Arc<StoredState>>,
    ) {
        let changed = snapshot.with_change(change, state, self.settings.zone);
        self.memory.publish(&Arc::new(changed), false);
    }

    /// Records a version, before it is acknowledged to the user: no stale answer may lack it.
    pub fn raise_acknowledged(&self, user: &UserId, version: Version) {
        self.acknowledged.raise(user, version);
    }

    /// Leaves the user's snapshot for other instances and tells them, after an operation of this one has been finished by
    /// the document `state`, whose swap was sent at `sent`; if it isn't exact there, they are told only.
    pub fn publish_finished(&self, user: &UserId, state: &State, sent: Instant, now: Now) {
        let finished = state.finished();
        let known = self.memory.get(user).filter(|known| {
            is_publishable(&known.bounds, self.settings.rules) && known.bounds.hi >= finished
        });
        match known {
            Some(known) => {
                known.mark_confirmed(sent);
                shared::publish(self, &known, Some(known.bounds.hi), now);
            }
            None => shared::tell(self, user, finished),
        }
    }

    /// Whether a cache is shared with other instances, so that a snapshot may come from there.
    pub fn is_shared(&self) -> bool {
        self.shared.is_some()
    }

    /// Whether other instances' changes show in a plain read at once.
    pub fn hears_hints(&self) -> bool {
        let shared = self.shared.as_ref();
        shared.is_some_and(|layer| layer.server.hears())
    }

    /// Takes note of another instance's change: from now on memory answers the user only if it contains this version.
    pub fn hear(&self, user: &UserId, version: Version) {
        self.memory.raise_floor(user, version);
    }

    /// Writes the artifact of an exact snapshot. A failure is logged and costs the next new instance a listing.
    pub async fn write_artifact(&self, entry: &Snapshot) {
        artifact::write_artifact(&*self.states.limited.store, entry).await;
    }

    /// Number of rebuilds since the start.
    pub fn rebuilds(&self) -> u64 {
        self.rebuilds.load(Ordering::Relaxed)
    }

    /// Number of snapshots in memory, and their size in bytes.
    pub fn memory_size(&self) -> (u64, u64) {
        self.memory.size()
    }
}
