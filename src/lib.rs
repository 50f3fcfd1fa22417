//! CodexMiroir plans a week from numbered markdown files and serves the timeline over HTTP.
//!
#![doc = include_str!("README.md")]

pub mod admin;
pub mod cache;
pub mod codex;
pub mod config;
pub mod context;
pub mod demo;
pub mod functions;
pub mod git_sync;
pub mod github;
pub mod http;
pub mod metrics;
pub mod net;
pub mod now;
pub mod owners;
pub mod per_user;
pub mod revalidated;
pub mod rules;
pub mod shared_cache;
pub mod spans;
pub mod store;
pub mod task;
pub mod telemetry;
pub mod timeline;
pub mod user;
pub mod user_state;
pub mod view;
pub mod web;
pub mod write;
