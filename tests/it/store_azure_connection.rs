//! Settings that name an Azure account (src/store/README.md, "Azure").

use codex_miroir::config::{ManagedIdentityConfig, Secret, is_container_name};
use codex_miroir::net::TrustStore;
use codex_miroir::store::azure::{AzureConnection, AzureStore, BadConnection, Credential};

const KEY: &str = "c2VjcmV0IGtleQ==";

fn parse(text: &str) -> Result<AzureConnection, BadConnection> {
    AzureConnection::parse(text)
}

/// The connection as `credential account endpoint`.
fn summary(text: &str) -> String {
    let connection = parse(text).unwrap();
    let credential = match &connection.credential {
        Credential::AccountKey(key) => format!("key:{}", key.secret()),
        Credential::Sas(query) => format!("sas:{}", query.secret()),
        Credential::ManagedIdentity(_) => "identity".to_owned(),
    };
    format!(
        "{credential} {} {}",
        connection.account, connection.endpoint
    )
}

#[test]
fn every_form_of_connection_string_is_understood() {
    let key = |account: &str, url: &str| format!("key:{KEY} {account} {url}");
    let table = [
        (
            format!("DefaultEndpointsProtocol=https;AccountName=codex;AccountKey={KEY};EndpointSuffix=core.windows.net"),
            key("codex", "https://codex.blob.core.windows.net/"),
        ),
        (
            format!("accountkey={KEY};ACCOUNTNAME=codex"),
            key("codex", "https://codex.blob.core.windows.net/"),
        ),
        (
            format!("AccountName=codex;AccountKey={KEY};EndpointSuffix=core.chinacloudapi.cn;;\n"),
            key("codex", "https://codex.blob.core.chinacloudapi.cn/"),
        ),
        (
            format!(" AccountName = a ; AccountKey={KEY} ; BlobEndpoint=http://127.0.0.1:10000/a/ ; QueueEndpoint=x"),
            key("a", "http://127.0.0.1:10000/a"),
        ),
        (
            format!("AccountName=codex;AccountKey={KEY};SharedAccessSignature=sig=x"),
            key("codex", "https://codex.blob.core.windows.net/"),
        ),
        (
            "BlobEndpoint=https://codex.blob.core.windows.net/;SharedAccessSignature=?sv=1&sig=a%2Bb%3D".to_owned(),
            "sas:sv=1&sig=a%2Bb%3D codex https://codex.blob.core.windows.net/".to_owned(),
        ),
        (
            "BlobEndpoint=http://127.0.0.1:10000/devstoreaccount1;SharedAccessSignature=sv=1&sig=x".to_owned(),
            "sas:sv=1&sig=x devstoreaccount1 http://127.0.0.1:10000/devstoreaccount1".to_owned(),
        ),
        (
            format!("AccountName=codex;AccountKey={KEY};EndpointSuffix=.core.windows.net"),
            key("codex", "https://codex.blob.core.windows.net/"),
        ),
        (
            format!("AccountName=codex;AccountKey={KEY};EndpointSuffix=blob.core.windows.net"),
            key("codex", "https://codex.blob.core.windows.net/"),
        ),
        (
            format!("\"AccountName=codex;AccountKey={KEY}\"\n"),
            key("codex", "https://codex.blob.core.windows.net/"),
        ),
        (
            format!("'AccountName=codex;AccountKey={KEY};'"),
            key("codex", "https://codex.blob.core.windows.net/"),
        ),
        (
            format!("AccountName=a;AccountKey={KEY};BlobEndpoint=http://azurite:10000/a"),
            key("a", "http://azurite:10000/a"),
        ),
        (
            format!("AccountName=a;AccountKey={KEY};BlobEndpoint=http://azurite.blob.svc.cluster.local:10000/a"),
            key("a", "http://azurite.blob.svc.cluster.local:10000/a"),
        ),
        (
            "BlobEndpoint=http://azurite:10000/a;SharedAccessSignature=sig=x".to_owned(),
            "sas:sig=x a http://azurite:10000/a".to_owned(),
        ),
        (
            "BlobEndpoint=https://codex.privatelink.blob.core.windows.net;SharedAccessSignature=sig=x".to_owned(),
            "sas:sig=x codex https://codex.privatelink.blob.core.windows.net/".to_owned(),
        ),
    ];
    for (text, expected) in table {
        assert_eq!(summary(&text), expected, "{text}");
    }
}

#[test]
fn development_storage_is_the_local_emulator() {
    for text in ["UseDevelopmentStorage=true", "usedevelopmentstorage=True;"] {
        let connection = parse(text).unwrap();
        assert_eq!(
            connection.to_string(),
            "account devstoreaccount1 at 127.0.0.1:10000"
        );
        assert_eq!(connection.endpoint.path(), "/devstoreaccount1");
    }
}

