//! Rebuilding a user's index from the task files (src/cache/README.md, "Read").

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use chrono::{DateTime, Utc};
use futures::stream::{self, StreamExt, TryStreamExt};
use sha2::{Digest, Sha256};

use super::amend::{Amended, Amendment};
use super::artifact::artifact_bytes;
use super::entry::{Entry, Found, Knowledge};
use super::ledger::timely;
use super::listed::{denied, no_file, to_be_read};
use super::state::{LegacyNextId, SeenState, State, StateFound, Version};
use super::{Inner, Mutation, ReadError, Requests, WriteError};
use crate::context::carried;
use crate::now::Now;
use crate::store::{
    Answer, ETag, GetIf, Got, Key, Listed, Listing, Prefix, Put, PutIf, StoreError, Written,
};
use crate::task::{
    FileName, FileRecord, FileView, Parsed, TaskTable, UsedIds, is_meant_for_a_task,
};
use crate::user::UserId;

/// How many files are fetched at once.
const FETCHES: usize = 64;

/// How often a rebuild begins again because another writer was quicker, before it answers with what
/// it has.
const ATTEMPTS: u32 = 3;

/// What a rebuild starts from.
pub(super) struct Ground {
    pub user: UserId,
    pub now: Now,
    /// The state as just read.
    pub state: StateFound,
    /// The storage's clock at that read: before the LIST.
    pub date: DateTime<Utc>,
    /// The files last known, so that only others are fetched.
    pub base: Option<Arc<TaskTable>>,
    /// The version at which `base` was exact, if it was.
    pub base_exact_at: Option<Version>,
    /// Every change up to this one is in `base`, and so in whatever is listed from now on.
    pub base_lo: Version,
    /// Every version this instance has met, in memory or in an artifact.
    pub floor: Version,
}

/// A rebuilt entry and what it cost.
#[derive(Debug, Clone)]
pub(super) struct Rebuilt {
    pub entry: Arc<Entry>,
    pub requests: Requests,
}

/// What a listing found.
struct Files {
    table: Arc<TaskTable>,
    /// Some of them were written by something else, and this instance didn't know them before: whether the present
    /// version stands for them, and others who know it exactly have them, can't be told.
    foreign: bool,
}

/// A file that was looked into.
struct Fetched {
    record: FileRecord,
    /// Something else wrote it.
    foreign: bool,
}

/// How a rebuild's end looks to the state blob.
enum Ending {
    Known(Knowledge),
    /// Another writer was quicker; begin again from this.
    Again(StateFound),
}

impl Inner {
    /// Lists, fetches what changed, and asks the state again. Publishes the entry; when it is exact,
    /// the artifact is written after the answer.
    pub(super) async fn rebuild(
        self: Arc<Self>,
        mut ground: Ground,
        listed: Arc<AtomicBool>,
    ) -> Result<Rebuilt, ReadError> {
        self.rebuilds.fetch_add(1, Ordering::Relaxed);
        let mut requests = Requests::default();
        let mut attempt = 1;
        let mut foreign = false;
        let (table, knowledge) = loop {
            listed.store(true, Ordering::SeqCst);
            let files = self.list_and_fetch(&ground, &mut requests).await?;
            let table = files.table;
            let unknown = files.foreign && !self.breaks(Mutation::ForeignUnknown);
            foreign = match ground.names(&table) {
                Some(named) => !named,
                None => foreign || unknown || ground.is_foreign_change(&table),
            };
            match self
                .conclude(&ground, &table, foreign, &mut requests)
                .await?
            {
                Ending::Known(knowledge) => break (table, knowledge),
                Ending::Again(state) if attempt < ATTEMPTS => {
                    ground.state = state;
                    (ground.base, ground.base_exact_at) = (Some(table), None);
                    attempt += 1;
                }
                Ending::Again(StateFound::Present(last))
                    if foreign && !last.state.is_read_only() =>
                {
                    let lo = finished(&ground.state);
                    let named = self.name_files(&ground, &last, &table, lo, &mut requests);
                    break (Arc::clone(&table), named.await?);
                }
                Ending::Again(state) => break (table, inexact(&ground.state, &state)),
            }
        };
        let found = Found {
            table,
            listed_at: ground.date,
            listing_expires: ground.now.mono + self.settings.artifact_ttl,
        };
        let entry = Entry::new(
            ground.user,
            knowledge,
            found,
            ground.now,
            self.settings.zone,
        );
        let entry = Arc::new(entry);
        match foreign {
            true => self.memory.publish_named(&entry),
            false => self.memory.publish(&entry),
        }
        if entry.knowledge.exact || self.breaks(Mutation::ArtifactWhilePending) {
            self.write_artifact_later(&entry);
        }
        Ok(Rebuilt { entry, requests })
    }

