//! Tests that need something installed (tests/README.md), or are slow: one file per function or promise.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    missing_docs,
    unreachable_pub
)]

mod admin;
mod attacks;
mod budgets;
mod calendar;
mod deliveries;
mod deploy;
mod disk;
mod doctor;
mod functions_host;
mod git_interleavings;
mod git_sync;
mod janitor;
mod managed_identity;
mod memory;
mod openapi;
mod ordeal;
mod otel;
mod processes;
mod redis;
mod store_azure;
mod store_conformance;
#[path = "../support/mod.rs"]
#[allow(dead_code, unused_imports, reason = "the other target uses the rest")]
mod support;
mod versions;
mod web;
mod write_processes;
