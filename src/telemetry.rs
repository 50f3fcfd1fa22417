//! Log lines, by the Functions host's rule (FUNCTIONS_HOST.md, "Process"): `info` and below to
//! stdout, warnings to stderr with the word in them, errors to stderr without it. JSON, unless a
//! person is looking.

use std::io::IsTerminal;

use tracing::Level;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::fmt::writer::MakeWriterExt;
use tracing_subscriber::prelude::*;
use tracing_subscriber::{EnvFilter, fmt};

use crate::config::ConfigError;

/// Starts logging at the levels `RUST_LOG` names, `info` when it names none.
///
/// Only this crate's lines: the storage SDK and the HTTP client log request URLs, which may carry a
/// signature.
pub fn init(rust_log: Option<&str>) -> Result<(), ConfigError> {
    let directives = rust_log.map_or("info", str::trim);
    let levels = EnvFilter::try_new(directives).map_err(|_| {
        let allowed = "levels as in info or codex_miroir=debug,info";
        ConfigError::new("RUST_LOG", format!("is {directives:?}"), allowed)
    })?;
    let ours = filter_fn(|line| line.target().starts_with(env!("CARGO_CRATE_NAME")));
    let lines = fmt::layer().with_writer(
        std::io::stderr
            .with_max_level(Level::WARN)
            .or_else(std::io::stdout),
    );
    let lines = if std::io::stdout().is_terminal() {
        lines.with_target(false).compact().boxed()
    } else {
        lines
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .boxed()
    };
    tracing_subscriber::registry()
        .with(levels)
        .with(ours)
        .with(lines)
        .init();
    Ok(())
}
