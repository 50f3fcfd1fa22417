//! Export of traces and metrics ([`otlp`]), and logging (`src/admin/README.md`, "Log"): JSON, or text on a terminal. Stream and format are those by which the
//! Functions host recognizes levels (`src/functions/README.md`, "Levels").

mod format;
pub mod otlp;

use std::io::IsTerminal;
use std::panic;

use tracing::{Level, Subscriber};
use tracing_subscriber::filter::{LevelFilter, filter_fn};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::writer::MakeWriterExt;
use tracing_subscriber::prelude::*;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{EnvFilter, Layer, fmt};

use crate::config::ConfigError;
use crate::metrics::{Metrics, RuntimeStats};
use format::{JsonEventFormat, TimeAndRequest};

/// Starts logging with the directives in `RUST_LOG`, default `info`, and installs the panic hook.
///
/// Logs only this crate's events: the storage SDK and the HTTP client log request URLs, which may contain a signature.
///
/// # Errors
/// If `RUST_LOG` is invalid.
pub fn init(rust_log: Option<&str>) -> Result<(), ConfigError> {
    let directives = rust_log.map_or("info", str::trim);
    let levels = EnvFilter::try_new(directives).ok();
    let levels = levels.filter(|_| !directives.split(',').any(is_misspelled));
    let levels = levels.ok_or_else(|| {
        let allowed = "levels as in info or codex_miroir=debug,info";
        ConfigError::new("RUST_LOG", format!("is {directives:?}"), allowed)
    })?;
    let ours = filter_fn(|line| line.target().starts_with(env!("CARGO_CRATE_NAME")));
    let by_level = std::io::stderr
        .with_max_level(Level::WARN)
        .or_else(std::io::stdout);
    let lines = if std::io::stdout().is_terminal() {
        let lines = fmt::layer().with_writer(by_level);
        let lines = lines.with_target(false).with_timer(TimeAndRequest);
        lines.compact().boxed()
    } else {
        json(by_level).boxed()
    };
    tracing_subscriber::registry()
        .with(levels)
        .with(ours)
        .with(lines)
        .init();
    // Without the panic's message, which may quote a task.
    panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(tracing::field::display);
        tracing::error!(place, "a bug: the code panicked");
    }));
    Ok(())
}

/// Whether a directive of one word is neither a level nor a target of this crate. It would be valid as another crate's
/// target and silence all logging, which is hardly intended.
fn is_misspelled(directive: &str) -> bool {
    let word = directive.trim();
    let is_level = word.parse::<LevelFilter>().is_ok();
    let ours = word.starts_with(env!("CARGO_CRATE_NAME"));
    !is_level && !ours && !word.contains(['=', '['])
}

/// Writes the reason why a process under a host exits as one error line, even if logging hasn't started.
pub fn log_failure(failure: &impl std::fmt::Display) {
    eprintln!("{}", format::failure(&failure.to_string()));
}

/// The JSON layer: one object per line, with the fields of the current request.
pub fn json<S, W>(writer: W) -> impl Layer<S>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    fmt::layer()
        .with_writer(writer)
        .event_format(JsonEventFormat)
}

/// Logs one line with the counts since the last one and the current gauges.
pub fn log_summary(metrics: &Metrics, stats: &RuntimeStats) {
    let counts = metrics.summary(stats);
    let ([memory, redis, artifact, rebuild, stale], storage) = (counts.layers, counts.storage);
    tracing::info!(
        requests = counts.requests,
        failed = counts.failed,
        memory,
        redis,
        artifact,
        rebuild,
        stale,
        rebuilds = counts.rebuilds,
        storage_calls = storage.calls,
        storage_failed = storage.failed,
        storage_slowest_ms = storage.slowest.as_millis() as u64,
        github_calls = counts.github.calls,
        github_failed = counts.github.failed,
        pending = stats.pending,
        unpushed = stats.unpushed,
        oldest_unpushed_s = stats.oldest_unpushed.map_or(0, |it| it.as_secs()),
        cached_users = stats.cached_users,
        cached_bytes = stats.cached_bytes,
        tasks = stats.tasks,
        "summary"
    );
}
