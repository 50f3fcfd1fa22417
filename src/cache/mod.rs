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
mod single_flight;
mod snapshot;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::user::UserId;
use crate::user_state::{ReadError, StoredState, Version};

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
