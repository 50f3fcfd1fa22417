//! The newer version's store: writes get its format and members; reads are checked for them and converted to this
//! version's format.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use codex_miroir::store::{
    BlobKey, BlobStore, DeleteOutcome, ETag, GetIf, GetOutcome, Listing, Prefix, Put, PutIf,
    PutOutcome, StoreAnswer,
};
use serde_json::Value;

use crate::members::{self, BlobKind};

/// The format that this version writes.
const THIS_FORMAT: &str = "1.0";

pub(crate) struct NewerStore {
    inner: Arc<dyn BlobStore>,
    format: &'static str,
    /// The highest write counter seen of each blob.
    counts: Mutex<HashMap<BlobKey, u64>>,
}

impl NewerStore {
    pub(crate) fn over(inner: Arc<dyn BlobStore>, format: &'static str) -> Self {
        let counts = Mutex::default();
        Self {
            inner,
            format,
            counts,
        }
    }

    /// The next counter: above `found` and every other that was seen of the blob.
    fn count(&self, key: &BlobKey, found: u64) -> u64 {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(key.clone()).or_default();
        *count = found.max(*count) + 1;
        *count
    }

    /// Converts a blob for this version; `None`, as if absent, for an artifact that the newer version ignores.
    fn to_this_version(&self, key: &BlobKey, bytes: &[u8]) -> Option<Vec<u8>> {
        let blob = serde_json::from_slice::<Value>(bytes);
        let (Some(kind), Ok(mut blob)) = (BlobKind::of(key.path()), blob) else {
            return Some(bytes.to_vec());
        };
        let format = blob_format(&blob).to_owned();
        if format == self.format {
            if let Err(lost) = members::check(kind, &blob) {
                exit_with_loss(key, &lost, &blob);
            }
        } else if kind == BlobKind::Artifact {
            return None;
        } else if format != THIS_FORMAT {
            exit_with_loss(key, "its format", &blob);
        }
        blob["format"] = THIS_FORMAT.into();
        serde_json::to_vec(&blob).ok()
    }

    fn to_newer_version(&self, key: &BlobKey, mut put: Put) -> Put {
        let blob = serde_json::from_slice::<Value>(&put.bytes);
        let (Some(kind), Ok(mut blob)) = (BlobKind::of(key.path()), blob) else {
            return put;
        };
        blob["format"] = self.format.into();
        let count = self.count(key, members::count(&blob));
        members::add_members(kind, &mut blob, count);
        put.bytes = blob.to_string().into();
        put
    }
}

fn blob_format(blob: &Value) -> &str {
    blob["format"].as_str().unwrap_or_default()
}

/// Prints the loss and exits, so that no test can miss it.
fn exit_with_loss(key: &BlobKey, lost: &str, blob: &Value) -> ! {
    println!("LOST {lost} of {key}: {blob}");
    std::process::exit(70)
}

#[async_trait]
impl BlobStore for NewerStore {
    async fn get(&self, key: &BlobKey, condition: GetIf) -> StoreAnswer<GetOutcome> {
        let mut answer = self.inner.get(key, condition).await?;
        if let GetOutcome::Blob(blob) = &mut answer.value {
            match self.to_this_version(key, &blob.bytes) {
                Some(bytes) => blob.bytes = bytes.into(),
                None => answer.value = GetOutcome::Absent,
            }
        }
        Ok(answer)
    }

    async fn put(&self, key: &BlobKey, blob: Put, condition: PutIf) -> StoreAnswer<PutOutcome> {
        self.inner
            .put(key, self.to_newer_version(key, blob), condition)
            .await
    }

    async fn delete(&self, key: &BlobKey, if_match: &ETag) -> StoreAnswer<DeleteOutcome> {
        self.inner.delete(key, if_match).await
    }

    async fn list(&self, prefix: &Prefix) -> StoreAnswer<Listing> {
        self.inner.list(prefix).await
    }

    async fn contents(&self, prefix: &Prefix) -> StoreAnswer<Listing> {
        self.inner.contents(prefix).await
    }
}
