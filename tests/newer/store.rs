//! A store that is of a newer version: what goes in gets its format and members, what comes out is checked
//! for them and handed on as this version's.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use codex_miroir::store::{
    Answer, BlobStore, Contents, Deleted, ETag, GetIf, Got, Key, Listing, Prefix, Put, PutIf,
    StoreError, Written,
};
use serde_json::Value;

use crate::members::{self, Kind};

/// What this version calls the blobs that it writes.
const OLDER: &str = "1.0";

pub(crate) struct Newer {
    inner: Arc<dyn BlobStore>,
    format: &'static str,
    /// How often each blob is known to have been written by a newer version.
    counts: Mutex<HashMap<Key, u64>>,
}

impl Newer {
    pub(crate) fn over(inner: Arc<dyn BlobStore>, format: &'static str) -> Self {
        let counts = Mutex::default();
        Self {
            inner,
            format,
            counts,
        }
    }

    /// The next count after this one and every one that was seen of the blob.
    fn count(&self, key: &Key, found: u64) -> u64 {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(key.clone()).or_default();
        *count = found.max(*count) + 1;
        *count
    }

    /// As this version reads it; as absent what a newer one ignores.
    fn taken_off(&self, key: &Key, bytes: &[u8]) -> Option<Vec<u8>> {
        let blob = serde_json::from_slice::<Value>(bytes);
        let (Some(kind), Ok(mut blob)) = (Kind::of(key.path()), blob) else {
            return Some(bytes.to_vec());
        };
        let format = blob_format(&blob).to_owned();
        if format == self.format {
            if let Err(lost) = members::check(kind, &blob) {
                give_up(key, &lost, &blob);
            }
        } else if kind == Kind::Artifact {
            return None;
        } else if format != OLDER {
            give_up(key, "its format", &blob);
        }
        blob["format"] = OLDER.into();
        serde_json::to_vec(&blob).ok()
    }

    fn put_on(&self, key: &Key, mut put: Put) -> Put {
        let blob = serde_json::from_slice::<Value>(&put.bytes);
        let (Some(kind), Ok(mut blob)) = (Kind::of(key.path()), blob) else {
            return put;
        };
        blob["format"] = self.format.into();
        let count = self.count(key, members::count(&blob));
        members::seal(kind, &mut blob, count);
        put.bytes = blob.to_string().into();
        put
    }
}

fn blob_format(blob: &Value) -> &str {
    blob["format"].as_str().unwrap_or_default()
}

/// Says it so that no test can miss it.
fn give_up(key: &Key, lost: &str, blob: &Value) -> ! {
    println!("LOST {lost} of {key}: {blob}");
    std::process::exit(70)
}

#[async_trait]
impl BlobStore for Newer {
    async fn get(&self, key: &Key, condition: GetIf) -> Result<Answer<Got>, StoreError> {
        let mut answer = self.inner.get(key, condition).await?;
        if let Got::Blob(blob) = &mut answer.value {
            match self.taken_off(key, &blob.bytes) {
                Some(bytes) => blob.bytes = bytes.into(),
                None => answer.value = Got::Absent,
            }
        }
        Ok(answer)
    }

    async fn put(
        &self,
        key: &Key,
        blob: Put,
        condition: PutIf,
    ) -> Result<Answer<Written>, StoreError> {
        self.inner.put(key, self.put_on(key, blob), condition).await
    }

    async fn delete(&self, key: &Key, if_match: &ETag) -> Result<Answer<Deleted>, StoreError> {
        self.inner.delete(key, if_match).await
    }

    async fn list(&self, prefix: &Prefix) -> Result<Answer<Listing>, StoreError> {
        self.inner.list(prefix).await
    }

    async fn contents(&self, prefix: &Prefix) -> Result<Answer<Contents>, StoreError> {
        self.inner.contents(prefix).await
    }
}
