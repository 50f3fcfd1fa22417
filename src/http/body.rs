//! JSON bodies: read whole, then member by member, so that a refusal names the member.

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

use super::openapi::requests::AnyCaseZeit;
use super::{ApiError, Code};
use crate::task::{Datum, Slot, Zeit};

/// No request is longer.
pub(super) const MAX_BYTES: usize = 1 << 20;

/// When a client may try again that found no room.
const AGAIN: Duration = Duration::from_secs(1);

/// How many bytes of bodies, of all requests together, may wait for their ends.
const MAX_TOGETHER: usize = 64 << 20;

static ROOM: Semaphore = Semaphore::const_new(MAX_TOGETHER);

/// Memory for a body before any of it is there, at most.
const RESERVED: usize = 16 << 10;

/// The body's bytes, which must come within `span`. 413 over 1 MiB, 415 for one that isn't JSON by its
/// content type; an empty one needs none.
pub(super) async fn read(
    headers: &HeaderMap,
    body: Body,
    span: Duration,
) -> Result<Bytes, ApiError> {
    if is_packed(headers) {
        let message = "The body must not be compressed: send it without Content-Encoding.";
        return Err(ApiError::new(Code::UnsupportedMediaType, message));
    }
    let bytes = bytes(headers, body, MAX_BYTES, span, &ROOM).await?;
    if bytes.is_empty() || is_json(headers) {
        return Ok(bytes);
    }
    Err(not_json())
}

/// The content type isn't JSON's.
pub(super) fn not_json() -> ApiError {
    let message = "The body must be JSON: send it with Content-Type: application/json.";
    ApiError::new(Code::UnsupportedMediaType, message)
}

/// The body's bytes, whatever they are, which must come within `span`. Each takes a permit of `room` for as
/// long as the bytes are kept. 413 for more than `limit`, 503 without room.
pub(super) async fn bytes(
    headers: &HeaderMap,
    body: Body,
    limit: usize,
    span: Duration,
    room: &'static Semaphore,
) -> Result<Bytes, ApiError> {
    let length = headers
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse().ok());
    if length.is_some_and(|length: usize| length > limit) {
        return Err(too_large(limit));
    }
    let collected =
        tokio::time::timeout(span, collect(body, length.unwrap_or(0), limit, room)).await;
    collected.unwrap_or_else(|_| Err(too_slow()))
}

/// The body didn't come in time.
pub(super) fn too_slow() -> ApiError {
    let message = "The body took too long to come: send it again.";
    ApiError::new(Code::BodyTooSlow, message)
}

/// A body in memory.
struct Kept {
    bytes: Vec<u8>,
    room: Option<SemaphorePermit<'static>>,
}

impl AsRef<[u8]> for Kept {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Kept {
    /// Takes room for what is there, and not for what is only announced: who sends slowly keeps little.
    fn push(&mut self, data: &[u8], room: &'static Semaphore) -> Result<(), ApiError> {
        let many = u32::try_from(data.len()).unwrap_or(u32::MAX);
        let taken = room.try_acquire_many(many).map_err(|_| {
            let message = "Too many large requests at once: send it again in a moment.";
            ApiError::new(Code::Overloaded, message).retry_after(AGAIN)
        })?;
        match &mut self.room {
            Some(room) => room.merge(taken),
            none => *none = Some(taken),
        }
        self.bytes.extend_from_slice(data);
        Ok(())
    }
}

async fn collect(
    mut body: Body,
    announced: usize,
    limit: usize,
    room: &'static Semaphore,
) -> Result<Bytes, ApiError> {
    let mut kept = Kept {
        // Longer ones must first have begun to come.
        bytes: Vec::with_capacity(announced.min(RESERVED)),
        room: None,
    };
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| {
            let message = "The body broke off: send it again.";
            ApiError::new(Code::InvalidJson, message)
        })?;
        // Trailers say nothing here.
        let data = frame.into_data().unwrap_or_default();
        if data.len() > limit - kept.bytes.len() {
            return Err(too_large(limit));
        }
        kept.push(&data, room)?;
    }
    Ok(Bytes::from_owner(kept))
}

/// The body is larger than `limit`.
pub(super) fn too_large(limit: usize) -> ApiError {
    let message = format!("The body is over {} MiB: send a smaller one.", limit >> 20);
    ApiError::new(Code::BodyTooLarge, message)
}

fn is_json(headers: &HeaderMap) -> bool {
    let value = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let essence = value.and_then(|value| value.split(';').next());
    essence.is_some_and(|it| it.trim().eq_ignore_ascii_case("application/json"))
}

fn is_packed(headers: &HeaderMap) -> bool {
    let codings = headers.get_all(CONTENT_ENCODING).iter();
    let mut codings = codings.flat_map(|value| value.as_bytes().split(|c| *c == b','));
    codings.any(|coding| {
        let coding = coding.trim_ascii();
        !coding.is_empty() && !coding.eq_ignore_ascii_case(b"identity")
    })
}

