//! "Is everything in place?": asks the parts of a deployment, with the service's settings, and says what to do about what
//! is wrong. What it writes it removes again.

mod executable;
pub mod facts;
mod git;
pub mod judge;
mod report;
mod sign_in;
mod storage;

pub use executable::{Linkage, linkage};
pub use git::look_at_repository;
pub use judge::judge;
pub use report::{Diagnosis, Finding, Verdict};
pub use sign_in::look_at_sign_in;
pub use storage::{StorageTrial, look_at_account, look_at_folder};
