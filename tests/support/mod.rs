//! Support code for the tests of all targets.

pub(crate) mod azurite;
pub(crate) mod contract;
pub(crate) mod counting_store;
pub(crate) mod doctor;
pub(crate) mod easyauth;
pub(crate) mod functions_host;
pub(crate) mod gate_store;
pub(crate) mod github;
pub(crate) mod http;
pub(crate) mod identity;
pub(crate) mod janitor;
pub(crate) mod later_store;
pub(crate) mod log;
pub(crate) mod losing_store;
pub(crate) mod memory_store;
pub(crate) mod mirror;
pub(crate) mod otlp;
pub(crate) mod place;
pub(crate) mod process;
pub(crate) mod programs;
pub(crate) mod redis;
pub(crate) mod scene;
pub(crate) mod shared_model;
pub(crate) mod shared_server;
pub(crate) mod store_conformance;
pub(crate) mod tcp_proxy;
pub(crate) mod tls;

/// The number of cases of a property: `CODEX_TEST_CASES`, else `usual`.
pub(crate) fn cases(usual: u32) -> u32 {
    std::env::var("CODEX_TEST_CASES").map_or(usual, |it| {
        it.parse().expect("CODEX_TEST_CASES is a number")
    })
}