/// A day and a time of day.
#[expect(
    dead_code,
    reason = "for the API's document; members are taken out one by one"
)]
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = SlotGiven)]
pub(super) struct SlotBody {
    datum: Datum,
    zeit: AnyCaseZeit,
}

/// A JSON object whose members are taken out one by one; what is left at the end is refused.
#[derive(Debug)]
pub(super) struct Members {
    /// Names the object in refusals, as in `fixedSlot.`; empty for the body itself.
    path: String,
    members: Map<String, Value>,
}

impl Members {
    /// The body's. An empty body means `{}`; a byte order mark doesn't count (RFC 8259, 8.1).
    pub(super) fn of(bytes: &[u8]) -> Result<Self, ApiError> {
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
            _ => {
                let message = "The body must be a JSON object, as in {\"kategorie\":\"arbeit\"}.";
                Err(ApiError::new(Code::InvalidJson, message))
            }
        }
    }

    /// A text; `None` when it isn't there.
    pub(super) fn text(&mut self, name: &str) -> Result<Option<String>, ApiError> {
        match self.members.remove(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.invalid(name, "must be a text")),
        }
    }

    /// A text that means something else; `None` when it isn't there.
    pub(super) fn parsed<T>(&mut self, name: &str) -> Result<Option<T>, ApiError>
    where
        T: FromStr,
        T::Err: Display,
    {
        let text = self.text(name)?;
        text.map(|text| self.parse(name, &text)).transpose()
    }

    /// The same, or `null`, which clears the field.
    pub(super) fn clearable<T>(&mut self, name: &str) -> Result<Option<Option<T>>, ApiError>
    where
        T: FromStr,
        T::Err: Display,
    {
        if self.takes_null(name) {
            return Ok(Some(None));
        }
        Ok(self.parsed(name)?.map(Some))
    }

    /// A list of texts; `None` when it isn't there.
    pub(super) fn texts(&mut self, name: &str) -> Result<Option<Vec<String>>, ApiError> {
        let items = match self.members.remove(name) {
            None => return Ok(None),
            Some(Value::Array(items)) => items,
            Some(_) => return Err(self.invalid(name, "must be a list of texts")),
        };
        let texts = items.into_iter().map(|item| match item {
            Value::String(text) => Ok(text),
            _ => Err(self.invalid(name, "must be a list of texts")),
        });
        texts.collect::<Result<_, _>>().map(Some)
    }

    /// `{datum, zeit}`, both of them, or `null`, which clears the field.
    pub(super) fn clearable_slot(&mut self, name: &str) -> Result<Option<Option<Slot>>, ApiError> {
        if self.takes_null(name) {
            return Ok(Some(None));
        }
        let members = match self.members.remove(name) {
            None => return Ok(None),
            Some(Value::Object(members)) => members,
            Some(_) => return Err(self.invalid(name, "must be {datum, zeit} or null")),
        };
        let mut inner = Self {
            path: format!("{}{name}.", self.path),
            members,
        };
        let slot = inner.slot()?;
        inner.none_left()?;
        match slot {
            Some(slot) => Ok(Some(Some(slot))),
            None => Err(inner.invalid("datum", "is missing: give datum and zeit")),
        }
    }

    /// `datum` and `zeit`: both or neither. `zeit` in any letter case.
    pub(super) fn slot(&mut self) -> Result<Option<Slot>, ApiError> {
        let datum: Option<Datum> = self.parsed("datum")?;
        let zeit = self.text("zeit")?;
        let zeit: Option<Zeit> = zeit
            .map(|zeit| self.parse("zeit", &zeit.to_lowercase()))
            .transpose()?;
        match (datum, zeit) {
            (Some(datum), Some(zeit)) => Ok(Some(Slot { datum, zeit })),
            (None, None) => Ok(None),
            (Some(_), None) => Err(self.invalid("zeit", "is missing: give datum and zeit")),
            (None, Some(_)) => Err(self.invalid("datum", "is missing: give datum and zeit")),
        }
    }

    /// Refuses whatever hasn't been taken.
    pub(super) fn none_left(&self) -> Result<(), ApiError> {
        match self.members.keys().next() {
            None => Ok(()),
            Some(name) => {
                let message = "This field isn't known here: leave it out.";
                let field = format!("{}{name}", self.path);
                Err(ApiError::new(Code::UnknownField, message).field(field))
            }
        }
    }

    /// A refusal of the member `name`; `what` goes on after its name.
    pub(super) fn invalid(&self, name: &str, what: &str) -> ApiError {
        let field = format!("{}{name}", self.path);
        ApiError::new(Code::InvalidField, format!("{field} {what}.")).field(field)
    }

    fn parse<T>(&self, name: &str, text: &str) -> Result<T, ApiError>
    where
        T: FromStr,
        T::Err: Display,
    {
        text.parse()
            .map_err(|error| self.invalid(name, &format!("can't be that: {error}")))
    }

    fn takes_null(&mut self, name: &str) -> bool {
        let is_null = self.members.get(name).is_some_and(Value::is_null);
        if is_null {
            self.members.remove(name);
        }
        is_null
    }
}
