//! The cross-process lock of one user's writers.

use std::fs::{File, TryLockError};
use std::io::{self, ErrorKind};
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

/// How long a writer waits for the lock.
pub(super) const LOCK_TIMEOUT: Duration = Duration::from_secs(10);

/// The initial and the maximum interval between attempts to lock.
const POLL_INTERVAL: (Duration, Duration) = (Duration::from_micros(250), Duration::from_millis(5));

/// The lock of one user's folder, held until dropped. The kernel releases it when the process dies.
pub(super) struct UserLock(File);

impl UserLock {
    /// Creates the lock file if missing, but not its folder; see [`super::layout::Layout::open`].
    pub(super) fn take(path: &Path) -> io::Result<Self> {
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path)?;
        let (started, mut pause) = (Instant::now(), POLL_INTERVAL.0);
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Self(file)),
                Err(TryLockError::WouldBlock) if started.elapsed() < LOCK_TIMEOUT => sleep(pause),
                Err(TryLockError::WouldBlock) => return Err(lock_timeout()),
                Err(TryLockError::Error(error)) => return Err(error),
            }
            pause = (pause * 2).min(POLL_INTERVAL.1);
        }
    }

    /// The modification time for a file written now: later than any returned before under this lock, even if the clock
    /// was set back. So no version recurs after a deletion, although inodes do.
    ///
    /// The last time returned is stored as the lock file's own modification time.
    pub(super) fn next_time(&self, now: SystemTime) -> io::Result<SystemTime> {
        let last = self.0.metadata()?.modified()?;
        let next = now.max(just_after(last));
        self.0.set_modified(next)?;
        Ok(next)
    }
}

/// The error after waiting [`LOCK_TIMEOUT`] for another writer.
pub(super) fn lock_timeout() -> io::Error {
    io::Error::new(
        ErrorKind::TimedOut,
        "timed out waiting for another writer's lock on the folder",
    )
}

/// The next representable modification time.
pub(super) fn just_after(time: SystemTime) -> SystemTime {
    time + Duration::from_nanos(1)
}
