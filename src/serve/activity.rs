//! What a connection has done lately, by which a silent one is closed.
//!
//! hyper's own header time-out makes and drops a timer and reads the clock for every request. Here a request sets a
//! flag, and one timer for the life of the connection looks at it four times in each idle time-out.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

/// Looks at the flag within one idle time-out.
const LOOKS: u32 = 4;

/// Nothing since the timer looked last.
const SILENT: u8 = 0;
/// A response was sent, or a part of it.
const SENT: u8 = 1;
/// A handler is at work on a request.
const HANDLING: u8 = 2;

/// A connection's flag, shared by the parts of its one task.
#[derive(Clone, Default)]
pub(super) struct Activity(Arc<AtomicU8>);

impl Activity {
    /// A handler takes on a request.
    pub(super) fn begin(&self) {
        self.0.store(HANDLING, Ordering::Relaxed);
    }

    /// The handler is done; its response is sent next.
    pub(super) fn end(&self) {
        self.0.store(SENT, Ordering::Relaxed);
    }

    /// The system took bytes to send, which may happen while a handler still reads the request's body.
    pub(super) fn sent(&self) {
        if self.0.load(Ordering::Relaxed) == SILENT {
            self.0.store(SENT, Ordering::Relaxed);
        }
    }

    /// Completes once the connection has been silent for `idle`, or for up to a quarter more: since its start or the
    /// last response, whatever it has received of the next request's headers.
    pub(super) async fn silent_for(&self, idle: Duration) {
        let mut silent = 0;
        while silent < LOOKS {
            tokio::time::sleep(idle / LOOKS).await;
            // A handler that is at work stays so.
            let sent = self
                .0
                .compare_exchange(SENT, SILENT, Ordering::Relaxed, Ordering::Relaxed);
            silent = match sent {
                Err(SILENT) => silent + 1,
                _ => 0,
            };
        }
    }
}
