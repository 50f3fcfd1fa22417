//! `Revalidated`: who waits for a renewal, who is served meanwhile, and that at most one runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use codex_miroir::revalidated::{Freshness, Revalidated};
use tokio::sync::Notify;

/// A remembered number; each renewal waits for `go` and adds one.
#[derive(Default)]
struct Counter {
    cached: Revalidated<u32>,
    go: Notify,
    running: AtomicU32,
}

/// One renewal, which ends when it is dropped as well.
struct Running<'a>(&'a AtomicU32);

impl<'a> Running<'a> {
    fn begin(running: &'a AtomicU32) -> Self {
        assert_eq!(running.fetch_add(1, Ordering::Relaxed), 0, "two at once");
        Self(running)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Counter {
    async fn get(self: &Arc<Self>, look: impl Fn(u32) -> Freshness<u32>) -> u32 {
        let renew = |flight| {
            let this = Arc::clone(self);
            async move {
                let running = Running::begin(&this.running);
                this.go.notified().await;
                *this.cached.state() += 1;
                drop((running, flight));
                *this.cached.state()
            }
        };
        self.cached.get(|state| look(*state), renew).await
    }

    /// The result, if it is there without a renewal's end.
    async fn at_once(self: &Arc<Self>, look: impl Fn(u32) -> Freshness<u32>) -> Option<u32> {
        tokio::select! {
            biased;
            answer = self.get(look) => Some(answer),
            () = async { for _ in 0..10 { tokio::task::yield_now().await } } => None,
        }
    }

    fn is_running(&self) -> bool {
        self.running.load(Ordering::Relaxed) == 1
    }

    async fn finish(&self) {
        self.go.notify_one();
        drop(self.cached.hold().await);
    }
}

#[tokio::test]
async fn who_waits_and_who_is_served() {
    type Look = fn(u32) -> Freshness<u32>;
    // What is seen; the answer while no renewal runs, and while one does; whether one runs on afterwards.
    let cases: [(Look, Option<u32>, Option<u32>, bool); 4] = [
        (Freshness::Fresh, Some(0), Some(0), false),
        (Freshness::Stale, Some(0), Some(0), true),
        (Freshness::StaleForOthers, None, Some(0), false),
        (|_| Freshness::Expired, None, None, false),
    ];
    for (look, alone, beside, runs_on) in cases {
        let counter = Arc::<Counter>::default();
        assert_eq!(counter.at_once(look).await, alone);
        tokio::task::yield_now().await;
        assert_eq!(counter.is_running(), runs_on);

        let counter = Arc::<Counter>::default();
        let first = tokio::spawn({
            let counter = Arc::clone(&counter);
            async move { counter.get(|_| Freshness::Expired).await }
        });
        tokio::task::yield_now().await;
        assert!(counter.is_running());
        assert_eq!(counter.at_once(look).await, beside);
        counter.finish().await;
        assert_eq!(first.await.unwrap(), 1);
    }
}

/// What is remembered is good from the first renewal on.
fn since_one(seen: u32) -> Freshness<u32> {
    match seen {
        0 => Freshness::Expired,
        seen => Freshness::Fresh(seen),
    }
}

#[tokio::test]
async fn one_renewal_serves_all_who_wait() {
    let counter = Arc::<Counter>::default();
    let waiting = [0; 3].map(|_| {
        let counter = Arc::clone(&counter);
        tokio::spawn(async move { counter.get(since_one).await })
    });
    tokio::task::yield_now().await;
    counter.finish().await;
    for waiting in waiting {
        assert_eq!(waiting.await.unwrap(), 1);
    }
}

#[tokio::test]
async fn who_gives_up_waiting_leaves_the_renewal_to_the_next() {
    let counter = Arc::<Counter>::default();
    assert_eq!(counter.at_once(since_one).await, None);
    assert!(!counter.is_running());
    counter.go.notify_one();
    assert_eq!(counter.get(since_one).await, 1);
}

#[tokio::test]
async fn a_renewal_in_the_background_ends_without_its_caller() {
    let counter = Arc::<Counter>::default();
    assert_eq!(counter.at_once(Freshness::Stale).await, Some(0));
    counter.finish().await;
    assert_eq!(*counter.cached.state(), 1);
    assert!(!counter.is_running());
}
