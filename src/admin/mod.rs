//! What the command line does for an operator: copy files in, look at a user's blobs, hand them out, remove
//! them, and say whose they are.
//!
//! Looking changes nothing. What changes task files goes by the write protocol, so that running instances
//! see it; everything else is changed or removed only in the version that was looked at (`If-Match`).

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
