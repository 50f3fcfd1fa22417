//! Listings. The SDK supports neither the `delimiter` parameter, which limits a listing to one level, nor the
//! `BlobPrefix` elements of its response: the transport adds the parameter where
//! [`OneLevel`](super::transport::OneLevel) asks for it, and the elements are read here.

use std::collections::HashMap;

use azure_core::Error;
use azure_core::http::Context;
use azure_core::http::headers::Headers;
use azure_core::http::pager::PagerOptions;
use azure_core::xml::from_xml;
use azure_storage_blob::BlobContainerClient;
use azure_storage_blob::models::{
    BlobContainerClientListBlobsOptions, BlobItem, BlobName, BlobProperties, ListBlobsIncludeItem,
};
use chrono::DateTime;
use futures::TryStreamExt;
use percent_encoding::percent_decode_str;
use serde::Deserialize;

use crate::store::blob_store::{ListedBlob, Listing};
use crate::store::ids::ETag;
use crate::store::key::Prefix;

#[derive(Deserialize)]
struct ListingPage {
    #[serde(rename = "Blobs", default)]
    entries: PageEntries,
}

/// Blobs and folders, in one alphabetical order.
#[derive(Default, Deserialize)]
struct PageEntries {
    #[serde(rename = "$value", default)]
    all: Vec<PageEntry>,
}

#[derive(Deserialize)]
enum PageEntry {
    Blob(Box<BlobItem>),
    BlobPrefix(FolderEntry),
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct FolderEntry {
    #[serde(rename = "Name")]
    name: BlobName,
}

impl FolderEntry {
    fn path(self) -> String {
        let path = self.name.content.unwrap_or_default();
        // XML can't represent every name.
        match self.name.encoded {
            Some(true) => percent_decode_str(&path).decode_utf8_lossy().into(),
            _ => path,
        }
    }
}

/// Adds the entries of every page to `listing` and returns the last page's headers. Without a delimiter, blobs in deeper
/// folders are listed too, and filtered out here.
pub(super) async fn add_pages(
    client: &BlobContainerClient,
    prefix: &Prefix,
    context: Context<'_>,
    listing: &mut Listing,
) -> Result<Headers, Error> {
    let options = BlobContainerClientListBlobsOptions {
        prefix: Some(prefix.as_str().to_owned()),
        include: Some(vec![ListBlobsIncludeItem::Metadata]),
        method_options: PagerOptions {
            context,
            ..Default::default()
        },
        ..Default::default()
    };
    let mut pages = client.list_blobs(Some(options))?.into_pages();
    let mut headers = Headers::new();
    while let Some(page) = pages.try_next().await? {
        listing.requests += 1;
        headers = page.headers().clone();
        let page: ListingPage = from_xml(page.into_body())?;
        for entry in page.entries.all {
            add(prefix.as_str(), entry, listing);
        }
    }
    Ok(headers)
}

/// Adds an entry, unless it is in a deeper folder.
fn add(prefix: &str, entry: PageEntry, listing: &mut Listing) {
    match entry {
        PageEntry::Blob(item) => {
            let (name, metadata) = (item.name, item.metadata.and_then(|it| it.values));
            let name = name.as_deref().and_then(|path| path.strip_prefix(prefix));
            match name.filter(|name| !name.is_empty() && !name.contains('/')) {
                Some(name) if metadata.is_some_and(|values| is_folder(&values)) => {
                    listing.others.push(name.to_owned());
                }
                Some(name) => listing.blobs.extend(listed_blob(name, item.properties)),
                None => {}
            }
        }
        PageEntry::BlobPrefix(folder) => {
            let path = folder.path();
            let name = path.strip_prefix(prefix).map(|it| it.trim_end_matches('/'));
            let name = name.filter(|name| !name.is_empty());
            listing.folders.extend(name.map(str::to_owned));
        }
        PageEntry::Other => {}
    }
}

fn listed_blob(name: &str, properties: Option<BlobProperties>) -> Option<ListedBlob> {
    let properties = properties?;
    let modified = properties.last_modified;
    Some(ListedBlob {
        name: name.to_owned(),
        etag: ETag::new(properties.etag?.as_ref()),
        size: properties.content_length.unwrap_or_default(),
        modified: modified.and_then(|time| DateTime::from_timestamp(time.unix_timestamp(), 0)),
    })
}

/// Whether an empty blob represents a folder of an account with a hierarchical namespace.
pub(super) fn is_folder(metadata: &HashMap<String, String>) -> bool {
    metadata.iter().any(|(name, value)| {
        name.eq_ignore_ascii_case("hdi_isfolder") && value.eq_ignore_ascii_case("true")
    })
}
