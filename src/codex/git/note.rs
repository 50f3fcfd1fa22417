//! What is noted of Git in storage, for an operator: it is looked at, and a user taken out of it, without
//! asking GitHub, and with GitHub mode off, too.

use chrono::{DateTime, Utc};

use super::book::{Book, LastError, PullNote, parse};
use super::mirror::Mirror;
use super::plan::unpushed;
use super::{Git, GitTrouble};
use crate::cache::{NewerFormat, State};
use crate::codex::Codex;
use crate::store::{BlobStore, GetIf, Got, Key, Prefix, Put, PutIf, StoreError, Written};
use crate::task::{FileName, GitSha, SETTLED_FILE, TaskTable};
use crate::user::UserId;

/// How often a swap is tried again because somebody else was quicker.
const ROUNDS: u32 = 20;

/// What a user's `git.json` says.
#[derive(Debug, Clone, PartialEq)]
pub struct GitNote {
    /// Which repository, branch and folder it is about: `owner/name@branch:folder`.
    pub place: Option<String>,
    /// The commit that was last looked at.
    pub commit: Option<GitSha>,
    /// When that was.
    pub synced_at: Option<DateTime<Utc>>,
    /// The files that Git is known to hold, by name.
    pub files: Vec<String>,
    /// Files that were about to be committed.
    pub pushing: Vec<String>,
    /// Files that were about to be taken from Git.
    pub taking: Vec<String>,
    /// Files for whose pull request a branch was about to be made.
    pub proposing: Vec<String>,
    /// Pull requests with what isn't merged yet, by file.
    pub pulls: Vec<(String, PullNote)>,
    /// What went wrong last.
    pub last_error: Option<LastError>,
    book: Book,
}

impl GitNote {
    /// Reads a blob; `None` for one that is damaged.
    pub fn parse(bytes: &[u8]) -> Result<Option<Self>, NewerFormat> {
        let book = parse::<Book>(bytes).map_err(|_| NewerFormat)?;
        Ok(book.map(Self::of))
    }

    /// What there is to say where nothing is noted.
    pub fn empty() -> Self {
        Self::of(Book::default())
    }

    fn of(book: Book) -> Self {
        Self {
            place: book.place.clone(),
            commit: book.commit,
            synced_at: book.synced_at,
            files: book.files.keys().cloned().collect(),
            pushing: book.pushing.names().cloned().collect(),
            taking: book.taking.keys().cloned().collect(),
            proposing: book.proposing.keys().cloned().collect(),
            pulls: book.pulls.clone().into_iter().collect(),
            last_error: book.last_error.clone(),
            book,
        }
    }

    /// Those of these files that Git doesn't have as they are, as far as is noted.
    pub fn unpushed(&self, table: &TaskTable) -> Vec<FileName> {
        let unpushed = unpushed(&self.book, table);
        unpushed.into_iter().map(|it| it.name).collect()
    }
}

impl Codex {
    /// Which repository, branch and folder the files are mirrored in, while GitHub mode is on.
    pub fn mirrored_in(&self) -> Option<String> {
        self.git.as_ref().map(|git| git.place())
    }

    /// Whether the user was removed from the store while Git kept the folder: it was taken in as it is, and
    /// nothing is here of it. A hint that was left meanwhile must not bring it back.
    ///
    /// To be asked after the hint was read. A write marks the state before it leaves its hint, so that either
    /// its mark is seen here, or its file, or its hint is a newer one.
    pub(super) async fn is_taken_out(
        &self,
        git: &Git,
        user: &UserId,
        noted: Option<GitSha>,
    ) -> Result<bool, GitTrouble> {
        // Without a folder there is nothing that could come back.
        let Some(folder) = noted else {
            return Ok(false);
        };
        let (book, _) = self.book(user).await?;
        if !knows_nothing(&book) || self.is_being_written(user).await? {
            return Ok(false);
        }
        if self.has_files(user).await? {
            return Ok(false);
        }
        let snapshot = git.snapshot().await?;
        Ok(snapshot.user(user).folder == Some(folder))
    }

    async fn is_being_written(&self, user: &UserId) -> Result<bool, GitTrouble> {
        let got = self.store.get(&Key::state(user), GetIf::Any).await?.value;
        let Got::Blob(blob) = got else {
            return Ok(false);
        };
        // What can't be read may say so.
        Ok(State::parse(&blob.bytes)
            .ok()
            .flatten()
            .is_none_or(|state| !state.pending.is_empty()))
    }

    /// Whether there is a file other than settled ones, which stand for none.
    async fn has_files(&self, user: &UserId) -> Result<bool, GitTrouble> {
        let listed = self.store.list(&Prefix::raw(user)).await?.value.blobs;
        for file in listed {
            let settled =
                file.size == SETTLED_FILE.len() as u64 && self.is_settled(user, &file.name).await?;
            if !settled {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn is_settled(&self, user: &UserId, name: &str) -> Result<bool, GitTrouble> {
        let Ok(key) = Key::raw(user, name) else {
            return Ok(false);
        };
        let got = self.store.get(&key, GetIf::Any).await?.value;
        Ok(matches!(got, Got::Blob(blob) if blob.bytes == SETTLED_FILE.as_bytes()))
    }
}

/// No look at Git has written it; at most one that failed has.
fn knows_nothing(book: &Book) -> bool {
    let begun = book.pushing.names().next().is_some() || !book.taking.is_empty();
    book.commit.is_none() && book.files.is_empty() && !begun
}

/// What `state/.github.json` says of a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mirrored {
    /// Nothing.
    No,
    /// That a folder of theirs was taken in.
    Yes,
    /// It can't be told: it is damaged, or a newer version wrote it.
    Unknown,
}

/// Whether `state/.github.json` names the user.
pub async fn mirrored(store: &dyn BlobStore, user: &UserId) -> Result<Mirrored, StoreError> {
    let got = store.get(&Key::github(), GetIf::Any).await?.value;
    let Got::Blob(blob) = got else {
        return Ok(Mirrored::No);
    };
    Ok(match parse::<Mirror>(&blob.bytes) {
        Ok(Some(mirror)) if mirror.names(user) => Mirrored::Yes,
        Ok(Some(_)) => Mirrored::No,
        Ok(None) | Err(_) => Mirrored::Unknown,
    })
}

/// Takes the user out of `state/.github.json`. What it says of them then: [`Mirrored::No`], unless it can't
/// be told.
///
/// While the repository still has the user's folder the note keeps the service from taking it in again with
/// anybody's next commit.
pub async fn forget_mirrored(store: &dyn BlobStore, user: &UserId) -> Result<Mirrored, StoreError> {
    let key = Key::github();
    for _ in 0..ROUNDS {
        let Got::Blob(blob) = store.get(&key, GetIf::Any).await?.value else {
            return Ok(Mirrored::No);
        };
        let Ok(Some(mut mirror)) = parse::<Mirror>(&blob.bytes) else {
            return Ok(Mirrored::Unknown);
        };
        if !mirror.names(user) {
            return Ok(Mirrored::No);
        }
        mirror.note(user, None);
        mirror.note_proposed(user, false);
        let put = Put {
            bytes: mirror.to_bytes().into(),
            ..Put::default()
        };
        if let Written::Done(_) = store.put(&key, put, PutIf::Same(blob.etag)).await?.value {
            return Ok(Mirrored::No);
        }
    }
    Ok(Mirrored::Yes)
}
