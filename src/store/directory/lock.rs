//! Writers take turns, in this process and in others.

use std::fs::{File, TryLockError};
use std::io::{self, ErrorKind};
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

/// How long a writer waits for the others.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// Between two tries to get the lock, at first and at most.
const PAUSE: (Duration, Duration) = (Duration::from_micros(250), Duration::from_millis(5));

/// One user's writers' lock, held until it is dropped. The kernel frees it when a process dies.
pub(super) struct UserLock(File);

impl UserLock {
    /// The lock file is made when missing, its folder isn't: see [`super::layout::Layout::open`].
    pub(super) fn take(path: &Path) -> io::Result<Self> {
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path)?;
        let (started, mut pause) = (Instant::now(), PAUSE.0);
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Self(file)),
                Err(TryLockError::WouldBlock) if started.elapsed() < PATIENCE => sleep(pause),
                Err(TryLockError::WouldBlock) => return Err(out_of_patience()),
                Err(TryLockError::Error(error)) => return Err(error),
            }
            pause = (pause * 2).min(PAUSE.1);
        }
    }

    /// The time for a file written now: later than every one given before under this lock, also
    /// when the clock was set back. So no version comes back after a delete, although inodes do.
    ///
    /// The last one given is the lock file's own modification time.
    pub(super) fn next_time(&self, now: SystemTime) -> io::Result<SystemTime> {
        let last = self.0.metadata()?.modified()?;
        let next = now.max(just_after(last));
        self.0.set_modified(next)?;
        Ok(next)
    }
}

/// Another writer holds the lock for [`PATIENCE`].
pub(super) fn out_of_patience() -> io::Error {
    io::Error::new(
        ErrorKind::TimedOut,
        "another writer keeps the folder's lock",
    )
}

/// The next point in time that a file can have.
pub(super) fn just_after(time: SystemTime) -> SystemTime {
    time + Duration::from_nanos(1)
}
