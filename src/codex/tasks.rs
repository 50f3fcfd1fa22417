//! Listing tasks, and showing one.

use std::sync::Arc;

use unicode_normalization::UnicodeNormalization;

use super::bodies::FileText;
use super::locate::{Located, locate, lookup_refusal};
use super::render::render;
use super::{Codex, Consistency, Read, ReadRequest, Refusal, Requests, TaskError, WeekError};
use crate::cache::Snapshot;
use crate::task::{ContentView, FileName, Kategorie, Problem, Status, TaskRef, TaskView, body_of};
use crate::user_state::ReadError;

/// Which tasks a listing contains. All conditions must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TaskFilter {
    /// Only tasks with this status; `None` for all.
    pub status: Option<Status>,
    /// Only tasks of this category.
    pub kategorie: Option<Kategorie>,
    /// Only tasks with exactly this tag.
    pub tag: Option<String>,
    /// Only tasks with each of these words in number, title or a tag, ignoring letter case and Unicode normal form.
    pub text: Option<String>,
    /// Pagination cursor: only tasks after this file.
    pub after: Option<FileName>,
    /// The page size.
    pub limit: usize,
}

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

/// Attempts, while the task keeps changing between the read of the snapshot and the GET of the file.
const MAX_ATTEMPTS: u32 = 3;

impl Codex {
    /// One page of the tasks that match `filter`, in placement order.
    ///
    /// # Errors
    /// As [`Codex::week`].
    pub async fn list(
        &self,
        request: &ReadRequest,
        filter: &TaskFilter,
    ) -> Result<TaskList, WeekError> {
        let read = self.week(request).await?;
        let table = read.entry.table();
        let text = filter.text.as_deref().map(comparable).unwrap_or_default();
        let words: Vec<&str> = text.split_whitespace().collect();
        let mut matching = (0..table.len()).filter(|row| {
            let file = table.file(*row);
            let later = filter
                .after
                .as_ref()
                .is_none_or(|after| file.name > after.as_str());
            later && matches!(file.content, ContentView::Task(task) if matches_filter(filter, &words, &task))
        });
        let rows: Vec<usize> = matching.by_ref().take(filter.limit).collect();
        let next = match (matching.next(), rows.last()) {
            (Some(_), Some(last)) => table.file(*last).name.parse().ok(),
            _ => None,
        };
        Ok(TaskList { read, rows, next })
    }

    /// One task with its body, which belongs to exactly the version of the returned snapshot.
    ///
    /// # Errors
    /// When the task is missing or ambiguous, kept changing in every attempt, or the read fails.
    pub async fn task(&self, request: &ReadRequest, task: &TaskRef) -> Result<TaskDetail, Refusal> {
        let mut read = self.week(request).await?;
        let mut requests = read.requests;
        for attempt in 1.. {
            let entry = &read.entry;
            let (row, problem) = match locate(entry.table(), task) {
                Located::Task(row) => (row, None),
                Located::Unreadable(row, problem) => (row, Some(problem)),
                other => return Err(lookup_refusal(other, entry.bounds.hi)),
            };
            match self
                .text_of(entry, row, problem.is_some(), &mut requests)
                .await?
            {
                FileText::Text(text) => {
                    let body = match problem {
                        None => body_of(&text).to_owned(),
                        Some(_) => text,
                    };
                    let html = match problem {
                        None => Some(render(&body).await),
                        Some(_) => None,
                    };
                    return Ok(TaskDetail {
                        body: Some(body),
                        html,
                        row,
                        problem,
                        requests,
                        read,
                    });
                }
                FileText::Unreadable => {
                    return Ok(TaskDetail {
                        body: None,
                        html: None,
                        row,
                        problem,
                        requests,
                        read,
                    });
                }
                FileText::Changed if attempt < MAX_ATTEMPTS => {}
                FileText::Changed => break,
            }
            let again = ReadRequest {
                consistency: Consistency::Rebuilt,
                ..request.clone()
            };
            read = self.cache.read(&again).await?;
            requests += read.requests;
        }
        Err(TaskError::Read(ReadError::Contended).into())
    }

    /// The file's text in the snapshot's version. Costs no request for a file that the rebuild couldn't open either.
    async fn text_of(
        &self,
        entry: &Arc<Snapshot>,
        row: usize,
        unreadable: bool,
        requests: &mut Requests,
    ) -> Result<FileText, ReadError> {
        if unreadable && entry.table().file(row).sha.is_none() {
            return Ok(FileText::Unreadable);
        }
        requests.reads += 1;
        self.fetch(entry, row).await
    }
}

/// Lower case in NFC: keyboards and file systems differ in the normal form they produce.
fn comparable(text: &str) -> String {
    match text.is_ascii() {
        true => text.to_ascii_lowercase(),
        false => text.to_lowercase().nfc().collect(),
    }
}

fn matches_filter(filter: &TaskFilter, words: &[&str], task: &TaskView<'_>) -> bool {
    let has_all = || {
        let (id, title) = (task.id.to_string(), comparable(&task.title.text()));
        let tags: Vec<String> = task.tags.iter().map(comparable).collect();
        let has = |word: &&str| {
            id.contains(word) || title.contains(word) || tags.iter().any(|tag| tag.contains(word))
        };
        words.iter().all(has)
    };
    filter.status.is_none_or(|status| status == task.status)
        && filter.kategorie.is_none_or(|it| it == task.kategorie)
        && filter
            .tag
            .as_ref()
            .is_none_or(|tag| task.tags.iter().any(|it| it == tag))
        && (words.is_empty() || has_all())
}
