//! A received request, its answer, and GitHub's refusals.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::HeaderMap;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

/// A request, read completely.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) method: String,
    /// As received, percent-encoded, without the query.
    pub(super) path: String,
    /// Decoded.
    pub(super) segments: Vec<String>,
    /// Decoded.
    pub(super) query: Vec<(String, String)>,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// The body of an answer.
#[derive(Debug, Clone)]
pub(super) enum Content {
    None,
    Json(Value),
    Raw(String, Vec<u8>),
}

/// An answer.
#[derive(Debug, Clone)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) content: Content,
}

/// An answer, or the refusal that ends the request early.
pub(super) type Answer = Result<Reply, Box<Reply>>;

impl Call {
    pub(super) fn new(method: &str, target: &http::Uri, headers: HeaderMap, body: Bytes) -> Self {
        let path = target.path().to_owned();
        let decode = |part: &str| percent_decode_str(part).decode_utf8_lossy().into_owned();
        let query = form_urlencoded::parse(target.query().unwrap_or("").as_bytes());
        Self {
            method: method.to_owned(),
            segments: path.split('/').skip(1).map(decode).collect(),
            query: query.into_owned().collect(),
            path,
            headers,
            body,
        }
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    pub(super) fn query(&self, name: &str) -> Option<&str> {
        let mut pairs = self.query.iter();
        let (_, value) = pairs.find(|(key, _)| key == name)?;
        Some(value)
    }

    /// The query with the parameters `without` removed and the pairs `with` added, encoded.
    pub(super) fn query_with(&self, without: &[&str], with: &[(&str, &str)]) -> String {
        let kept = self.query.iter();
        let kept = kept.filter(|(name, _)| !without.contains(&name.as_str()));
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(kept).extend_pairs(with);
        query.finish()
    }

    /// The body as JSON.
    pub(super) fn json(&self) -> Result<Value, Box<Reply>> {
        if self.body.is_empty() {
            return Ok(json!({}));
        }
        let body: Option<Value> = serde_json::from_slice(&self.body).ok();
        body.filter(Value::is_object)
            .ok_or_else(|| refuse(400, "Problems parsing JSON"))
    }

    /// The body's form fields.
    pub(super) fn form(&self) -> Vec<(String, String)> {
        form_urlencoded::parse(&self.body).into_owned().collect()
    }

    /// The value after `Bearer` or `token`.
    pub(super) fn bearer(&self) -> Option<&str> {
        let (scheme, token) = self.header("authorization")?.split_once(' ')?;
        let fits = ["bearer", "token"]
            .iter()
            .any(|known| scheme.eq_ignore_ascii_case(known));
        fits.then_some(token.trim())
    }

    /// User name and password of Basic authentication.
    pub(super) fn basic(&self) -> Option<(String, String)> {
        let (scheme, text) = self.header("authorization")?.split_once(' ')?;
        let bytes = STANDARD.decode(text.trim()).ok()?;
        let text = String::from_utf8(bytes).ok()?;
        let (name, password) = text.split_once(':')?;
        scheme
            .eq_ignore_ascii_case("basic")
            .then(|| (name.to_owned(), password.to_owned()))
    }

    /// Whether the request accepts the raw bytes.
    pub(super) fn wants_raw(&self) -> bool {
        self.header("accept").is_some_and(|accept| {
            [
                "application/vnd.github.raw",
                "application/vnd.github.v3.raw",
            ]
            .iter()
            .any(|raw| accept.contains(raw))
        })
    }
}

impl Reply {
    pub(super) fn json(status: u16, body: Value) -> Self {
        Self {
            status,
            headers: Vec::new(),
            content: Content::Json(body),
        }
    }

    pub(super) fn empty(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            content: Content::None,
        }
    }