#[test]
fn a_bad_connection_string_says_which_part_is_wrong() {
    let table = [
        ("", "no AccountName (or BlobEndpoint)"),
        ("hunter2", "part 1 of the connection string has no '='"),
        (
            "AccountName=codex;hunter2",
            "part 2 of the connection string has no '='",
        ),
        (
            "AccountName=codex",
            "no AccountKey or SharedAccessSignature",
        ),
        (
            "AccountName=codex;AccountKey=",
            "no AccountKey or SharedAccessSignature",
        ),
        (
            "AccountName=codex;AccountKey=hunter2!",
            "AccountKey must be base64",
        ),
        (
            "AccountKey=aHVudGVyMg==",
            "no AccountName (or BlobEndpoint)",
        ),
        (
            "AccountKey=aHVudGVyMg==;BlobEndpoint=http://x",
            "no AccountName",
        ),
        (
            "AccountName=co.dex;AccountKey=aHVudGVyMg==",
            "AccountName must be 3 to 24 of a-z and 0-9",
        ),
        (
            "AccountName=codex;SharedAccessSignature=sv=hunter2",
            "a query with 'sig='",
        ),
        (
            "BlobEndpoint=ftp://x;SharedAccessSignature=sig=hunter2",
            "BlobEndpoint must be",
        ),
        (
            "BlobEndpoint=https://x/?sig=hunter2;AccountKey=a",
            "BlobEndpoint must be",
        ),
        (
            "AccountName=codex;AccountKey=aHVudGVyMg==;EndpointSuffix=sv=1&sig=hunter2%3D",
            "EndpointSuffix must be a host's name",
        ),
        (
            "AccountName=codex;AccountKey=aHVudGVyMg==;EndpointSuffix=core.windows.net/sig=hunter2",
            "EndpointSuffix must be a host's name",
        ),
        (
            "BlobEndpoint=https://sig=hunter2;SharedAccessSignature=sig=x",
            "BlobEndpoint must be",
        ),
        (
            "BlobEndpoint=http://127.0.0.1:10000/a;AccountName=sig=hunter2;AccountKey=aHVudGVyMg==",
            "AccountName must be of",
        ),
        // The form that Storage Explorer gives for a container.
        (
            "BlobEndpoint=https://codex.blob.core.windows.net/notes;SharedAccessSignature=sv=1&sr=c&sig=hunter2",
            "BlobEndpoint must be the account's URL",
        ),
        (
            "BlobEndpoint=https://files.example.org/notes;SharedAccessSignature=sig=hunter2",
            "BlobEndpoint must be the account's URL",
        ),
        (
            "BlobEndpoint=https://codex.dfs.core.windows.net/notes;SharedAccessSignature=sig=hunter2",
            "BlobEndpoint must be the account's URL",
        ),
        (
            "BlobEndpoint=https://files.example.org/notes;AccountName=codex;AccountKey=aHVudGVyMg==",
            "BlobEndpoint must be the account's URL",
        ),
        (
            "BlobEndpoint=http://127.0.0.1:10000/a/notes;AccountName=a;AccountKey=aHVudGVyMg==",
            "BlobEndpoint must be the account's URL",
        ),
        (
            "UseDevelopmentStorage=true;DevelopmentStorageProxyUri=http://hunter2",
            "DevelopmentStorageProxyUri",
        ),
    ];
    for (text, expected) in table {
        let error = parse(text).unwrap_err();
        assert!(error.to_string().contains(expected), "{text}: {error}");
        assert!(
            !format!("{error} {error:?}").contains("hunter2"),
            "{text}: {error}"
        );
    }
}

#[test]
fn a_managed_identity_needs_an_account_or_an_https_uri() {
    let identity = || ManagedIdentityConfig {
        endpoint: "http://127.0.0.1:41741/msi/token".parse().unwrap(),
        header: Some(Secret::new("geheim".to_owned())),
        client_id: Some("an-id".to_owned()),
    };
    let connection = AzureConnection::managed_identity("codex", identity()).unwrap();
    assert_eq!(
        connection.to_string(),
        "account codex at codex.blob.core.windows.net"
    );
    let uri = "https://codex.blob.core.usgovcloudapi.net/";
    let connection = AzureConnection::managed_identity(uri, identity()).unwrap();
    assert_eq!(
        (&*connection.account, connection.endpoint.as_str()),
        ("codex", uri)
    );
    let Credential::ManagedIdentity(known) = &connection.credential else {
        panic!()
    };
    assert_eq!(known.client_id.as_deref(), Some("an-id"));
    let shown = format!("{connection:?}");
    assert!(!shown.contains("geheim"), "{shown}");
    AzureStore::new(connection, "codex-cache", &TrustStore::default()).unwrap();

    let http = AzureConnection::managed_identity("http://codex.blob.core.windows.net", identity());
    assert!(http.unwrap_err().to_string().contains("https"));
    assert!(AzureConnection::managed_identity("no such account", identity()).is_err());
}

#[test]
fn a_container_name_has_to_be_azures() {
    for (name, good) in [
        ("codex-cache", true),
        ("abc", true),
        ("ab", false),
        ("Codex", false),
        ("-codex", false),
        ("co--dex", false),
        ("../other", false),
        ("$web", false),
        (&"x".repeat(64), false),
    ] {
        assert_eq!(is_container_name(name), good, "{name}");
    }
}

#[test]
fn the_start_line_and_debug_show_the_place_and_no_secret() {
    let secrets = [
        format!("AccountName=codex;AccountKey={KEY}"),
        "BlobEndpoint=https://codex.blob.core.windows.net;SharedAccessSignature=sv=1&sig=c2VjcmV0"
            .to_owned(),
    ];
    for text in secrets {
        let connection = parse(&text).unwrap();
        let debug = format!("{connection:?} {connection:#?} {:?}", connection.credential);
        let store = AzureStore::new(connection, "codex-cache", &TrustStore::default()).unwrap();
        let shown = format!("{debug} {store} {store:?}");
        assert!(!shown.contains("c2VjcmV0"), "{shown}");
        assert_eq!(
            store.to_string(),
            "account codex at codex.blob.core.windows.net, container codex-cache"
        );
    }
}
