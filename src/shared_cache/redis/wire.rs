//! PURE. The commands and answers of the shared cache, as Redis has them.

use redis::{Cmd, Pipeline, RedisResult, ServerErrorKind, Value};
use sha1::{Digest, Sha1};

use crate::shared_cache::clock::ServerTime;
use crate::shared_cache::entry::{Hint, Published, SharedBody, SharedEntry, Stamp};
use crate::store::ETag;
use crate::user::UserId;
use crate::user_state::Version;

/// Replaces a snapshot, or not.
pub(super) const PUBLISH: &str = include_str!("publish.lua");

/// The fields of a user's hash, in the order in which they are read.
const FIELDS: [&str; 7] = [
    "format",
    "version",
    "etag",
    "listed",
    "confirmed",
    "state",
    "index",
];

/// Versions are padded, so that the script compares them as strings: its numbers aren't exact up to there.
const VERSION_DIGITS: usize = 20;

/// Times are compared as numbers, which aren't exact beyond so many digits. They suffice until the year 2286.
const MAX_TIME_DIGITS: usize = 16;

/// The largest snapshot, state document and files together, in bytes: a larger one would hold up the commands behind it
/// on the connection.
pub(super) const MAX_BODY: usize = 512 << 10;

/// The names of a store's keys and of its channel.
#[derive(Debug)]
pub(super) struct KeyNames {
    scope: String,
}

impl KeyNames {
    pub(super) fn new(scope: String) -> Self {
        Self { scope }
    }

    /// The user's snapshot. The braces are the hash tag: in a cluster, all keys of a user are on one node.
    pub(super) fn snapshot(&self, user: &UserId) -> String {
        format!("codex:{{{}/{user}}}:snapshot", self.scope)
    }

    /// A key that never exists, and is read by the check.
    pub(super) fn check(&self) -> String {
        format!("codex:{{{}}}:check", self.scope)
    }

    /// A key that is written and removed to see whether that is allowed. Not a valid user name.
    pub(super) fn trial(&self) -> String {
        format!("codex:{{{}/.trial}}:snapshot", self.scope)
    }

    /// The channel that carries hints.
    pub(super) fn hints(&self) -> String {
        format!("codex:{}:hints", self.scope)
    }
}

/// Reads a hash, and then the server's time: what comes in between makes the snapshot older, never younger. Not in a
/// transaction, in which a server that is full refuses even reading.
pub(super) fn get(key: &str) -> Pipeline {
    let mut commands = redis::pipe();
    commands.cmd("HMGET").arg(key).arg(&FIELDS);
    commands.cmd("TIME");
    commands
}

/// The answers to [`get`]; `None` if they can't be made out.
pub(super) fn parse_get(
    answers: Vec<Value>,
) -> RedisResult<Option<(Option<SharedEntry>, ServerTime)>> {
    let Some([fields, time]) = array(Value::Array(answers)) else {
        return Ok(None);
    };
    let entry = match fields {
        // Another program's value under that name is no snapshot.
        Value::ServerError(error) if error.code() == "WRONGTYPE" => None,
        fields => parse_entry(fields.extract_error()?),
    };
    Ok(parse_time(time.extract_error()?).map(|time| (entry, time)))
}

/// Removes a key.
pub(super) fn remove(key: &str) -> Pipeline {
    let mut commands = redis::pipe();
    commands.cmd("DEL").arg(key);
    commands
}

/// The answer to [`remove`]: whether it was there. `None` if it can't be made out.
pub(super) fn parse_removed(answers: Vec<Value>) -> RedisResult<Option<bool>> {
    let Some([removed]) = array(Value::Array(answers)) else {
        return Ok(None);
    };
    Ok(match removed.extract_error()? {
        Value::Int(removed) => Some(removed > 0),
        _ => None,
    })
}

/// A hash with all fields, in their proper form.
fn parse_entry(fields: Value) -> Option<SharedEntry> {
    let [format, version, etag, listed, confirmed, state, index] = array(fields)?;
    let full = |part| bytes(part).filter(|it| !it.is_empty());
    Some(SharedEntry {
        stamp: Stamp {
            format: text(format)?.into(),
            version: Version(number(
                &text(version).filter(|it| it.len() == VERSION_DIGITS)?,
            )?),
            etag: ETag::new(&String::from_utf8(full(etag)?).ok()?),
            listed: parse_micros(listed)?,
            confirmed: parse_micros(confirmed)?,
        },
        body: SharedBody {
            state: full(state)?.into(),
            index: full(index)?.into(),
        },
    })
}

