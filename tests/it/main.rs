//! The fast tests, which need only Rust and Git: one file per feature or guarantee.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    missing_docs,
    unreachable_pub
)]

mod admin;
mod attention;
mod auth;
mod blobs;
mod budgets;
mod calendar;
mod calendar_address;
mod coherence;
mod command_line;
mod decisions;
mod deletes;
mod doctor;
mod editors;
mod functions_files;
mod fuzz;
mod git_pure;
mod git_sync;
mod http_decisions;
mod https;
mod janitor;
mod memory;
mod merge;
mod merge_properties;
mod older_pages;
mod openapi;
mod operations;
mod otel;
mod owners;
mod package;
mod pages;
mod placement;
mod processes;
mod redis;
mod render_codex;
mod revalidated;
mod rooms;
mod settings;
mod shared_cache;
mod store_azure_connection;
mod store_conformance;
mod store_directory;
#[path = "../support/mod.rs"]
#[allow(dead_code, unused_imports, reason = "the other target uses the rest")]
mod support;
mod task_edit;
mod task_edit_properties;
mod task_files;
mod task_hostile;
mod task_parse;
mod task_table;
mod task_title;
mod task_write;
mod task_yaml;
mod task_yaml_properties;
mod tasks_api;
mod telemetry;
mod unreadable;
mod web_files;
mod writes;
