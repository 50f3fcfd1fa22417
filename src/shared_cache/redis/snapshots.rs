//! What a process that doesn't serve does with the server: one call, by a connection of its own.

use std::time::Duration;

use async_trait::async_trait;
use redis::{AsyncConnectionConfig, Pipeline, Value};

use super::connection::{BadRedisClient, Connector, RedisCallError, within};
use super::wire::{self, KeyNames};
use crate::config::RedisConfig;
use crate::net::TrustStore;
use crate::shared_cache::cache::{NoAnswer, SharedSnapshots};
use crate::shared_cache::clock::ServerTime;
use crate::shared_cache::entry::SharedReply;
use crate::user::UserId;

/// The timeout of a command: nobody else waits meanwhile, and an operator's machine may be far from the server.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(5);

/// The snapshots in one server.
pub struct RedisSnapshots {
    connector: Connector,
    names: KeyNames,
}

impl RedisSnapshots {
    /// Those of the store with this scope ([`RedisSettings::scope`](super::RedisSettings::scope)).
    ///
    /// # Errors
    /// If TLS or the client of the identity endpoint can't be set up.
    pub fn new(
        server: RedisConfig,
        scope: String,
        trust: &TrustStore,
    ) -> Result<Self, BadRedisClient> {
        Ok(Self {
            connector: Connector::new(server, trust)?,
            names: KeyNames::new(scope),
        })
    }

    /// Sends commands, and takes the answers.
    async fn call(&self, commands: &Pipeline) -> Result<Vec<Value>, RedisCallError> {
        let mut open = self.connector.open(AsyncConnectionConfig::new()).await?;
        let call = open
            .commands
            .send_packed_commands(commands, 0, commands.len());
        within(COMMAND_TIMEOUT, call).await
    }
}

#[async_trait]
impl SharedSnapshots for RedisSnapshots {
    async fn look_up(&self, user: &UserId) -> Result<SharedReply, NoAnswer> {
        let answers = self.call(&wire::get(&self.names.snapshot(user))).await;
        let read = answers
            .and_then(|answers| wire::parse_get(answers)?.ok_or(RedisCallError::Misunderstood));
        let (entry, time) = read.map_err(no_answer)?;
        Ok(SharedReply {
            entry,
            time,
            // That the clock has gone back is known only to who has heard it before.
            suspect: ServerTime::default(),
        })
    }

    async fn remove(&self, user: &UserId) -> Result<bool, NoAnswer> {
        let answers = self.call(&wire::remove(&self.names.snapshot(user))).await;
        let removed = answers
            .and_then(|answers| wire::parse_removed(answers)?.ok_or(RedisCallError::Misunderstood));
        removed.map_err(no_answer)
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn no_answer(error: RedisCallError) -> NoAnswer {
    NoAnswer(error.to_string())
}
