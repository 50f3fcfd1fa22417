//! The contract of every store (src/store/README.md, "The contract"), over Azurite.

use codex_miroir::net::TrustStore;
use codex_miroir::store::PutIf;
use codex_miroir::store::azure::{AzureConnection, AzureStore};

use crate::support::azurite::azurite;
use crate::support::identity::IdentityEndpoint;
use crate::support::store_conformance::others::neither_absent_nor_free;
use crate::support::store_conformance::{Opened, bytes, every_fact_on, raw, user, written};

every_fact_on!(azurite_key, azurite_sas, azurite_identity);

// In a container that doesn't exist yet.

fn azurite_key() -> Opened {
    Opened::of(azurite().store(&azurite().container()))
}

fn azurite_sas() -> Opened {
    let connection = azurite().with_sas(azurite().port());
    let connection = AzureConnection::parse(&connection).unwrap();
    let store = AzureStore::new(connection, &azurite().container(), &TrustStore::default());
    Opened::of(store.unwrap())
}

/// Over https, by tokens of a managed identity.
fn azurite_identity() -> Opened {
    Opened::of(IdentityEndpoint::start().store(&azurite().container()))
}

/// Accounts with a hierarchical namespace have folders, which are listed as empty blobs with this marker.
#[tokio::test]
async fn on_azure() {
    let container = azurite().container();
    let store = azurite().store(&container);
    let any = written(
        &store,
        &raw(&user("bob"), "0001.md"),
        bytes("x"),
        PutIf::Absent,
    )
    .await;
    assert!(!any.as_str().is_empty());
    let path = format!("{container}/raw/ada/tasks/0002.md");
    let headers = "x-ms-blob-type: BlockBlob\r\nx-ms-meta-hdi_isfolder: true\r\n";
    let answer = azurite().send("PUT", &path, headers).await;
    assert!(answer.starts_with("http/1.1 201"), "{answer}");
    neither_absent_nor_free(&store, &user("ada"), &["0002.md"]).await;
}
