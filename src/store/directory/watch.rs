//! What others do to the task files in the folder, as the operating system tells it. On a file system of another
//! machine it tells only of this one's own changes. It tells nothing of a linked file that is saved in place, nor of a
//! folder that was linked in after the watch began.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::time::Duration;

use notify::event::{EventKind, ModifyKind};
use notify::{Config, Event, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::{sleep, timeout};

use super::failure::store_error;
use super::files::{is_temporary, make_folder};
use super::layout::Layout;
use crate::store::{Prefix, StoreError};
use crate::user::UserId;

/// A save is several changes: they are over when nothing has come for so long.
const QUIET: Duration = Duration::from_millis(200);

/// Changes that never cease are told after so long.
const AT_LAST: Duration = Duration::from_secs(1);

/// Where somebody has changed something.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Touched {
    /// This file of the user's.
    File(UserId, String),
    /// The user's folder: it was moved, or has come to be.
    Folder(UserId),
    /// Anything: changes came faster than they could be told.
    Anything,
}

/// Tells of changes below `raw/`, while it lives.
#[derive(Debug)]
pub struct Watch {
    // Ends with it.
    _watcher: RecommendedWatcher,
    told: UnboundedReceiver<Told>,
    /// What is watched, and where.
    raw: PathBuf,
    identity: Option<Identity>,
    has_gone: bool,
}

/// What tells a folder from another that has taken its place.
type Identity = (u64, u64);

#[derive(Debug)]
enum Told {
    Touched(Touched),
    /// The watched folder itself has gone, so nothing will follow.
    Gone,
}

impl Watch {
    /// Watches the folder of a store from now on.
    ///
    /// # Errors
    /// When the system won't tell, such as without a watch left (`fs.inotify.max_user_watches` on Linux).
    pub fn begin(root: &Path) -> Result<Self, StoreError> {
        let prefix = Prefix::all_raw();
        let failed = |error: notify::Error| {
            let error = match error.kind {
                notify::ErrorKind::Io(error) => error,
                _ => io::Error::other(error),
            };
            store_error("watch", prefix.as_str(), &error)
        };
        // Nothing is made on a bare mount point.
        let is_there = Layout::is_made(root)
            .then_some(())
            .ok_or(io::ErrorKind::NotFound);
        is_there.map_err(|kind| store_error("watch", prefix.as_str(), &kind.into()))?;
        let raw = root.join(prefix.as_str());
        // Linked, or below something linked, it is told by its own name.
        let raw = make_folder(&raw).and_then(|()| raw.canonicalize());
        let raw = raw.map_err(|error| store_error("watch", prefix.as_str(), &error))?;
        let (tell, told) = unbounded_channel();
        let below = raw.clone();
        let handler = move |event: notify::Result<Event>| {
            for it in read(&below, event) {
                // Nobody waits for it any more.
                let _ = tell.send(it);
            }
        };
        let watcher = RecommendedWatcher::new(handler, Config::default());
        let mut watcher = watcher.map_err(failed)?;
        watcher
            .watch(&raw, RecursiveMode::Recursive)
            .map_err(failed)?;
        Ok(Self {
            _watcher: watcher,
            told,
            identity: identity(&raw),
            raw,
            has_gone: false,
        })
    }

    /// What was touched, each once, as soon as that has come to rest. Nothing when the folder has gone.
    pub async fn next(&mut self) -> Option<HashSet<Touched>> {
        if self.has_gone {
            return None;
        }
        let mut touched = HashSet::new();
        let mut told = self.told.recv().await;
        let mut at_last = pin!(sleep(AT_LAST));
        loop {
            match told {
                Some(Told::Touched(it)) => touched.insert(it),
                Some(Told::Gone) | None => {
                    self.has_gone = true;
                    break;
                }
            };
            told = tokio::select! {
                next = timeout(QUIET, self.told.recv()) => match next {
                    Ok(next) => next,
                    Err(_) => break,
                },
                () = &mut at_last => break,
            };
        }
        Some(touched)
    }
}

impl Watch {
    /// Whether another folder has taken the place of the one that is watched, or none has.
    pub fn is_over(&self) -> bool {
        self.has_gone || identity(&self.raw) != self.identity
    }
}

#[cfg(unix)]
fn identity(folder: &Path) -> Option<Identity> {
    use std::os::unix::fs::MetadataExt;
    let metadata = folder.metadata().ok()?;
    Some((metadata.dev(), metadata.ino()))
}

#[cfg(not(unix))]
fn identity(folder: &Path) -> Option<Identity> {
    folder.is_dir().then_some((0, 0))
}

/// What an event means for the files below `raw`.
fn read(raw: &Path, event: notify::Result<Event>) -> Vec<Told> {
    let event = match event {
        Ok(event) => event,
        Err(error) => {
            tracing::warn!(%error, "not every change by an editor can be watched");
            return vec![Told::Touched(Touched::Anything)];
        }
    };
    if event.need_rescan() {
        return vec![Told::Touched(Touched::Anything)];
    }
    match event.kind {
        EventKind::Access(_) | EventKind::Modify(ModifyKind::Metadata(_)) => vec![],
        _ => {
            if event.paths.iter().any(|path| path == raw) {
                return vec![Told::Gone];
            }
            let touched = event.paths.iter().filter_map(|path| touched(raw, path));
            touched.map(Told::Touched).collect()
        }
    }
}

fn touched(raw: &Path, path: &Path) -> Option<Touched> {
    let mut parts = path.strip_prefix(raw).ok()?.iter();
    let user = UserId::parse(parts.next()?.to_str()?).ok()?;
    let Some(folder) = parts.next() else {
        return Some(Touched::Folder(user));
    };
    if folder != "tasks" {
        return None;
    }
    let Some(file) = parts.next() else {
        return Some(Touched::Folder(user));
    };
    let name = file.to_str().filter(|_| !is_temporary(file))?;
    Some(Touched::File(user, name.to_owned()))
}
