//! `Revalidated`: who waits for a renewal, who is served meanwhile, and that at most one runs.

use std::future::pending;
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

impl Counter {
    async fn get(self: &Arc<Self>, look: impl Fn(u32) -> Freshness<u32>) -> u32 {
        let renew = || {
            let this = Arc::clone(self);
            async move {
                assert_eq!(
                    this.running.fetch_add(1, Ordering::Relaxed),
                    0,
                    "two at once"
                );
                this.go.notified().await;
                this.running.fetch_sub(1, Ordering::Relaxed);
                *this.cached.state() += 1;
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
    // What is seen; the answer if no renewal runs, and if one does; whether one runs afterwards that wasn't running.
    let cases: [(Look, Option<u32>, Option<u32>, bool); 4] = [
        (Freshness::Fresh, Some(0), Some(0), false),
        (Freshness::Stale, Some(0), Some(0), true),
        (Freshness::StaleForOthers, None, Some(0), true),
        (|_| Freshness::Expired, None, None, true),
    ];
    for (look, alone, beside, begins) in cases {
        let counter = Arc::<Counter>::default();
        assert_eq!(counter.at_once(look).await, alone);
        tokio::task::yield_now().await;
        assert_eq!(counter.is_running(), begins);

        let counter = Arc::<Counter>::default();
        assert_eq!(counter.at_once(|_| Freshness::Expired).await, None);
        assert!(counter.is_running());
        assert_eq!(counter.at_once(look).await, beside);
    }
}

#[tokio::test]
async fn a_renewal_ends_without_its_caller_and_serves_those_who_waited() {
    let counter = Arc::<Counter>::default();
    let look = |seen| match seen {
        0 => Freshness::Expired,
        seen => Freshness::Fresh(seen),
    };
    // The caller gives up; the renewal runs on.
    assert_eq!(counter.at_once(look).await, None);
    let waiting = [0; 3].map(|_| {
        let counter = Arc::clone(&counter);
        tokio::spawn(async move { counter.get(look).await })
    });
    counter.finish().await;
    for waiting in waiting {
        assert_eq!(waiting.await.unwrap(), 1);
    }
    assert_eq!(counter.at_once(look).await, Some(1));
}

#[tokio::test]
async fn a_renewal_that_panics_lets_the_next_one_begin() {
    let cached = Arc::<Revalidated<()>>::default();
    let failing = Arc::clone(&cached);
    let failed = tokio::spawn(async move {
        let renew = || async { panic!("the renewal's own") };
        failing.get(|()| Freshness::<()>::Expired, renew).await;
    });
    assert!(failed.await.unwrap_err().is_panic());
    tokio::select! {
        biased;
        () = cached.get(|()| Freshness::Expired, pending) => unreachable!(),
        () = tokio::task::yield_now() => {}
    }
    let renewed = cached.get(|()| Freshness::Fresh(7), pending).await;
    assert_eq!(renewed, 7);
}
