//! Behaviour specific to Azure: containers, retries, unexpected answers.

mod answers;
mod containers;
mod lost_answers;
mod tokens;

use std::time::{Duration, Instant};

use axum::http::{HeaderMap, StatusCode, Uri};
use codex_miroir::net::TrustStore;
use codex_miroir::store::azure::{AzureConnection, AzureStore};
use codex_miroir::store::{
    BlobKey, BlobStore, DeleteOutcome, ETag, GetIf, GetOutcome, Prefix, Put, PutIf, PutOutcome,
    StoreError, WriteId, WriteIds,
};
use codex_miroir::user::UserId;
use futures::future::join_all;

use crate::support::azurite::{KEY, azurite};
use crate::support::tcp_proxy::{Fault, TcpProxy};

fn ada() -> UserId {
    UserId::parse("ada").unwrap()
}

fn key() -> BlobKey {
    BlobKey::raw(&ada(), "0001.md").unwrap()
}

fn put(text: &str, id: u64) -> Put {
    let writes = WriteIds::default().with_newest(WriteId(id));
    Put {
        bytes: text.to_owned().into(),
        writes,
    }
}

fn store(connection: &str, container: &str) -> AzureStore {
    let connection = AzureConnection::parse(connection).unwrap();
    AzureStore::new(connection, container, &TrustStore::default()).unwrap()
}

/// A store in a container of its own, behind a proxy.
async fn proxied() -> (AzureStore, TcpProxy, String) {
    let proxy = TcpProxy::start(azurite().port()).await;
    let container = azurite().container();
    (
        store(&azurite().with_key(proxy.port()), &container),
        proxy,
        container,
    )
}

/// [`proxied`] after the first write, which has created the container.
async fn proxied_with_blob() -> (AzureStore, TcpProxy, ETag) {
    let (store, proxy, _) = proxied().await;
    let etag = created(&store).await;
    proxy.take_requests();
    (store, proxy, etag)
}

fn done(written: PutOutcome) -> ETag {
    match written {
        PutOutcome::Done(etag) => etag,
        PutOutcome::Refused => panic!("refused"),
    }
}

/// The first write of [`key`], which also creates the container.
async fn created(store: &AzureStore) -> ETag {
    let put = store.put(&key(), put("old", 1), PutIf::Absent).await;
    done(put.unwrap().value)
}

async fn writes(store: &AzureStore) -> WriteIds {
    match store.get(&key(), GetIf::Any).await.unwrap().value {
        GetOutcome::Blob(blob) => blob.writes,
        other => panic!("{other:?}"),
    }
}
