//! The timer of one connection, by which hyper ends its silence.
//!
//! hyper asks for a new sleep with every request, and drops it as soon as the headers are there. Each of
//! tokio's would go into the timer wheel and out again, by a lock that all connections share. This one is
//! set once, and again only when it goes off: then it looks how long there is still to wait.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use hyper::rt::{Sleep, Timer};

/// A timer for one connection, which waits for one thing at a time.
#[derive(Clone)]
pub(super) struct Silence(Arc<Mutex<Pin<Box<tokio::time::Sleep>>>>);

impl Silence {
    /// One that goes off for the first time after `first`.
    pub(super) fn new(first: Duration) -> Self {
        let sleep = tokio::time::sleep(first);
        Self(Arc::new(Mutex::new(Box::pin(sleep))))
    }
}

impl Timer for Silence {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        self.sleep_until(self.now() + duration)
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        Box::pin(Until {
            timer: self.clone(),
            deadline: deadline.into(),
        })
    }

    fn now(&self) -> Instant {
        tokio::time::Instant::now().into()
    }
}

/// Until a moment.
struct Until {
    timer: Silence,
    deadline: tokio::time::Instant,
}

impl Sleep for Until {}

impl Future for Until {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let sleep = self.timer.0.lock();
        let mut sleep = sleep.unwrap_or_else(PoisonError::into_inner);
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
