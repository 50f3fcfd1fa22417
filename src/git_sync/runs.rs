//! Coalesces fetches: a caller that arrives during a run waits for it and then shares the next one, whose result is
//! valid for every caller that arrived before it began.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Mutex;

use super::error::GitSyncError;
use super::report::FetchReport;

/// The fetches of this process.
#[derive(Default)]
pub(super) struct FetchRuns {
    last: Mutex<Option<FetchRun>>,
    arrivals: AtomicU64,
}

struct FetchRun {
    /// The run began after the arrivals up to this number.
    began_after: u64,
    result: Result<FetchReport, GitSyncError>,
}

impl FetchRuns {
    /// The number of fetches and timer runs that have begun.
    pub(super) fn arrivals(&self) -> u64 {
        self.arrivals.load(Ordering::SeqCst)
    }

    /// Counts an arrival and returns its number.
    pub(super) fn arrive(&self) -> u64 {
        self.arrivals.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// Runs `work`, or returns the result of another caller's run that began after this call.
    pub(super) async fn run_or_share<F>(
        &self,
        work: impl FnOnce() -> F + Send,
    ) -> Result<FetchReport, GitSyncError>
    where
        F: Future<Output = Result<FetchReport, GitSyncError>> + Send,
    {
        let ticket = self.arrive();
        let mut last = self.last.lock().await;
        if let Some(run) = &*last
            && run.began_after >= ticket
        {
            return run.result.clone();
        }
        let began_after = self.arrivals();
        let result = work().await;
        *last = Some(FetchRun {
            began_after,
            result: result.clone(),
        });
        result
    }
}
