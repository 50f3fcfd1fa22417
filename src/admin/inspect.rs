//! "Why did this user see that?": everything in storage that has a say in what a user is shown, side by side.
//! Only GET and LIST: it may be used while the service runs.

mod differences;
mod judge;
mod report;
mod seen;
mod text;

use std::time::Duration;

use crate::store::BlobStore;
use crate::user::UserId;

pub use report::{Part, Report};

/// What decides how a reader judges what is found.
#[derive(Debug, Clone)]
pub struct InspectSettings {
    /// How long an artifact counts.
    pub artifact_ttl: Duration,
    /// After this others settle a mark.
    pub pending_expiry: Duration,
    /// Which repository, branch and folder the files are mirrored in, while GitHub mode is on.
    pub mirrored_in: Option<String>,
}

/// Looks at all that is there of a user. What can't be read is told in its place.
///
/// Every task file is read: the artifact may be wrong about one that hasn't changed, too.
pub async fn inspect(store: &dyn BlobStore, user: &UserId, settings: &InspectSettings) -> Report {
    let seen = seen::look(store, user).await;
    Report::of(&seen, settings)
}
