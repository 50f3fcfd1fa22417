//! What the janitor removes, over Azurite.

use std::sync::Arc;

use crate::support::azurite::azurite;
use crate::support::janitor::everything_that_is_expired_goes;

#[tokio::test(flavor = "multi_thread")]
async fn on_azurite_everything_that_is_expired_goes() {
    let store = azurite().store(&azurite().container());
    everything_that_is_expired_goes(Arc::new(store)).await;
}