/// A time as the script can compare it.
fn parse_micros(micros: Value) -> Option<ServerTime> {
    let micros = text(micros).filter(|it| it.len() <= MAX_TIME_DIGITS)?;
    Some(ServerTime(number(&micros)?))
}

/// Seconds, and the microseconds beyond them.
fn parse_time(time: Value) -> Option<ServerTime> {
    let [seconds, micros] = array(time)?;
    let (seconds, micros) = (number(&text(seconds)?)?, number(&text(micros)?)?);
    let time = seconds.checked_mul(1_000_000)?.checked_add(micros)?;
    Some(ServerTime(time))
}

/// The digest by which a server that has run [`PUBLISH`] knows it.
pub(super) fn publish_id() -> String {
    format!("{:x}", Sha1::digest(PUBLISH))
}

/// Runs the script of `publish`: `command` is `EVALSHA` with its digest, or `EVAL` with its text.
pub(super) fn publish(
    (command, script): (&str, &str),
    key: &str,
    life_ms: u64,
    stamp: &Stamp,
    body: Option<&SharedBody>,
) -> Cmd {
    let mut run = redis::cmd(command);
    run.arg(script).arg(1).arg(key).arg(life_ms);
    run.arg(&*stamp.format)
        .arg(format!("{:0VERSION_DIGITS$}", stamp.version.0));
    run.arg(stamp.etag.as_str());
    run.arg(stamp.listed.0).arg(stamp.confirmed.0);
    if let Some(SharedBody { state, index }) = body {
        run.arg(&state[..]).arg(&index[..]);
    }
    run
}

/// A snapshot of nothing, for [`KeyNames::trial`].
pub(super) fn trial_snapshot() -> (Stamp, SharedBody) {
    let stamp = Stamp {
        format: "trial".into(),
        version: Version(1),
        etag: ETag::new("trial"),
        listed: ServerTime(0),
        confirmed: ServerTime(0),
    };
    let (state, index) = ("trial".into(), "trial".into());
    (stamp, SharedBody { state, index })
}

pub(super) fn parse_published(answer: Value) -> Option<Published> {
    Some(match text(answer)?.as_str() {
        "kept" => Published::Kept,
        "raised" => Published::Raised,
        "wanted" => Published::Wanted,
        "stored" => Published::Stored,
        _ => return None,
    })
}

/// Whether the server doesn't know the script, as after a restart.
pub(super) fn is_script_unknown(error: &redis::RedisError) -> bool {
    error.kind() == redis::ErrorKind::Server(ServerErrorKind::NoScript)
}

/// A hint as it is sent: user, version, microseconds of the server's clock.
pub(super) fn hint_text(hint: &Hint) -> String {
    format!("{} {} {}", hint.user, hint.version, hint.sent.0)
}

/// Reads a hint; `None` for anything else that comes by the channel.
pub fn parse_hint(message: &str) -> Option<Hint> {
    let mut words = message.split(' ');
    let hint = Hint {
        user: UserId::parse(words.next()?).ok()?,
        version: Version(number(words.next()?)?),
        sent: ServerTime(number(words.next()?)?),
    };
    words.next().is_none().then_some(hint)
}

/// The hint in a message on the channel.
pub(super) fn parse_push(push: redis::PushInfo) -> Option<Hint> {
    let [_channel, message] = match push.kind {
        redis::PushKind::Message => <[Value; 2]>::try_from(push.data).ok()?,
        _ => return None,
    };
    parse_hint(&text(message)?)
}

/// Digits only: `parse` would take a sign.
fn number(text: &str) -> Option<u64> {
    let digits = text.bytes().all(|c| c.is_ascii_digit());
    text.parse().ok().filter(|_| digits)
}

fn array<const N: usize>(value: Value) -> Option<[Value; N]> {
    match value {
        Value::Array(items) => items.try_into().ok(),
        _ => None,
    }
}

fn bytes(value: Value) -> Option<Vec<u8>> {
    match value {
        Value::BulkString(bytes) => Some(bytes),
        Value::SimpleString(text) => Some(text.into_bytes()),
        _ => None,
    }
}

fn text(value: Value) -> Option<String> {
    String::from_utf8(bytes(value)?).ok()
}
