//! Serving: binds the port, opens the store, starts the background work, and shuts down gracefully on a signal.

mod activity;
mod client_connection;
mod connections;

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use codex_miroir::codex::{Codex, CodexSettings};
use codex_miroir::config::{Config, StorageChoice};
use codex_miroir::metrics::{CallMetrics, Metrics};
use codex_miroir::now::Now;
use codex_miroir::shared_cache::{Hint, SharedCache};
use codex_miroir::store::{BlobStore, StorageSpans, WrappedStore};
use codex_miroir::telemetry::otlp::{MetricTimes, OtelExport};
use codex_miroir::{http, telemetry};
use tokio::net::TcpListener;
use tokio::sync::mpsc::Receiver;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use crate::wiring::{Failure, StoreName, open_store, settings, shared_cache, transport};

/// How long running requests may take to finish after SIGTERM or Ctrl-C; then the same again for pending writes.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(10);

/// Interval of the summary lines in the log.
const SUMMARY_INTERVAL: Duration = Duration::from_secs(60);

pub(crate) async fn serve(config: &Config) -> Result<(), Failure> {
    serve_on(bind(config).await?, config).await
}

/// Serves on a listener that is bound already, because the Functions host connects at once while opening the storage
/// may take longer.
pub(crate) async fn serve_on(listener: TcpListener, config: &Config) -> Result<(), Failure> {
    let (store, described) = open_store(config)?;
    let address = listener.local_addr()?;
    let config = &Config {
        public_url: config.public_url.clone().on_port(address.port()),
        ..config.clone()
    };
    let otel = config.otel.as_ref();
    let otel = otel.map(|otel| OtelExport::start(otel, &config.trust));
    let otel = otel.transpose()?;
    let store_calls = CallMetrics::default();
    let store: Arc<dyn BlobStore> = Arc::new(WrappedStore::new(store, store_calls.clone()));
    let store = match otel {
        Some(_) => Arc::new(WrappedStore::new(store, StorageSpans)),
        None => store,
    };
    let github = transport(config)?;
    let metrics = Metrics::new(store_calls, github.calls().clone());
    let shared_cache = shared_cache(config, &described)?;
    let metrics = Arc::new(match &shared_cache {
        Some(shared_cache) => metrics.with_shared_cache(&shared_cache.metrics),
        None => metrics,
    });
    let shared = shared_cache.as_ref().map(|it| Arc::clone(&it.cache));
    let settings = CodexSettings {
        shared: shared.map(|cache| cache as Arc<dyn SharedCache>),
        ..settings(config, &github)?
    };
    let codex = Codex::new(store, settings);
    let authenticator = http::Authenticator::new(config, &github, codex.owners())?;
    let shutdown = shutdown_signal()?;
    log_start(config, address, &described);
    let app = http::App::new(codex.clone(), authenticator, config, Arc::clone(&metrics));
    let mut background = JoinSet::new();
    let otel = otel.map(|export| MetricExport {
        export,
        codex: codex.clone(),
        metrics: Arc::clone(&metrics),
        began: SystemTime::now(),
    });
    let otel = otel.map(Arc::new);
    if let Some(otel) = &otel {
        background.spawn(Arc::clone(otel).run_in_background());
    }
    background.spawn(log_summaries(codex.clone(), metrics));
    if let Some(shared_cache) = shared_cache {
        background.spawn(shared_cache.cache.run_in_background());
        background.spawn(hear(codex.clone(), shared_cache.hints));
    }
    let git = codex.git().ok();
    if let Some(git) = git {
        background.spawn(Arc::clone(git).push_in_background());
    }
    if let StorageChoice::Directory { path, .. } = &config.storage {
        let (watch, path) = (codex.editor_watch(), path.clone());
        background.spawn(async move { watch.run(&path, Now::read).await });
    }
    if !config.hosted {
        if let Some(git) = git {
            background.spawn(Arc::clone(git).tick_in_background());
        }
        background.spawn(codex.janitor().run_in_background(Now::read));
    }
    let shutdown = async {
        shutdown.await;
        tracing::info!("finishing running requests");
    };
    let routes = http::router(app);
    connections::serve(listener, routes, config, shutdown, SHUTDOWN_GRACE).await;
    // Safe to abort: changes that aren't in Git yet have their hints in `queue/`.
    background.shutdown().await;
    // Other instances recover the write intents that remain, but only once they have expired.
    let _ = tokio::time::timeout(SHUTDOWN_GRACE, codex.finish_writes()).await;
    if let Some(otel) = otel {
        let (text, times) = otel.read();
        otel.export.finish(&text, times).await;
    }
    Ok(())
}

/// Exports the metrics by OpenTelemetry.
struct MetricExport {
    export: OtelExport,
    codex: Codex,
    metrics: Arc<Metrics>,
    began: SystemTime,
}

impl MetricExport {
    /// The current values, as in `/metrics`.
    fn read(&self) -> (String, MetricTimes) {
        let stats = self.codex.runtime_stats(Now::read());
        let times = MetricTimes {
            began: self.began,
            at: SystemTime::now(),
        };
        (self.metrics.render(&stats).unwrap_or_default(), times)
    }

    async fn run_in_background(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(self.export.metric_interval());
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks.tick().await;
        loop {
            ticks.tick().await;
            let (text, times) = self.read();
            self.export.send_metrics(&text, times).await;
        }
    }
}

/// Takes note of what other instances say.
async fn hear(codex: Codex, mut hints: Receiver<Hint>) {
    while let Some(hint) = hints.recv().await {
        codex.hear(&hint);
    }
}

/// Logs the start line: address, storage, Redis, and who is authorized.
fn log_start(config: &Config, address: SocketAddr, storage: &StoreName) {
    let (auth, who, url) = (&config.auth, config.auth.to_string(), &config.public_url);
    let user = auth.dev_user().map(tracing::field::display);
    let auth = auth.as_str();
    let repository = config.github.repository.as_ref();
    let repository = repository.map(|it| format!("{}/{} {}", it.owner, it.repo, it.branch));
    let version = env!("CARGO_PKG_VERSION");
    let redis = config.redis.as_ref().map(tracing::field::display);
    let otel = config.otel.as_ref().map(|it| it.endpoint.as_str());
    tracing::info!(version, %address, %storage, redis, otel, auth, user, who, repository, public_url = %url, "serving");
}

/// Logs a summary line once a minute.
async fn log_summaries(codex: Codex, metrics: Arc<Metrics>) {
    let mut minutes = tokio::time::interval(SUMMARY_INTERVAL);
    minutes.tick().await;
    loop {
        minutes.tick().await;
        telemetry::log_summary(&metrics, &codex.runtime_stats(Now::read()));
    }
}

pub(crate) async fn bind(config: &Config) -> Result<TcpListener, Failure> {
    let address = SocketAddr::new(config.bind, config.port);
    TcpListener::bind(address).await.map_err(|error| {
        let hint = match error.kind() {
            // Under a host, which has chosen the port, another one is no option.
            ErrorKind::AddrInUse | ErrorKind::PermissionDenied if !config.hosted => {
                "; PORT or --port names another port, 0 a free one"
            }
            _ => "",
        };
        format!("can't listen on {address}: {error}{hint}").into()
    })
}

/// Completes on SIGTERM or Ctrl-C. On Unix the handlers are installed at once, so that a signal before the first poll
/// isn't missed.
pub(crate) fn shutdown_signal() -> std::io::Result<impl Future<Output = ()>> {
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
