//! Watches the task files for changes by other programs, using the operating system's notifications. A network file
//! system reports only changes made on this machine. Not reported are saves in place of linked files, and changes in
//! folders that were linked in after the watch began.

use std::collections::HashSet;
use std::io;
use std::mem;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::time::Duration;

use notify::event::{EventKind, ModifyKind};
use notify::{Config, Event, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::{sleep, timeout};

use super::error::store_error;
use super::files::{is_temporary, make_folder};
use super::layout::Layout;
use crate::store::error::StoreError;
use crate::store::key::Prefix;
use crate::user::UserId;

/// A save causes several events; it is complete when none has followed for this long.
const DEBOUNCE: Duration = Duration::from_millis(200);

/// Continuous changes are reported after this delay at the latest.
const MAX_BATCH_DELAY: Duration = Duration::from_secs(1);

/// A changed path.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ChangedPath {
    /// This file of the user.
    File(UserId, String),
    /// The user's folder: moved or created.
    Folder(UserId),
    /// Any path: events were lost.
    Unknown,
}

/// Reports changes below `raw/` until dropped.
#[derive(Debug)]
pub struct FolderWatcher {
    // Stops watching when dropped.
    _watcher: RecommendedWatcher,
    events: UnboundedReceiver<WatchEvent>,
    /// What was received and isn't reported yet.
    changed: HashSet<ChangedPath>,
    /// The watched folder.
    raw: PathBuf,
    folder_id: Option<FolderId>,
    is_gone: bool,
}

/// Distinguishes a folder from another at the same path: device and inode.
type FolderId = (u64, u64);

#[derive(Debug)]
enum WatchEvent {
    Changed(ChangedPath),
    /// The watched folder itself is gone, so no events will follow.
    Gone,
}

impl FolderWatcher {
    /// Starts to watch the folder of a store.
    ///
    /// # Errors
    /// If the system refuses, for example because no watches are left (`fs.inotify.max_user_watches` on Linux).
    pub fn begin(root: &Path) -> Result<Self, StoreError> {
        let raw = Prefix::all_raw();
        let begun = Self::watch(root, &raw).map_err(|error| match error.kind {
            notify::ErrorKind::Io(error) => error,
            _ => io::Error::other(error),
        });
        begun.map_err(|error| store_error("watch", raw.as_str(), &error))
    }

    fn watch(root: &Path, raw: &Prefix) -> notify::Result<Self> {
        // Creates nothing on a bare mount point.
        if !Layout::is_initialized(root) {
            return Err(io::Error::from(io::ErrorKind::NotFound).into());
        }
        let raw = root.join(raw.as_str());
        make_folder(&raw)?;
        // Events carry canonical paths, also for links and folders below links.
        let raw = raw.canonicalize()?;
        let (sender, events) = unbounded_channel();
        let below = raw.clone();
        let handler = move |event: notify::Result<Event>| {
            for it in watch_events(&below, event) {
                // The receiver may have been dropped; nothing to notify.
                let _ = sender.send(it);
            }
        };
        let mut watcher = RecommendedWatcher::new(handler, Config::default())?;
        watcher.watch(&raw, RecursiveMode::Recursive)?;
        Ok(Self {
            _watcher: watcher,
            events,
            changed: HashSet::new(),
            folder_id: folder_id(&raw),
            raw,
            is_gone: false,
        })
    }

    /// Waits for changes and returns each path once, when no more events follow. `None` if the watched folder is gone.
    ///
    /// Cancel safe: what was received by then is in the next answer.
    pub async fn next(&mut self) -> Option<HashSet<ChangedPath>> {
        if self.changed.is_empty() && !self.is_gone {
            let first = self.events.recv().await;
            self.note(first);
        }
        let mut batch_deadline = pin!(sleep(MAX_BATCH_DELAY));
        while !self.is_gone {
            tokio::select! {
                next = timeout(DEBOUNCE, self.events.recv()) => match next {
                    Ok(next) => self.note(next),
                    Err(_) => break,
                },
                () = &mut batch_deadline => break,
            }
        }
        let changed = mem::take(&mut self.changed);
        (!changed.is_empty()).then_some(changed)
    }

    fn note(&mut self, event: Option<WatchEvent>) {
        match event {
            Some(WatchEvent::Changed(path)) => {
                self.changed.insert(path);
            }
            Some(WatchEvent::Gone) | None => self.is_gone = true,
        }
    }

    /// Whether the path no longer leads to the watched folder.
    pub fn is_stale(&self) -> bool {
        self.is_gone || folder_id(&self.raw) != self.folder_id
    }
}

#[cfg(unix)]
fn folder_id(folder: &Path) -> Option<FolderId> {
    use std::os::unix::fs::MetadataExt;
    let metadata = folder.metadata().ok()?;
    Some((metadata.dev(), metadata.ino()))
}

#[cfg(not(unix))]
fn folder_id(folder: &Path) -> Option<FolderId> {
    folder.is_dir().then_some((0, 0))
}

/// The changes below `raw` that an event reports.
fn watch_events(raw: &Path, event: notify::Result<Event>) -> Vec<WatchEvent> {
    let event = match event {
        Ok(event) if !event.need_rescan() => event,
        Ok(_) => return vec![WatchEvent::Changed(ChangedPath::Unknown)],
        Err(error) => {
            tracing::warn!(%error, "the file watcher failed; changes by editors may have been missed");
            return vec![WatchEvent::Changed(ChangedPath::Unknown)];
        }
    };
    match event.kind {
        EventKind::Access(_) | EventKind::Modify(ModifyKind::Metadata(_)) => vec![],
        _ if event.paths.iter().any(|path| path == raw) => vec![WatchEvent::Gone],
        _ => {
            let changed = event.paths.iter();
            let changed = changed.filter_map(|path| changed_path(raw, path));
            changed.map(WatchEvent::Changed).collect()
        }
    }
}

fn changed_path(raw: &Path, path: &Path) -> Option<ChangedPath> {
    let mut parts = path.strip_prefix(raw).ok()?.iter();
    let user = UserId::parse(parts.next()?.to_str()?).ok()?;
    match (parts.next(), parts.next()) {
        (Some(folder), _) if folder != "tasks" => None,
        (Some(_), Some(file)) => {
            let name = file.to_str().filter(|_| !is_temporary(file))?;
            Some(ChangedPath::File(user, name.to_owned()))
        }
        _ => Some(ChangedPath::Folder(user)),
    }
}
