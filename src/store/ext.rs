//! What callers of a store do again and again.

use bytes::Bytes;

use super::blob_store::{Blob, BlobStore, GetIf, GetOutcome, Put, PutIf, PutOutcome};
use super::error::StoreError;
use super::ids::ETag;
use super::key::BlobKey;

/// What to do with a blob, decided from its current content; `T` is handed on to the caller.
#[derive(Debug, Clone)]
pub enum BlobUpdate<T> {
    /// Write this content.
    Write(Bytes, T),
    /// Leave the blob as it is.
    Keep(T),
}

/// Convenience methods of every [`BlobStore`].
pub trait BlobStoreExt: BlobStore {
    /// Reads a blob of any version; `None` if there is none.
    fn read(&self, key: &BlobKey) -> impl Future<Output = Result<Option<Blob>, StoreError>> + Send {
        async { Ok(self.get(key, GetIf::Any).await?.value.into_blob()) }
    }

    /// Reads a blob if it still has this ETag; `None` if it has another one or is gone.
    fn read_version(
        &self,
        key: &BlobKey,
        etag: &ETag,
    ) -> impl Future<Output = Result<Option<Blob>, StoreError>> + Send {
        let condition = GetIf::Same(etag.clone());
        async { Ok(self.get(key, condition).await?.value.into_blob()) }
    }

    /// Writes a blob without write ids. Returns its ETag, or `None` if the condition failed.
    fn write(
        &self,
        key: &BlobKey,
        bytes: impl Into<Bytes>,
        condition: PutIf,
    ) -> impl Future<Output = Result<Option<ETag>, StoreError>> + Send {
        let put = Put {
            bytes: bytes.into(),
            ..Put::default()
        };
        async {
            Ok(match self.put(key, put, condition).await?.value {
                PutOutcome::Done(etag) => Some(etag),
                PutOutcome::Refused => None,
            })
        }
    }

    /// Changes a blob by compare-and-swap: reads it, and writes what `decide` makes of it unless another writer was
    /// faster; then starts again, `attempts` times at most. `decide` gets `None` if there is no blob. A refusal may also
    /// mean that this very write had landed and its answer was lost, so `decide` must recognise its own result.
    ///
    /// Returns `None` if every attempt was lost.
    ///
    /// # Errors
    /// The store's, or that of `decide`.
    fn update<T, E>(
        &self,
        key: &BlobKey,
        attempts: u32,
        mut decide: impl FnMut(Option<Blob>) -> Result<BlobUpdate<T>, E> + Send,
    ) -> impl Future<Output = Result<Option<T>, E>> + Send
    where
        T: Send,
        E: From<StoreError> + Send,
    {
        async move {
            for _ in 0..attempts {
                let blob = self.read(key).await?;
                let etag = blob.as_ref().map(|blob| blob.etag.clone());
                let (bytes, value) = match decide(blob)? {
                    BlobUpdate::Write(bytes, value) => (bytes, value),
                    BlobUpdate::Keep(value) => return Ok(Some(value)),
                };
                let condition = etag.map_or(PutIf::Absent, PutIf::Same);
                if self.write(key, bytes, condition).await?.is_some() {
                    return Ok(Some(value));
                }
            }
            Ok(None)
        }
    }
}

impl<S: BlobStore + ?Sized> BlobStoreExt for S {}

impl GetOutcome {
    /// The blob, if the condition of the read held and there is one.
    pub fn into_blob(self) -> Option<Blob> {
        match self {
            Self::Blob(blob) => Some(blob),
            Self::Unchanged | Self::Changed | Self::Absent => None,
        }
    }
}
