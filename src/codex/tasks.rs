//! Listing tasks, and showing one.

use std::sync::Arc;

use unicode_normalization::UnicodeNormalization;

use super::bodies::Body;
use super::locate::{Located, locate, refusal};
use super::render::render;
use super::{Codex, Freshness, Read, Refusal, Requests, TaskError, Want, WeekError};
use crate::cache::{Entry, ReadError};
use crate::task::{ContentView, FileName, Kategorie, Problem, Status, TaskRef, TaskView, body_of};

/// Which tasks a list shows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only these; `None` for all.
    pub status: Option<Status>,
    /// Only these.
    pub kategorie: Option<Kategorie>,
    /// Only those with exactly this tag.
    pub tag: Option<String>,
    /// Only those that have each of these words in number, title or a tag, in any letter case and normal form.
    pub text: Option<String>,
    /// Only those after this file.
    pub after: Option<FileName>,
    /// At most so many.
    pub limit: usize,
}

/// Some of a user's tasks.
#[derive(Debug, Clone)]
pub struct TaskList {
    /// The index they are in.
    pub read: Read,
    /// Their rows, in placement order.
    pub rows: Vec<usize>,
    /// The last file of this list, when there are more after it.
    pub next: Option<FileName>,
}

/// One task, with its text.
#[derive(Debug, Clone)]
pub struct TaskShown {
    /// The index it is in.
    pub read: Read,
    /// Its row.
    pub row: usize,
    /// Its body; the whole text of a file that can't be read as a task; `None` when the file can't be
    /// opened, or is too large to be.
    pub body: Option<String>,
    /// The body as harmless HTML; `None` for a file that can't be read.
    pub html: Option<String>,
    /// Why the file can't be read.
    pub problem: Option<Problem>,
    /// All storage requests it took.
    pub requests: Requests,
}

/// How often a task is fetched that keeps changing meanwhile.
const ATTEMPTS: u32 = 3;

impl Codex {
    /// The tasks that `filter` lets through, in placement order.
    pub async fn list(&self, want: &Want, filter: &Filter) -> Result<TaskList, WeekError> {
        let read = self.week(want).await?;
        let table = read.entry.table();
        let text = filter.text.as_deref().map(comparable).unwrap_or_default();
        let words: Vec<&str> = text.split_whitespace().collect();
        let mut matching = (0..table.len()).filter(|row| {
            let file = table.file(*row);
            let later = filter
                .after
                .as_ref()
                .is_none_or(|after| file.name > after.as_str());
            later && matches!(file.content, ContentView::Task(task) if shows(filter, &words, &task))
        });
        let rows: Vec<usize> = matching.by_ref().take(filter.limit).collect();
        let next = match (matching.next(), rows.last()) {
            (Some(_), Some(last)) => table.file(*last).name.parse().ok(),
            _ => None,
        };
        Ok(TaskList { read, rows, next })
    }

    /// One task with its body, which is of exactly the version that the answer names.
    pub async fn task(&self, want: &Want, task: &TaskRef) -> Result<TaskShown, Refusal> {
        let mut read = self.week(want).await?;
        let mut requests = read.requests;
        for attempt in 1.. {
            let entry = &read.entry;
            let (row, problem) = match locate(entry.table(), task) {
                Located::Task(row) => (row, None),
                Located::Unreadable(row, problem) => (row, Some(problem)),
                other => return Err(refusal(other, entry.knowledge.hi)),
            };
            match self
                .text_of(entry, row, problem.is_some(), &mut requests)
                .await?
            {
                Body::Text(text) => {
                    let body = match problem {
                        None => body_of(&text).to_owned(),
                        Some(_) => text,
                    };
                    let html = match problem {
                        None => Some(render(&body).await),
                        Some(_) => None,
                    };
                    return Ok(TaskShown {
                        body: Some(body),
                        html,
                        row,
                        problem,
                        requests,
                        read,
                    });
                }
                Body::Closed => {
                    return Ok(TaskShown {
                        body: None,
                        html: None,
                        row,
                        problem,
                        requests,
                        read,
                    });
                }
                Body::Changed if attempt < ATTEMPTS => {}
                Body::Changed => break,
            }
            let again = Want {
                freshness: Freshness::Rebuilt,
                ..want.clone()
            };
            read = self.cache.read(&again).await?;
            requests += read.requests;
        }
        Err(TaskError::Read(ReadError::Contended).into())
    }

    /// The text in the index's version. A file that was never opened has none worth fetching.
    async fn text_of(
        &self,
        entry: &Arc<Entry>,
        row: usize,
        unreadable: bool,
        requests: &mut Requests,
    ) -> Result<Body, ReadError> {
        if unreadable && entry.table().file(row).sha.is_none() {
            return Ok(Body::Closed);
        }
        requests.reads += 1;
        self.fetch(entry, row).await
    }
}

/// In one letter case and one normal form, whatever the keyboard or the file system made of it.
fn comparable(text: &str) -> String {
    match text.is_ascii() {
        true => text.to_ascii_lowercase(),
        false => text.to_lowercase().nfc().collect(),
    }
}

fn shows(filter: &Filter, words: &[&str], task: &TaskView<'_>) -> bool {
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
