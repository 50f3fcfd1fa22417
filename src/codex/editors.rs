//! Watches the folder of a directory store for foreign edits (made by editors, not by the service).

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::cache::{Artifact, Cache, Consistency, ReadRequest};
use crate::now::Now;
use crate::spans;
use crate::store::directory::{ChangedPath, FolderWatcher};
use crate::store::{
    BlobKey, BlobStore, BlobStoreExt, ETag, GetIf, GetOutcome, Listing, Prefix, StoreError,
};
use crate::task::{TOMBSTONE_FILE, TaskTable, is_task_file_candidate};
use crate::user::UserId;

/// How often the watch checks that the folder wasn't replaced, and retries what failed.
const CHECK_INTERVAL: Duration = Duration::from_secs(10);

/// Files to check by user; `None` for all files of the user.
type EditedFiles = BTreeMap<UserId, Option<BTreeSet<String>>>;

/// Watches the folder of this instance's store.
pub struct EditorWatch {
    pub(super) store: Arc<dyn BlobStore>,
    pub(super) cache: Arc<Cache>,
}

impl EditorWatch {
    /// Watches `root`, the folder of this instance's store, and rebuilds the snapshot of a user after a foreign edit
    /// to a task file, so that the next read shows it without `nocache`. A file that the service itself writes (this
    /// instance or another over the same folder) costs one GET; one that it removes costs a rebuild if the snapshot
    /// has it. Never returns.
    pub async fn run(self, root: &Path, clock: fn() -> Now) {
        let mut logged = false;
        loop {
            match begin_watch(root).await {
                Ok(watch) => {
                    logged = false;
                    self.process_events(watch, clock).await;
                }
                Err(error) => {
                    if !logged {
                        tracing::warn!(%error, "the folder can't be watched: edits show later, or with nocache");
                    }
                    logged = true;
                    tokio::time::sleep(CHECK_INTERVAL).await;
                }
            }
        }
    }

    /// Processes events until the watch ends or the folder was replaced.
    async fn process_events(&self, mut watch: FolderWatcher, clock: fn() -> Now) {
        let mut pending = EditedFiles::new();
        // Edits from before the watch began: check all users once.
        let mut check_all = true;
        let mut logged = false;
        loop {
            let has_work = check_all || !pending.is_empty();
            let span = has_work.then(|| spans::internal("editors")).flatten();
            if check_all {
                match spans::within(span.as_ref(), self.all_users()).await {
                    Ok(all) => {
                        pending = all;
                        check_all = false;
                    }
                    Err(error) => {
                        tracing::warn!(%error, "users can't be listed to check for changes by editors")
                    }
                }
            }
            let rebuilding = self.rebuild_edited(pending, clock);
            pending = spans::within(span.as_ref(), rebuilding).await;
            drop(span);
            if !logged && !check_all {
                tracing::info!("watching the folder for changes by editors");
                logged = true;
            }
            match tokio::time::timeout(CHECK_INTERVAL, watch.next()).await {
                Ok(Some(touched)) => check_all |= add_touched(&mut pending, touched),
                Ok(None) => return,
                Err(_) if watch.is_stale() => return,
                Err(_) => {}
            }
        }
    }

    async fn all_users(&self) -> Result<EditedFiles, StoreError> {
        // Listed by state, which includes users whose files are all deleted. Without a state nothing is cached.
        let contents = self.store.contents(&Prefix::all_state()).await?.value;
        let users = contents
            .folders
            .iter()
            .filter_map(|it| UserId::parse(it).ok());
        Ok(users.map(|user| (user, None)).collect())
    }

    /// Rebuilds the snapshots of users with foreign edits. Returns what failed, to be retried.
    async fn rebuild_edited(&self, changes: EditedFiles, clock: fn() -> Now) -> EditedFiles {
        let mut failed = EditedFiles::new();
        for (user, files) in changes {
            match self.has_foreign_edit(&user, files).await {
                Ok(false) => continue,
                Ok(true) => {}
                Err(error) => {
                    tracing::warn!(%user, %error, "can't check for changes by editors");
                    failed.insert(user, None);
                    continue;
                }
            }
            let request = ReadRequest::new(user, Consistency::Rebuilt, clock());
            if self.cache.read(&request).await.is_err() {
                // The read has logged the error.
                failed.insert(request.user, None);
            }
        }
        failed
    }

