//! The process's output, with the levels that the host assigns.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    Information,
    Warning,
    Error,
}

/// A line of the process's output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) level: Level,
    pub(crate) text: String,
}

pub(super) type Lines = Arc<Mutex<Vec<Line>>>;

impl Level {
    /// The level of a line on stderr: the host has only its wording to infer it from.
    fn of_error(line: &str) -> Self {
        match line.to_lowercase().contains("warn") {
            true => Self::Warning,
            false => Self::Error,
        }
    }
}

/// Reads stdout until it closes.
pub(super) async fn out(stream: impl AsyncRead + Unpin, lines: Lines) {
    collect(stream, lines, |_| Level::Information).await;
}

/// Reads stderr until it closes.
pub(super) async fn err(stream: impl AsyncRead + Unpin, lines: Lines) {
    collect(stream, lines, Level::of_error).await;
}

async fn collect(stream: impl AsyncRead + Unpin, lines: Lines, level: fn(&str) -> Level) {
    let mut stream = BufReader::new(stream).lines();
    while let Ok(Some(text)) = stream.next_line().await {
        let level = level(&text);
        lines.lock().unwrap().push(Line { level, text });
    }
}
