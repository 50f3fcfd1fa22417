//! Blobs in a listing.

use std::collections::HashMap;

use azure_storage_blob::models::BlobItem;
use chrono::DateTime;

use crate::store::blob_store::ListedBlob;
use crate::store::ids::ETag;
use crate::store::key::Prefix;

/// An entry of a listing. `None` if it is in a deeper folder, or a folder itself, which accounts with a hierarchical
/// namespace list as an empty blob.
pub(super) fn listed_blob(prefix: &Prefix, item: BlobItem) -> Option<ListedBlob> {
    let path = item.name?;
    let name = path.strip_prefix(prefix.as_str())?;
    let metadata = item.metadata.and_then(|metadata| metadata.values);
    let is_folder = metadata.is_some_and(|values| is_folder(&values));
    if name.is_empty() || name.contains('/') || is_folder {
        return None;
    }
    let properties = item.properties?;
    Some(ListedBlob {
        name: name.to_owned(),
        etag: ETag::new(properties.etag?.as_ref()),
        size: properties.content_length.unwrap_or_default(),
        modified: properties
            .last_modified
            .and_then(|time| DateTime::from_timestamp(time.unix_timestamp(), 0)),
    })
}

/// Whether an empty blob represents a folder of an account with a hierarchical namespace.
pub(super) fn is_folder(metadata: &HashMap<String, String>) -> bool {
    let mark = metadata
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case("hdi_isfolder"));
    mark.is_some_and(|(_, value)| value.eq_ignore_ascii_case("true"))
}
