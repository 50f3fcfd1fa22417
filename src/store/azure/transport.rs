//! The HTTP clients, their timeouts and retries.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use azure_core::http::policies::{Policy, PolicyResult};
use azure_core::http::{
    ClientOptions, Context, ExponentialRetryOptions, Request, RetryOptions, Transport, Url,
};
use azure_core::time::Duration as SdkDuration;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::ClientBuilder;

use super::connection::BadConnection;
use crate::net::TrustStore;

/// The timeout of one try, from connecting to the last byte of the body.
pub(super) const TRY_TIMEOUT: Duration = Duration::from_secs(10);

/// Below the four minutes after which Azure's load balancers drop idle connections.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(90);

/// Client options without a credential. Storage uses HTTP/1.1, and stored content must not be decompressed.
pub(super) fn client_options(
    trust: &TrustStore,
    endpoint: &Url,
) -> Result<ClientOptions, BadConnection> {
    let client = trust.client(endpoint).map_err(setup_error)?;
    let client = client
        .http1_only()
        .timeout(TRY_TIMEOUT)
        .pool_idle_timeout(POOL_IDLE_TIMEOUT);
    Ok(ClientOptions {
        per_call_policies: vec![Arc::new(UrlForm)],
        retry: storage_retries(),
        ..options(client)?
    })
}

/// Options for the managed identity endpoint, without retries. The endpoint is on this machine or next to it: a proxy
/// named by the environment couldn't reach it, and would see the app's secret header.
pub(super) fn identity_options(
    trust: &TrustStore,
    endpoint: &Url,
) -> Result<ClientOptions, BadConnection> {
    options(trust.client(endpoint).map_err(setup_error)?.no_proxy())
}

/// Replaces the SDK's default client, which needs the machine's CA files and a process-wide TLS provider.
fn options(client: ClientBuilder) -> Result<ClientOptions, BadConnection> {
    let client = client.redirect(reqwest::redirect::Policy::none());
    let client = client.build().map_err(setup_error)?;
    Ok(ClientOptions {
        retry: RetryOptions::none(),
        transport: Some(Transport::new(Arc::new(client))),
        ..ClientOptions::default()
    })
}

/// Two retries. The SDK waits twice the initial delay before the first and four times before the second, plus up to 255
/// ms.
fn storage_retries() -> RetryOptions {
    RetryOptions::exponential(ExponentialRetryOptions {
        initial_delay: SdkDuration::milliseconds(50),
        max_retries: 2,
        max_total_elapsed: SdkDuration::seconds(20),
        max_delay: SdkDuration::seconds(2),
    })
}

fn setup_error(error: impl ToString) -> BadConnection {
    BadConnection::Setup(error.to_string())
}

/// All but unreserved characters, slashes and what is encoded already. The others may be valid in a URL path, but servers
/// and proxies tend to rewrite them, which breaks the signature.
const REWRITTEN: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'/')
    .remove(b'%');

/// Marks a request whose listing is limited to one level.
pub(super) struct OneLevel;

/// Sends blob names without [`REWRITTEN`] characters, which the SDK leaves unencoded, while it encodes slashes. Adds the
/// `delimiter` parameter to requests marked with [`OneLevel`].
#[derive(Debug)]
struct UrlForm;

#[async_trait]
impl Policy for UrlForm {
    async fn send(
        &self,
        context: &Context,
        request: &mut Request,
        next: &[Arc<dyn Policy>],
    ) -> PolicyResult {
        let url = request.url_mut();
        // A `%` in the name was encoded as `%25`, so each `%2F` is a slash.
        let path = utf8_percent_encode(url.path(), REWRITTEN)
            .to_string()
            .replace("%2F", "/");
        url.set_path(&path);
        if context.value::<OneLevel>().is_some() {
            url.query_pairs_mut().append_pair("delimiter", "/");
        }
        next[0].send(context, request, &next[1..]).await
    }
}
