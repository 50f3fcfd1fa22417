//! Azure Blob Storage: a real account, or the emulator Azurite (src/store/README.md, "Azure").

mod connection;
mod contents;
mod failure;
mod identity;
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
use chrono::DateTime;
use futures::TryStreamExt;
use tokio::sync::OnceCell;

pub use self::connection::{AzureConnection, BadConnection, Credential};
use self::failure::{Call, Verdict};
use self::identity::IdentityTokens;
use self::shared_key::SharedKey;
use super::{
    Answer, Blob, BlobStore, Contents, Deleted, ETag, GetIf, Got, Key, Listed, Listing, Prefix,
    Put, PutIf, StoreError, WriteIds, Written,
};
use crate::config::is_container_name;
use crate::net::Trust;

/// The metadata that carries a blob's [`WriteIds`].
const WRITES: &str = "writes";

/// Blobs up to this size are one request each way; larger ones the SDK cuts into pieces. (An empty
/// one is two to read: the SDK asks for a range, which an empty blob hasn't got.)
const ONE_REQUEST: usize = 256 << 20;

/// Blobs in one container.
///
/// A container that doesn't exist is an empty one; the first write makes it, private. No request
/// is spent on it otherwise.
pub struct AzureStore {
    connection: AzureConnection,
    container: String,
    client: BlobContainerClient,
    created: OnceCell<()>,
}

impl AzureStore {
    /// Prepares the client; sends nothing.
    pub fn new(
        connection: AzureConnection,
        container: &str,
        trust: &Trust,
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

    /// The account and where it is.
    pub fn connection(&self) -> &AzureConnection {
        &self.connection
    }

    /// The container's name.
    pub fn container(&self) -> &str {
        &self.container
    }

    /// Makes the container, once in this process. One that is deleted later isn't made again:
    /// whoever did it may want to get it back, which needs the name to be free.
    async fn create_container(&self, call: Call<'_>) -> Result<(), StoreError> {
        let create = || async {
            match self.client.create(None).await {
                Err(error) if Verdict::of(&error) != Verdict::ContainerExists => {
                    Err(call.failed(&error))
                }
                _ => Ok(()),
            }
        };
        self.created.get_or_try_init(create).await.copied()
    }

    async fn upload(
        &self,
        key: &Key,
        blob: &Put,
        condition: &PutIf,
    ) -> Result<BlobClientUploadResult, Error> {
        let mut options = BlobClientUploadOptions {
            blob_content_type: Some(key.content_type().to_owned()),
            metadata: metadata(&blob.writes),
            partition_size: NonZero::new(ONE_REQUEST as u64),
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

/// For the start line, as in `account codex at codex.blob.core.windows.net, container codex-cache`.
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
    async fn get(&self, key: &Key, condition: GetIf) -> Result<Answer<Got>, StoreError> {
        let call = Call {
            operation: "get",
            path: key.path(),
        };
        let mut options = BlobClientDownloadOptions {
            partition_size: NonZero::new(ONE_REQUEST),
            ..Default::default()
        };
        match condition {
            GetIf::Any => {}
            GetIf::Changed(etag) => options.if_none_match = Some(sdk_etag(&etag)),
            GetIf::Same(etag) => options.if_match = Some(sdk_etag(&etag)),
        }
        let client = self.client.blob_client(key.path());
        let error = match client.download(Some(options)).await {
            Ok(response) => return read(call, response).await,
            Err(error) => error,
        };
        match Verdict::of(&error) {
            Verdict::Unchanged => call.answer_in(Got::Unchanged, &error),
            Verdict::Refused => call.answer_in(Got::Changed, &error),
            Verdict::NoBlob | Verdict::NoContainer => call.answer_in(Got::Absent, &error),
            _ => Err(call.failed(&error)),
        }
    }

    async fn put(
        &self,
        key: &Key,
        blob: Put,
        condition: PutIf,
    ) -> Result<Answer<Written>, StoreError> {
        let call = Call {
            operation: "put",
            path: key.path(),
        };
        let mut sent = self.upload(key, &blob, &condition).await;
        let no_container = |e: &Error| Verdict::of(e) == Verdict::NoContainer;
        let update = matches!(condition, PutIf::Same(_));
        if !update && sent.as_ref().is_err_and(no_container) {
            self.create_container(call).await?;
            sent = self.upload(key, &blob, &condition).await;
        }
        let error = match sent {
            Ok(response) => return stored(call, &response),
            Err(error) => error,
        };
        match Verdict::of(&error) {
            Verdict::Refused => call.answer_in(Written::Refused, &error),
            Verdict::NoBlob | Verdict::NoContainer if update => {
                call.answer_in(Written::Refused, &error)
            }
            _ => Err(call.failed(&error)),
        }
    }

    async fn delete(&self, key: &Key, if_match: &ETag) -> Result<Answer<Deleted>, StoreError> {
        let call = Call {
            operation: "delete",
            path: key.path(),
        };
        let options = BlobClientDeleteOptions {
            if_match: Some(sdk_etag(if_match)),
            ..Default::default()
        };
        let client = self.client.blob_client(key.path());
        let error = match client.delete(Some(options)).await {
            Ok(response) => return call.answer(Deleted::Done, response.headers()),
            Err(error) => error,
        };
        match Verdict::of(&error) {
            Verdict::Refused => call.answer_in(Deleted::Refused, &error),
            Verdict::NoBlob | Verdict::NoContainer => call.answer_in(Deleted::Absent, &error),
            _ => Err(call.failed(&error)),
        }
    }

    async fn list(&self, prefix: &Prefix) -> Result<Answer<Listing>, StoreError> {
        let call = Call {
            operation: "list",
            path: prefix.as_str(),
        };
        let mut listing = Listing::default();
        let error = match self.all_pages(prefix, &mut listing).await {
            Ok(headers) => return call.answer(listing, &headers),
            Err(error) => error,
        };
        match Verdict::of(&error) {
            Verdict::NoContainer => {
                let empty = Listing {
                    requests: listing.requests + 1,
                    ..Listing::default()
                };
                call.answer_in(empty, &error)
            }
            _ => Err(call.failed(&error)),
        }
    }

    async fn contents(&self, prefix: &Prefix) -> Result<Answer<Contents>, StoreError> {
        let call = Call {
            operation: "list",
            path: prefix.as_str(),
        };
        let mut contents = Contents::default();
        let error = match self.one_level(prefix, &mut contents).await {
            Ok(headers) => return call.answer(contents, &headers),
            Err(error) => error,
        };
        match Verdict::of(&error) {
            Verdict::NoContainer => {
                let empty = Contents {
                    requests: contents.requests + 1,
                    ..Contents::default()
                };
                call.answer_in(empty, &error)
            }
            _ => Err(call.failed(&error)),
        }
    }
}

impl AzureStore {
    /// Fills `listing` from every page, and gives the last one's headers.
    ///
    /// The SDK knows no delimiter, so blobs in deeper folders are listed, too, and left out here.
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
                    listing.blobs.extend(listed(prefix, item));
                }
            }
        }
        Ok(headers)
    }
}

