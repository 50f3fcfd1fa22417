//! What the tests stand on.

pub(crate) mod azurite;
pub(crate) mod contract;
pub(crate) mod counting_store;
pub(crate) mod functions_host;
pub(crate) mod gate_store;
pub(crate) mod github;
pub(crate) mod http;
pub(crate) mod later_store;
pub(crate) mod losing_store;
pub(crate) mod memory_store;
pub(crate) mod mirror;
pub(crate) mod process;
pub(crate) mod scene;
pub(crate) mod tcp_proxy;
