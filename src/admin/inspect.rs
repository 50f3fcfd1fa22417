//! "Why did this user see that?": everything in storage that determines what a user is shown, side by side.
//! Issues only GET and LIST, so it may run beside the service.

pub mod differences;
pub mod judge;
mod report;
pub mod seen;

use crate::shared_cache::SharedSnapshots;
use crate::store::BlobStore;
use crate::user::UserId;

pub use judge::InspectSettings;
pub use report::InspectReport;

/// Reads and evaluates everything that is stored for a user, and what the shared cache has, if there is one. Read errors
/// are reported in their part.
///
/// Every task file is read, because the artifact may be wrong about an unchanged one, too.
pub async fn inspect(
    store: &dyn BlobStore,
    shared: Option<&dyn SharedSnapshots>,
    user: &UserId,
    settings: &InspectSettings,
) -> InspectReport {
    judge::judge(seen::look(store, shared, user).await, settings)
}
