//! Azure Blob Storage: a real account, or the emulator Azurite (src/store/README.md, "Azure").

mod anonymous;
mod connection;
mod error;
mod identity;
mod listing;
mod shared_key;
mod transport;

use std::collections::HashMap;
use std::num::NonZero;
use std::sync::Arc;

use async_trait::async_trait;
use azure_core::Error;
use azure_core::http::{Context, Etag};
use azure_storage_blob::models::{
    BlobClientDeleteOptions, BlobClientDownloadOptions, BlobClientDownloadResult,
    BlobClientUploadOptions, BlobClientUploadResult,
};
use azure_storage_blob::{BlobContainerClient, BlobContainerClientOptions};
use derive_more::{Debug, Display};
use tokio::sync::OnceCell;

pub use self::anonymous::{AnonymousAnswer, AnonymousReader};
pub use self::connection::{AzureConnection, BadConnection, Credential};
use self::error::{AzureErrorKind, CallContext};
use self::identity::IdentityTokens;
pub use self::identity::{NoToken, TokenSource};
use self::listing::is_folder;
use self::shared_key::SharedKey;
use self::transport::OneLevel;
use super::blob_store::{
    Blob, BlobStore, DeleteOutcome, GetIf, GetOutcome, Listing, Put, PutIf, PutOutcome, StoreAnswer,
};
use super::error::StoreError;
use super::ids::{ETag, WriteIds};
use super::key::{BlobKey, Prefix};
use crate::net::TrustStore;

/// The metadata key of a blob's [`WriteIds`].
const WRITES_METADATA: &str = "writes";

/// The largest blob, in bytes, that is transferred in one request; the SDK splits larger ones. Reading an empty blob
/// takes two requests, since the SDK first asks for a range, which an empty blob doesn't have.
const MAX_SINGLE_REQUEST: usize = 256 << 20;

/// Blobs in one container.
///
/// A missing container counts as empty; the first write creates it, without public access. Otherwise no request is
/// spent on it.
///
/// Shown for the startup log, as in `account codex at codex.blob.core.windows.net, container codex-cache`.
#[derive(Display, Debug)]
#[display("{label}")]
#[debug("AzureStore({label})")]
pub struct AzureStore {
    label: String,
    client: BlobContainerClient,
    created: OnceCell<()>,
}

impl AzureStore {
    /// Builds the client; sends no request. `container` is a valid name, see
    /// [`is_container_name`](crate::config::is_container_name).
    pub fn new(
        connection: AzureConnection,
        container: &str,
        trust: &TrustStore,
    ) -> Result<Self, BadConnection> {
        Ok(Self {
            label: format!("{connection}, container {container}"),
            client: container_client(connection, container, trust)?,
            created: OnceCell::new(),
        })
    }

    /// Whether the container exists. Needs no other permission than [`BlobStore::list`].
    pub async fn has_container(&self) -> StoreAnswer<bool> {
        let (prefix, one_level) = (Prefix::all_state(), Context::new().with_value(OneLevel));
        let call = CallContext::new("list", prefix.as_str());
        let mut listing = Listing::default();
        match listing::add_pages(&self.client, &prefix, one_level, &mut listing).await {
            Ok(headers) => call.response(true, &headers),
            Err(error) => call.outcome(&error, |kind| {
                (kind == AzureErrorKind::NoContainer).then_some(false)
            }),
        }
    }

    /// Creates the container, once per process. If it is deleted later it isn't created again: restoring a deleted
    /// container requires its name to be free.
    async fn create_container(&self, call: CallContext<'_>) -> Result<(), StoreError> {
        let create = || async {
            match self.client.create(None).await {
                Err(error) if AzureErrorKind::of(&error) != AzureErrorKind::ContainerExists => {
                    Err(call.store_error(&error))
                }
                _ => Ok(()),
            }
        };
        self.created.get_or_try_init(create).await.copied()
    }

    async fn upload(
        &self,
        key: &BlobKey,
        blob: &Put,
        condition: &PutIf,
    ) -> Result<BlobClientUploadResult, Error> {
        let mut options = BlobClientUploadOptions {
            blob_content_type: Some(key.content_type().to_owned()),
            metadata: metadata(&blob.writes),
            partition_size: NonZero::new(MAX_SINGLE_REQUEST as u64),
            ..Default::default()
        };
        match condition {
            PutIf::Any => {}
            PutIf::Absent => options.if_none_match = Some("*".into()),
            PutIf::Same(etag) => options.if_match = Some(sdk_etag(etag)),
        }
        let content = blob.bytes.clone().into();
        let client = self.client.blob_client(key.path());
        client.upload(content, Some(options)).await
    }

    async fn listing(&self, prefix: &Prefix, context: Context<'_>) -> StoreAnswer<Listing> {
        let call = CallContext::new("list", prefix.as_str());
        let mut listing = Listing::default();
        match listing::add_pages(&self.client, prefix, context, &mut listing).await {
            Ok(headers) => call.response(listing, &headers),
            Err(error) => call.outcome(&error, |kind| {
                (kind == AzureErrorKind::NoContainer).then(|| Listing {
                    requests: listing.requests + 1,
                    ..Listing::default()
                })
            }),
        }
    }
}

