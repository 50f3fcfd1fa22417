//! CodexMiroir plans a week from numbered markdown files and serves the timeline over HTTP.
//!
//! The rooms, in the direction data flows through them:
//!
//! | room | what it does |
//! |---|---|
//! | [`config`], [`telemetry`], [`metrics`] | settings from the environment; log lines; counts |
//! | [`http`] | the edge: routes, extractors, what an error is called |
//! | [`codex`] | the operations |
//! | [`cache`] | memory, artifact, state, rebuild: who knows what, and how exactly; how files are written so that all know |
//! | [`functions`] | what the Functions host says and is told, and the app folder it starts from |
//! | [`github`] | what Git and GitHub say and are told: client, webhook, reconciling, merging |
//! | [`store`] | blobs: Azure, or a directory |
//! | [`task`] | pure: what a task file says, and how to change it without loss |
//! | [`timeline`] | pure: tasks, a moment and a zone give a week |
//! | [`view`] | pure: a week as JSON and HTML |
//! | [`web`] | the web app's files |
//! | [`admin`], [`demo`] | what the command line does besides serving |
//! | [`context`] | which request the present work is for, as log lines say it |
//! | [`user`], [`now`], [`net`] | two values everybody hands on; TLS |
//!
//! Who may import whom is a table in `tests/it/rooms.rs`, and held by it.

pub mod admin;
pub mod cache;
pub mod codex;
pub mod config;
pub mod context;
pub mod demo;
pub mod functions;
pub mod github;
pub mod http;
pub mod metrics;
pub mod net;
pub mod now;
pub mod store;
pub mod task;
pub mod telemetry;
pub mod timeline;
pub mod user;
pub mod view;
pub mod web;
