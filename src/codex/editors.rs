//! Changes that editors make in a folder, seen without being asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use super::Codex;
use crate::cache::{Freshness, Want};
use crate::now::Now;
use crate::store::directory::{Touched, Watch};
use crate::store::{ETag, GetIf, Got, Key, Prefix, StoreError};
use crate::task::is_meant_for_a_task;
use crate::user::UserId;

/// How long until a folder that can't be watched is tried again.
const PAUSE: Duration = Duration::from_secs(60);

/// Of a user: the files that were touched, or the whole folder.
type Files = Option<BTreeSet<String>>;

impl Codex {
    /// Looks at each change that somebody else makes to task files below `root`, the folder of this instance's store,
    /// and takes it in, so that the next read needs no `nocache` for it. What the service itself writes, this instance
    /// or another over the same folder, costs one look at the file and nothing else. `watch` has begun before anybody
    /// was served. Never ends.
    pub async fn follow_editors(
        self,
        root: &Path,
        mut watch: Result<Watch, StoreError>,
        clock: fn() -> Now,
    ) {
        let mut said = false;
        loop {
            match watch {
                Ok(mut watch) => {
                    while let Some(touched) = watch.next().await {
                        let (files, all) = by_user(touched);
                        self.look_after(files, all, clock).await;
                    }
                }
                Err(error) if !said => {
                    tracing::warn!(%error, "changes by editors can't be watched: they show later, or with nocache");
                }
                Err(_) => {}
            }
            said = true;
            tokio::time::sleep(PAUSE).await;
            watch = Watch::begin(root);
            if watch.is_ok() {
                self.look_after(BTreeMap::new(), true, clock).await;
            }
        }
    }

    async fn look_after(&self, files: BTreeMap<UserId, Files>, all: bool, clock: fn() -> Now) {
        let files = match all {
            true => self.everybody().await,
            false => Ok(files),
        };
        let files = match files {
            Ok(files) => files,
            Err(error) => {
                tracing::warn!(%error, "can't look for what editors have changed");
                return;
            }
        };
        for (user, files) in files {
            if self.is_edited(&user, files).await {
                let want = Want {
                    user,
                    seen: None,
                    freshness: Freshness::Rebuilt,
                    now: clock(),
                };
                if let Err(error) = self.cache.read(&want).await {
                    tracing::warn!(user = %want.user, %error, "an editor's change isn't taken in");
                }
            }
        }
    }

    async fn everybody(&self) -> Result<BTreeMap<UserId, Files>, StoreError> {
        let folders = self.store.contents(&Prefix::all_raw()).await?.value.folders;
        let users = folders.iter().filter_map(|it| UserId::parse(it).ok());
        Ok(users.map(|user| (user, None)).collect())
    }

    /// Whether one of the files is another one than this instance knows, and somebody else's.
    async fn is_edited(&self, user: &UserId, files: Files) -> bool {
        let files = match files {
            Some(files) => files,
            None => match self.names(user).await {
                Ok(names) => names,
                Err(_) => return true,
            },
        };
        for file in files.iter().filter(|it| is_meant_for_a_task(it)) {
            if self.is_others(user, file).await {
                return true;
            }
        }
        false
    }

    /// The names that there are, and those that this instance knows.
    async fn names(&self, user: &UserId) -> Result<BTreeSet<String>, StoreError> {
        let listing = self.store.list(&Prefix::raw(user)).await?.value;
        let there = listing.blobs.into_iter().map(|it| it.name);
        let there = there.chain(listing.others);
        let known = self.cache.known(user);
        let known = known.iter().flat_map(|entry| entry.table().iter());
        Ok(there.chain(known.map(|it| it.name.to_string())).collect())
    }

    async fn is_others(&self, user: &UserId, file: &str) -> bool {
        let Ok(key) = Key::raw(user, file) else {
            return false;
        };
        let entry = self.cache.known(user);
        let known = entry.as_ref().and_then(|entry| entry.table().find(file));
        let condition = known.map_or(GetIf::Any, |it| GetIf::Changed(ETag::new(it.etag)));
        match self.store.get(&key, condition).await.map(|it| it.value) {
            Ok(Got::Blob(blob)) => blob.writes.is_empty(),
            Ok(Got::Unchanged) => false,
            // What isn't known may be in the artifact.
            Ok(Got::Absent | Got::Changed) => entry.is_none() || known.is_some(),
            // It is told by the read that lists it.
            Err(_) => true,
        }
    }
}

fn by_user(touched: impl IntoIterator<Item = Touched>) -> (BTreeMap<UserId, Files>, bool) {
    let (mut users, mut all) = (BTreeMap::<UserId, Files>::new(), false);
    for it in touched {
        match it {
            Touched::Anything => all = true,
            Touched::Folder(user) => {
                users.insert(user, None);
            }
            Touched::File(user, name) => {
                if let Some(files) = users.entry(user).or_insert_with(|| Some(BTreeSet::new())) {
                    files.insert(name);
                }
            }
        }
    }
    (users, all)
}
