//! What only Azure does: containers, retries, other answers than the expected ones.

use std::time::{Duration, Instant};

use axum::http::{HeaderMap, StatusCode, Uri};
use codex_miroir::store::azure::{AzureConnection, AzureStore};
use codex_miroir::store::{
    BlobStore, Deleted, ETag, GetIf, Got, Key, Prefix, Put, PutIf, StoreError, WriteId, WriteIds,
    Written,
};
use codex_miroir::user::UserId;
use futures::future::join_all;

use crate::support::azurite::{KEY, azurite};
use crate::support::tcp_proxy::{Fault, TcpProxy};

fn ada() -> UserId {
    UserId::parse("ada").unwrap()
}

fn key() -> Key {
    Key::raw(&ada(), "0001.md").unwrap()
}

fn put(text: &str, id: u64) -> Put {
    let writes = WriteIds::default().followed_by(WriteId(id));
    Put {
        bytes: text.to_owned().into(),
        writes,
    }
}

fn store(connection: &str, container: &str) -> AzureStore {
    AzureStore::new(AzureConnection::parse(connection).unwrap(), container).unwrap()
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

/// The same after the first write has made the container.
async fn proxied_with_blob() -> (AzureStore, TcpProxy, ETag) {
    let (store, proxy, _) = proxied().await;
    let etag = done(
        store
            .put(&key(), put("old", 1), PutIf::Absent)
            .await
            .unwrap()
            .value,
    );
    proxy.take_requests();
    (store, proxy, etag)
}

fn done(written: Written) -> ETag {
    match written {
        Written::Done(etag) => etag,
        Written::Refused => panic!("refused"),
    }
}

async fn writes(store: &AzureStore) -> WriteIds {
    match store.get(&key(), GetIf::Any).await.unwrap().value {
        Got::Blob(blob) => blob.writes,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_update_whose_answer_was_lost_is_refused_and_recognised() {
    let (store, proxy, etag) = proxied_with_blob().await;
    proxy.plan("PUT", 1, Fault::LoseAnswer);
    let written = store
        .put(&key(), put("new", 2), PutIf::Same(etag))
        .await
        .unwrap()
        .value;
    assert_eq!(
        (written, proxy.take_requests().len()),
        (Written::Refused, 2)
    );
    assert!(writes(&store).await.contains(WriteId(2)));
}

#[tokio::test]
async fn a_create_whose_answer_was_lost_is_refused_and_recognised() {
    let (store, proxy, etag) = proxied_with_blob().await;
    assert_eq!(
        store.delete(&key(), &etag).await.unwrap().value,
        Deleted::Done
    );
    proxy.plan("PUT", 1, Fault::LoseAnswer);
    let written = store
        .put(&key(), put("new", 2), PutIf::Absent)
        .await
        .unwrap()
        .value;
    assert_eq!(written, Written::Refused);
    assert!(writes(&store).await.contains(WriteId(2)));
}

#[tokio::test]
async fn a_delete_whose_answer_was_lost_leaves_nothing() {
    let (store, proxy, etag) = proxied_with_blob().await;
    proxy.plan("DELETE", 1, Fault::LoseAnswer);
    let deleted = store.delete(&key(), &etag).await.unwrap().value;
    assert!(matches!(deleted, Deleted::Refused | Deleted::Absent));
    assert!(matches!(
        store.get(&key(), GetIf::Any).await.unwrap().value,
        Got::Absent
    ));
}

#[tokio::test]
async fn a_write_whose_every_answer_is_lost_is_unavailable_and_recognised() {
    let (store, proxy, etag) = proxied_with_blob().await;
    for nth in 1..=3 {
        proxy.plan("PUT", nth, Fault::LoseAnswer);
    }
    let lost = store.put(&key(), put("new", 2), PutIf::Same(etag)).await;
    assert!(
        matches!(
            lost,
            Err(StoreError::Unavailable {
                operation: "put",
                ..
            })
        ),
        "{lost:?}"
    );
    assert!(writes(&store).await.contains(WriteId(2)));
}

#[tokio::test]
async fn a_write_that_never_got_there_is_sent_again() {
    let (store, proxy, etag) = proxied_with_blob().await;
    proxy.plan("PUT", 1, Fault::Refuse);
    proxy.plan("PUT", 2, Fault::Refuse);
    done(
        store
            .put(&key(), put("new", 2), PutIf::Same(etag))
            .await
            .unwrap()
            .value,
    );
    assert_eq!(proxy.take_requests().len(), 3);
}

#[tokio::test]
async fn a_try_that_hangs_is_given_up_and_sent_again() {
    let (store, proxy, _) = proxied_with_blob().await;
    proxy.plan("GET", 1, Fault::Hang);
    assert!(writes(&store).await.contains(WriteId(1)));
    assert_eq!(proxy.take_requests().len(), 2);
}

#[tokio::test]
async fn an_outage_is_unavailable_and_passes() {
    let (store, proxy, _) = proxied_with_blob().await;
    proxy.set_down(Some(Fault::Refuse));
    let down = store.list(&Prefix::raw(&ada())).await;
    assert!(
        matches!(
            down,
            Err(StoreError::Unavailable {
                operation: "list",
                ..
            })
        ),
        "{down:?}"
    );
    proxy.set_down(None);
    assert_eq!(
        store
            .list(&Prefix::raw(&ada()))
            .await
            .unwrap()
            .value
            .blobs
            .len(),
        1
    );
}

#[tokio::test]
async fn the_first_write_makes_the_container_and_reads_do_not() {
    let (store, proxy, container) = proxied().await;
    let other = ETag::new("0x1");
    assert!(matches!(
        store.get(&key(), GetIf::Any).await.unwrap().value,
        Got::Absent
    ));
    assert!(
        store
            .list(&Prefix::raw(&ada()))
            .await
            .unwrap()
            .value
            .blobs
            .is_empty()
    );
    let update = store
        .put(&key(), put("x", 1), PutIf::Same(other.clone()))
        .await
        .unwrap()
        .value;
    assert_eq!(update, Written::Refused);
    assert_eq!(
        store.delete(&key(), &other).await.unwrap().value,
        Deleted::Absent
    );
    assert_eq!(
        methods(&proxy),
        ["GET blob", "GET container", "PUT blob", "DELETE blob"]
    );

    done(
        store
            .put(&key(), put("x", 1), PutIf::Absent)
            .await
            .unwrap()
            .value,
    );
    assert_eq!(methods(&proxy), ["PUT blob", "PUT container", "PUT blob"]);
    done(
        store
            .put(&key(), put("x", 1), PutIf::Any)
            .await
            .unwrap()
            .value,
    );
    assert_eq!(methods(&proxy), ["PUT blob"]);

    let anonymous = azurite()
        .send_anonymously("GET", &format!("{container}/{}", key()))
        .await;
    assert!(!anonymous.starts_with("http/1.1 200"), "{anonymous}");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_first_writes_make_the_container_once() {
    let (store, proxy, _) = proxied().await;
    let keys: Vec<Key> = (0..20)
        .map(|n| Key::raw(&ada(), &format!("{n:04}.md")).unwrap())
        .collect();
    let written = join_all(
        keys.iter()
            .map(|key| store.put(key, put("x", 1), PutIf::Absent)),
    )
    .await;
    assert!(
        written
            .into_iter()
            .all(|w| matches!(w.unwrap().value, Written::Done(_)))
    );
    let made = methods(&proxy)
        .iter()
        .filter(|method| *method == "PUT container")
        .count();
    assert_eq!(made, 1);
}

#[tokio::test]
async fn a_container_that_is_there_is_not_made_again() {
    let (first, proxy, container) = proxied().await;
    done(
        first
            .put(&key(), put("x", 1), PutIf::Absent)
            .await
            .unwrap()
            .value,
    );
    proxy.take_requests();
    let second = store(&azurite().with_key(proxy.port()), &container);
    done(
        second
            .put(&key(), put("y", 2), PutIf::Any)
            .await
            .unwrap()
            .value,
    );
    assert_eq!(methods(&proxy), ["PUT blob"]);
}

#[tokio::test]
async fn every_call_is_one_request() {
    let (store, proxy, etag) = proxied_with_blob().await;
    let etag = done(
        store
            .put(&key(), put("new", 2), PutIf::Same(etag))
            .await
            .unwrap()
            .value,
    );
    store.get(&key(), GetIf::Any).await.unwrap();
    store
        .get(&key(), GetIf::Changed(etag.clone()))
        .await
        .unwrap();
    store.list(&Prefix::raw(&ada())).await.unwrap();
    store.delete(&key(), &etag).await.unwrap();
    let expected = [
        "PUT blob",
        "GET blob",
        "GET blob",
        "GET container",
        "DELETE blob",
    ];
    assert_eq!(methods(&proxy), expected);
}

/// `PUT blob` or `PUT container`, in order.
fn methods(proxy: &TcpProxy) -> Vec<String> {
    let kind = |path: &str| {
        if path.contains("restype=container") {
            "container"
        } else {
            "blob"
        }
    };
    let requests = proxy.take_requests();
    let each = requests
        .iter()
        .filter_map(|request| request.split_once(' '));
    each.map(|(method, path)| format!("{method} {}", kind(path)))
        .collect()
}

#[tokio::test]
async fn a_name_is_sent_in_characters_that_nobody_rewrites() {
    let (store, proxy, container) = proxied_with_blob().await;
    let odd = Key::raw(&ada(), "0002-ä [x]|'+'%2F^;=@ (1)!*.md").unwrap();
    done(
        store
            .put(&odd, put("x", 1), PutIf::Absent)
            .await
            .unwrap()
            .value,
    );
    let request = proxy.take_requests().remove(0);
    let path = request.strip_prefix("PUT /devstoreaccount1/").unwrap();
    let name = path.split_once("/raw/ada/tasks/").unwrap().1;
    assert_eq!(
        name, "0002-%C3%A4%20%5Bx%5D%7C%27%2B%27%252F%5E%3B%3D%40%20%281%29%21%2A.md",
        "{container:?}"
    );
}

#[tokio::test]
async fn folders_and_what_is_in_them_are_not_listed() {
    let container = azurite().container();
    let store = store(&azurite().with_key(azurite().port()), &container);
    done(
        store
            .put(&key(), put("x", 1), PutIf::Absent)
            .await
            .unwrap()
            .value,
    );
    let block = "x-ms-blob-type: BlockBlob\r\n";
    let folder = format!("{block}x-ms-meta-hdi_isfolder: true\r\n");
    for (name, headers) in [("sub/0002.md", block), ("sub", &folder), ("0003.md", block)] {
        let path = format!("{container}/raw/ada/tasks/{name}");
        let answer = azurite().send("PUT", &path, headers).await;
        assert!(answer.starts_with("http/1.1 201"), "{answer}");
    }
    let listing = store.list(&Prefix::raw(&ada())).await.unwrap().value;
    let mut names: Vec<String> = listing.blobs.into_iter().map(|blob| blob.name).collect();
    names.sort();
    assert_eq!(names, ["0001.md", "0003.md"]);
}

#[tokio::test]
async fn a_blob_has_its_content_type() {
    let container = azurite().container();
    let store = store(&azurite().with_key(azurite().port()), &container);
    done(
        store
            .put(&key(), put("x", 1), PutIf::Absent)
            .await
            .unwrap()
            .value,
    );
    let answer = azurite()
        .send("HEAD", &format!("{container}/{}", key()), "")
        .await;
    assert!(
        answer.contains("content-type: text/markdown; charset=utf-8"),
        "{answer}"
    );
}

#[tokio::test]
async fn a_refused_port_fails_soon_and_shows_no_secret() {
    // A port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    for connection in [azurite().with_key(port), azurite().with_sas(port)] {
        let started = Instant::now();
        let error = store(&connection, "codex-cache")
            .get(&key(), GetIf::Any)
            .await
            .unwrap_err();
        assert!(started.elapsed() < Duration::from_secs(15));
        assert!(matches!(error, StoreError::Unavailable { .. }));
        assert!(error.to_string().contains("refused"), "{error}");
        assert_no_secret(&error);
    }
}

#[tokio::test]
async fn a_wrong_key_or_signature_is_denied_and_not_shown() {
    let port = azurite().port();
    let other_key = KEY.replace("Eby8", "Abcd");
    let wrong_key = azurite().with_key(port).replace(KEY, &other_key);
    let wrong_sas = azurite().with_sas(port).replace("sp=rwdlac", "sp=rwdlacup");
    for connection in [wrong_key, wrong_sas] {
        let store = store(&connection, "codex-cache");
        let error = store
            .put(&key(), put("x", 1), PutIf::Any)
            .await
            .unwrap_err();
        assert!(matches!(error, StoreError::Denied { .. }), "{error}");
        assert!(
            error.to_string().contains("403 AuthorizationFailure"),
            "{error}"
        );
        assert_no_secret(&error);
        assert!(!format!("{error:?}").contains(&other_key));
    }
}

fn assert_no_secret(error: &StoreError) {
    let shown = format!("{error} {error:?}");
    assert!(
        !shown.contains(KEY) && !shown.contains("sig=") && !shown.contains("http"),
        "{shown}"
    );
}

/// A server that gives every request the same answer.
async fn fake_storage(status: u16, headers: HeaderMap) -> AzureStore {
    let status = StatusCode::from_u16(status).unwrap();
    serve(axum::Router::new().fallback(async move || (status, headers))).await
}

async fn serve(app: axum::Router) -> AzureStore {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move { axum::serve(listener, app).await });
    store(&fake_connection(port), "codex-cache")
}

fn fake_connection(port: u16) -> String {
    format!("AccountName=fake;AccountKey={KEY};BlobEndpoint=http://127.0.0.1:{port}/fake")
}

#[tokio::test]
async fn an_answer_that_says_nothing_of_the_blob_is_no_outcome() {
    let unavailable = [
        (404, ""),
        (409, "ContainerBeingDeleted"),
        (412, "LeaseIdMissing"),
        (302, ""),
        (400, "InvalidHeaderValue"),
        (500, "InternalError"),
        (503, "ServerBusy"),
    ];
    for (status, code) in unavailable {
        let errors = errors_of(status, code).await;
        let all = errors
            .iter()
            .all(|e| matches!(e, StoreError::Unavailable { .. }));
        assert!(all, "{status} {code}: {errors:?}");
    }
    for status in [401, 403] {
        let errors = errors_of(status, "AuthenticationFailed").await;
        assert!(
            errors
                .iter()
                .all(|e| matches!(e, StoreError::Denied { .. })),
            "{errors:?}"
        );
    }
}

/// What each operation makes of the answer.
async fn errors_of(status: u16, code: &str) -> Vec<StoreError> {
    let mut headers = HeaderMap::new();
    if !code.is_empty() {
        headers.insert("x-ms-error-code", code.parse().unwrap());
    }
    let store = fake_storage(status, headers).await;
    let same = PutIf::Same(ETag::new("0x1"));
    let (get, put, delete, list) = (
        store.get(&key(), GetIf::Any).await,
        store.put(&key(), put("x", 1), same).await,
        store.delete(&key(), &ETag::new("0x1")).await,
        store.list(&Prefix::raw(&ada())).await,
    );
    vec![
        get.unwrap_err(),
        put.unwrap_err(),
        delete.unwrap_err(),
        list.unwrap_err(),
    ]
}

#[tokio::test]
async fn all_pages_are_listed_and_counted() {
    let app = axum::Router::new().fallback(async |uri: Uri| {
        let second = uri.query().unwrap_or_default().contains("marker=next");
        let (name, marker) = if second {
            ("0002.md", "")
        } else {
            ("0001.md", "next")
        };
        format!(
            "<?xml version=\"1.0\" encoding=\"utf-8\"?><EnumerationResults><Blobs><Blob>\
             <Name>raw/ada/tasks/{name}</Name><Properties><Etag>0x1</Etag>\
             <Content-Length>7</Content-Length></Properties></Blob></Blobs>\
             <NextMarker>{marker}</NextMarker></EnumerationResults>"
        )
    });
    let listing = serve(app)
        .await
        .list(&Prefix::raw(&ada()))
        .await
        .unwrap()
        .value;
    let names: Vec<&str> = listing
        .blobs
        .iter()
        .map(|blob| blob.name.as_str())
        .collect();
    assert_eq!((names, listing.requests), (vec!["0001.md", "0002.md"], 2));
    assert_eq!(
        (listing.blobs[0].etag.as_str(), listing.blobs[0].size),
        ("0x1", 7)
    );
}
