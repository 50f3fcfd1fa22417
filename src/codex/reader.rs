//! Reading: the week, with or without bodies, a listing of tasks, and one task.

use std::sync::Arc;

use chrono::TimeDelta;
use chrono_tz::Tz;
use futures::stream::{self, StreamExt, TryStreamExt};

use super::error::{Refusal, TaskError};
use super::filter::TaskFilter;
use super::limit::RateLimiter;
use super::locate::{Located, locate};
use super::render::render;
use crate::cache::{
    Cache, Consistency, Encoding, PageBytes, PageFormat, Read, ReadRequest, Snapshot,
};
use crate::rules::Rules;
use crate::store::{BlobKey, BlobStore, ETag, GetIf, Requests, StoreError};
use crate::task::{FileName, Problem, TaskRef, body_of, without_title};
use crate::user_state::{Mutation, ReadError};
use crate::view::{self, Bodies, CalendarWeek, Language};

/// One page of a task listing.
#[derive(Debug, Clone)]
pub struct TaskList {
    /// The snapshot that the rows refer to.
    pub read: Read,
    /// Their rows, in placement order.
    pub rows: Vec<usize>,
    /// The cursor for the next page: the last file of this one, if more tasks follow.
    pub next: Option<FileName>,
}

/// One task with its body.
#[derive(Debug, Clone)]
pub struct TaskDetail {
    /// The snapshot that the row refers to.
    pub read: Read,
    /// Its row.
    pub row: usize,
    /// The body, or the whole text of a file that doesn't parse as a task; `None` when the file can't be opened or
    /// is too large.
    pub body: Option<String>,
    /// The body as sanitised HTML; `None` for a file that doesn't parse.
    pub html: Option<String>,
    /// Why the file doesn't parse as a task.
    pub problem: Option<Problem>,
    /// All storage requests, including those of the body.
    pub requests: Requests,
}

/// The result of fetching a file's text.
enum FileText {
    Text(String),
    /// The file is no longer in the version of the snapshot.
    Changed,
    /// The store can't read the file, or its name isn't a valid key.
    Unreadable,
}

/// Attempts, while tasks keep changing between the read of the week and the GETs of their bodies.
const MAX_ATTEMPTS: u32 = 3;

/// Bodies fetched concurrently: a week has 21 slots.
const CONCURRENT_FETCHES: usize = 21;

/// Reads tasks. Bodies aren't cached: each costs one GET.
#[derive(Clone)]
pub struct TaskReader {
    /// With a deadline for each request.
    pub(super) store: Arc<dyn BlobStore>,
    pub(super) cache: Arc<Cache>,
    pub(super) rebuilds: RateLimiter,
    pub(super) zone: Tz,
    pub(super) rules: Rules<Mutation>,
}

impl TaskReader {
    /// Reads the user's week with the consistency that the request asks for.
    ///
    /// # Errors
    /// [`TaskError::TooMany`] for a strict read or rebuild over the user's limit; else when the read fails.
    pub async fn week(&self, request: &ReadRequest) -> Result<Read, TaskError> {
        if request.consistency != Consistency::Bounded {
            self.rebuilds.allow(request)?;
        }
        Ok(self.cache.read(request).await?)
    }

    /// The week rendered in this format and encoding.
    pub fn page(&self, entry: &Arc<Snapshot>, format: PageFormat, encoding: Encoding) -> PageBytes {
        self.cache.page(entry, format, encoding)
    }

    /// The week as a calendar, in which a task in a slot takes `duration`. Rendered for each request: a client asks for it
    /// once an hour.
    pub fn calendar(&self, entry: &Snapshot, duration: TimeDelta, language: Language) -> String {
        view::calendar(&CalendarWeek {
            user: &entry.user,
            table: entry.table(),
            timeline: &entry.timeline(self.zone),
            zone: self.zone,
            duration,
            language,
        })
    }

    /// One page of the tasks that match `filter`, in placement order.
    ///
    /// # Errors
    /// As [`Self::week`].
    pub async fn list(
        &self,
        request: &ReadRequest,
        filter: &TaskFilter,
    ) -> Result<TaskList, TaskError> {
        let read = self.week(request).await?;
        let (rows, next) = filter.page(read.entry.table());
        Ok(TaskList { read, rows, next })
    }

