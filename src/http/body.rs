//! JSON request bodies: buffered, then parsed member by member, so that an error names the member.

use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use http_body_util::BodyExt;
use serde_json::{Map, Value};
use tokio::sync::{Semaphore, SemaphorePermit};
use utoipa::ToSchema;

use super::error::{Answer, ApiError};
use super::error_code::Code;
use super::negotiate::text;
use super::openapi::parameters::AnyCaseZeit;
use crate::task::{Datum, Slot, Zeit};

/// The maximum size of a JSON body.
pub(super) const MAX_BYTES: usize = 1 << 20;

/// `Retry-After` when the memory for bodies is exhausted.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The maximum number of bytes buffered at once for the bodies of all requests.
const MAX_BUFFERED: usize = 64 << 20;

/// One permit per buffered byte.
static MEMORY: Semaphore = Semaphore::const_new(MAX_BUFFERED);

/// The maximum capacity allocated for a body by its `Content-Length` alone.
const MAX_PREALLOCATED: usize = 16 << 10;

/// Reads a JSON body, which must arrive within `timeout`; an empty one needs no content type.
///
/// Errors: 408 after `timeout`, 413 over 1 MiB, 415 for a compressed body or another content type, 503 when too many
/// bytes are buffered.
pub(super) async fn read(headers: &HeaderMap, body: Body, timeout: Duration) -> Answer<Bytes> {
    if is_compressed(headers) {
        let message = "The body must not be compressed: send it without Content-Encoding.";
        return Err(ApiError::new(Code::UnsupportedMediaType, message));
    }
    let bytes = read_bytes(headers, body, MAX_BYTES, timeout, &MEMORY).await?;
    if bytes.is_empty() || is_json(headers) {
        return Ok(bytes);
    }
    Err(Code::UnsupportedMediaType.into())
}

/// Reads a body of any type, which must arrive within `timeout`. Each byte holds a permit of `memory` until the buffer
/// is dropped.
///
/// Errors: 400 when the connection breaks, 408 after `timeout`, 413 over `limit` bytes, 503 without permits left.
pub(super) async fn read_bytes(
    headers: &HeaderMap,
    body: Body,
    limit: usize,
    timeout: Duration,
    memory: &'static Semaphore,
) -> Answer<Bytes> {
    let length = text(headers, CONTENT_LENGTH).and_then(|length| length.parse().ok());
    if length.is_some_and(|length: usize| length > limit) {
        return Err(too_large(limit));
    }
    let collected =
        tokio::time::timeout(timeout, collect(body, length.unwrap_or(0), limit, memory)).await;
    collected.unwrap_or_else(|_| Err(Code::BodyTooSlow.into()))
}

/// A buffered body, with the permits for its bytes.
struct BufferedBody {
    bytes: Vec<u8>,
    permits: Option<SemaphorePermit<'static>>,
}

impl AsRef<[u8]> for BufferedBody {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl BufferedBody {
    /// Acquires permits for the bytes received, not for the `Content-Length`, so that a slow client holds few.
    fn push(&mut self, data: &[u8], memory: &'static Semaphore) -> Answer<()> {
        let many = u32::try_from(data.len()).unwrap_or(u32::MAX);
        let permits = memory
            .try_acquire_many(many)
            .map_err(|_| ApiError::from(Code::Overloaded).retry_after(RETRY_AFTER))?;
        match &mut self.permits {
            Some(held) => held.merge(permits),
            none => *none = Some(permits),
        }
        self.bytes.extend_from_slice(data);
        Ok(())
    }
}

async fn collect(
    mut body: Body,
    content_length: usize,
    limit: usize,
    memory: &'static Semaphore,
) -> Answer<Bytes> {
    let mut buffered = BufferedBody {
        // `Content-Length` is only a claim: a larger buffer grows with what arrives.
        bytes: Vec::with_capacity(content_length.min(MAX_PREALLOCATED)),
        permits: None,
    };
    while let Some(frame) = body.frame().await {
        let broken_off = "The body broke off: send it again.";
        let frame = frame.map_err(|_| ApiError::new(Code::InvalidJson, broken_off))?;
        // Trailers are ignored.
        let data = frame.into_data().unwrap_or_default();
        if data.len() > limit - buffered.bytes.len() {
            return Err(too_large(limit));
        }
        buffered.push(&data, memory)?;
    }
    Ok(Bytes::from_owner(buffered))
}

/// 413 `body_too_large`: the body is over `limit` bytes.
pub(super) fn too_large(limit: usize) -> ApiError {
    let message = format!("The body is over {} MiB: send a smaller one.", limit >> 20);
    ApiError::new(Code::BodyTooLarge, message)
}

fn is_json(headers: &HeaderMap) -> bool {
    let essence = text(headers, CONTENT_TYPE).and_then(|value| value.split(';').next());
    essence.is_some_and(|it| it.trim().eq_ignore_ascii_case("application/json"))
}

fn is_compressed(headers: &HeaderMap) -> bool {
    let codings = headers.get_all(CONTENT_ENCODING).iter();
    let mut codings = codings.flat_map(|value| value.as_bytes().split(|c| *c == b','));
    codings.any(|coding| {
        let coding = coding.trim_ascii();
        !coding.is_empty() && !coding.eq_ignore_ascii_case(b"identity")
    })
}

/// A day and a time of day.
#[expect(dead_code, reason = "only for the OpenAPI document")]
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SlotGiven {
    datum: Datum,
    zeit: AnyCaseZeit,
}

/// What is wrong with a slot of which one member is given.
const MISSING: &str = "is missing: give datum and zeit";

/// A JSON object whose members are removed one by one; [`Self::reject_unknown`] refuses those that remain.
#[derive(Debug)]
pub(super) struct Members {
    /// The prefix of member names in errors, as in `fixedSlot.`; empty for the body itself.
    path: String,
    members: Map<String, Value>,
}

impl Members {
    /// Parses the body, else 400 `invalid_json`. An empty body means `{}`; a byte order mark is skipped (RFC 8259,
    /// 8.1).
    pub(super) fn of(bytes: &[u8]) -> Answer<Self> {
        let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
        let value = match bytes {
            [] => Value::Object(Map::new()),
            bytes => serde_json::from_slice(bytes).map_err(|error| {
                let place = format!("line {}, column {}", error.line(), error.column());
                let message = format!("The body isn't JSON at {place}: mend it.");
                ApiError::new(Code::InvalidJson, message)
            })?,
        };
        match value {
            Value::Object(members) => Ok(Self {
                path: String::new(),
                members,
            }),
            _ => Err(Code::InvalidJson.into()),
        }
    }

