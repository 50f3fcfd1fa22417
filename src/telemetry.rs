//! Log lines, by the Functions host's rule (FUNCTIONS_HOST.md, "Process"): `info` and below to
//! stdout, warnings to stderr with the word in them, errors to stderr without it. JSON, unless a
//! person is looking.

use std::io::IsTerminal;

use tracing::Level;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::writer::MakeWriterExt;

use crate::config::ConfigError;

/// Starts logging at the levels `RUST_LOG` names, `info` when it names none.
pub fn init(rust_log: Option<&str>) -> Result<(), ConfigError> {
    let directives = rust_log.map_or("info", str::trim);
    let filter = EnvFilter::try_new(directives).map_err(|_| {
        let allowed = "levels as in info or codex_miroir=debug,info";
        ConfigError::new("RUST_LOG", format!("is {directives:?}"), allowed)
    })?;
    let warnings = std::io::stderr.with_max_level(Level::WARN);
    let writer = warnings.or_else(std::io::stdout);
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer);
    if std::io::stdout().is_terminal() {
        builder.with_target(false).compact().init();
    } else {
        builder
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .init();
    }
    Ok(())
}