    async fn list_and_fetch(
        &self,
        ground: &Ground,
        requests: &mut Requests,
    ) -> Result<Files, ReadError> {
        let base = ground.base.as_deref();
        let listing = self.store.list(&Prefix::raw(&ground.user)).await?.value;
        requests.reads += listing.requests;
        let Sorted {
            known: mut files,
            unknown,
            mut foreign,
        } = sort_out(listing, base);
        requests.reads += unknown.len() as u32;
        let fetched: Vec<Option<Fetched>> = stream::iter(unknown)
            .map(|name| self.fetch(&ground.user, name))
            .buffer_unordered(FETCHES)
            .try_collect()
            .await?;
        for Fetched {
            record,
            foreign: by_others,
        } in fetched.into_iter().flatten()
        {
            // Missed by the listing, or closed, and so asked for each time.
            let known = base.and_then(|base| base.find(&record.name));
            let is_known = known.is_some_and(|known| known.etag == record.etag);
            foreign |= by_others && !is_known;
            files.push(record);
        }
        let table = Arc::new(TaskTable::new(files));
        Ok(Files { table, foreign })
    }

    /// `None` when it isn't there (any more). A file that may not be opened is that file's problem
    /// and costs the others nothing.
    async fn fetch(&self, user: &UserId, name: FileName) -> Result<Option<Fetched>, StoreError> {
        // Listed names without '/', '\' and control characters are always blob names.
        let Ok(key) = Key::raw(user, name.as_str()) else {
            return Ok(None);
        };
        let blob = match self.store.get(&key, GetIf::Any).await {
            Ok(Answer {
                value: Got::Blob(blob),
                ..
            }) => blob,
            Ok(_) => return Ok(None),
            // It has come in the file's place since the listing.
            Err(StoreError::NotAFile { .. }) => {
                return Ok(Some(Fetched {
                    record: no_file(&name),
                    foreign: true,
                }));
            }
            Err(StoreError::Unreadable { reason, .. }) => {
                // By its number: the rest of the name is the task's title, which is nobody's business.
                tracing::warn!(%user, task = %name.id(), reason, "a task file can't be read");
                return Ok(Some(Fetched {
                    record: denied(&name),
                    foreign: true,
                }));
            }
            Err(error) => return Err(error),
        };
        let record = FileRecord::of(&name, blob.etag.as_str(), &blob.bytes);
        // A settled file has no write id either, and counts as absent.
        let foreign = blob.writes.is_empty() && record.content != Parsed::Settled;
        Ok(Some(Fetched { record, foreign }))
    }

    async fn conclude(
        self: &Arc<Self>,
        ground: &Ground,
        table: &TaskTable,
        foreign: bool,
        requests: &mut Requests,
    ) -> Result<Ending, ReadError> {
        match &ground.state {
            StateFound::Missing => {
                self.make_state(ground, table, PutIf::Absent, requests)
                    .await
            }
            StateFound::Damaged(etag) => {
                self.make_state(ground, table, PutIf::Same(etag.clone()), requests)
                    .await
            }
            StateFound::Present(seen) => {
                let state = &seen.state;
                let behind = state.version < ground.floor || state.next_id < table.above_all();
                let marked = !state.pending.is_empty();
                match () {
                    () if !(foreign || behind) || state.is_read_only() => {
                        self.ask_again(ground, seen, requests).await
                    }
                    () if marked && self.breaks(Mutation::ForeignUnderMark) => {
                        self.ask_again(ground, seen, requests).await
                    }
                    () if marked => {
                        let lo = self.contained_from(state);
                        let named = self.name_files(ground, seen, table, lo, requests);
                        named.await.map(Ending::Known)
                    }
                    () => {
                        let reason = match foreign {
                            true => "files changed by others",
                            false => "state behind",
                        };
                        self.raise_version(ground, seen, table, reason, requests)
                            .await
                    }
                }
            }
        }
    }

