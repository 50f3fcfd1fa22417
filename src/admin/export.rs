//! Everything the service holds of a user, as one zip.

mod names;
mod pack;

use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::stream::{self, StreamExt, TryStreamExt};

use crate::admin::ask;
use crate::admin::words::count;
use crate::codex::State;
use crate::store::{Blob, BlobStore, ETag, GetIf, Got, Key, Listed, Prefix, StoreError};
use crate::task::{FileName, MAX_FILE_BYTES, Parsed, parse};
use crate::user::UserId;

/// How many files are read at once.
const FETCHES: usize = 32;

/// How often it is looked again because something was written meanwhile.
const ROUNDS: u32 = 5;

/// A user's data, packed.
#[derive(Debug, Clone)]
pub struct Export {
    /// The zip.
    pub zip: Vec<u8>,
    /// How many task files are in it.
    pub files: usize,
    /// How many of their names aren't as in storage, because not every system can have such a file;
    /// `names.json` in the zip tells.
    pub renamed: usize,
    /// Files that couldn't be read, and aren't in it.
    pub left_out: Vec<String>,
    /// All of it is of one moment. Each file is whole in any case.
    pub of_one_moment: bool,
}

/// What is to be said of it.
impl fmt::Display for Export {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", count(self.files, "task file", "task files"))?;
        if self.renamed > 0 {
            write!(
                f,
                "; {} changed, names.json says from what",
                count(self.renamed, "name is", "names are")
            )?;
        }
        if !self.of_one_moment {
            f.write_str(
                "; something was being written: each file is whole, but not all are of one moment",
            )?;
        }
        Ok(())
    }
}

/// Why there is no export.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The storage can't be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It couldn't be packed.
    #[error("the zip can't be made: {0}")]
    Zip(#[from] zip::result::ZipError),
    /// There is nothing.
    #[error("there is nothing of {0} in the storage; logins are written as GitHub spells them")]
    Nothing(UserId),
}

/// What was read of a user.
#[derive(Default)]
struct Gathered {
    /// The task folder's files by name, each in the version it was listed in.
    files: BTreeMap<String, (ETag, Bytes)>,
    /// What lies beside the state, by name.
    beside: BTreeMap<String, Bytes>,
    /// The older service's records, by name.
    records: BTreeMap<String, Bytes>,
    left_out: Vec<String>,
}

/// Reads and packs everything of a user: the task files and, beside them, what lies below `state/{user}/`.
/// Settled files count as absent, and the artifact only repeats what the files say.
///
/// Changes nothing. Entries are dated `now`.
pub async fn export(
    store: &dyn BlobStore,
    user: &UserId,
    now: DateTime<Utc>,
) -> Result<Export, ExportError> {
    let mut gathered = Gathered::default();
    let mut of_one_moment = false;
    for _ in 0..ROUNDS {
        let before = state(store, user).await?;
        let whole = gathered.refresh(store, user).await?;
        let after = state(store, user).await?;
        of_one_moment = whole && same(before.as_ref(), after.as_ref());
        if of_one_moment {
            break;
        }
    }
    if gathered.is_empty() {
        return Err(ExportError::Nothing(user.clone()));
    }
    let packed = pack::pack(&gathered, now)?;
    Ok(Export {
        zip: packed.zip,
        files: packed.files,
        renamed: packed.renamed,
        left_out: gathered.left_out,
        of_one_moment,
    })
}

async fn state(store: &dyn BlobStore, user: &UserId) -> Result<Option<Blob>, StoreError> {
    Ok(ask::get(store, &Key::state(user)).await?.value)
}

/// Nothing was written in between, and nothing was under way.
fn same(before: Option<&Blob>, after: Option<&Blob>) -> bool {
    let version = |blob: Option<&Blob>| blob.map(|it| it.etag.clone());
    let writing = after.is_some_and(|blob| match State::parse(&blob.bytes) {
        Ok(Some(state)) => !state.pending.is_empty(),
        Ok(None) | Err(_) => false,
    });
    version(before) == version(after) && !writing
}

