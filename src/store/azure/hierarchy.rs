//! Lists one level of the container: blobs and folders. The SDK supports neither the `delimiter` parameter nor the
//! `BlobPrefix` elements of its response, so both are handled here.

use std::sync::Arc;

use async_trait::async_trait;
use azure_core::Error;
use azure_core::http::headers::Headers;
use azure_core::http::pager::PagerOptions;
use azure_core::http::policies::{Policy, PolicyResult};
use azure_core::http::{Context, Request};
use azure_core::xml::from_xml;
use azure_storage_blob::BlobContainerClient;
use azure_storage_blob::models::{
    BlobContainerClientListBlobsOptions, BlobItem, ListBlobsIncludeItem,
};
use futures::TryStreamExt;
use percent_encoding::percent_decode_str;
use serde::Deserialize;

use super::listed::listed_blob;
use crate::store::blob_store::Contents;
use crate::store::key::Prefix;

/// Marks a request whose listing is limited to one level.
struct OneLevel;

/// Adds the `delimiter` parameter to requests marked with [`OneLevel`].
#[derive(Debug)]
pub(super) struct Delimiter;

#[async_trait]
impl Policy for Delimiter {
    async fn send(
        &self,
        context: &Context,
        request: &mut Request,
        next: &[Arc<dyn Policy>],
    ) -> PolicyResult {
        if context.value::<OneLevel>().is_some() {
            let mut query = request.url_mut().query_pairs_mut();
            query.append_pair("delimiter", "/");
        }
        next[0].send(context, request, &next[1..]).await
    }
}

#[derive(Deserialize)]
struct HierarchyPage {
    #[serde(rename = "Blobs", default)]
    entries: HierarchyEntries,
}

/// Blobs and folders, in one alphabetical order.
#[derive(Default, Deserialize)]
struct HierarchyEntries {
    #[serde(rename = "$value", default)]
    all: Vec<HierarchyEntry>,
}

#[derive(Deserialize)]
enum HierarchyEntry {
    Blob(Box<BlobItem>),
    BlobPrefix(PrefixEntry),
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct PrefixEntry {
    #[serde(rename = "Name")]
    name: EncodedName,
}

#[derive(Deserialize)]
struct EncodedName {
    /// Whether `text` is percent-encoded because XML can't represent the name.
    #[serde(rename = "@Encoded", default)]
    encoded: bool,
    #[serde(rename = "$text", default)]
    text: String,
}

impl EncodedName {
    fn read(&self) -> String {
        match self.encoded {
            true => percent_decode_str(&self.text).decode_utf8_lossy().into(),
            false => self.text.clone(),
        }
    }
}

/// Adds the entries of every page to `contents` and returns the last page's headers.
pub(super) async fn one_level(
    client: &BlobContainerClient,
    prefix: &Prefix,
    contents: &mut Contents,
) -> Result<Headers, Error> {
    let options = BlobContainerClientListBlobsOptions {
        prefix: Some(prefix.as_str().to_owned()),
        include: Some(vec![ListBlobsIncludeItem::Metadata]),
        method_options: PagerOptions {
            context: Context::new().with_value(OneLevel),
            ..Default::default()
        },
        ..Default::default()
    };
    let mut pages = client.list_blobs(Some(options))?.into_pages();
    let mut headers = Headers::new();
    while let Some(page) = pages.try_next().await? {
        contents.requests += 1;
        headers = page.headers().clone();
        let page: HierarchyPage = from_xml(page.into_body())?;
        for entry in page.entries.all {
            add(prefix, entry, contents);
        }
    }
    Ok(headers)
}

fn add(prefix: &Prefix, entry: HierarchyEntry, contents: &mut Contents) {
    match entry {
        HierarchyEntry::Blob(item) => contents.blobs.extend(listed_blob(prefix, *item)),
        HierarchyEntry::BlobPrefix(folder) => {
            let path = folder.name.read();
            let name = path.strip_prefix(prefix.as_str());
            let name = name.map(|name| name.trim_end_matches('/'));
            contents
                .folders
                .extend(name.filter(|name| !name.is_empty()).map(str::to_owned));
        }
        HierarchyEntry::Other => {}
    }
}
