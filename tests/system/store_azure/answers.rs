//! Unexpected answers, and what the resulting errors show.

use super::*;

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

/// A server that sends the same answer to every request.
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
    let errors = join_all(unavailable.map(|(status, code)| errors_of(status, code))).await;
    for (answer, errors) in unavailable.iter().zip(errors) {
        let all = errors
            .iter()
            .all(|e| matches!(e, StoreError::Unavailable { .. }));
        assert!(all, "{answer:?}: {errors:?}");
    }
    let denied = [(401, "AuthenticationFailed"), (403, "AuthenticationFailed")];
    for (status, code) in denied {
        let errors = errors_of(status, code).await;
        assert!(
            errors
                .iter()
                .all(|e| matches!(e, StoreError::Denied { .. })),
            "{errors:?}"
        );
    }
}

#[tokio::test]
async fn an_archived_blob_is_its_own_problem() {
    for code in ["BlobArchived", "BlobBeingRehydrated"] {
        let errors = errors_of(409, code).await;
        assert!(
            matches!(errors[0], StoreError::Unreadable { .. }),
            "{errors:?}"
        );
    }
}

/// The error of each operation for this answer.
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

/// Azure sorts blobs and folders in one order, an account with a hierarchical namespace also lists the folders as
/// blobs, and a name that XML can't represent is encoded.
#[tokio::test]
async fn blobs_and_folders_of_one_level_come_mixed_and_in_pages() {
    let app = axum::Router::new().fallback(async |uri: Uri| {
        let query = uri.query().unwrap_or_default();
        assert!(query.contains("delimiter=%2F"), "{query}");
        let blob = |name: &str, metadata: &str| {
            format!(
                "<Blob><Name>{name}</Name><Properties><Last-Modified>Mon, 09 Mar 2026 07:00:00 GMT\
                 </Last-Modified><Etag>0x1</Etag><Content-Length>7</Content-Length></Properties>\
                 <Metadata>{metadata}</Metadata></Blob>"
            )
        };
        let folder = |name: &str| format!("<BlobPrefix><Name>{name}</Name></BlobPrefix>");
        let is_folder = "<hdi_isfolder>true</hdi_isfolder>";
        let (entries, marker) = match query.contains("marker=next") {
            false => (
                [
                    blob("state/.github.json", ""),
                    blob("state/ada", is_folder),
                    folder("state/ada/"),
                    blob("state/cacheVersion.txt", ""),
                    folder("state/grace/"),
                ]
                .concat(),
                "next",
            ),
            true => (
                "<BlobPrefix><Name Encoded=\"true\">state%2Fodd%EF%BF%BE%2F</Name></BlobPrefix>\
                 <Something/>"
                    .to_owned()
                    + &blob("state/z.txt", ""),
                "",
            ),
        };
        format!(
            "<?xml version=\"1.0\" encoding=\"utf-8\"?><EnumerationResults><Blobs>{entries}</Blobs>\
             <NextMarker>{marker}</NextMarker></EnumerationResults>"
        )
    });
    let store = serve(app).await;
    let contents = store.contents(&Prefix::all_state()).await.unwrap().value;
    let names: Vec<&str> = contents.blobs.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(names, [".github.json", "cacheVersion.txt", "z.txt"]);
    let folders: Vec<&String> = contents.folders.iter().collect();
    assert_eq!(folders, ["ada", "grace", "odd\u{FFFE}"]);
    assert_eq!(contents.requests, 2);
    let modified = contents.blobs[0].modified.unwrap();
    assert_eq!(modified.to_rfc3339(), "2026-03-09T07:00:00+00:00");
}

#[tokio::test]
async fn a_container_that_is_not_there_has_no_contents() {
    let store = store(
        &azurite().with_key(azurite().port()),
        &azurite().container(),
    );
    let contents = store.contents(&Prefix::all_raw()).await.unwrap().value;
    assert!(contents.blobs.is_empty() && contents.folders.is_empty());
    assert_eq!(contents.requests, 1);
}
