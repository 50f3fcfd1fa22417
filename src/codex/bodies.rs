//! The week with rendered bodies. Bodies aren't cached: each is one GET, all of them together.

use std::sync::Arc;

use bytes::Bytes;
use futures::stream::{self, StreamExt, TryStreamExt};

use super::render::render;
use super::{Codex, WeekError, WeekWithBodies};
use crate::cache::{Entry, Freshness, Mutation, ReadError, Requests, Want, timely};
use crate::store::{Answer, ETag, GetIf, Got, Key, StoreError};
use crate::task::body_of;
use crate::view::{Bodies, CLOSED_BODY, Language};

/// How many bodies are fetched at once: a week has 21 slots.
const FETCHES: usize = 21;

/// How often bodies are fetched before tasks that keep changing meanwhile are given up.
const ATTEMPTS: u32 = 3;

impl Codex {
    /// The week as HTML, with the body of each task that has a slot.
    ///
    /// A body is fetched only in the version the week knows (`If-Match`); when it has changed, the
    /// week is read again, so that no body shows a change whose version the answer doesn't name.
    pub async fn week_with_bodies(
        &self,
        want: &Want,
        language: Language,
    ) -> Result<WeekWithBodies, WeekError> {
        let mut read = self.week(want).await?;
        let mut requests = read.requests;
        let again = Want {
            freshness: Freshness::Rebuilt,
            ..want.clone()
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
            if attempt == ATTEMPTS {
                break;
            }
            read = self.cache.read(&again).await?;
            requests += read.requests;
        }
        Err(ReadError::Contended.into())
    }

    /// `None` when a file isn't what the week was made from any more.
    async fn bodies(
        &self,
        entry: &Arc<Entry>,
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
            .buffer_unordered(FETCHES)
            .try_collect::<Vec<_>>()
            .await
            .map(|bodies| bodies.into_iter().collect())
    }

    async fn body(&self, entry: &Entry, row: usize) -> Result<Option<(usize, String)>, ReadError> {
        Ok(match self.fetch(entry, row).await? {
            Body::Text(text) => Some((row, render(body_of(&text)).await)),
            Body::Closed => Some((row, CLOSED_BODY.to_owned())),
            Body::Changed => None,
        })
    }

    /// A file's text, only in the version that the index knows (`If-Match`): else an answer would show
    /// a change whose version it doesn't name.
    pub(super) async fn fetch(&self, entry: &Entry, row: usize) -> Result<Body, ReadError> {
        let file = entry.table().file(row);
        let Ok(key) = Key::raw(&entry.user, file.name) else {
            return Ok(Body::Closed);
        };
        let condition = match self.cache.breaks(Mutation::BodyOfAnyVersion) {
            true => GetIf::Any,
            false => GetIf::Same(ETag::new(file.etag)),
        };
        let got = async { Ok(self.store.get(&key, condition).await) };
        match timely(got).await? {
            Ok(Answer {
                value: Got::Blob(blob),
                ..
            }) => Ok(Body::Text(
                String::from_utf8_lossy(&blob.bytes).into_owned(),
            )),
            Ok(_) | Err(StoreError::NotAFile { .. }) => Ok(Body::Changed),
            Err(StoreError::Unreadable { .. }) => Ok(Body::Closed),
            Err(error) => Err(error.into()),
        }
    }
}

/// A file's text, as far as it can be had.
pub(super) enum Body {
    Text(String),
    /// It isn't what the index says any more.
    Changed,
    /// It may not be opened.
    Closed,
}