    /// One task with its body, which belongs to exactly the version of the returned snapshot.
    ///
    /// # Errors
    /// When the task is missing or ambiguous, kept changing in every attempt, or the read fails.
    pub async fn task(&self, request: &ReadRequest, task: &TaskRef) -> Result<TaskDetail, Refusal> {
        let mut read = self.week(request).await?;
        let (mut requests, mut attempt) = (read.requests, 1);
        loop {
            let entry = &read.entry;
            let (row, problem) = match locate(entry.table(), task) {
                Located::Task(row) => (row, None),
                Located::Unreadable(row, problem) => (row, Some(problem)),
                other => return Err(other.refusal(entry.bounds.hi)),
            };
            // The rebuild couldn't open the file either if it has no hash.
            let is_closed = problem.is_some() && entry.table().file(row).sha.is_none();
            let text = match is_closed {
                true => FileText::Unreadable,
                false => {
                    requests.reads += 1;
                    self.fetch(entry, row).await?
                }
            };
            let (body, html) = match text {
                FileText::Text(text) if problem.is_none() => {
                    let body = body_of(&text).to_owned();
                    let html = render(&body).await;
                    (Some(body), Some(html))
                }
                FileText::Text(text) => (Some(text), None),
                FileText::Unreadable => (None, None),
                FileText::Changed => {
                    read = self.read_again(request, attempt).await?;
                    requests += read.requests;
                    attempt += 1;
                    continue;
                }
            };
            return Ok(TaskDetail {
                read,
                row,
                body,
                html,
                problem,
                requests,
            });
        }
    }

    /// The week as HTML, with the body of each task that has a slot; the read's request count includes the bodies.
    ///
    /// A body is fetched only in the version that the week's snapshot has (`If-Match`). If a file has changed, the
    /// week is rebuilt and the bodies are fetched again, so no body shows a change newer than the version that the
    /// response names.
    ///
    /// # Errors
    /// [`ReadError::Contended`] when tasks kept changing in every attempt; else as [`Self::week`].
    pub async fn week_with_bodies(
        &self,
        request: &ReadRequest,
        language: Language,
    ) -> Result<(Read, PageBytes), TaskError> {
        let mut read = self.week(request).await?;
        let (mut requests, mut attempt) = (read.requests, 1);
        loop {
            if let Some(bodies) = self.bodies(&read.entry, &mut requests).await? {
                let (etag, page) = read.entry.page_with_bodies(&bodies, language, self.zone);
                read.requests = requests;
                let page = PageBytes {
                    etag: etag.into_boxed_bytes().into(),
                    version: read.entry.bounds.hi.to_string().into(),
                    length: page.len().to_string().into(),
                    bytes: page.into(),
                    rendered: false,
                };
                return Ok((read, page));
            }
            read = self.read_again(request, attempt).await?;
            requests += read.requests;
            attempt += 1;
        }
    }

    /// A rebuilt week, after a file of the one of this attempt has changed.
    async fn read_again(&self, request: &ReadRequest, attempt: u32) -> Result<Read, ReadError> {
        if attempt == MAX_ATTEMPTS {
            return Err(ReadError::Contended);
        }
        self.cache.read(&request.at(Consistency::Rebuilt)).await
    }

    /// Rendered bodies by row; `None` when a file is no longer in the version of the snapshot.
    async fn bodies(
        &self,
        entry: &Arc<Snapshot>,
        requests: &mut Requests,
    ) -> Result<Option<Bodies>, ReadError> {
        let timeline = entry.timeline(self.zone);
        let slots = timeline.days.iter().flat_map(|day| &day.slots);
        let rows = slots.filter_map(|slot| Some(slot.task?.row));
        let rows: Vec<usize> = rows.collect();
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
    ) -> Result<Option<(usize, Option<String>)>, ReadError> {
        Ok(match self.fetch(entry, row).await? {
            FileText::Text(text) => {
                let html = render(without_title(body_of(&text))).await;
                Some((row, Some(html)))
            }
            FileText::Unreadable => Some((row, None)),
            FileText::Changed => None,
        })
    }

    /// A file's text in exactly the version of the snapshot (`If-Match`): any other would show a change newer than
    /// the version that the response names.
    async fn fetch(&self, entry: &Snapshot, row: usize) -> Result<FileText, ReadError> {
        let file = entry.table().file(row);
        let Some(key) = BlobKey::raw(&entry.user, file.name) else {
            return Ok(FileText::Unreadable);
        };
        let condition = match self.rules.breaks(Mutation::BodyOfAnyVersion) {
            true => GetIf::Any,
            false => GetIf::Same(ETag::new(file.etag)),
        };
        match self.store.get(&key, condition).await {
            Ok(response) => Ok(match response.value.into_blob() {
                Some(blob) => FileText::Text(String::from_utf8_lossy(&blob.bytes).into_owned()),
                None => FileText::Changed,
            }),
            Err(StoreError::NotAFile { .. }) => Ok(FileText::Changed),
            Err(StoreError::Unreadable { .. }) => Ok(FileText::Unreadable),
            Err(error) => Err(error.into()),
        }
    }
}
