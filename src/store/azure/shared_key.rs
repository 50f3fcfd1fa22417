//! Shared Key request signing, which the SDK doesn't implement.
//!
//! The rules are Microsoft's "Authorize with Shared Key", version 2015-02-21 and later.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use async_trait::async_trait;
use azure_core::credentials::Secret;
use azure_core::hmac::hmac_sha256;
use azure_core::http::headers::HeaderName;
use azure_core::http::policies::{Policy, PolicyResult};
use azure_core::http::{Context, Request, Url};
use azure_core::time::{OffsetDateTime, to_rfc7231};

/// The signed headers, in this order; `date` stays empty because `x-ms-date` is sent.
const SIGNED: [&str; 10] = [
    "content-encoding",
    "content-language",
    "content-md5",
    "content-type",
    "date",
    "if-modified-since",
    "if-match",
    "if-none-match",
    "if-unmodified-since",
    "range",
];

/// The index in [`SIGNED`] before which the body length is inserted.
const LENGTH_AT: usize = 2;

/// Must be the last policy before the transport, so that each try is signed: a signature is valid for 15 minutes from
/// its date, and must cover exactly what is sent.
#[derive(Debug)]
pub(super) struct SharedKey {
    account: String,
    key: Secret,
}

impl SharedKey {
    pub(super) fn new(account: String, key: Secret) -> Self {
        Self { account, key }
    }

    fn text_to_sign(&self, request: &Request) -> String {
        let value = |name| {
            let header = HeaderName::from_static(name);
            request.headers().get_optional_str(&header).unwrap_or("")
        };
        let mut lines = vec![request.method().as_str().to_owned()];
        lines.extend(SIGNED.map(|name| value(name).to_owned()));
        lines.insert(1 + LENGTH_AT, length(request));
        lines.extend(storage_headers(request));
        format!("{}\n{}", lines.join("\n"), self.resource(request.url()))
    }

    /// The canonicalized resource: the account, the path as sent, and the decoded query, sorted.
    fn resource(&self, url: &Url) -> String {
        let mut query: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (name, value) in url.query_pairs() {
            let values = query.entry(name.to_lowercase()).or_default();
            values.push(value.into_owned());
        }
        let mut text = format!("/{}{}", self.account, url.path());
        for (name, mut values) in query {
            values.sort();
            let _ = write!(text, "\n{name}:{}", values.join(","));
        }
        text
    }
}

/// The body length; the empty string for an empty body.
fn length(request: &Request) -> String {
    match request.body().len() {
        None | Some(0) => String::new(),
        Some(length) => length.to_string(),
    }
}

/// The canonicalized `x-ms-…` headers, sorted by name.
fn storage_headers(request: &Request) -> Vec<String> {
    let headers = request.headers().iter();
    let mut lines: Vec<String> = headers
        .filter(|(name, _)| name.as_str().starts_with("x-ms-"))
        .map(|(name, value)| format!("{}:{}", name.as_str(), value.as_str().trim()))
        .collect();
    lines.sort();
    lines
}

#[async_trait]
impl Policy for SharedKey {
    async fn send(
        &self,
        context: &Context,
        request: &mut Request,
        next: &[Arc<dyn Policy>],
    ) -> PolicyResult {
        request.insert_header("x-ms-date", to_rfc7231(&OffsetDateTime::now_utc()));
        let signature = hmac_sha256(&self.text_to_sign(request), &self.key)?;
        let authorization = format!("SharedKey {}:{signature}", self.account);
        request.insert_header("authorization", authorization);
        next[0].send(context, request, &next[1..]).await
    }
}
