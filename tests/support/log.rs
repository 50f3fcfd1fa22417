//! What the service logs within a test.

use std::io::Write;
use std::sync::{Arc, Mutex};

use codex_miroir::telemetry;
use tracing::Subscriber;
use tracing_subscriber::prelude::*;

/// A log writer that keeps its output: lines of JSON.
#[derive(Clone, Default)]
pub(crate) struct LogBuffer(Arc<Mutex<Vec<u8>>>);

impl Write for LogBuffer {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl LogBuffer {
    /// What writes to it.
    pub(crate) fn subscriber(&self) -> impl Subscriber + Send + Sync + 'static {
        let writer = self.clone();
        tracing_subscriber::registry().with(telemetry::json(move || writer.clone()))
    }

    /// The output so far.
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}
