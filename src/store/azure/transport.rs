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
use reqwest::ClientBuilder;

use super::connection::BadConnection;
use super::contents::Delimiter;
use crate::net::Trust;

/// One try, from connecting to the body's last byte.
const TRY: Duration = Duration::from_secs(10);

/// Below the four minutes after which Azure's load balancers forget a silent connection.
const IDLE: Duration = Duration::from_secs(90);

/// The client's options but for the credential. Storage speaks HTTP/1.1, and what it stores must not be
/// decompressed.
pub(super) fn client_options(
    trust: &Trust,
    endpoint: &Url,
) -> Result<ClientOptions, BadConnection> {
    let client = trust.client(endpoint).map_err(setup)?;
    let client = client.http1_only().timeout(TRY).pool_idle_timeout(IDLE);
    Ok(ClientOptions {
        per_call_policies: vec![Arc::new(PlainPath), Arc::new(Delimiter)],
        retry: few_tries(),
        ..options(client)?
    })
}

/// Those of the endpoint that hands out tokens, for single tries. It is on this machine or next to it: a proxy that
/// the environment names can't reach it, and would learn the app's header.
pub(super) fn identity_options(
    trust: &Trust,
    endpoint: &Url,
) -> Result<ClientOptions, BadConnection> {
    options(trust.client(endpoint).map_err(setup)?.no_proxy())
}

/// The SDK's own client would need the machine's CA files and a provider installed for the process.
fn options(client: ClientBuilder) -> Result<ClientOptions, BadConnection> {
    let client = client.redirect(reqwest::redirect::Policy::none());
    let client = client.build().map_err(setup)?;
    Ok(ClientOptions {
        retry: RetryOptions::none(),
        transport: Some(Transport::new(Arc::new(client))),
        ..ClientOptions::default()
    })
}

/// Two more tries: the SDK waits twice the delay before the first, four times before the second, and up to 255 ms
/// more.
fn few_tries() -> RetryOptions {
    RetryOptions::exponential(ExponentialRetryOptions {
        initial_delay: SdkDuration::milliseconds(50),
        max_retries: 2,
        max_total_elapsed: SdkDuration::seconds(20),
        max_delay: SdkDuration::seconds(2),
    })
}

fn setup(error: impl ToString) -> BadConnection {
    BadConnection::Setup(error.to_string())
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
