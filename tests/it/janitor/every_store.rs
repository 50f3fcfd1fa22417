//! A pass over a directory store on a real disk, with a clock that is a day later.

use std::sync::Arc;

use chrono::Utc;
use codex_miroir::store::directory::DirectoryStore;

use crate::support::janitor::everything_that_is_expired_goes;

#[tokio::test(flavor = "multi_thread")]
async fn in_a_directory_everything_that_is_expired_goes() {
    let folder = tempfile::tempdir().unwrap();
    let store = DirectoryStore::open(folder.path(), Utc::now).unwrap();
    everything_that_is_expired_goes(Arc::new(store)).await;
}
