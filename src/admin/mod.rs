#![doc = include_str!("README.md")]

mod ask;
mod delete;
mod export;
mod import;
mod inspect;
mod rebind;
mod words;

pub use delete::{DeleteError, Deletion, DeletionReport, Holdings, Storage, delete, holdings};
pub use export::{Export, ExportError, export};
pub use import::{ImportError, ImportReport, import};
pub use inspect::{InspectReport, InspectSettings, Section, inspect};
pub use rebind::{RebindError, RebindReport, owner_file_effect, rebind};
