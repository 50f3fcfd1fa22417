//! Two cache layers in front of a user's task files (snapshots in memory, one artifact blob per user), and the rebuild
//! from the files behind both.
//!
#![doc = include_str!("README.md")]

mod artifact;
mod bounds;
mod decide;
mod file_records;
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
mod storage_read;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::user::UserId;
use crate::user_state::{ReadError, UserStates, Version};

pub use artifact::{Artifact, ArtifactRejection};
pub use bounds::{
    BoundsStep, ListingFacts, PublishStep, VersionBounds, bounds_after_reread, decide_bounds,
    decide_publish, decide_publish_foreign, finished_version, inexact_bounds, join_key, new_state,
};
pub use decide::{
    Consistency, ReadStep, ReadView, SeenArtifact, SeenState, SnapshotAge, decide_read,
    listing_floor,
};
pub use file_records::{non_file_problem, non_file_record, unreadable_record};
pub use listing::{
    KnownFiles, ListedTable, PartitionedListing, digest_of, is_foreign, partition_listing,
};
pub use memory::SnapshotMemory;
pub use request::{Layer, Read, ReadRequest};
pub use responses::{Encoding, PageBytes, PageFormat};
pub use settings::CacheSettings;
pub use snapshot::{Changed, Snapshot};

use layers::Layers;

/// The cache of one instance. A cheap handle: clones share one cache.
#[derive(Clone)]
pub struct Cache {
    layers: Arc<Layers>,
}

impl Cache {
    /// A cache in front of the store of `states`, with the snapshots in `memory`.
    pub fn new(memory: Arc<SnapshotMemory>, states: UserStates, settings: CacheSettings) -> Self {
        Self {
            layers: Arc::new(Layers::new(memory, states, settings)),
        }
    }

    /// Returns the user's snapshot at the requested consistency. Makes no storage request while memory satisfies it.
    ///
    /// # Errors
    /// [`ReadError`], if the store fails and no snapshot may be served stale.
    pub async fn read(&self, request: &ReadRequest) -> Result<Read, ReadError> {
        read::read(&self.layers, request).await
    }

    /// The rendered response in this format. Rendered on first demand, then kept with the snapshot, which is weighed
    /// again.
    pub fn page(&self, entry: &Arc<Snapshot>, format: PageFormat, encoding: Encoding) -> PageBytes {
        let page = entry.page(format, encoding, self.layers.settings.zone);
        if page.rendered {
            self.layers.memory.replace(entry, entry);
        }
        page
    }

    /// The user's snapshot in memory, of any age.
    pub fn known(&self, user: &UserId) -> Option<Arc<Snapshot>> {
        self.layers.memory.get(user)
    }

    /// Replaces the user's snapshot by one with this change, unless memory has more by now.
    pub fn publish_change(&self, snapshot: &Snapshot, changed: Changed<'_>) {
        let changed = snapshot.with_change(changed, self.layers.settings.zone);
        self.layers.memory.publish(&Arc::new(changed));
    }

    /// Records a version, before it is acknowledged to the user: no stale answer may lack it.
    pub fn raise_acknowledged(&self, user: &UserId, version: Version) {
        self.layers.acknowledged.raise(user, version);
    }

    /// Writes the artifact of an exact snapshot. A failure is logged and costs the next new instance a listing.
    pub async fn write_artifact(&self, entry: &Snapshot) {
        artifact::write_artifact(&**self.layers.states.limited.store(), entry).await;
    }

    /// Its settings.
    pub fn settings(&self) -> &CacheSettings {
        &self.layers.settings
    }

    /// Number of rebuilds since the start.
    pub fn rebuilds(&self) -> u64 {
        self.layers.rebuilds.load(Ordering::Relaxed)
    }

    /// Number of snapshots in memory, and their size in bytes.
    pub fn memory_size(&self) -> (u64, u64) {
        self.layers.memory.size()
    }
}
