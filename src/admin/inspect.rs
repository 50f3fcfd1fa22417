//! "Why did this user see that?": everything in storage that determines what a user is shown, side by side.
//! Issues only GET and LIST, so it may run beside the service.

pub mod differences;
pub mod judge;
mod report;
pub mod seen;

use crate::store::BlobStore;
use crate::user::UserId;

pub use judge::InspectSettings;
pub use report::InspectReport;

/// Reads and evaluates everything that is stored for a user. Read errors are reported in their part.
///
/// Every task file is read, because the artifact may be wrong about an unchanged one, too.
pub async fn inspect(
    store: &dyn BlobStore,
    user: &UserId,
    settings: &InspectSettings,
) -> InspectReport {
    judge::judge(seen::look(store, user).await, settings)
}