/// A whole blob from a download.
async fn read(
    call: Call<'_>,
    response: BlobClientDownloadResult,
) -> Result<Answer<Got>, StoreError> {
    let Some(etag) = response.properties.etag else {
        return Err(call.unanswered());
    };
    if is_folder(&response.properties.metadata) {
        return Err(StoreError::NotAFile {
            key: call.path.to_owned(),
        });
    }
    let ids = response.properties.metadata.get(WRITES);
    let writes = ids.map(|ids| WriteIds::parse(ids)).unwrap_or_default();
    let bytes = response.body.collect().await;
    let blob = Blob {
        bytes: bytes.map_err(|error| call.failed(&error))?,
        etag: ETag::new(etag.as_ref()),
        writes,
    };
    call.answer(Got::Blob(blob), &response.headers)
}

/// The outcome of an upload.
fn stored(
    call: Call<'_>,
    response: &BlobClientUploadResult,
) -> Result<Answer<Written>, StoreError> {
    let Some(etag) = &response.etag else {
        return Err(call.unanswered());
    };
    let written = Written::Done(ETag::new(etag.as_ref()));
    call.answer(written, response.raw_response.headers())
}

/// One entry of a listing, unless it is in a deeper folder or is a folder itself, which accounts
/// with a hierarchical namespace list as empty blobs.
fn listed(prefix: &Prefix, item: BlobItem) -> Option<Listed> {
    let path = item.name?;
    let name = path.strip_prefix(prefix.as_str())?;
    let metadata = item.metadata.and_then(|metadata| metadata.values);
    let is_folder = metadata.is_some_and(|values| is_folder(&values));
    if name.is_empty() || name.contains('/') || is_folder {
        return None;
    }
    let properties = item.properties?;
    Some(Listed {
        name: name.to_owned(),
        etag: ETag::new(properties.etag?.as_ref()),
        size: properties.content_length.unwrap_or_default(),
        modified: properties
            .last_modified
            .and_then(|time| DateTime::from_timestamp(time.unix_timestamp(), 0)),
    })
}

/// The name of an entry directly below the prefix that is a folder.
fn folder_name(prefix: &Prefix, item: &BlobItem) -> Option<String> {
    let name = item.name.as_ref()?.strip_prefix(prefix.as_str())?;
    let values = item.metadata.as_ref()?.values.as_ref()?;
    let direct = !name.is_empty() && !name.contains('/');
    (direct && is_folder(values)).then(|| name.to_owned())
}

/// How accounts with a hierarchical namespace mark the empty blobs that stand for folders.
fn is_folder(metadata: &HashMap<String, String>) -> bool {
    let mark = metadata
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case("hdi_isfolder"));
    mark.is_some_and(|(_, value)| value.eq_ignore_ascii_case("true"))
}

/// An upload replaces all metadata: without ids there is none left.
fn metadata(writes: &WriteIds) -> Option<HashMap<String, String>> {
    (!writes.is_empty()).then(|| HashMap::from([(WRITES.to_owned(), writes.to_string())]))
}

fn sdk_etag(etag: &ETag) -> Etag {
    Etag::from(etag.quoted())
}

fn container_client(
    connection: &AzureConnection,
    container: &str,
    trust: &Trust,
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