#[async_trait]
impl BlobStore for AzureStore {
    async fn get(&self, key: &BlobKey, condition: GetIf) -> StoreAnswer<GetOutcome> {
        let call = CallContext::new("get", key.path());
        let mut options = BlobClientDownloadOptions {
            partition_size: NonZero::new(MAX_SINGLE_REQUEST),
            ..Default::default()
        };
        match condition {
            GetIf::Any => {}
            GetIf::Changed(etag) => options.if_none_match = Some(sdk_etag(&etag)),
            GetIf::Same(etag) => options.if_match = Some(sdk_etag(&etag)),
        }
        let client = self.client.blob_client(key.path());
        match client.download(Some(options)).await {
            Ok(response) => download_outcome(call, response).await,
            Err(error) => call.outcome(&error, |kind| match kind {
                AzureErrorKind::Unchanged => Some(GetOutcome::Unchanged),
                AzureErrorKind::Refused => Some(GetOutcome::Changed),
                AzureErrorKind::NoBlob | AzureErrorKind::NoContainer => Some(GetOutcome::Absent),
                _ => None,
            }),
        }
    }

    async fn put(&self, key: &BlobKey, blob: Put, condition: PutIf) -> StoreAnswer<PutOutcome> {
        let call = CallContext::new("put", key.path());
        let mut sent = self.upload(key, &blob, &condition).await;
        let no_container = |e: &Error| AzureErrorKind::of(e) == AzureErrorKind::NoContainer;
        let update = matches!(condition, PutIf::Same(_));
        if !update && sent.as_ref().is_err_and(no_container) {
            self.create_container(call).await?;
            sent = self.upload(key, &blob, &condition).await;
        }
        match sent {
            Ok(response) => {
                let written = PutOutcome::Done(call.etag(response.etag.as_ref())?);
                call.response(written, response.raw_response.headers())
            }
            Err(error) => call.outcome(&error, |kind| match kind {
                AzureErrorKind::Refused => Some(PutOutcome::Refused),
                AzureErrorKind::NoBlob | AzureErrorKind::NoContainer if update => {
                    Some(PutOutcome::Refused)
                }
                _ => None,
            }),
        }
    }

    async fn delete(&self, key: &BlobKey, if_match: &ETag) -> StoreAnswer<DeleteOutcome> {
        let call = CallContext::new("delete", key.path());
        let options = BlobClientDeleteOptions {
            if_match: Some(sdk_etag(if_match)),
            ..Default::default()
        };
        let client = self.client.blob_client(key.path());
        match client.delete(Some(options)).await {
            Ok(response) => call.response(DeleteOutcome::Done, response.headers()),
            Err(error) => call.outcome(&error, |kind| match kind {
                AzureErrorKind::Refused => Some(DeleteOutcome::Refused),
                AzureErrorKind::NoBlob | AzureErrorKind::NoContainer => Some(DeleteOutcome::Absent),
                _ => None,
            }),
        }
    }

    async fn list(&self, prefix: &Prefix) -> StoreAnswer<Listing> {
        self.listing(prefix, Context::new()).await
    }

    async fn contents(&self, prefix: &Prefix) -> StoreAnswer<Listing> {
        let context = Context::new().with_value(OneLevel);
        self.listing(prefix, context).await
    }
}

/// Reads the body of a download.
async fn download_outcome(
    call: CallContext<'_>,
    response: BlobClientDownloadResult,
) -> StoreAnswer<GetOutcome> {
    let etag = call.etag(response.properties.etag.as_ref())?;
    if is_folder(&response.properties.metadata) {
        return Err(call.not_a_file());
    }
    let ids = response.properties.metadata.get(WRITES_METADATA);
    let writes = ids.map(|ids| WriteIds::parse(ids)).unwrap_or_default();
    let bytes = response.body.collect().await;
    let blob = Blob {
        bytes: bytes.map_err(|error| call.store_error(&error))?,
        etag,
        writes,
    };
    call.response(GetOutcome::Blob(blob), &response.headers)
}

/// An upload replaces all metadata, so without ids none remains.
fn metadata(writes: &WriteIds) -> Option<HashMap<String, String>> {
    (!writes.is_empty()).then(|| HashMap::from([(WRITES_METADATA.to_owned(), writes.to_string())]))
}

fn sdk_etag(etag: &ETag) -> Etag {
    Etag::from(etag.quoted())
}

fn container_client(
    connection: AzureConnection,
    container: &str,
    trust: &TrustStore,
) -> Result<BlobContainerClient, BadConnection> {
    let mut url = connection.container_url(container);
    let mut client_options = transport::client_options(trust, &url)?;
    match connection.credential {
        Credential::AccountKey(key) => {
            let signer = SharedKey::new(connection.account, key);
            client_options.per_try_policies.push(Arc::new(signer));
        }
        Credential::Sas(query) => url.set_query(Some(query.secret())),
        Credential::ManagedIdentity(identity) => {
            let tokens = IdentityTokens::new(&identity, trust)?;
            client_options.per_try_policies.push(Arc::new(tokens));
        }
    }
    let options = BlobContainerClientOptions {
        client_options,
        ..Default::default()
    };
    BlobContainerClient::new(url, None, Some(options))
        .map_err(|error| BadConnection::Setup(error.to_string()))
}