    pub(super) fn raw(status: u16, kind: &str, bytes: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            headers: Vec::new(),
            content: Content::Raw(kind.to_owned(), bytes.into()),
        }
    }

    pub(super) fn with(mut self, name: &'static str, value: impl ToString) -> Self {
        self.headers.push((name, value.to_string()));
        self
    }

    /// The answer's bytes and their media type.
    pub(super) fn bytes(&self) -> (Option<String>, Vec<u8>) {
        match &self.content {
            Content::None => (None, Vec::new()),
            Content::Json(body) => (
                Some("application/json; charset=utf-8".to_owned()),
                serde_json::to_vec(body).unwrap(),
            ),
            Content::Raw(kind, bytes) => (Some(kind.clone()), bytes.clone()),
        }
    }
}

/// A query parameter that counts from 1.
fn number(call: &Call, name: &str, or: usize) -> usize {
    let value = call.query(name).and_then(|value| value.parse().ok());
    value.filter(|value| *value > 0).unwrap_or(or)
}

/// The size of a page: 30, or the requested size up to 100.
pub(super) fn page_size(call: &Call) -> usize {
    number(call, "per_page", 30).min(100)
}

/// A page of a list with numbered pages.
pub(super) struct Page {
    /// Starts at 1.
    pub(super) number: usize,
    size: usize,
}

impl Page {
    /// The requested page.
    pub(super) fn of(call: &Call) -> Self {
        Self {
            number: number(call, "page", 1),
            size: page_size(call),
        }
    }

    /// The entries of the list on this page.
    pub(super) fn cut<'a, T>(&self, list: &'a [T]) -> &'a [T] {
        let begin = list.len().min(self.size.saturating_mul(self.number - 1));
        let end = list.len().min(begin + self.size);
        &list[begin..end]
    }

    /// The answer with links to the other pages, if there are any.
    pub(super) fn linked(&self, reply: Reply, call: &Call, address: &str, of: usize) -> Reply {
        let last = of.div_ceil(self.size).max(1);
        let link = |relation: &str, number: usize| {
            let query = call.query_with(&["page"], &[("page", &number.to_string())]);
            format!("<{address}?{query}>; rel=\"{relation}\"")
        };
        let mut links = Vec::new();
        if self.number > 1 {
            links.push(link("prev", (self.number - 1).min(last)));
        }
        if self.number < last {
            links.push(link("next", self.number + 1));
            links.push(link("last", last));
        }
        if self.number > 1 {
            links.push(link("first", 1));
        }
        match links.is_empty() {
            true => reply,
            false => reply.with("link", links.join(", ")),
        }
    }
}

/// The documentation link in GitHub's refusals.
const DOCUMENTATION: &str = "https://docs.github.com/rest";

/// A refusal in GitHub's form.
pub(super) fn refuse(status: u16, message: &str) -> Box<Reply> {
    Box::new(Reply::json(
        status,
        json!({
            "message": message,
            "documentation_url": DOCUMENTATION,
            "status": status.to_string(),
        }),
    ))
}

/// The refusal of an invalid value, with the errors.
pub(super) fn invalid(message: &str, errors: Value) -> Box<Reply> {
    Box::new(Reply::json(
        422,
        json!({
            "message": message,
            "errors": errors,
            "documentation_url": DOCUMENTATION,
            "status": "422",
        }),
    ))
}

/// The resource doesn't exist, or the caller may not know of it.
pub(super) fn not_found() -> Box<Reply> {
    refuse(404, "Not Found")
}

/// A member that must be a string.
pub(super) fn text(body: &Value, name: &str) -> Result<String, Box<Reply>> {
    match &body[name] {
        Value::String(text) => Ok(text.clone()),
        Value::Null => Err(refuse(
            422,
            &format!("Invalid request.\n\n\"{name}\" wasn't supplied."),
        )),
        other => {
            let message =
                format!("Invalid request.\n\nFor 'properties/{name}', {other} is not a string.");
            Err(refuse(422, &message))
        }
    }
}
