//! A simulated newer version of the service, for tests of two versions on one container: this version's library
//! behind a store that writes blobs in a newer format, with members that this version doesn't know.
//!
//! `newer minor` writes format 1.3, `newer major` 2.0. It exits when a member that it wrote is gone or altered.
#![allow(clippy::print_stdout, reason = "its start line")]

mod members;
mod store;

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::ServiceExt;
use axum::extract::Request;
use chrono::Utc;
use codex_miroir::cache::CacheSettings;
use codex_miroir::codex::{Codex, CodexSettings};
use codex_miroir::config::{Config, StorageChoice};
use codex_miroir::git_sync::GitSettings;
use codex_miroir::github::{GitHubRepository, Transport};
use codex_miroir::now::Now;
use codex_miroir::rules::Rules;
use codex_miroir::store::BlobStore;
use codex_miroir::store::azure::{AzureConnection, AzureStore};
use codex_miroir::store::directory::DirectoryStore;
use codex_miroir::{http, telemetry};
use tokio::net::TcpListener;

use store::NewerStore;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let format = match std::env::args().nth(1).as_deref() {
        Some("minor") => "1.3",
        Some("major") => "2.0",
        _ => return Err("say minor or major".into()),
    };
    telemetry::init(None)?;
    let config = Config::from_lookup(|name| std::env::var(name).ok())?;
    let listener = TcpListener::bind(SocketAddr::new(config.bind, config.port)).await?;
    let address = listener.local_addr()?;
    let config = Config {
        public_url: config.public_url.clone().on_port(address.port()),
        ..config
    };
    let github = Arc::new(Transport::new(&config.github.api_url, &config.trust)?);
    let store = Arc::new(NewerStore::over(open(&config)?, format));
    let codex = Codex::new(store, settings(&config, &github)?);
    let authenticator = http::Authenticator::new(&config, &github, codex.owners())?;
    let app = http::App::new(codex.clone(), authenticator, &config, Arc::default());
    if let Ok(git) = codex.git() {
        tokio::spawn(Arc::clone(git).push_in_background());
    }
    println!(r#"{{"address":"{address}"}}"#);
    let service = ServiceExt::<Request>::into_make_service(http::router(app));
    Ok(axum::serve(listener, service).await?)
}

fn open(config: &Config) -> Result<Arc<dyn BlobStore>, Box<dyn Error>> {
    Ok(match &config.storage {
        StorageChoice::ConnectionString { value, .. } => {
            let connection = AzureConnection::parse(value.reveal())?;
            Arc::new(AzureStore::new(
                connection,
                &config.container,
                &config.trust,
            )?)
        }
        StorageChoice::Directory { path, .. } => Arc::new(DirectoryStore::open(path, Utc::now)?),
        StorageChoice::ManagedIdentity { .. } => return Err("not without a key".into()),
    })
}

fn settings(config: &Config, github: &Arc<Transport>) -> Result<CodexSettings, Box<dyn Error>> {
    let git = GitHubRepository::new(&config.github, github)?.map(|repository| GitSettings {
        repository,
        base_path: config.github.base_path.clone(),
        clock: || Now::from_clocks(Utc::now(), Instant::now()),
        rules: Rules::default(),
    });
    Ok(CodexSettings {
        cache: CacheSettings {
            memory_ttl: config.memory_ttl,
            artifact_ttl: config.artifact_ttl,
            revalidate: config.revalidate,
            stale_if_error: config.stale_if_error,
            memory_max_bytes: config.memory_max_bytes,
            deadline: Duration::from_secs(30),
            pending_expiry: config.pending_expiry,
            zone: config.time_zone,
            ids: || getrandom::u64().unwrap_or_else(|_| std::process::abort()),
            rules: Rules::default(),
        },
        rebuilds_per_minute: config.rebuilds_per_minute,
        writes_per_minute: config.writes_per_minute,
        git,
        shared: None,
    })
}
