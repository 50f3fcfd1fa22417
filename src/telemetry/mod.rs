//! Log lines (`src/admin/README.md`, "Log") on the stream and in the form by which the Functions host tells levels apart
//! (`src/functions/README.md`, "Levels"). JSON, or text on a terminal.

mod lines;

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
use crate::metrics::{Metrics, Standing};
use lines::{Json, TimeAndRequest};

/// Starts logging at the levels `RUST_LOG` names, `info` when it names none.
///
/// Only this crate's lines: the storage SDK and the HTTP client log request URLs, which may carry a
/// signature.
///
/// # Errors
/// When `RUST_LOG` can't be read.
pub fn init(rust_log: Option<&str>) -> Result<(), ConfigError> {
    let directives = rust_log.map_or("info", str::trim);
    let levels = EnvFilter::try_new(directives).ok();
    let levels = levels.filter(|_| !directives.split(',').any(is_slip));
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
    panic::set_hook(Box::new(|panic| tell_panic(panic.location())));
    Ok(())
}

/// A lone word is a level, or names what is to be logged. Another's name would silence this service, which
/// nobody means who writes it.
fn is_slip(directive: &str) -> bool {
    let word = directive.trim();
    let is_level = word.parse::<LevelFilter>().is_ok();
    let ours = word.starts_with(env!("CARGO_CRATE_NAME"));
    !is_level && !ours && !word.contains(['=', '['])
}

/// Why a process that a host has started ends, in one line; also when the start came to no log.
pub fn tell_failure(failure: &impl std::fmt::Display) {
    eprintln!("{}", lines::failure(&failure.to_string()));
}

/// Lines as a host takes them: one JSON object each, with what is known of the request.
pub fn json<S, W>(writer: W) -> impl Layer<S>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    fmt::layer().with_writer(writer).event_format(Json)
}

/// Where it happened, in one line of the request it happened in. Not what it said: that may quote a task.
fn tell_panic(place: Option<&panic::Location<'_>>) {
    let place = place.map(tracing::field::display);
    tracing::error!(place, "a defect: something panicked");
}

/// One line with what happened since the last one, and how things stand.
pub fn sum_up(metrics: &Metrics, standing: &Standing) {
    let summary = metrics.summary(standing);
    let [memory, artifact, rebuild, stale] = summary.layers;
    tracing::info!(
        requests = summary.requests,
        failed = summary.failed,
        memory,
        artifact,
        rebuild,
        stale,
        rebuilds = summary.rebuilds,
        storage_calls = summary.storage_calls,
        storage_failed = summary.storage_failed,
        storage_slowest_ms = summary.storage_slowest.as_millis() as u64,
        github_calls = summary.github_calls,
        github_failed = summary.github_failed,
        pending = standing.pending,
        unpushed = standing.unpushed,
        oldest_unpushed_s = standing.oldest_unpushed.map_or(0, |it| it.as_secs()),
        cached_users = standing.cached_users,
        cached_bytes = standing.cached_bytes,
        tasks = standing.tasks,
        "summary"
    );
}
