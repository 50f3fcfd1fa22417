//! Blob storage: the trait [`BlobStore`] and its two implementations.
//!
#![doc = include_str!("README.md")]

pub mod azure;
mod blob_format;
mod blob_store;
pub mod deadline;
pub mod directory;
mod error;
mod ext;
mod ids;
mod key;
mod spans;
mod wrapped;

pub use blob_format::BlobFormat;
pub use blob_store::{
    Blob, BlobStore, DeleteOutcome, GetIf, GetOutcome, ListedBlob, Listing, Put, PutIf, PutOutcome,
    Requests, StoreAnswer, StoreResponse,
};
pub use error::StoreError;
pub use ext::{BlobStoreExt, BlobUpdate};
pub use ids::{ETag, WriteId, WriteIds};
pub use key::{BlobKey, Prefix};
pub use spans::{StorageSpans, blob_kind};
pub use wrapped::{AroundCall, WrappedStore};
