//! What a process that doesn't serve does with the server: one call, by a connection of its own.

use std::time::Duration;

use async_trait::async_trait;
use redis::{AsyncConnectionConfig, Cmd, Pipeline, RedisError, Value};

use super::connection::{BadRedisClient, Connector, RedisCallError, is_refused, within};
use super::wire::{self, KeyNames, PUBLISH};
use crate::config::RedisConfig;
use crate::net::TrustStore;
use crate::shared_cache::cache::{NoAnswer, SharedSnapshots};
use crate::shared_cache::clock::ServerTime;
use crate::shared_cache::entry::SharedReply;
use crate::user::UserId;

/// The timeout of a command: nobody else waits meanwhile, and an operator's machine may be far from the server.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(5);

/// How long the key of a trial lives if it isn't removed.
const TRIAL_LIFE_MS: u64 = 10_000;

/// A command that the server doesn't let this user run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedCommand {
    /// Its name.
    pub command: &'static str,
    /// The server's own words.
    pub reason: String,
}

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

impl RedisSnapshots {
    /// Connects, signs in, and tries each command that the service uses, on a key and by a message that no instance takes
    /// for its own; the key is removed again. Returns the commands that the server refuses, with its reason.
    ///
    /// # Errors
    /// [`NoAnswer`] if there is no connection, or it is lost.
    pub async fn try_commands(&self) -> Result<Vec<RefusedCommand>, NoAnswer> {
        let opened = self.connector.open(AsyncConnectionConfig::new()).await;
        let mut open = opened.map_err(no_answer)?;
        let mut refused = vec![];
        let (key, channel) = (self.names.trial(), self.names.hints());
        let (stamp, body) = wire::trial_snapshot();
        let publish = |how| wire::publish(how, &key, TRIAL_LIFE_MS, &stamp, Some(&body));
        let (by_text, by_id) = (("EVAL", PUBLISH), wire::publish_id());
        let mut hint = redis::cmd("PUBLISH");
        hint.arg(&channel).arg("trial");
        let mut ping = redis::pipe();
        ping.cmd("PING");
        let pipeline = |command: Cmd| {
            let mut pipeline = redis::pipe();
            pipeline.add_command(command);
            pipeline
        };
        for (command, commands) in [
            ("PING", ping),
            ("HMGET and TIME", wire::get(&key)),
            ("EVAL", pipeline(publish(by_text))),
            // The key is there by now, so that the script reads it, too.
            ("EVALSHA", pipeline(publish(("EVALSHA", &by_id)))),
            ("DEL", wire::remove(&key)),
            ("PUBLISH", pipeline(hint)),
        ] {
            let call = open
                .commands
                .send_packed_commands(&commands, 0, commands.len());
            let answers = within(COMMAND_TIMEOUT, call).await;
            let answer = answers.and_then(|answers| {
                let checked = answers.into_iter().map(Value::extract_error);
                // Nothing but a refused EVAL.
                let is_unknown = |error: &RedisError| wire::is_script_unknown(error);
                let checked = checked.filter(|it| !it.as_ref().is_err_and(is_unknown));
                Ok(checked.collect::<Result<Vec<_>, _>>().map(drop)?)
            });
            note_refused(command, answer, &mut refused)?;
        }
        let heard = within(COMMAND_TIMEOUT, open.commands.subscribe(channel)).await;
        note_refused("SUBSCRIBE", heard, &mut refused)?;
        Ok(refused)
    }
}

/// Keeps a refusal; any other error ends the trial.
fn note_refused(
    command: &'static str,
    answer: Result<(), RedisCallError>,
    refused: &mut Vec<RefusedCommand>,
) -> Result<(), NoAnswer> {
    let is_refusal = is_refused(&answer);
    match answer {
        Ok(()) => Ok(()),
        Err(error) if is_refusal => {
            let reason = error.to_string();
            refused.push(RefusedCommand { command, reason });
            Ok(())
        }
        Err(error) => Err(no_answer(error)),
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
