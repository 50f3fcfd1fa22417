//! The shared cache in Redis (src/cache/README.md, "The shared cache").
//!
//! Two connections, which the background work makes and keeps: one for commands, one that hears the channel. A call
//! never connects and never waits for a connection.

mod breaker;
mod connection;
mod link;
mod login;
mod snapshots;
mod supervisor;
mod wire;

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use redis::Value;
use redis::aio::MultiplexedConnection;
use tokio::sync::mpsc;

use self::connection::{Connector, RedisCallError, in_time, is_refused};
use self::link::RedisLink;
use self::supervisor::{ConnectionUse, Supervisor};
use super::cache::{Away, LookupOutcome, SharedCache};
use super::clock::ServerTime;
use super::entry::{Hint, Published, SharedBody, SharedReply, Stamp};
use crate::config::RedisConfig;
use crate::metrics::{CallOutcome, SharedCacheMetrics};
use crate::net::TrustStore;
use crate::now::Now;
use crate::user::UserId;
use crate::user_state::Version;

pub use self::breaker::{Breaker, CallResult, HealthLine, reconnect_pause};
pub use self::connection::BadRedisClient;
pub use self::login::object_id;
pub use self::snapshots::{RedisSnapshots, RefusedCommand};
pub use self::wire::parse_hint;

/// So many hints wait to be acted on; further ones are dropped.
const MAX_WAITING_HINTS: usize = 1_024;

/// What a client is built with.
#[derive(Clone)]
pub struct RedisSettings {
    /// The server, and as whom to sign in.
    pub server: RedisConfig,
    /// What tells the store from any other: it is in the names of the keys and of the channel, so that several services may
    /// share a server.
    pub scope: String,
    /// How long a snapshot is kept after it was last confirmed.
    pub life: Duration,
    /// Whose certificates the server may show.
    pub trust: TrustStore,
    /// Where calls are counted.
    pub metrics: SharedCacheMetrics,
    /// Reads the clocks.
    pub clock: fn() -> Now,
}

/// A client of one server. Snapshots of more than 512 KiB stay out of it.
pub struct RedisCache {
    link: Arc<RedisLink>,
    connector: Arc<Connector>,
    hints: mpsc::Sender<Hint>,
    life_ms: u64,
    /// SHA-1 of [`wire::PUBLISH`], by which the server knows it.
    script_id: String,
}

impl RedisCache {
    /// The client, and the hints that it hears. Does nothing by itself: [`Self::run_in_background`] connects.
    ///
    /// # Errors
    /// If TLS or the client of the identity endpoint can't be set up.
    pub fn new(
        settings: RedisSettings,
    ) -> Result<(Arc<Self>, mpsc::Receiver<Hint>), BadRedisClient> {
        let RedisSettings {
            server,
            scope,
            life,
            trust,
            metrics,
            clock,
        } = settings;
        let (hints, heard) = mpsc::channel(MAX_WAITING_HINTS);
        let link = RedisLink::new(scope, server.address(), metrics, clock);
        let cache = Self {
            link: Arc::new(link),
            connector: Arc::new(Connector::new(server, &trust)?),
            hints,
            life_ms: u64::try_from(life.as_millis()).unwrap_or(u64::MAX),
            script_id: wire::publish_id(),
        };
        Ok((Arc::new(cache), heard))
    }

    /// Connects, and keeps the connections. Never returns; they end with it.
    pub async fn run_in_background(self: Arc<Self>) {
        let supervisor =
            |connection_use| Supervisor::new(&self.link, &self.connector, connection_use).keep();
        let hints = ConnectionUse::Channel(self.hints.clone());
        tokio::join!(supervisor(ConnectionUse::Commands), supervisor(hints));
    }

    /// Runs the script, which a server that has started again must be given anew.
    async fn run_publish(
        &self,
        connection: &mut MultiplexedConnection,
        key: &str,
        stamp: &Stamp,
        body: Option<&SharedBody>,
    ) -> redis::RedisResult<Value> {
        let publish = |how| wire::publish(how, key, self.life_ms, stamp, body);
        let by_id = publish(("EVALSHA", &*self.script_id));
        match by_id.query_async(connection).await {
            Err(error) if wire::is_script_unknown(&error) => {
                publish(("EVAL", wire::PUBLISH))
                    .query_async(connection)
                    .await
            }
            answer => answer,
        }
    }

    fn note_publish(&self, answer: &Result<Published, RedisCallError>) {
        match answer {
            Ok(_) => self.link.note(CallResult::PublishTaken, &""),
            Err(error) if is_refused(answer) => self.link.note(CallResult::PublishRefused, error),
            Err(error) => self.link.note(CallResult::Failed, error),
        }
    }
}

#[async_trait]
impl SharedCache for RedisCache {
    fn time_at(&self, moment: Instant) -> Option<ServerTime> {
        self.link.clock().at(moment)
    }

    async fn get(&self, user: &UserId) -> Result<SharedReply, Away> {
        let mut connection = self.link.commands().ok_or(Away)?;
        let key = self.link.names.snapshot(user);
        match self.link.read("get", &mut connection, &key).await {
            Ok((entry, time)) => {
                self.link.note(CallResult::Answered, &"");
                let suspect = self.link.clock().suspect();
                Ok(SharedReply {
                    entry,
                    time,
                    suspect,
                })
            }
            Err(error) => {
                self.link.note(CallResult::Failed, &error);
                Err(Away)
            }
        }
    }

    async fn publish(
        &self,
        user: &UserId,
        stamp: &Stamp,
        body: Option<SharedBody>,
    ) -> Result<Published, Away> {
        let is_large = |body: &SharedBody| body.state.len() + body.index.len() > wire::MAX_BODY;
        if body.as_ref().is_some_and(is_large) {
            return Ok(Published::Kept);
        }
        let mut connection = self.link.commands().ok_or(Away)?;
        let key = self.link.names.snapshot(user);
        let timer = self.link.metrics.calls().begin("publish");
        let run = self.run_publish(&mut connection, &key, stamp, body.as_ref());
        let answer = in_time(run).await;
        let published = answer
            .and_then(|answer| wire::parse_published(answer).ok_or(RedisCallError::Misunderstood));
        timer.end(CallOutcome::of(&published));
        self.note_publish(&published);
        published.map_err(|_| Away)
    }

    async fn hint(&self, user: &UserId, version: Version) {
        let (Some(mut connection), Some(sent)) = (self.link.commands(), self.link.server_time())
        else {
            return;
        };
        let user = user.clone();
        let message = wire::hint_text(&Hint {
            user,
            version,
            sent,
        });
        let mut publish = redis::cmd("PUBLISH");
        publish.arg(self.link.names.hints()).arg(message);
        let timer = self.link.metrics.calls().begin("hint");
        let answer = in_time(publish.query_async::<()>(&mut connection)).await;
        timer.end(CallOutcome::of(&answer));
        self.link.note_call(&answer);
    }

    fn hears(&self) -> bool {
        self.link.hears()
    }

    fn record(&self, outcome: LookupOutcome) {
        self.link.metrics.record_lookup(match outcome {
            LookupOutcome::Hit => "hit",
            LookupOutcome::Stale => "stale",
            LookupOutcome::Miss => "miss",
            LookupOutcome::Rejected => "rejected",
        });
    }
}
