//! Settings, and what is said of a wrong one.

use std::collections::HashMap;

use codex_miroir::config::{Auth, Config, ConfigError, StorageChoice};
use insta::assert_snapshot;

fn config(settings: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let settings: HashMap<&str, &str> = settings.iter().copied().collect();
    Config::from_lookup(|name| settings.get(name).map(|value| (*value).to_owned()))
}

fn refusal(settings: &[(&str, &str)]) -> String {
    config(settings)
        .expect_err("these settings can't be used")
        .to_string()
}

#[test]
fn without_any_setting_it_serves_one_local_user_from_a_folder() {
    let config = config(&[]).unwrap();
    let Auth::Dev { user } = &config.auth;
    assert_eq!(
        (user.as_str(), config.port, config.bind.to_string().as_str()),
        ("local", 7071, "127.0.0.1")
    );
    assert_eq!(config.time_zone, chrono_tz::Europe::Berlin);
    let seconds = [
        config.memory_ttl,
        config.artifact_ttl,
        config.revalidate,
        config.pending_expiry,
        config.stale_if_error,
    ];
    assert_eq!(seconds.map(|it| it.as_secs()), [300, 900, 5, 60, 3600]);
    assert_eq!(
        (config.writes_per_minute, config.github.base_path.as_str()),
        (600, "codex-miroir")
    );
    assert!(
        matches!(config.storage, StorageChoice::Directory { path, .. } if path.ends_with("codex-data"))
    );
}

#[test]
fn storage_is_the_first_that_is_named() {
    let chosen = |settings: &[(&str, &str)]| match config(settings).unwrap().storage {
        StorageChoice::ConnectionString { variable, .. }
        | StorageChoice::ManagedIdentity { variable, .. }
        | StorageChoice::Directory { variable, .. } => variable,
    };
    let host = ("AzureWebJobsStorage", "UseDevelopmentStorage=true");
    let folder = ("CODEX_DATA_DIR", "/daten");
    assert_eq!(
        chosen(&[folder, host, ("AZURE_BLOB_CONN__accountName", "konto")]),
        "AZURE_BLOB_CONN__accountName"
    );
    assert_eq!(
        chosen(&[
            ("AZURE_BLOB_CONN", "x"),
            ("AZURE_BLOB_CONN__blobServiceUri", "https://k")
        ]),
        "AZURE_BLOB_CONN"
    );
    assert_eq!(chosen(&[folder, host]), "AzureWebJobsStorage");
    assert_eq!(
        chosen(&[folder, ("AzureWebJobsStorage", "  ")]),
        "CODEX_DATA_DIR"
    );
}

#[test]
fn the_hosts_port_comes_before_the_general_one() {
    assert_eq!(config(&[("PORT", "81")]).unwrap().port, 81);
    let hosted = [
        ("PORT", "81"),
        ("FUNCTIONS_CUSTOMHANDLER_PORT", "82"),
        ("CODEX_AUTH", "dev"),
        ("CODEX_DATA_DIR", "d"),
    ];
    assert_eq!(config(&hosted).unwrap().port, 82);
}

#[test]
fn a_wrong_value_is_one_line_with_the_variable_and_what_it_may_be() {
    assert_snapshot!(refusal(&[("CODEX_TIME_ZONE", "Berlin")]), @r#"CODEX_TIME_ZONE is "Berlin"; it must be a zone as in Europe/Berlin"#);
    assert_snapshot!(refusal(&[("CODEX_BIND", "localhost")]), @r#"CODEX_BIND is "localhost"; it must be an IP address"#);
    assert_snapshot!(refusal(&[("PORT", "70000")]), @r#"PORT is "70000"; it must be a port, 0 to 65535"#);
    assert_snapshot!(refusal(&[("CODEX_REVALIDATE_SECONDS", "-1")]), @r#"CODEX_REVALIDATE_SECONDS is "-1"; it must be a whole number of seconds, at most a year"#);
    assert_snapshot!(refusal(&[("CODEX_MEMORY_TTL_SECONDS", "99999999999")]), @r#"CODEX_MEMORY_TTL_SECONDS is "99999999999"; it must be a whole number of seconds, at most a year"#);
    assert_snapshot!(refusal(&[("AZURE_BLOB_CONTAINER", "Codex_Cache")]), @r#"AZURE_BLOB_CONTAINER is "Codex_Cache"; it must be 3 to 63 of a-z, 0-9 and single '-', as Azure wants container names"#);
    assert_snapshot!(refusal(&[("CODEX_DEV_USER", "../etc")]), @r#"CODEX_DEV_USER is "../etc"; it must be 1 to 64 of A-Z, a-z, 0-9, '-' and '_'"#);
    assert_snapshot!(refusal(&[("CODEX_PENDING_EXPIRY_SECONDS", "0")]), @r#"CODEX_PENDING_EXPIRY_SECONDS is "0"; it must be at least 1 second"#);
    assert_snapshot!(refusal(&[("CODEX_WRITES_PER_MINUTE", "viele")]), @r#"CODEX_WRITES_PER_MINUTE is "viele"; it must be a whole number"#);
    assert_snapshot!(refusal(&[("GITHUB_BASE_PATH", "a/../b")]), @r#"GITHUB_BASE_PATH is "a/../b"; it must be a folder in the repository, as in codex-miroir or notes/codex"#);
    assert_snapshot!(refusal(&[("CODEX_AUTH", "github")]), @r#"CODEX_AUTH is "github"; it must be dev"#);
}

#[test]
fn the_repositorys_folder_may_have_several_segments() {
    let path = |value: &str| {
        config(&[("GITHUB_BASE_PATH", value)])
            .unwrap()
            .github
            .base_path
    };
    assert_eq!(path("/notes/codex/"), "notes/codex");
}

#[test]
fn an_open_door_is_a_start_error() {
    assert_snapshot!(refusal(&[("CODEX_BIND", "0.0.0.0")]), @r#"CODEX_AUTH is not set while others may reach the service; it must be dev, if every local caller may act as the one user"#);
    assert_snapshot!(refusal(&[("GITHUB_OWNER", "wer")]), @r#"CODEX_AUTH is not set while GITHUB_OWNER is; it must be dev: one local user without sign-in"#);
    assert_snapshot!(refusal(&[("FUNCTIONS_CUSTOMHANDLER_PORT", "1"), ("CODEX_DATA_DIR", "d")]), @r#"CODEX_AUTH is not set while others may reach the service; it must be dev, if every local caller may act as the one user"#);
    assert_snapshot!(refusal(&[("FUNCTIONS_CUSTOMHANDLER_PORT", "1"), ("CODEX_AUTH", "dev")]), @r#"CODEX_DATA_DIR is not set, nor is AZURE_BLOB_CONN or AzureWebJobsStorage; it must be named explicitly where a Functions host starts the service: a folder that outlives it, or better a storage account in AZURE_BLOB_CONN"#);
    assert_snapshot!(refusal(&[("WEBSITE_SITE_NAME", "app"), ("CODEX_AUTH", "dev"), ("CODEX_DATA_DIR", "d")]), @r#"CODEX_AUTH is dev, the only mode of this version, while WEBSITE_SITE_NAME is set; it must be used off Azure, where no stranger reaches the service"#);
}

#[test]
fn no_secret_is_printed() {
    let settings = [("AZURE_BLOB_CONN", "AccountName=a;AccountKey=geheim")];
    let printed = format!("{:?}", config(&settings).unwrap());
    assert!(
        !printed.contains("geheim") && printed.contains("(secret)"),
        "{printed}"
    );
}