    /// No state: a new user's, or one that was lost. Only the one whose PUT succeeds is exact.
    async fn make_state(
        &self,
        ground: &Ground,
        table: &TaskTable,
        condition: PutIf,
        requests: &mut Requests,
    ) -> Result<Ending, ReadError> {
        let legacy = self.legacy_next_id(&ground.user, requests).await?;
        let clock = Version(u64::try_from(ground.date.timestamp_millis()).unwrap_or(0));
        let next_id = legacy.as_ref().map_or(0, |legacy| legacy.number);
        let floor = match self.breaks(Mutation::StateFromZero) {
            true => Version::default(),
            false => clock.max(ground.floor),
        };
        let state = State {
            legacy_next_id: legacy,
            ..State::new(floor, table.above_all().max(next_id))
        };
        let state = state.naming(digest_of(table));
        let reason = "state made";
        self.swap_state(ground, state, condition, reason, requests)
            .await
    }

    /// Something else changed the files at this very version or took a number that was still to come, or
    /// the state was made again with a version that is behind one already shown: what is shown now gets a
    /// version of its own.
    async fn raise_version(
        &self,
        ground: &Ground,
        seen: &SeenState,
        table: &TaskTable,
        reason: &'static str,
        requests: &mut Requests,
    ) -> Result<Ending, ReadError> {
        let above_all = table.above_all();
        let raised = seen.state.after_foreign_write(ground.floor, above_all);
        let raised = raised.naming(digest_of(table));
        let condition = PutIf::Same(seen.etag.clone());
        self.swap_state(ground, raised, condition, reason, requests)
            .await
    }

    /// The same while something is pending, or where others kept being quicker. No index of an earlier version that
    /// lacks these files may become an answer to those who see them now, and the writers' marks stay: so the version
    /// goes on beside them, and whoever finishes an op finds another one than its own. Through the hand that writes
    /// the state here, since marks come and go; what was listed is no more exact for it.
    async fn name_files(
        self: &Arc<Self>,
        ground: &Ground,
        seen: &Arc<SeenState>,
        table: &TaskTable,
        lo: Version,
        requests: &mut Requests,
    ) -> Result<Knowledge, ReadError> {
        let amendment = Amendment::NameFiles {
            floor: ground.floor,
            above_all: table.above_all(),
        };
        let ledger = self.ledgers.open(&ground.user);
        ledger.heard(seen);
        let committed = self.amend(&ledger, amendment, &ground.now).await;
        let committed = committed.map_err(|error| match error {
            WriteError::Read(error) => error,
            _ => ReadError::Contended,
        })?;
        *requests += committed.requests;
        let Amended::Marked(version) = committed.amended else {
            return Err(ReadError::Broken);
        };
        let user = &ground.user;
        tracing::info!(%user, version = version.0, reason = "files changed by others", "new version");
        Ok(Knowledge {
            lo: lo.max(ground.base_lo).min(version),
            hi: version,
            exact: false,
            state: Some(committed.seen),
            before: Some(Arc::clone(seen)),
            named: true,
        })
    }

    async fn swap_state(
        &self,
        ground: &Ground,
        state: State,
        condition: PutIf,
        reason: &'static str,
        requests: &mut Requests,
    ) -> Result<Ending, ReadError> {
        let blob = Put {
            bytes: state.to_bytes().into(),
            ..Put::default()
        };
        let (user, now) = (&ground.user, &ground.now);
        requests.writes += 1;
        match self
            .store
            .put(&Key::state(user), blob, condition)
            .await?
            .value
        {
            Written::Done(etag) => {
                tracing::info!(%user, version = state.version.0, reason, "new version");
                let seen = Arc::new(SeenState { state, etag });
                Ok(Ending::Known(Knowledge::exactly(seen)))
            }
            Written::Refused => {
                let seen = self.read_state(user, GetIf::Any, now, requests).await?;
                Ok(Ending::Again(seen.found.unwrap_or(StateFound::Missing)))
            }
        }
    }

