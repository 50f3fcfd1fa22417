//! Keeps one connection: makes it, checks it every few seconds, and makes it again when it is lost.
//!
//! The checks are the only way to notice a line that is dead: the operating system finds that out after many minutes.
//! One that the server has closed ends at once.

use std::sync::Arc;
use std::time::Duration;

use redis::{AsyncConnectionConfig, PushInfo};
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::breaker::{CallResult, reconnect_pause};
use super::connection::{Connector, OpenConnection, RedisCallError, in_time, is_refused};
use super::link::RedisLink;
use super::wire;
use crate::metrics::CallOutcome;
use crate::shared_cache::entry::Hint;

/// The interval of the checks.
const CHECK_INTERVAL: Duration = Duration::from_secs(5);

/// What a connection is for. While commands are answered on one, hints arrive on the other: a large snapshot never holds
/// up a hint.
#[derive(Debug, Clone)]
pub(super) enum ConnectionUse {
    /// The calls.
    Commands,
    /// The hints, which go here; those that find it full are dropped.
    Channel(mpsc::Sender<Hint>),
}

/// The supervisor of one connection.
pub(super) struct Supervisor {
    link: Arc<RedisLink>,
    connector: Arc<Connector>,
    connection_use: ConnectionUse,
}

impl Supervisor {
    pub(super) fn new(
        link: &Arc<RedisLink>,
        connector: &Arc<Connector>,
        connection_use: ConnectionUse,
    ) -> Self {
        Self {
            link: Arc::clone(link),
            connector: Arc::clone(connector),
            connection_use,
        }
    }

    /// Never returns.
    pub(super) async fn keep(self) {
        let mut attempts = 0;
        let mut connected = false;
        loop {
            match self.open().await {
                Ok(open) => {
                    if std::mem::replace(&mut connected, true) {
                        self.link.metrics.record_reconnection();
                    }
                    // A connection that is lost before its first check is made again as slowly as one that can't be made.
                    if self.use_until_lost(open).await {
                        attempts = 0;
                    }
                }
                Err(error) => self.note_unreachable(&error),
            }
            sleep(reconnect_pause(attempts)).await;
            attempts = attempts.saturating_add(1);
        }
    }

    /// Connects, and makes the connection ready for its use: the commands' one has heard the server's time, the channel's
    /// one has subscribed.
    async fn open(&self) -> Result<OpenConnection, RedisCallError> {
        let config = AsyncConnectionConfig::new();
        match &self.connection_use {
            ConnectionUse::Commands => {
                let mut open = self.connector.open(config).await?;
                self.check(&mut open).await?;
                self.link.set_commands(Some(open.commands.clone()));
                Ok(open)
            }
            ConnectionUse::Channel(hints) => {
                let config = config.set_push_sender(self.listener(hints.clone()));
                let mut open = self.connector.open(config).await?;
                let channel = self.link.names.hints();
                let heard = in_time(open.commands.subscribe(channel)).await;
                match &heard {
                    Ok(()) => self.link.note(CallResult::ChannelHeard, &""),
                    Err(error) if is_refused(&heard) => {
                        self.link.note(CallResult::ChannelRefused, error);
                    }
                    Err(_) => {}
                }
                self.link.set_hears(heard.is_ok());
                heard.map(|()| open)
            }
        }
    }

    /// Passes on the hints.
    fn listener(
        &self,
        hints: mpsc::Sender<Hint>,
    ) -> impl Fn(PushInfo) -> Result<(), ()> + Send + Sync + 'static {
        let link = Arc::clone(&self.link);
        move |push| {
            if let Some(hint) = wire::parse_push(push) {
                let now = link.server_time();
                let lag = now.map(|now| now.since(hint.sent).unwrap_or_default());
                link.metrics.record_hint(lag);
                // A lost hint costs freshness within the bounds.
                let _ = hints.try_send(hint);
            }
            Ok(())
        }
    }

    /// Returns when the connection is lost or a check fails: whether a check had succeeded by then.
    async fn use_until_lost(&self, mut open: OpenConnection) -> bool {
        let mut checked = false;
        loop {
            let is_lost = tokio::select! {
                () = open.lost() => true,
                () = sleep(CHECK_INTERVAL) => false,
            };
            if is_lost || self.check(&mut open).await.is_err() {
                break;
            }
            checked = true;
            if self.connector.sign_in_again(&mut open).await.is_err() {
                break;
            }
        }
        match self.connection_use {
            ConnectionUse::Commands => self.link.set_commands(None),
            ConnectionUse::Channel(_) => self.link.set_hears(false),
        }
        checked
    }

    async fn check(&self, open: &mut OpenConnection) -> Result<(), RedisCallError> {
        let answer = match self.connection_use {
            // What a read sends: a server that is loading its data, or lets nobody read, is found here as there.
            ConnectionUse::Commands => {
                let key = self.link.names.check();
                let read = self.link.read("check", &mut open.commands, &key).await;
                read.map(drop)
            }
            ConnectionUse::Channel(_) => {
                let timer = self.link.metrics.calls().begin("check");
                let ping = redis::cmd("PING");
                let answer = in_time(ping.query_async::<()>(&mut open.commands)).await;
                timer.end(CallOutcome::of(&answer));
                answer
            }
        };
        if let (Ok(()), ConnectionUse::Commands) = (&answer, &self.connection_use) {
            self.link.note(CallResult::Checked, &"");
        }
        answer
    }

    fn note_unreachable(&self, error: &RedisCallError) {
        match self.connection_use {
            ConnectionUse::Commands => self.link.note(CallResult::Unreachable, error),
            // The commands' connection tells of a server that is away.
            ConnectionUse::Channel(_) => {
                tracing::debug!(%error, "Redis's channel can't be heard");
            }
        }
    }
}
