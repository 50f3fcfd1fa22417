//! Azure Blob Storage: a real account, or the emulator Azurite (src/store/README.md, "Azure").

mod connection;
mod error;
mod hierarchy;
mod identity;
mod listed;
mod shared_key;
mod transport;

use std::collections::HashMap;
use std::fmt;
use std::num::NonZero;
use std::sync::Arc;

use async_trait::async_trait;
use azure_core::Error;
use azure_core::http::Etag;
use azure_core::http::headers::Headers;
use azure_storage_blob::models::{
    BlobClientDeleteOptions, BlobClientDownloadOptions, BlobClientDownloadResult,
    BlobClientUploadOptions, BlobClientUploadResult, BlobContainerClientListBlobsOptions, BlobItem,
    ListBlobsIncludeItem,
};
use azure_storage_blob::{BlobContainerClient, BlobContainerClientOptions};
use futures::TryStreamExt;
use tokio::sync::OnceCell;

pub use self::connection::{AzureConnection, BadConnection, Credential};
use self::error::{AzureErrorKind, CallContext};
use self::hierarchy::one_level;
use self::identity::IdentityTokens;
use self::listed::{is_folder, listed_blob};
use self::shared_key::SharedKey;
use super::blob_store::{
    Blob, BlobStore, Contents, DeleteOutcome, GetIf, GetOutcome, Listing, Put, PutIf, PutOutcome,
    StoreResponse,
};
use super::error::StoreError;
use super::ids::{ETag, WriteIds};
use super::key::{BlobKey, Prefix};
use crate::config::is_container_name;
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
pub struct AzureStore {
    connection: AzureConnection,
    container: String,
    client: BlobContainerClient,
    created: OnceCell<()>,
}

impl AzureStore {
    /// Builds the client; sends no request.
    pub fn new(
        connection: AzureConnection,
        container: &str,
        trust: &TrustStore,
    ) -> Result<Self, BadConnection> {
        if !is_container_name(container) {
            return Err(BadConnection::Container(container.to_owned()));
        }
        let client = container_client(&connection, container, trust)?;
        Ok(Self {
            connection,
            container: container.to_owned(),
            client,
            created: OnceCell::new(),
        })
    }

    /// The account.
    pub fn connection(&self) -> &AzureConnection {
        &self.connection
    }

    /// The container name.
    pub fn container(&self) -> &str {
        &self.container
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
}

/// For the startup log, as in `account codex at codex.blob.core.windows.net, container codex-cache`.
impl fmt::Display for AzureStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, container {}", self.connection, self.container)
    }
}

impl fmt::Debug for AzureStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AzureStore({self})")
    }
}

#[async_trait]
impl BlobStore for AzureStore {
    async fn get(
        &self,
        key: &BlobKey,
        condition: GetIf,
    ) -> Result<StoreResponse<GetOutcome>, StoreError> {
        let call = CallContext {
            operation: "get",
            path: key.path(),
        };
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
        let error = match client.download(Some(options)).await {
            Ok(response) => return download_outcome(call, response).await,
            Err(error) => error,
        };
        match AzureErrorKind::of(&error) {
            AzureErrorKind::Unchanged => call.response_from_error(GetOutcome::Unchanged, &error),
            AzureErrorKind::Refused => call.response_from_error(GetOutcome::Changed, &error),
            AzureErrorKind::NoBlob | AzureErrorKind::NoContainer => {
                call.response_from_error(GetOutcome::Absent, &error)
            }
            _ => Err(call.store_error(&error)),
        }
    }

    async fn put(
        &self,
        key: &BlobKey,
        blob: Put,
        condition: PutIf,
    ) -> Result<StoreResponse<PutOutcome>, StoreError> {
        let call = CallContext {
            operation: "put",
            path: key.path(),
        };
        let mut sent = self.upload(key, &blob, &condition).await;
        let no_container = |e: &Error| AzureErrorKind::of(e) == AzureErrorKind::NoContainer;
        let update = matches!(condition, PutIf::Same(_));
        if !update && sent.as_ref().is_err_and(no_container) {
            self.create_container(call).await?;
            sent = self.upload(key, &blob, &condition).await;
        }
        let error = match sent {
            Ok(response) => return upload_outcome(call, &response),
            Err(error) => error,
        };
        match AzureErrorKind::of(&error) {
            AzureErrorKind::Refused => call.response_from_error(PutOutcome::Refused, &error),
            AzureErrorKind::NoBlob | AzureErrorKind::NoContainer if update => {
                call.response_from_error(PutOutcome::Refused, &error)
            }
            _ => Err(call.store_error(&error)),
        }
    }

    async fn delete(
        &self,
        key: &BlobKey,
        if_match: &ETag,
    ) -> Result<StoreResponse<DeleteOutcome>, StoreError> {
        let call = CallContext {
            operation: "delete",
            path: key.path(),
        };
        let options = BlobClientDeleteOptions {
            if_match: Some(sdk_etag(if_match)),
            ..Default::default()
        };
        let client = self.client.blob_client(key.path());
        let error = match client.delete(Some(options)).await {
            Ok(response) => return call.response(DeleteOutcome::Done, response.headers()),
            Err(error) => error,
        };
        match AzureErrorKind::of(&error) {
            AzureErrorKind::Refused => call.response_from_error(DeleteOutcome::Refused, &error),
            AzureErrorKind::NoBlob | AzureErrorKind::NoContainer => {
                call.response_from_error(DeleteOutcome::Absent, &error)
            }
            _ => Err(call.store_error(&error)),
        }
    }