impl Gathered {
    /// Reads what isn't here in the version that is there. Whether all of it was still there as it was listed.
    async fn refresh(&mut self, store: &dyn BlobStore, user: &UserId) -> Result<bool, StoreError> {
        let listed = ask::list(store, &Prefix::raw(user)).await?.value.blobs;
        let known = std::mem::take(&mut self.files);
        self.left_out.clear();
        let fetched = stream::iter(listed)
            .map(|file| fetch(store, user, file, &known))
            .buffer_unordered(FETCHES);
        let fetched: Vec<Fetched> = fetched.try_collect().await?;
        let mut whole = true;
        for file in fetched {
            match file {
                Fetched::File(name, etag, bytes) => drop(self.files.insert(name, (etag, bytes))),
                Fetched::Moved(newer) => {
                    whole = false;
                    self.files.extend(newer);
                }
                Fetched::Closed(name) => self.left_out.push(name),
            }
        }
        self.read_beside(store, user).await?;
        self.left_out.sort();
        Ok(whole)
    }

    async fn read_beside(
        &mut self,
        store: &dyn BlobStore,
        user: &UserId,
    ) -> Result<(), StoreError> {
        let state = Prefix::state(user);
        let key = |name: &str| Key::in_state(user, name).ok();
        let (beside, odd) = all_below(store, &state, key).await?;
        self.beside = beside;
        self.left_out.extend(odd);
        let records = Prefix::legacy_idempotency(user);
        let key = |name: &str| Key::leftover(&records, name);
        let (found, odd) = all_below(store, &records, key).await?;
        self.records = found;
        let below = |name| format!("{}/{name}", Prefix::IDEMPOTENCY);
        self.left_out.extend(odd.into_iter().map(below));
        Ok(())
    }

    fn is_empty(&self) -> bool {
        let read = self.files.len() + self.beside.len() + self.records.len();
        read == 0 && self.left_out.is_empty()
    }

    /// Without the files that count as absent.
    fn present(&self) -> impl Iterator<Item = (&str, &Bytes)> {
        let files = self
            .files
            .iter()
            .map(|(name, (_, bytes))| (name.as_str(), bytes));
        files.filter(|(name, bytes)| !is_settled(name, bytes))
    }
}

fn is_settled(name: &str, bytes: &[u8]) -> bool {
    let task = name.parse::<FileName>();
    bytes.len() <= MAX_FILE_BYTES && task.is_ok_and(|name| parse(&name, bytes) == Parsed::Settled)
}

/// The blobs directly below a prefix, by name, and the names of those that can't be read.
async fn all_below(
    store: &dyn BlobStore,
    prefix: &Prefix,
    key: impl Fn(&str) -> Option<Key>,
) -> Result<(BTreeMap<String, Bytes>, Vec<String>), StoreError> {
    let (mut found, mut closed) = (BTreeMap::new(), vec![]);
    for Listed { name, .. } in ask::list(store, prefix).await?.value.blobs {
        let Some(key) = key(&name) else {
            closed.push(name);
            continue;
        };
        match ask::get(store, &key).await {
            Ok(answer) => found.extend(answer.value.map(|blob| (name, blob.bytes))),
            Err(StoreError::Unreadable { .. } | StoreError::NotAFile { .. }) => closed.push(name),
            Err(error) => return Err(error),
        }
    }
    Ok((found, closed))
}

/// What became of reading one file.
enum Fetched {
    File(String, ETag, Bytes),
    /// It isn't what was listed any more, but this, if it is there at all.
    Moved(Option<(String, (ETag, Bytes))>),
    /// It can't be read.
    Closed(String),
}

async fn fetch(
    store: &dyn BlobStore,
    user: &UserId,
    listed: Listed,
    known: &BTreeMap<String, (ETag, Bytes)>,
) -> Result<Fetched, StoreError> {
    let Listed { name, etag, .. } = listed;
    if let Some((before, bytes)) = known.get(&name)
        && *before == etag
    {
        return Ok(Fetched::File(name, etag, bytes.clone()));
    }
    let Ok(key) = Key::raw(user, &name) else {
        return Ok(Fetched::Closed(name));
    };
    let call = store.get(&key, GetIf::Same(etag));
    let asked = match ask::in_time("get", key.path(), call).await {
        Ok(answer) => match answer.value {
            Got::Blob(blob) => return Ok(Fetched::File(name, blob.etag, blob.bytes)),
            Got::Absent | Got::Changed | Got::Unchanged => ask::get(store, &key).await,
        },
        Err(error) => Err(error),
    };
    match asked {
        Ok(answer) => {
            let newer = answer.value.map(|blob| (name, (blob.etag, blob.bytes)));
            Ok(Fetched::Moved(newer))
        }
        Err(StoreError::Unreadable { .. } | StoreError::NotAFile { .. }) => {
            Ok(Fetched::Closed(name))
        }
        Err(error) => Err(error),
    }
}