    /// Whether any of the files (`None`: of all) differs from the snapshot by a foreign edit.
    async fn has_foreign_edit(
        &self,
        user: &UserId,
        files: Option<BTreeSet<String>>,
    ) -> Result<bool, StoreError> {
        let Some(known) = self.known_files(user).await? else {
            // The next read lists the files, unless it finds a snapshot of before in the shared cache.
            return Ok(self.cache.is_shared() && self.has_state(user).await?);
        };
        let files = match files {
            Some(files) => files,
            None => changed_files(self.store.list(&Prefix::raw(user)).await?.value, &known),
        };
        for file in files.iter().filter(|it| is_task_file_candidate(it)) {
            if self.is_foreign_edit(user, file, &known).await? {
                return self.has_state(user).await;
            }
        }
        Ok(false)
    }

    /// Whether the user has a state: without one a rebuild would make one anew, of a deleted user, say.
    async fn has_state(&self, user: &UserId) -> Result<bool, StoreError> {
        Ok(self.store.read(&BlobKey::state(user)).await?.is_some())
    }

    async fn known_files(&self, user: &UserId) -> Result<Option<Arc<TaskTable>>, StoreError> {
        if let Some(entry) = self.cache.known(user) {
            return Ok(Some(Arc::clone(entry.table())));
        }
        let blob = self.store.read(&BlobKey::artifact(user)).await?;
        let artifact = blob.and_then(|it| Artifact::parse(&it.bytes, user));
        Ok(artifact.map(|it| Arc::new(it.table)))
    }

    /// Whether the file differs from `known` and the service didn't write it.
    async fn is_foreign_edit(
        &self,
        user: &UserId,
        file: &str,
        known: &TaskTable,
    ) -> Result<bool, StoreError> {
        let Some(key) = BlobKey::raw(user, file) else {
            return Ok(false);
        };
        let known = known.find(file).map(|it| ETag::new(it.etag));
        let is_known = known.is_some();
        let condition = known.map_or(GetIf::Any, GetIf::Changed);
        match self.store.get(&key, condition).await {
            Ok(answer) => Ok(is_foreign(&answer.value, is_known)),
            // The rebuild reports it.
            Err(StoreError::NotAFile { .. } | StoreError::Unreadable { .. }) => Ok(true),
            Err(error) => Err(error),
        }
    }
}

/// The names of files that are new, have another entity tag than in `known`, or were deleted.
pub fn changed_files(listing: Listing, known: &TaskTable) -> BTreeSet<String> {
    let mut gone: BTreeSet<&str> = known.iter().map(|it| it.name).collect();
    let mut changed: BTreeSet<String> = listing.others.into_iter().collect();
    for file in listing.blobs {
        gone.remove(file.name.as_str());
        let before = known.find(&file.name);
        if before.is_none_or(|it| it.etag != file.etag.as_str()) {
            changed.insert(file.name);
        }
    }
    changed.extend(gone.into_iter().map(str::to_owned));
    changed
}

/// Whether the answer to a read of what isn't in the version that is known shows an edit that the service didn't make:
/// the file has no write ids and isn't a tombstone, or it was deleted.
pub fn is_foreign(found: &GetOutcome, is_known: bool) -> bool {
    match found {
        GetOutcome::Blob(blob) => blob.writes.is_empty() && blob.bytes != TOMBSTONE_FILE,
        GetOutcome::Unchanged => false,
        GetOutcome::Absent | GetOutcome::Changed => is_known,
    }
}

/// Starts the watch on a blocking thread: it registers every existing folder.
async fn begin_watch(root: &Path) -> Result<FolderWatcher, StoreError> {
    let root = root.to_owned();
    let begun = tokio::task::spawn_blocking(move || FolderWatcher::begin(&root)).await;
    begun.unwrap_or_else(|defect| std::panic::resume_unwind(defect.into_panic()))
}

/// Adds what the event names to `changes`. `true` when the event doesn't say what changed, so that everything has to
/// be checked.
fn add_touched(changes: &mut EditedFiles, touched: impl IntoIterator<Item = ChangedPath>) -> bool {
    let mut check_all = false;
    for it in touched {
        match it {
            ChangedPath::Unknown => check_all = true,
            ChangedPath::Folder(user) => {
                changes.insert(user, None);
            }
            ChangedPath::File(user, name) => {
                let files = changes.entry(user).or_insert_with(|| Some(BTreeSet::new()));
                if let Some(files) = files {
                    files.insert(name);
                }
            }
        }
    }
    check_all
}
