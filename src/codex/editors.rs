//! Changes that editors make in a folder, seen without being asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::Codex;
use crate::cache::{Artifact, Freshness, Want};
use crate::now::Now;
use crate::store::directory::{Touched, Watch};
use crate::store::{ETag, GetIf, Got, Key, Prefix, StoreError};
use crate::task::{SETTLED_FILE, TaskTable, is_meant_for_a_task};
use crate::user::UserId;

/// How often it is looked whether the folder is still the one that is watched, and tried again what failed.
const PAUSE: Duration = Duration::from_secs(10);

/// Where to look: at these files of a user, or at all of them.
type Changes = BTreeMap<UserId, Option<BTreeSet<String>>>;

impl Codex {
    /// Looks at each change that somebody else makes to task files below `root`, the folder of this instance's store,
    /// and takes it in, so that the next read needs no `nocache` for it. A file that the service writes, this instance
    /// or another over the same folder, costs one look at it; one that it removes, a rebuild where it was known. Never
    /// ends.
    pub async fn follow_editors(self, root: &Path, clock: fn() -> Now) {
        let mut said = false;
        loop {
            match begin(root).await {
                Ok(watch) => {
                    said = false;
                    self.follow(watch, clock).await;
                }
                Err(error) => {
                    if !said {
                        tracing::warn!(%error, "changes by editors can't be watched: they show later, or with nocache");
                    }
                    said = true;
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    /// Until nothing is told any more.
    async fn follow(&self, mut watch: Watch, clock: fn() -> Now) {
        let mut left = Changes::new();
        // What happened before.
        let mut anything = true;
        let mut said = false;
        loop {
            if anything {
                match self.everybody().await {
                    Ok(all) => {
                        left = all;
                        anything = false;
                    }
                    Err(error) => {
                        tracing::warn!(%error, "can't look for what editors have changed")
                    }
                }
            }
            left = self.take_in(left, clock).await;
            if !said && !anything {
                tracing::info!("changes by editors are taken in");
                said = true;
            }
            match tokio::time::timeout(PAUSE, watch.next()).await {
                Ok(Some(touched)) => anything |= add(&mut left, touched),
                Ok(None) => return,
                Err(_) if watch.is_over() => return,
                Err(_) => {}
            }
        }
    }

    async fn everybody(&self) -> Result<Changes, StoreError> {
        // Also those whose files have all gone. Of the others nothing is known that could have changed.
        let folders = self
            .store
            .contents(&Prefix::all_state())
            .await?
            .value
            .folders;
        let users = folders.iter().filter_map(|it| UserId::parse(it).ok());
        Ok(users.map(|user| (user, None)).collect())
    }

    /// Makes the weeks of those anew whose files somebody else has changed. Gives back what failed.
    async fn take_in(&self, changes: Changes, clock: fn() -> Now) -> Changes {
        let mut failed = Changes::new();
        for (user, files) in changes {
            match self.is_edited(&user, files).await {
                Ok(false) => continue,
                Ok(true) => {}
                Err(error) => {
                    tracing::warn!(%user, %error, "can't look for what editors have changed");
                    failed.insert(user, None);
                    continue;
                }
            }
            let want = Want {
                user,
                seen: None,
                known: None,
                freshness: Freshness::Rebuilt,
                now: clock(),
            };
            if self.cache.read(&want).await.is_err() {
                // Told by the read.
                failed.insert(want.user, None);
            }
        }
        failed
    }

    /// Whether one of the files is another one than is known, and somebody else's.
    async fn is_edited(
        &self,
        user: &UserId,
        files: Option<BTreeSet<String>>,
    ) -> Result<bool, StoreError> {
        // Without an artifact the next read lists the files anyhow.
        let Some(known) = self.known_files(user).await? else {
            return Ok(false);
        };
        let files = match files {
            Some(files) => files,
            None => self.changed(user, &known).await?,
        };
        for file in files.iter().filter(|it| is_meant_for_a_task(it)) {
            if self.is_others(user, file, &known).await? {
                // A look would make the state of who was deleted anew.
                return self.has_state(user).await;
            }
        }
        Ok(false)
    }

    /// The files as this instance knows them, else as the artifact does.
    async fn known_files(&self, user: &UserId) -> Result<Option<Arc<TaskTable>>, StoreError> {
        if let Some(entry) = self.cache.known(user) {
            return Ok(Some(Arc::clone(entry.table())));
        }
        let key = Key::artifact(user);
        Ok(match self.store.get(&key, GetIf::Any).await?.value {
            Got::Blob(blob) => Artifact::parse(&blob.bytes, user).map(|it| Arc::new(it.table)),
            Got::Absent | Got::Changed | Got::Unchanged => None,
        })
    }

    /// The names of files that aren't as they are known, and of those that have gone.
    async fn changed(
        &self,
        user: &UserId,
        known: &TaskTable,
    ) -> Result<BTreeSet<String>, StoreError> {
        let listing = self.store.list(&Prefix::raw(user)).await?.value;
        let mut gone: BTreeSet<&str> = known.iter().map(|it| it.name).collect();
        let mut changed: BTreeSet<String> = listing.others.into_iter().collect();
        for file in listing.blobs {
            gone.remove(file.name.as_str());
            if known
                .find(&file.name)
                .is_none_or(|it| it.etag != file.etag.as_str())
            {
                changed.insert(file.name);
            }
        }
        changed.extend(gone.into_iter().map(str::to_owned));
        Ok(changed)
    }

    async fn is_others(
        &self,
        user: &UserId,
        file: &str,
        known: &TaskTable,
    ) -> Result<bool, StoreError> {
        let Ok(key) = Key::raw(user, file) else {
            return Ok(false);
        };
        let known = known.find(file).map(|it| ETag::new(it.etag));
        let is_known = known.is_some();
        let condition = known.map_or(GetIf::Any, GetIf::Changed);
        match self.store.get(&key, condition).await {
            Ok(answer) => Ok(match answer.value {
                Got::Blob(blob) => blob.writes.is_empty() && blob.bytes != SETTLED_FILE,
                Got::Unchanged => false,
                Got::Absent | Got::Changed => is_known,
            }),
            // The read that lists it says so.
            Err(StoreError::NotAFile { .. } | StoreError::Unreadable { .. }) => Ok(true),
            Err(error) => Err(error),
        }
    }
}

/// Begins to watch where that may take long: each folder there is has to be told of.
async fn begin(root: &Path) -> Result<Watch, StoreError> {
    let root = root.to_owned();
    let begun = tokio::task::spawn_blocking(move || Watch::begin(&root)).await;
    begun.unwrap_or_else(|defect| std::panic::resume_unwind(defect.into_panic()))
}

/// Whether anything may have changed, and not only what is added here.
fn add(changes: &mut Changes, touched: impl IntoIterator<Item = Touched>) -> bool {
    let mut anything = false;
    for it in touched {
        match it {
            Touched::Anything => anything = true,
            Touched::Folder(user) => {
                changes.insert(user, None);
            }
            Touched::File(user, name) => {
                let files = changes.entry(user).or_insert_with(|| Some(BTreeSet::new()));
                if let Some(files) = files {
                    files.insert(name);
                }
            }
        }
    }
    anything
}
