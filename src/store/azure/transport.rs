//! How requests travel: one HTTP client, few tries, short waits.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use azure_core::http::policies::{Policy, PolicyResult};
use azure_core::http::{
    ClientOptions, Context, ExponentialRetryOptions, Request, RetryOptions, Transport, Url,
};
use azure_core::time::Duration as SdkDuration;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use super::connection::BadConnection;
use super::contents::Delimiter;
use crate::net;

/// A store that doesn't take a connection by then won't take it soon.
const CONNECT: Duration = Duration::from_secs(3);

/// One try, from connecting to the body's last byte.
const TRY: Duration = Duration::from_secs(10);

/// Below the four minutes after which Azure's load balancers forget a silent connection.
const IDLE: Duration = Duration::from_secs(90);

/// The client's options but for the credential. Two more tries: the SDK waits twice the delay before
/// the first, four times before the second, and up to 255 ms more.
pub(super) fn client_options(endpoint: &Url) -> Result<ClientOptions, BadConnection> {
    let client = http_client(endpoint).map_err(BadConnection::Setup)?;
    Ok(ClientOptions {
        per_call_policies: vec![Arc::new(PlainPath), Arc::new(Delimiter)],
        retry: RetryOptions::exponential(ExponentialRetryOptions {
            initial_delay: SdkDuration::milliseconds(50),
            max_retries: 2,
            max_total_elapsed: SdkDuration::seconds(20),
            max_delay: SdkDuration::seconds(2),
        }),
        transport: Some(Transport::new(Arc::new(client))),
        ..ClientOptions::default()
    })
}

/// The SDK's own client needs the machine's CA files and a provider installed for the process; this
/// one brings both along. Storage speaks HTTP/1.1, and what it stores must not be decompressed.
fn http_client(endpoint: &Url) -> Result<reqwest::Client, String> {
    let mut builder = reqwest::Client::builder()
        .tls_backend_preconfigured(net::tls().map_err(|e| e.to_string())?)
        .http1_only()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT)
        .timeout(TRY)
        .pool_idle_timeout(IDLE);
    if net::is_loopback(endpoint.host_str().unwrap_or_default()) {
        // An emulator is never behind the proxy that the environment may name.
        builder = builder.no_proxy();
    }
    builder.build().map_err(|e| e.to_string())
}

/// What a URL's path may hold as it is, but what servers and proxies on the way like to rewrite,
/// after which a signature no longer fits.
const TOUCHY: &AsciiSet = &CONTROLS
    .add(b'!')
    .add(b'$')
    .add(b'&')
    .add(b'\'')
    .add(b'(')
    .add(b')')
    .add(b'*')
    .add(b'+')
    .add(b',')
    .add(b':')
    .add(b';')
    .add(b'=')
    .add(b'@')
    .add(b'[')
    .add(b'\\')
    .add(b']')
    .add(b'^')
    .add(b'|');

/// Sends a blob's name with nothing but unreserved characters, `%XX` and slashes. The SDK encodes
/// the slashes, too, and leaves [`TOUCHY`] characters bare.
#[derive(Debug)]
struct PlainPath;

#[async_trait]
impl Policy for PlainPath {
    async fn send(
        &self,
        context: &Context,
        request: &mut Request,
        next: &[Arc<dyn Policy>],
    ) -> PolicyResult {
        let url = request.url_mut();
        // A `%` in the name itself has become `%25`, so every `%2F` is a slash.
        let path = utf8_percent_encode(url.path(), TOUCHY)
            .to_string()
            .replace("%2F", "/");
        url.set_path(&path);
        next[0].send(context, request, &next[1..]).await
    }
}
