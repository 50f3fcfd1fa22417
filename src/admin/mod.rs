#![doc = include_str!("README.md")]

pub mod delete;
pub mod doctor;
mod error;
mod export;
mod import;
pub mod inspect;
pub mod rebind;
mod storage;
mod words;

pub use delete::{Deletion, DeletionReport, Holdings, Storage, delete, delete_shared, holdings};
pub use error::AdminError;
pub use export::{Export, export};
pub use import::{ImportReport, import};
pub use inspect::{InspectReport, InspectSettings, inspect};
pub use rebind::{RebindReport, owner_file_effect, rebind};
pub use storage::UserFolder;