    async fn list(&self, prefix: &Prefix) -> Result<StoreResponse<Listing>, StoreError> {
        let call = CallContext {
            operation: "list",
            path: prefix.as_str(),
        };
        let mut listing = Listing::default();
        let error = match self.all_pages(prefix, &mut listing).await {
            Ok(headers) => return call.response(listing, &headers),
            Err(error) => error,
        };
        match AzureErrorKind::of(&error) {
            AzureErrorKind::NoContainer => {
                let empty = Listing {
                    requests: listing.requests + 1,
                    ..Listing::default()
                };
                call.response_from_error(empty, &error)
            }
            _ => Err(call.store_error(&error)),
        }
    }

    async fn contents(&self, prefix: &Prefix) -> Result<StoreResponse<Contents>, StoreError> {
        let call = CallContext {
            operation: "list",
            path: prefix.as_str(),
        };
        let mut contents = Contents::default();
        let error = match one_level(&self.client, prefix, &mut contents).await {
            Ok(headers) => return call.response(contents, &headers),
            Err(error) => error,
        };
        match AzureErrorKind::of(&error) {
            AzureErrorKind::NoContainer => {
                let empty = Contents {
                    requests: contents.requests + 1,
                    ..Contents::default()
                };
                call.response_from_error(empty, &error)
            }
            _ => Err(call.store_error(&error)),
        }
    }
}

impl AzureStore {
    /// Adds the entries of every page to `listing` and returns the last page's headers.
    ///
    /// The SDK supports no delimiter, so blobs in deeper folders are listed too, and filtered out here.
    async fn all_pages(&self, prefix: &Prefix, listing: &mut Listing) -> Result<Headers, Error> {
        let options = BlobContainerClientListBlobsOptions {
            prefix: Some(prefix.as_str().to_owned()),
            include: Some(vec![ListBlobsIncludeItem::Metadata]),
            ..Default::default()
        };
        let mut pages = self.client.list_blobs(Some(options))?.into_pages();
        let mut headers = Headers::new();
        while let Some(page) = pages.try_next().await? {
            listing.requests += 1;
            headers = page.headers().clone();
            let items = page.into_model()?.blob_items;
            for item in items {
                if let Some(folder) = folder_name(prefix, &item) {
                    listing.others.push(folder);
                } else {
                    listing.blobs.extend(listed_blob(prefix, item));
                }
            }
        }
        Ok(headers)
    }
}

/// Reads the body of a download.
async fn download_outcome(
    call: CallContext<'_>,
    response: BlobClientDownloadResult,
) -> Result<StoreResponse<GetOutcome>, StoreError> {
    let Some(etag) = response.properties.etag else {
        return Err(call.missing_etag());
    };
    if is_folder(&response.properties.metadata) {
        return Err(StoreError::NotAFile {
            key: call.path.to_owned(),
        });
    }
    let ids = response.properties.metadata.get(WRITES_METADATA);
    let writes = ids.map(|ids| WriteIds::parse(ids)).unwrap_or_default();
    let bytes = response.body.collect().await;
    let blob = Blob {
        bytes: bytes.map_err(|error| call.store_error(&error))?,
        etag: ETag::new(etag.as_ref()),
        writes,
    };
    call.response(GetOutcome::Blob(blob), &response.headers)
}

/// The outcome of an upload.
fn upload_outcome(
    call: CallContext<'_>,
    response: &BlobClientUploadResult,
) -> Result<StoreResponse<PutOutcome>, StoreError> {
    let Some(etag) = &response.etag else {
        return Err(call.missing_etag());
    };
    let written = PutOutcome::Done(ETag::new(etag.as_ref()));
    call.response(written, response.raw_response.headers())
}

/// The name of the entry, if it is a folder directly below the prefix.
fn folder_name(prefix: &Prefix, item: &BlobItem) -> Option<String> {
    let name = item.name.as_ref()?.strip_prefix(prefix.as_str())?;
    let values = item.metadata.as_ref()?.values.as_ref()?;
    let direct = !name.is_empty() && !name.contains('/');
    (direct && is_folder(values)).then(|| name.to_owned())
}

/// An upload replaces all metadata, so without ids none remains.
fn metadata(writes: &WriteIds) -> Option<HashMap<String, String>> {
    (!writes.is_empty()).then(|| HashMap::from([(WRITES_METADATA.to_owned(), writes.to_string())]))
}

fn sdk_etag(etag: &ETag) -> Etag {
    Etag::from(etag.quoted())
}

fn container_client(
    connection: &AzureConnection,
    container: &str,
    trust: &TrustStore,
) -> Result<BlobContainerClient, BadConnection> {
    let mut url = connection.endpoint().clone();
    url.set_path(&format!("{}/{container}", url.path().trim_end_matches('/')));
    let mut client_options = transport::client_options(trust, &url)?;
    match connection.credential() {
        Credential::AccountKey(key) => {
            let signer = SharedKey::new(connection.account(), key.clone());
            client_options.per_try_policies.push(Arc::new(signer));
        }
        Credential::Sas(query) => url.set_query(Some(query.secret())),
        Credential::ManagedIdentity(identity) => {
            let tokens = IdentityTokens::new(identity, trust)?;
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
