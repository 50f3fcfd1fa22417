//! What the calls and the background work of one client share.

use std::fmt::Display;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use parking_lot::Mutex;
use redis::aio::MultiplexedConnection;

use super::breaker::{Breaker, CallResult, HealthLine};
use super::connection::{RedisCallError, in_time, is_refused};
use super::wire::{self, KeyNames};
use crate::metrics::{CallOutcome, SharedCacheMetrics};
use crate::now::Now;
use crate::shared_cache::clock::{ServerClock, ServerTime};
use crate::shared_cache::entry::SharedEntry;

/// The state of the client.
pub(super) struct RedisLink {
    pub(super) names: KeyNames,
    pub(super) metrics: SharedCacheMetrics,
    /// `HOST:PORT`, for the log.
    server: String,
    now: fn() -> Now,
    clock: Mutex<ServerClock>,
    breaker: Mutex<Breaker>,
    commands: Mutex<Option<MultiplexedConnection>>,
    /// Whether the channel is subscribed to, and was well at its last check.
    hears: AtomicBool,
}

impl RedisLink {
    pub(super) fn new(
        scope: String,
        server: String,
        metrics: SharedCacheMetrics,
        now: fn() -> Now,
    ) -> Self {
        Self {
            names: KeyNames::new(scope),
            metrics,
            server,
            now,
            clock: Mutex::default(),
            breaker: Mutex::default(),
            commands: Mutex::default(),
            hears: AtomicBool::new(false),
        }
    }

    /// The connection for a call; `None` while there is none, or the breaker is open.
    pub(super) fn commands(&self) -> Option<MultiplexedConnection> {
        match self.breaker.lock().allows_calls() {
            true => self.commands.lock().clone(),
            false => None,
        }
    }

    pub(super) fn set_commands(&self, connection: Option<MultiplexedConnection>) {
        *self.commands.lock() = connection;
    }

    pub(super) fn set_hears(&self, hears: bool) {
        self.hears.store(hears, Ordering::Relaxed);
    }

    pub(super) fn hears(&self) -> bool {
        self.hears.load(Ordering::Relaxed)
    }

    /// What is known of the server's clock.
    pub(super) fn clock(&self) -> ServerClock {
        *self.clock.lock()
    }

    /// The earliest that the server's clock can show now.
    pub(super) fn server_time(&self) -> Option<ServerTime> {
        self.clock().at(self.moment())
    }

    /// Reads a hash, and hears the server's time. An error in the answer is one, too.
    pub(super) async fn read(
        &self,
        operation: &'static str,
        connection: &mut MultiplexedConnection,
        key: &str,
    ) -> Result<(Option<SharedEntry>, ServerTime), RedisCallError> {
        let timer = self.metrics.calls().begin(operation);
        let commands = wire::get(key);
        let sent = self.moment();
        let answers = in_time(connection.send_packed_commands(&commands, 0, commands.len())).await;
        let received = self.moment();
        let read = answers
            .and_then(|answers| wire::parse_get(answers)?.ok_or(RedisCallError::Misunderstood));
        if let Ok((_, time)) = read {
            self.clock.lock().observe(time, sent, received);
        }
        timer.end(CallOutcome::of(&read));
        read
    }

    /// Takes note of how a call ended in which an error answer of the server is no failure of the server.
    pub(super) fn note_call<T>(&self, answer: &Result<T, RedisCallError>) {
        match answer {
            Ok(_) => self.note(CallResult::Answered, &""),
            Err(_) if is_refused(answer) => {}
            Err(reason) => self.note(CallResult::Failed, reason),
        }
    }

    /// Takes note of a result, and logs what is to be logged.
    pub(super) fn note(&self, result: CallResult, reason: &dyn Display) {
        let line = self.breaker.lock().note(result);
        let server = &self.server;
        match line {
            None => {}
            Some(HealthLine::Away) => {
                tracing::warn!(server, %reason, "Redis is away; the service goes on without it");
            }
            Some(HealthLine::Back) => tracing::info!(server, "Redis is back"),
            Some(HealthLine::PublishRefused) => {
                tracing::warn!(server, %reason, "Redis takes no snapshots");
            }
            Some(HealthLine::ChannelRefused) => {
                tracing::warn!(server, %reason, "Redis passes on no hints");
            }
        }
    }

    fn moment(&self) -> Instant {
        (self.now)().mono
    }
}
