//! The idle timer of one connection, which implements hyper's header read timeout.
//!
//! hyper creates a new sleep for every request and drops it once the headers are complete. With tokio's sleeps each
//! would be inserted into the timer wheel and removed again, under a lock that all connections share. This timer keeps
//! one sleep per connection and resets it only when it fires, to the deadline that is then current.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use hyper::rt::{Sleep, Timer};
use parking_lot::Mutex;

/// The timer of one connection, which has at most one sleep at a time.
#[derive(Clone)]
pub(super) struct IdleTimer(Arc<Mutex<Pin<Box<tokio::time::Sleep>>>>);

impl IdleTimer {
    /// A timer that fires for the first time after `first`.
    pub(super) fn new(first: Duration) -> Self {
        let sleep = tokio::time::sleep(first);
        Self(Arc::new(Mutex::new(Box::pin(sleep))))
    }
}

impl Timer for IdleTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        self.sleep_until(self.now() + duration)
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        Box::pin(IdleSleep {
            timer: self.clone(),
            deadline: deadline.into(),
        })
    }

    fn now(&self) -> Instant {
        tokio::time::Instant::now().into()
    }
}

/// A sleep until a deadline, on the connection's shared timer.
struct IdleSleep {
    timer: IdleTimer,
    deadline: tokio::time::Instant,
}

impl Sleep for IdleSleep {}

impl Future for IdleSleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut sleep = self.timer.0.lock();
        if self.deadline < sleep.deadline() {
            sleep.as_mut().reset(self.deadline);
        }
        loop {
            ready!(sleep.as_mut().poll(context));
            if sleep.deadline() >= self.deadline {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(self.deadline);
        }
    }
}
