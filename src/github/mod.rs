//! Git and GitHub: what they say and are told.
//!
//! [`Transport`] carries requests; whatever knows GitHub's documents stops here, everybody else sees our
//! own types.

mod transport;

pub use transport::{Call, GitHubError, RateLimit, Reply, Sender, Transport, segment};
