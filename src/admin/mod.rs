#![doc = include_str!("README.md")]

mod ask;
mod delete;
mod export;
mod import;
mod inspect;
mod rebind;
mod words;

pub use delete::{DeleteError, Deletion, Holdings, Kept, Storage, delete, holdings};
pub use export::{Export, ExportError, export};
pub use import::{ImportError, Imported, import};
pub use inspect::{InspectSettings, Part, Report, inspect};
pub use rebind::{RebindError, Rebound, meaning, rebind};
