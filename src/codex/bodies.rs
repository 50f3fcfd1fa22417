//! The week with rendered task bodies. Bodies aren't cached: each costs one GET, and all GETs run concurrently.

use std::sync::Arc;

use bytes::Bytes;
use futures::stream::{self, StreamExt, TryStreamExt};

use super::render::render;
use super::{Codex, WeekError, WeekWithBodies};
use crate::cache::{Consistency, ReadRequest, Snapshot};
use crate::store::{BlobKey, ETag, GetIf, Requests, StoreError};
use crate::task::body_of;
use crate::user_state::{Mutation, ReadError};
use crate::view::{Bodies, Language, UNREADABLE_BODY};

/// Bodies fetched concurrently: a week has 21 slots.
const CONCURRENT_FETCHES: usize = 21;

/// Attempts, while tasks keep changing between the read of the week and the GETs of their bodies.
const MAX_ATTEMPTS: u32 = 3;

impl Codex {
    /// The week as HTML, with the body of each task that has a slot.
    ///
    /// A body is fetched only in the version that the week's snapshot has (`If-Match`). If a file has changed, the
    /// week is rebuilt and the bodies are fetched again, so no body shows a change newer than the version that the
    /// response names.
    ///
    /// # Errors
    /// [`ReadError::Contended`] when tasks kept changing in every attempt; else as [`Codex::week`].
    pub async fn week_with_bodies(
        &self,
        request: &ReadRequest,
        language: Language,
    ) -> Result<WeekWithBodies, WeekError> {
        let mut read = self.week(request).await?;
        let mut requests = read.requests;
        let again = ReadRequest {
            consistency: Consistency::Rebuilt,
            ..request.clone()
        };
        for attempt in 1.. {
            if let Some(bodies) = self.bodies(&read.entry, &mut requests).await? {
                let (etag, page) = read.entry.page_with_bodies(&bodies, language, self.zone);
                read.requests = requests;
                return Ok(WeekWithBodies {
                    read,
                    etag,
                    bytes: Bytes::from(page),
                });
            }
            if attempt == MAX_ATTEMPTS {
                break;
            }
            read = self.cache.read(&again).await?;
            requests += read.requests;
        }
        Err(ReadError::Contended.into())
    }

    /// Rendered bodies by row; `None` when a file is no longer in the version of the snapshot.
    async fn bodies(
        &self,
        entry: &Arc<Snapshot>,
        requests: &mut Requests,
    ) -> Result<Option<Bodies>, ReadError> {
        let timeline = entry.timeline(self.zone);
        let slots = timeline.days.iter().flat_map(|day| &day.slots);
        let rows: Vec<usize> = slots
            .filter_map(|slot| slot.task)
            .map(|placed| placed.row)
            .collect();
        requests.reads += rows.len() as u32;
        stream::iter(rows)
            .map(|row| self.body(entry, row))
            .buffer_unordered(CONCURRENT_FETCHES)
            .try_collect::<Vec<_>>()
            .await
            .map(|bodies| bodies.into_iter().collect())
    }

    async fn body(
        &self,
        entry: &Snapshot,
        row: usize,
    ) -> Result<Option<(usize, String)>, ReadError> {
        Ok(match self.fetch(entry, row).await? {
            FileText::Text(text) => Some((row, render(body_of(&text)).await)),
            FileText::Unreadable => Some((row, UNREADABLE_BODY.to_owned())),
            FileText::Changed => None,
        })
    }

    /// A file's text in exactly the version of the snapshot (`If-Match`): any other would show a change newer than
    /// the version that the response names.
    pub(super) async fn fetch(&self, entry: &Snapshot, row: usize) -> Result<FileText, ReadError> {
        let file = entry.table().file(row);
        let Ok(key) = BlobKey::raw(&entry.user, file.name) else {
            return Ok(FileText::Unreadable);
        };
        let condition = match self
            .cache
            .settings()
            .rules
            .breaks(Mutation::BodyOfAnyVersion)
        {
            true => GetIf::Any,
            false => GetIf::Same(ETag::new(file.etag)),
        };
        let store = self.cache.states().limited.store();
        match store.get(&key, condition).await {
            Ok(response) => Ok(response
                .value
                .into_blob()
                .map_or(FileText::Changed, |blob| {
                    FileText::Text(String::from_utf8_lossy(&blob.bytes).into_owned())
                })),
            Err(StoreError::NotAFile { .. }) => Ok(FileText::Changed),
            Err(StoreError::Unreadable { .. }) => Ok(FileText::Unreadable),
            Err(error) => Err(error.into()),
        }
    }
}

/// The result of fetching a file's text.
pub(super) enum FileText {
    Text(String),
    /// The file is no longer in the version of the snapshot.
    Changed,
    /// The store can't read the file, or its name isn't a valid key.
    Unreadable,
}