    /// The second look at the state: what was listed is exact when nothing changed around it.
    async fn ask_again(
        &self,
        ground: &Ground,
        first: &Arc<SeenState>,
        requests: &mut Requests,
    ) -> Result<Ending, ReadError> {
        if self.breaks(Mutation::NoSecondLook) && first.state.pending.is_empty() {
            return Ok(Ending::Known(Knowledge::exactly(Arc::clone(first))));
        }
        let condition = GetIf::Changed(first.etag.clone());
        let seen = self
            .read_state(&ground.user, condition, &ground.now, requests)
            .await?;
        let lo = self.contained_from(&first.state);
        match seen.found {
            None => Ok(Ending::Known(Knowledge {
                lo,
                hi: first.state.version,
                exact: first.state.pending.is_empty(),
                state: Some(Arc::clone(first)),
                before: Some(Arc::clone(first)),
                named: false,
            })),
            Some(StateFound::Present(second)) => Ok(Ending::Known(Knowledge {
                lo: lo.min(second.state.version),
                hi: second.state.version,
                exact: false,
                state: Some(second),
                before: Some(Arc::clone(first)),
                named: false,
            })),
            Some(gone) => Ok(Ending::Again(gone)),
        }
    }

    /// What the older service left as the next id; 0 when it left nothing readable.
    pub(super) async fn legacy_next_id(
        &self,
        user: &UserId,
        requests: &mut Requests,
    ) -> Result<Option<LegacyNextId>, ReadError> {
        requests.reads += 1;
        let key = Key::legacy_next_id(user);
        let answer = timely(async { Ok(self.store.get(&key, GetIf::Any).await?) }).await?;
        let Got::Blob(blob) = answer.value else {
            return Ok(None);
        };
        let text = std::str::from_utf8(&blob.bytes).unwrap_or("").trim();
        let number: u32 = text.parse().unwrap_or_else(|_| {
            tracing::warn!(%user, "nextId.txt holds no number; it is ignored");
            0
        });
        Ok(Some(LegacyNextId {
            number: number.min(UsedIds::ALL),
            etag: blob.etag,
            unknown: serde_json::Map::new(),
        }))
    }

    fn write_artifact_later(self: &Arc<Self>, entry: &Arc<Entry>) {
        let (inner, entry) = (Arc::clone(self), Arc::clone(entry));
        tokio::spawn(carried(async move { inner.write_artifact(&entry).await }));
    }

    /// Its failure costs a listing, and nothing else. Where a newer major version keeps the books, it is that
    /// version's to write.
    pub(super) async fn write_artifact(&self, entry: &Entry) {
        let state = entry.knowledge.state.as_ref();
        if state.is_some_and(|seen| seen.state.is_read_only()) {
            return;
        }
        let bytes = artifact_bytes(
            &entry.user,
            entry.table(),
            entry.knowledge.hi,
            entry.listed_at(),
        );
        let blob = Put {
            bytes: bytes.into(),
            ..Put::default()
        };
        let key = Key::artifact(&entry.user);
        let put = async { Ok(self.store.put(&key, blob, PutIf::Any).await?) };
        if let Err(error) = timely(put).await {
            tracing::warn!(user = %entry.user, %error, "the artifact could not be written; reads cost a listing");
        }
    }
}

impl Ground {
    /// The state blob's version, when nothing is pending in it: whoever reads the same one later may
    /// join this rebuild.
    pub(super) fn settled_key(&self) -> Option<ETag> {
        match &self.state {
            StateFound::Present(seen) if seen.state.pending.is_empty() => Some(seen.etag.clone()),
            _ => None,
        }
    }

    /// The state's version instead of the blob's.
    pub(super) fn version_key(&self) -> Option<ETag> {
        match &self.state {
            StateFound::Present(seen) => Some(ETag::new(&seen.state.version.to_string())),
            StateFound::Missing | StateFound::Damaged(_) => None,
        }
    }

    /// The state blob's version, whatever is pending in it.
    pub(super) fn any_key(&self) -> Option<ETag> {
        match &self.state {
            StateFound::Present(seen) => Some(seen.etag.clone()),
            StateFound::Missing | StateFound::Damaged(_) => None,
        }
    }

    /// Whether the version was made for these very files, so that whoever knows it exactly has them; `None` where
    /// that can't be told. What else there is then, something else has changed.
    fn names(&self, table: &TaskTable) -> Option<bool> {
        let StateFound::Present(seen) = &self.state else {
            return None;
        };
        let state = &seen.state;
        let named = state.files.as_ref()?;
        let is_present = state.is_settled_at(named.version);
        is_present.then(|| named.digest == digest_of(table))
    }

