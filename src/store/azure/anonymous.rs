//! What the container shows to whoever has no credentials.

use azure_core::http::Url;
use chrono::{DateTime, Utc};
use reqwest::header::DATE;

use super::connection::{AzureConnection, BadConnection};
use super::transport::TRY_TIMEOUT;
use crate::net::{self, TrustStore};
use crate::store::key::BlobKey;

/// Without a version, Azure answers anonymous requests as it did in 2009.
const VERSION: (&str, &str) = ("x-ms-version", "2020-08-04");

/// Sends reads without credentials to a container.
#[derive(Debug)]
pub struct AnonymousReader {
    client: reqwest::Client,
    container: Url,
}

/// The answer to such a read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnonymousAnswer {
    /// The HTTP status; 2xx if anybody may read.
    pub status: u16,
    /// The store's clock; whole seconds. `None` if the answer isn't from storage.
    pub date: Option<DateTime<Utc>>,
}

impl AnonymousReader {
    /// A reader of this container. Sends no request, and never the connection's credential.
    pub fn new(
        connection: &AzureConnection,
        container: &str,
        trust: &TrustStore,
    ) -> Result<Self, BadConnection> {
        let setup_error = |error: &dyn ToString| BadConnection::Setup(error.to_string());
        let client = trust.client(&connection.endpoint);
        let client = client.map_err(|error| setup_error(&error))?;
        let client = client.redirect(reqwest::redirect::Policy::none());
        let client = client.timeout(TRY_TIMEOUT).build();
        Ok(Self {
            client: client.map_err(|error| setup_error(&error))?,
            container: connection.container_url(container),
        })
    }

    /// Lists the container's blobs, which only public access of the level "container" allows.
    pub async fn list(&self) -> Result<AnonymousAnswer, String> {
        let mut url = self.container.clone();
        url.set_query(Some("restype=container&comp=list&maxresults=1"));
        self.send(url).await
    }

    /// Reads a blob, which public access of either level allows.
    pub async fn get(&self, key: &BlobKey) -> Result<AnonymousAnswer, String> {
        let mut url = self.container.clone();
        url.set_path(&format!("{}/{key}", url.path()));
        self.send(url).await
    }

    async fn send(&self, url: Url) -> Result<AnonymousAnswer, String> {
        let request = self.client.get(url).header(VERSION.0, VERSION.1);
        let response = request.send().await.map_err(|error| {
            let unreachable = || "it can't be reached".to_owned();
            net::certificate_error(&error).unwrap_or_else(unreachable)
        })?;
        let date = response.headers().get(DATE).and_then(|it| it.to_str().ok());
        let date = date.and_then(|text| DateTime::parse_from_rfc2822(text).ok());
        Ok(AnonymousAnswer {
            status: response.status().as_u16(),
            date: date.map(|it| it.with_timezone(&Utc)),
        })
    }
}
