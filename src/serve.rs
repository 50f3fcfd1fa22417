//! Serving: the port first, then the rest, until somebody says that it is enough.

mod connections;
mod refused;
mod silence;

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use codex_miroir::codex::Codex;
use codex_miroir::config::{Config, StorageChoice};
use codex_miroir::github::Transport;
use codex_miroir::metrics::Metrics;
use codex_miroir::now::Now;
use codex_miroir::store::metered::MeteredStore;
use codex_miroir::{http, telemetry};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::{Failure, open_store, settings};

/// How long running requests may take to finish after SIGTERM or Ctrl-C.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(10);

/// How often the log sums up.
const SUMMARY: Duration = Duration::from_secs(60);

pub(crate) async fn serve(config: &Config) -> Result<(), Failure> {
    serve_on(bind(config).await?, config).await
}

/// With the port bound already: the Functions host asks for an answer at once, and storage may take
/// its time.
pub(crate) async fn serve_on(listener: TcpListener, config: &Config) -> Result<(), Failure> {
    let (store, described) = open_store(config)?;
    let address = listener.local_addr()?;
    let config = &Config {
        public_url: config.public_url.clone().on_port(address.port()),
        ..config.clone()
    };
    let store = Arc::new(MeteredStore::new(store));
    let github = Arc::new(Transport::new(&config.github.api_url, &config.trust)?);
    let calls = (store.calls().clone(), github.calls().clone());
    let metrics = Arc::new(Metrics::new(calls.0, calls.1));
    let gate = http::Gate::new(config, &github)?;
    let codex = Codex::new(store, settings(config, &github)?);
    let end = told_to_end()?;
    say_who_may(config, address, &described);
    let app = http::App::new(codex.clone(), gate, config, Arc::clone(&metrics));
    let mut background = JoinSet::new();
    background.spawn(sum_up(codex.clone(), metrics));
    background.spawn(codex.clone().push_in_background());
    if let StorageChoice::Directory { path, .. } = &config.storage {
        let (codex, path) = (codex.clone(), path.clone());
        background.spawn(async move { codex.follow_editors(&path, Now::read).await });
    }
    if !config.hosted {
        background.spawn(codex.clone().tick_in_background());
        background.spawn(codex.clone().tidy_up_in_background(Now::read));
    }
    let limits = connections::Limits {
        most: config.max_connections,
        silence: config.idle,
    };
    let end = async {
        end.await;
        tracing::info!("finishing running requests");
    };
    connections::serve(listener, http::router(app), limits, end, SHUTDOWN_GRACE).await;
    // What isn't in Git yet is in the queue.
    background.shutdown().await;
    // Marks that stay behind are settled by others, only later.
    let _ = tokio::time::timeout(SHUTDOWN_GRACE, codex.finish_writes()).await;
    Ok(())
}

/// The start line.
fn say_who_may(config: &Config, address: SocketAddr, storage: &str) {
    let (auth, who, url) = (&config.auth, config.auth.to_string(), &config.public_url);
    let user = auth.dev_user().map(tracing::field::display);
    let auth = auth.as_str();
    let repository = config.github.repository.as_ref();
    let repository = repository.map(|it| format!("{}/{} {}", it.owner, it.repo, it.branch));
    let version = env!("CARGO_PKG_VERSION");
    tracing::info!(version, %address, storage, auth, user, who, repository, public_url = %url, "serving");
}

/// Once a minute a line with what happened in it, and how things stand.
async fn sum_up(codex: Codex, metrics: Arc<Metrics>) {
    let mut minutes = tokio::time::interval(SUMMARY);
    minutes.tick().await;
    loop {
        minutes.tick().await;
        telemetry::sum_up(&metrics, &codex.standing(Now::read()));
    }
}

pub(crate) async fn bind(config: &Config) -> Result<TcpListener, Failure> {
    let address = SocketAddr::new(config.bind, config.port);
    TcpListener::bind(address).await.map_err(|error| {
        let hint = match error.kind() {
            // A host has chosen the port, and waits for an answer there.
            _ if config.hosted => "",
            ErrorKind::AddrInUse | ErrorKind::PermissionDenied => {
                "; PORT or --port names another port, 0 a free one"
            }
            _ => "",
        };
        format!("can't listen on {address}: {error}{hint}").into()
    })
}

/// SIGTERM or Ctrl-C, from now on: one that comes before anybody waits for it isn't missed.
fn told_to_end() -> std::io::Result<impl Future<Output = ()>> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        Ok(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        })
    }
    #[cfg(not(unix))]
    Ok(async {
        let _ = tokio::signal::ctrl_c().await;
    })
}
