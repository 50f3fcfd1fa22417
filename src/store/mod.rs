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
mod legacy;
pub mod metered;
mod requests;

pub use blob_format::BlobFormat;
pub use blob_store::{
    Blob, BlobStore, Contents, DeleteOutcome, GetIf, GetOutcome, ListedBlob, Listing, Put, PutIf,
    PutOutcome, StoreResponse,
};
pub use error::StoreError;
pub use ext::{BlobStoreExt, BlobUpdate};
pub use ids::{ETag, WriteId, WriteIds};
pub use key::{BadBlobName, BlobKey, Prefix};
pub use requests::Requests;
