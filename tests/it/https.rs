//! Private certificate authorities: which are trusted, and the error for a certificate that isn't.

use std::collections::HashMap;
use std::fs;

use codex_miroir::config::{Config, ConfigError};
use codex_miroir::net::{TrustStore, certificate_error};

use crate::support::github::GitHub;
use crate::support::identity::IdentityEndpoint;
use crate::support::process::{Answer, Service, begin, codex_miroir, eventually};
use crate::support::tls::{UNTRUSTED, authority, says_why};

fn trust(settings: &[(&str, &str)]) -> Result<TrustStore, ConfigError> {
    let settings: HashMap<&str, &str> = settings.iter().copied().collect();
    let config = Config::from_lookup(|name| settings.get(name).map(|value| (*value).to_owned()));
    config.map(|config| config.trust)
}

/// Sends a request over HTTPS; the error describes what is wrong with the certificate.
async fn ask(trust: &TrustStore, url: &str) -> Result<(), String> {
    let client = trust.client(&url.parse().unwrap()).unwrap();
    match client.build().unwrap().get(url).send().await {
        Ok(_) => Ok(()),
        Err(error) => Err(certificate_error(&error).unwrap_or_else(|| format!("{error:?}"))),
    }
}

#[tokio::test]
async fn the_authorities_of_a_file_and_of_folders_are_trusted_beside_those_brought_along() {
    let server = authority().https_before(IdentityEndpoint::start().port());
    let url = format!("https://127.0.0.1:{server}/");
    let untrusted = Err(UNTRUSTED.to_owned());
    assert_eq!(ask(&trust(&[]).unwrap(), &url).await, untrusted);

    let others = tempfile::tempdir().unwrap();
    let other = rcgen::generate_simple_self_signed(["example.org".to_owned()]).unwrap();
    let several = format!("# Ours\n{}{}", other.cert.pem(), authority().pem());
    let bundle = others.path().join("bundle.pem");
    fs::write(&bundle, several).unwrap();
    let file = bundle.to_str().unwrap();
    assert_eq!(
        ask(&trust(&[("SSL_CERT_FILE", file)]).unwrap(), &url).await,
        Ok(())
    );

    let folder = authority().file().folder;
    fs::write(folder.path().join("README"), "Certificates of ours.\n").unwrap();
    fs::write(
        folder.path().join("half.pem"),
        "-----BEGIN CERTIFICATE-----\nMIIB",
    )
    .unwrap();
    fs::create_dir(folder.path().join("old")).unwrap();
    let empty = tempfile::tempdir().unwrap();
    let folders = std::env::join_paths([empty.path(), folder.path()]).unwrap();
    let folders = ("SSL_CERT_DIR", folders.to_str().unwrap());
    assert_eq!(ask(&trust(&[folders]).unwrap(), &url).await, Ok(()));
    let empty = ("SSL_CERT_DIR", empty.path().to_str().unwrap());
    assert_eq!(ask(&trust(&[empty]).unwrap(), &url).await, untrusted);
    assert_eq!(
        ask(&trust(&[empty, ("SSL_CERT_FILE", file)]).unwrap(), &url).await,
        Ok(())
    );

    // Trusting the authority doesn't disable the check of the host name.
    let elsewhere = url.replace("127.0.0.1", "localhost");
    let fault = ask(&authority().trust(), &elsewhere).await.unwrap_err();
    assert!(
        fault.starts_with("its certificate can't be accepted: "),
        "{fault}"
    );
}

#[test]
fn a_file_or_folder_that_cannot_be_used_ends_the_start_with_its_path() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (none, empty, half) = (path("none.pem"), path("empty.pem"), path("half.pem"));
    fs::write(&empty, "no certificate\n").unwrap();
    fs::write(
        &half,
        "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n",
    )
    .unwrap();
    let file = "a file with certificates in PEM form";
    let folders = "folders of certificates in PEM form, separated as in PATH";
    let missing = "No such file or directory (os error 2)";
    let refused = |name: &str, value: &str| trust(&[(name, value)]).unwrap_err().to_string();
    assert_eq!(
        refused("SSL_CERT_FILE", &none),
        format!("SSL_CERT_FILE is {none:?}, which can't be read: {missing}; it must be {file}")
    );
    for wrong in [&empty, &half] {
        assert_eq!(
            refused("SSL_CERT_FILE", wrong),
            format!("SSL_CERT_FILE is {wrong:?}, which holds no certificate; it must be {file}")
        );
    }
    let both = std::env::join_paths([folder.path().to_str().unwrap(), &none]).unwrap();
    assert_eq!(
        refused("SSL_CERT_DIR", both.to_str().unwrap()),
        format!(
            "SSL_CERT_DIR names {none:?}, which can't be read: {missing}; it must be {folders}"
        )
    );
}

/// A GitHub Enterprise server with a certificate from the company's own authority.
#[test]
fn github_with_a_private_authority_is_reached_once_that_is_named() {
    let github = GitHub::start();
    let upstream = github.url().rsplit(':').next().unwrap().parse().unwrap();
    let url = format!("https://127.0.0.1:{}", authority().https_before(upstream));
    let token = github.personal_token("anna");
    let headers = format!("authorization: Bearer {token}\r\ncontent-type: application/json\r\n");
    let data = tempfile::tempdir().unwrap();
    let command = || {
        let mut command = codex_miroir();
        command
            .env("CODEX_DATA_DIR", data.path())
            .env("GITHUB_API_URL", &url)
            .env("GITHUB_URL", &url)
            .env("GITHUB_OWNER", github.owner())
            .env("GITHUB_REPO", github.repo())
            .env("GITHUB_TOKEN", &token);
        command
    };
    let create = |service: &Service| {
        let body = r#"{"kategorie":"arbeit","title":"Neu"}"#;
        let asked = begin(&service.address, "POST", "/api/tasks", &headers, body);
        Answer::read(asked)
    };
    let stranger = Service::start(&mut command());
    let refused = create(&stranger);
    assert_eq!(refused.status, 503, "{}", refused.body);
    assert!(
        refused.body.contains("auth_unavailable"),
        "{}",
        refused.body
    );
    eventually("the log says why", || says_why(&stranger));
    stranger.kill();

    let authority = authority().file();
    let service = Service::start(command().env("SSL_CERT_DIR", authority.folder.path()));
    let created = create(&service);
    assert_eq!(created.status, 201, "{}", created.body);
    eventually("GitHub has the file", || {
        let path = "codex-miroir/anna/tasks/0000-Neu.md";
        github.files("main").contains_key(path)
    });
}