    /// Removes a string member; `None` when it is missing. Any other type is 400 `invalid_field`, as for the rest
    /// below.
    pub(super) fn text(&mut self, name: &str) -> Answer<Option<String>> {
        match self.members.remove(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.invalid(name, "must be a text")),
        }
    }

    /// Removes a string member and parses it; `None` when it is missing.
    pub(super) fn parsed<T: FromStr<Err: Display>>(&mut self, name: &str) -> Answer<Option<T>> {
        let text = self.text(name)?;
        text.map(|text| self.parse(name, &text)).transpose()
    }

    /// As [`Self::parsed`]; `Some(None)` for `null`, which clears the field.
    pub(super) fn nullable<T: FromStr<Err: Display>>(
        &mut self,
        name: &str,
    ) -> Answer<Option<Option<T>>> {
        self.unless_null(name, |members| members.parsed(name))
    }

    /// Removes a list of strings; `None` when it is missing.
    pub(super) fn texts(&mut self, name: &str) -> Answer<Option<Vec<String>>> {
        let Some(list) = self.members.remove(name) else {
            return Ok(None);
        };
        let texts = serde_json::from_value(list);
        let texts = texts.map_err(|_| self.invalid(name, "must be a list of texts"))?;
        Ok(Some(texts))
    }

    /// Removes `{datum, zeit}`, of which both are required; `Some(None)` for `null`, which clears the field.
    pub(super) fn nullable_slot(&mut self, name: &str) -> Answer<Option<Option<Slot>>> {
        self.unless_null(name, |outer| {
            let members = match outer.members.remove(name) {
                None => return Ok(None),
                Some(Value::Object(members)) => members,
                Some(_) => return Err(outer.invalid(name, "must be {datum, zeit} or null")),
            };
            let mut inner = Self {
                path: format!("{}{name}.", outer.path),
                members,
            };
            let slot = inner.slot()?;
            inner.reject_unknown()?;
            let missing = || inner.invalid("datum", MISSING);
            slot.map(Some).ok_or_else(missing)
        })
    }

    /// Removes `datum` and `zeit`: both or neither. `zeit` in any letter case.
    pub(super) fn slot(&mut self) -> Answer<Option<Slot>> {
        let datum: Option<Datum> = self.parsed("datum")?;
        let zeit = self.text("zeit")?.map(|zeit| zeit.to_lowercase());
        let zeit: Option<Zeit> = zeit.map(|zeit| self.parse("zeit", &zeit)).transpose()?;
        match (datum, zeit) {
            (Some(datum), Some(zeit)) => Ok(Some(Slot { datum, zeit })),
            (None, None) => Ok(None),
            (Some(_), None) => Err(self.invalid("zeit", MISSING)),
            (None, Some(_)) => Err(self.invalid("datum", MISSING)),
        }
    }

    /// 400 `unknown_field` when a member remains.
    pub(super) fn reject_unknown(&self) -> Answer<()> {
        match self.members.keys().next() {
            None => Ok(()),
            Some(name) => {
                let field = format!("{}{name}", self.path);
                Err(ApiError::from(Code::UnknownField).field(field))
            }
        }
    }

    /// 400 `invalid_field` for the member `name`, with the message `{name} {what}.`
    pub(super) fn invalid(&self, name: &str, what: &str) -> ApiError {
        let field = format!("{}{name}", self.path);
        ApiError::new(Code::InvalidField, format!("{field} {what}.")).field(field)
    }

    fn parse<T: FromStr<Err: Display>>(&self, name: &str, text: &str) -> Answer<T> {
        text.parse()
            .map_err(|error| self.invalid(name, &format!("can't be that: {error}")))
    }

    /// Removes a member by `take`; `Some(None)` if it is `null`.
    fn unless_null<T>(
        &mut self,
        name: &str,
        take: impl FnOnce(&mut Self) -> Answer<Option<T>>,
    ) -> Answer<Option<Option<T>>> {
        if self.members.get(name).is_some_and(Value::is_null) {
            self.members.remove(name);
            return Ok(Some(None));
        }
        Ok(take(self)?.map(Some))
    }
}
