//! "Why did this user see that?": everything in storage that determines what a user is shown, side by side.
//! Issues only GET and LIST, so it may run beside the service.

mod differences;
mod judge;
mod report;
mod seen;
mod text;

use std::time::Duration;

use crate::store::BlobStore;
use crate::user::UserId;

pub use report::{InspectReport, Section};

/// The settings by which a read evaluates the blobs.
#[derive(Debug, Clone)]
pub struct InspectSettings {
    /// How long an artifact is valid.
    pub artifact_ttl: Duration,
    /// The age from which any instance may recover a write intent.
    pub pending_expiry: Duration,
    /// The repository, branch and folder of the mirror (`owner/name@branch:folder`), in GitHub mode.
    pub mirrored_in: Option<String>,
}

/// Reads and evaluates everything that is stored for a user. Read errors are reported in their section.
///
/// Every task file is read, because the artifact may be wrong about an unchanged one, too.
pub async fn inspect(
    store: &dyn BlobStore,
    user: &UserId,
    settings: &InspectSettings,
) -> InspectReport {
    let inspected = seen::collect_user(store, user).await;
    InspectReport::of(&inspected, settings)
}
