//! The requests sent, and when a container is created (src/store/README.md, "Azure").

use super::*;

#[tokio::test]
async fn the_first_write_makes_the_container_and_reads_do_not() {
    let (store, proxy, container) = proxied().await;
    let other = ETag::new("0x1");
    assert!(matches!(
        store.get(&key(), GetIf::Any).await.unwrap().value,
        GetOutcome::Absent
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
    assert_eq!(update, PutOutcome::Refused);
    assert_eq!(
        store.delete(&key(), &other).await.unwrap().value,
        DeleteOutcome::Absent
    );
    assert_eq!(
        methods(&proxy),
        ["GET blob", "GET container", "PUT blob", "DELETE blob"]
    );

    created(&store).await;
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
    let keys: Vec<BlobKey> = (0..20)
        .map(|n| BlobKey::raw(&ada(), &format!("{n:04}.md")).unwrap())
        .collect();
    let written = join_all(
        keys.iter()
            .map(|key| store.put(key, put("x", 1), PutIf::Absent)),
    )
    .await;
    assert!(
        written
            .into_iter()
            .all(|w| matches!(w.unwrap().value, PutOutcome::Done(_)))
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
    let odd = BlobKey::raw(&ada(), "0002-ä [x]|'+'%2F^;=@ (1)!*.md").unwrap();
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
    created(&store).await;
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
    created(&store).await;
    let answer = azurite()
        .send("HEAD", &format!("{container}/{}", key()), "")
        .await;
    assert!(
        answer.contains("content-type: text/markdown; charset=utf-8"),
        "{answer}"
    );
}
