//! The store and the repository converge, whatever happens on the way (`src/git_sync/README.md`): the slow tests, and
//! those over Azurite.

mod crashes;
mod lag;
mod logs;
mod outgoing;
mod reviews;
mod trees;

use crate::support::mirror::{Mirror, a_pushed_file_is_soon_in_every_timeline};

#[tokio::test(flavor = "multi_thread")]
async fn a_pushed_file_is_in_the_timeline_of_every_instance_within_five_seconds_on_azurite() {
    a_pushed_file_is_soon_in_every_timeline(Mirror::over_azurite()).await;
}
