//! The client of the shared cache, alone, against real servers.

mod commands;
mod identity;
mod outages;
mod processes;
mod replacement;
mod round_trips;
mod servers;
mod sign_in;

use std::sync::Arc;
use std::time::Duration;

use codex_miroir::config::RedisConfig;
use codex_miroir::metrics::{Metrics, RuntimeStats, SharedCacheMetrics};
use codex_miroir::net::TrustStore;
use codex_miroir::now::Now;
use codex_miroir::shared_cache::{
    Away, Hint, Published, RedisCache, RedisSettings, ServerTime, SharedBody, SharedCache,
    SharedEntry, SharedReply, Stamp,
};
use codex_miroir::store::ETag;
use codex_miroir::user::UserId;
use codex_miroir::user_state::Version;
use serde_json::Value;
use tokio::sync::mpsc::Receiver;
use tokio::task::JoinSet;
use tracing::subscriber::DefaultGuard;

use crate::support::log::LogBuffer;
use crate::support::redis::RedisServer;

/// Longer than anything takes; reached only when something hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// A client with its background work, on the test's thread, and what it logs.
struct Client {
    cache: Arc<RedisCache>,
    hints: Receiver<Hint>,
    log: LogBuffer,
    metrics: Metrics,
    _background: JoinSet<()>,
    _logging: DefaultGuard,
}

impl Client {
    fn start(server: RedisConfig, trust: TrustStore) -> Self {
        let log = LogBuffer::default();
        let logging = tracing::subscriber::set_default(log.subscriber());
        let metrics = SharedCacheMetrics::default();
        let (cache, hints) = RedisCache::new(RedisSettings {
            server,
            scope: "codex-cache".to_owned(),
            life: Duration::from_secs(900),
            trust,
            metrics: metrics.clone(),
            clock: Now::read,
        })
        .unwrap();
        let mut background = JoinSet::new();
        background.spawn(Arc::clone(&cache).run_in_background());
        Self {
            cache,
            hints,
            log,
            metrics: Metrics::default().with_shared_cache(&metrics),
            _background: background,
            _logging: logging,
        }
    }

    /// A client that has both connections.
    async fn of(server: &RedisServer) -> Self {
        let client = Self::start(server.config(), TrustStore::default());
        client.answers().await;
        until("it hears the channel", async || listeners(server) == 1).await;
        client
    }

    /// Waits until look-ups are answered.
    async fn answers(&self) -> SharedReply {
        let mut reply = None;
        until("look-ups are answered", async || {
            reply = self.cache.get(&anna()).await.ok();
            reply.is_some()
        })
        .await;
        reply.unwrap()
    }

    /// The user's snapshot. A busy machine may take longer than a call waits.
    async fn get(&self) -> Option<SharedEntry> {
        self.answers().await.entry
    }

    async fn publish(&self, entry: &SharedEntry) -> Published {
        let mut published = None;
        until("it is published", async || {
            published = self.try_publish(entry).await.ok();
            published.is_some()
        })
        .await;
        published.unwrap()
    }

    async fn try_publish(&self, entry: &SharedEntry) -> Result<Published, Away> {
        let body = Some(entry.body.clone());
        self.cache.publish(&anna(), &entry.stamp, body).await
    }

    /// Sends hints of this version until one is heard.
    async fn hears(&mut self, version: u64) -> Hint {
        let mut heard = None;
        until("a hint is heard", async || {
            self.cache.hint(&anna(), Version(version)).await;
            tokio::task::yield_now().await;
            while let Ok(hint) = self.hints.try_recv() {
                heard = Some(hint).filter(|it| it.version == Version(version));
            }
            heard.is_some()
        })
        .await;
        heard.unwrap()
    }

    /// What a metric shows.
    fn count(&self, name: &str) -> u64 {
        let text = self.metrics.render(&RuntimeStats::default()).unwrap();
        let values = text
            .lines()
            .filter_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        values.map(|it| it.parse::<u64>().unwrap()).sum()
    }

    /// The messages of this level, with their reasons.
    fn lines(&self, level: &str) -> Vec<String> {
        let text = self.log.text();
        let lines = text.lines().map(|it| serde_json::from_str(it).unwrap());
        let lines = lines.filter(|it: &Value| it["level"] == level);
        lines
            .map(|it| format!("{} ({})", it["message"].as_str().unwrap(), it["reason"]))
            .collect()
    }

    async fn logs(&self, level: &str, count: usize) {
        until("it is logged", async || self.lines(level).len() >= count).await;
    }
}

fn anna() -> UserId {
    UserId::parse("anna").unwrap()
}

fn entry(version: u64, listed: u64, confirmed: u64) -> SharedEntry {
    SharedEntry {
        stamp: Stamp {
            format: "1".into(),
            version: Version(version),
            etag: ETag::new("0x8DC"),
            listed: ServerTime(listed),
            confirmed: ServerTime(confirmed),
        },
        body: SharedBody {
            state: format!("state {version}").into(),
            index: vec![0, 255, 13, 10, 0].into(),
        },
    }
}

/// How many connections hear the channel.
fn listeners(server: &RedisServer) -> usize {
    let counts = server.run::<(String, usize)>(&["PUBSUB", "NUMSUB", "codex:codex-cache:hints"]);
    counts.map_or(0, |(_, count)| count)
}

/// Waits for what others bring about.
async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let came = tokio::time::timeout(PATIENCE, wait).await;
    assert!(came.is_ok(), "{what}: not within {PATIENCE:?}");
}
