//! The service as its users run it: real processes over Azurite.

use serde_json::Value;

use crate::support::azurite::azurite;
use crate::support::process::{Answer, Service, codex_miroir, eventually, stable};

#[test]
fn with_the_store_away_it_starts_and_says_so() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let service = Service::start(codex_miroir().env("AZURE_BLOB_CONN", azurite().with_key(nobody)));
    assert_eq!(service.get("/").status, 200);
    assert_eq!(service.get("/healthz").status, 200);
    assert_eq!(service.get("/readyz").status, 503);
    let refused = service.get("/codex");
    assert_eq!((refused.status, refused.header("retry-after")), (503, "2"));
    assert!(
        refused.body.contains("storage_unavailable") && !refused.body.contains("127.0.0.1"),
        "{}",
        refused.body
    );
}

#[test]
fn no_line_at_any_level_carries_a_signature_or_a_key() {
    let port = azurite().port();
    for connection in [azurite().with_sas(port), azurite().with_key(port)] {
        let mut command = codex_miroir();
        command
            .env("AZURE_BLOB_CONN", &connection)
            .env("AZURE_BLOB_CONTAINER", azurite().container());
        let service = Service::start(command.env("RUST_LOG", "trace"));
        assert_eq!(service.get("/codex?nocache=true&code=geheim").status, 200);
        let body = r#"{"kategorie":"arbeit","title":"Titelgeheimnis","body":"Textgeheimnis"}"#;
        let created = service.send_json("POST", "/api/tasks", body);
        let location = created.header("location").to_owned();
        assert_eq!(created.status, 201);
        assert_eq!(service.get(&location).status, 200);
        assert_eq!(service.get("/api/tasks/0099-Titelgeheimnis").status, 404);
        service.terminate();
        eventually("it says that it ends", || {
            service.log().iter().any(|line| line.contains("finishing"))
        });
        for line in service.log() {
            for secret in [
                "sig=",
                "AccountKey",
                "SharedKey",
                "geheim",
                "Titel",
                "Eby8vdM",
            ] {
                assert!(!line.contains(secret), "{secret} in {line}");
            }
        }
    }
}

#[test]
fn on_azurite_the_imported_demo_shows_the_same_week_on_every_instance() {
    let folder = tempfile::tempdir().unwrap();
    let demo = Service::start(
        codex_miroir()
            .arg("demo")
            .env("CODEX_DATA_DIR", folder.path()),
    );
    let expected = demo.get("/codex");

    let (connection, container) = (azurite().with_key(azurite().port()), azurite().container());
    let azure = || {
        let mut command = codex_miroir();
        command
            .env("AZURE_BLOB_CONN", &connection)
            .env("AZURE_BLOB_CONTAINER", &container);
        command
    };
    let import = || {
        let output = azure().arg("import").arg(folder.path()).output().unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(import().contains("32 files copied, 0 existed already"));
    assert!(
        import().contains("0 files copied, 32 existed already"),
        "nothing is replaced"
    );

    let a = Service::start(&mut azure());
    let of_a = a.get("/codex");
    assert_eq!(
        (of_a.header("x-codex-cache"), of_a.header("etag")),
        ("rebuild", expected.header("etag"))
    );
    assert_eq!(stable(&of_a), stable(&expected));
    let start: Value = serde_json::from_str(&a.log()[0]).unwrap();
    let storage = start["storage"].as_str().unwrap();
    assert!(
        storage.contains("devstoreaccount1") && storage.contains(&container),
        "{storage}"
    );

    let taken = std::cell::RefCell::new(Answer::read(
        Service::start(&mut azure()).begin("/codex", ""),
    ));
    eventually("a new instance takes the artifact", || {
        *taken.borrow_mut() = Service::start(&mut azure()).get("/codex");
        taken.borrow().header("x-codex-cache") == "artifact"
    });
    let of_b = taken.into_inner();
    assert_eq!(
        of_b.header("server-timing"),
        r#"reads;desc="2", writes;desc="0""#
    );
    assert_eq!(stable(&of_b), stable(&of_a));
    assert_eq!(a.get("/readyz").status, 200);
    let secret = azurite().with_key(0);
    let key = secret
        .split("AccountKey=")
        .nth(1)
        .unwrap()
        .split(';')
        .next()
        .unwrap();
    assert!(a.log().iter().all(|line| !line.contains(key)));
}