    /// The files differ from what was known exactly at this very version, so nothing of ours changed
    /// them. Settled files count as absent.
    fn is_foreign_change(&self, table: &TaskTable) -> bool {
        let (Some(base), StateFound::Present(seen)) = (&self.base, &self.state) else {
            return false;
        };
        let state = &seen.state;
        if self.base_exact_at != Some(state.version) || !state.pending.is_empty() {
            return false;
        }
        let files = |table: &TaskTable| -> Vec<(String, String)> {
            let there = table.iter().filter(|file| !file.is_settled());
            there
                .map(|file| (file.name.to_owned(), file.etag.to_owned()))
                .collect()
        };
        files(base) != files(table)
    }
}

/// What is known when others kept changing the state around each listing: the files as listed last,
/// after the first of these states was read and before the second.
fn inexact(first: &StateFound, last: &StateFound) -> Knowledge {
    let lo = finished(first);
    let state = match last {
        StateFound::Present(seen) => Some(Arc::clone(seen)),
        StateFound::Missing | StateFound::Damaged(_) => None,
    };
    Knowledge {
        lo,
        hi: state.as_ref().map_or(lo, |seen| seen.state.version.max(lo)),
        exact: false,
        state,
        before: None,
        named: false,
    }
}

/// Every change up to it is in what is listed after this state was read.
fn finished(state: &StateFound) -> Version {
    match state {
        StateFound::Present(seen) => seen.state.finished(),
        StateFound::Missing | StateFound::Damaged(_) => Version::default(),
    }
}

/// By what two sets of files can be told apart. Settled ones count as absent.
fn digest_of(table: &TaskTable) -> String {
    let mut hash = Sha256::new();
    for file in table.iter().filter(|file| !file.is_settled()) {
        // No name and no version has a line break.
        hash.update(file.name);
        hash.update("\n");
        hash.update(file.etag);
        hash.update("\n");
    }
    let digest = hash.finalize();
    digest[..16]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// A listing, sorted.
struct Sorted {
    /// What is known already, or needs no look inside.
    known: Vec<FileRecord>,
    /// What must be asked for.
    unknown: Vec<FileName>,
    /// There is a new one that needs no look inside: the service writes none such.
    foreign: bool,
}

/// Splits a listing into files that are known, or needn't be opened, and files to fetch: new ones, and known ones
/// that are missing. A folder listing may miss a file that is being renamed over, so those are asked for by name.
/// Files whose names can't mean a task are ignored.
fn sort_out(listing: Listing, base: Option<&TaskTable>) -> Sorted {
    let others: Vec<FileName> = listing
        .others
        .iter()
        .filter_map(|name| name.parse().ok())
        .collect();
    let ours: Vec<Listed> = listing
        .blobs
        .into_iter()
        .filter(|blob| is_meant_for_a_task(&blob.name))
        .collect();
    let mut unknown = base.map_or_else(Vec::new, |base| missing(&ours, &others, base));
    let mut known = Vec::with_capacity(ours.len());
    let is_known = |name: &FileName| {
        let known = base.and_then(|base| base.find(name.as_str()));
        known.is_some_and(|known| known.to_record() == no_file(name))
    };
    let mut foreign = !others.iter().all(is_known);
    known.extend(others.iter().map(no_file));
    for blob in ours {
        match base
            .and_then(|base| base.find(&blob.name))
            .filter(|file| is_same(file, &blob))
        {
            Some(file) => known.push(file.to_record()),
            None => match to_be_read(&blob) {
                Ok(name) => unknown.push(name),
                Err(record) => {
                    foreign = true;
                    known.push(*record);
                }
            },
        }
    }
    Sorted {
        known,
        unknown,
        foreign,
    }
}

/// A file whose version can't be told, because it may not be looked at, is never the same.
fn is_same(file: &FileView<'_>, blob: &Listed) -> bool {
    file.etag == blob.etag.as_str() && !file.etag.is_empty()
}

fn missing(listed: &[Listed], others: &[FileName], base: &TaskTable) -> Vec<FileName> {
    let names = listed.iter().map(|blob| blob.name.as_str());
    let names: HashSet<&str> = names.chain(others.iter().map(FileName::as_str)).collect();
    let gone = base
        .iter()
        .filter(|file| !file.is_settled() && !names.contains(file.name));
    gone.filter_map(|file| file.name.parse().ok()).collect()
}
