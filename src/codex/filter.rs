//! Which tasks a listing contains. Pure.

use unicode_normalization::UnicodeNormalization;

use crate::task::{ContentView, Datum, FileName, Kategorie, Status, TaskTable, TaskView};

/// Which tasks a listing contains. All conditions must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TaskFilter {
    /// Only tasks with one of these statuses; empty for all.
    pub statuses: Vec<Status>,
    /// Only tasks of this category.
    pub kategorie: Option<Kategorie>,
    /// Only tasks with exactly this tag.
    pub tag: Option<String>,
    /// Only tasks with each of these words in number, title or a tag, ignoring letter case and Unicode normal form.
    pub text: Option<String>,
    /// Only tasks that were done on one of these days.
    pub done: DayRange,
    /// Only tasks with a deadline on one of these days.
    pub due: DayRange,
    /// Pagination cursor: only tasks after this file.
    pub after: Option<FileName>,
    /// The page size.
    pub limit: usize,
}

/// Days from one to another, both included; `None` is open on that side.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DayRange {
    /// The first day.
    pub from: Option<Datum>,
    /// The last day.
    pub to: Option<Datum>,
}

impl DayRange {
    /// Whether `day` is in the range. No day is in none that has an end.
    fn contains(self, day: Option<Datum>) -> bool {
        let meets = |end: Option<Datum>, fits: fn(&Datum, &Datum) -> bool| {
            end.is_none_or(|end| day.is_some_and(|day| fits(&day, &end)))
        };
        meets(self.from, Datum::ge) && meets(self.to, Datum::le)
    }
}

impl TaskFilter {
    /// The rows of one page, in placement order, and the cursor for the next one: the last file of this one, if more
    /// tasks follow.
    pub fn page(&self, table: &TaskTable) -> (Vec<usize>, Option<FileName>) {
        let text = self.text.as_deref().map(comparable).unwrap_or_default();
        let words: Vec<&str> = text.split_whitespace().collect();
        let after = self.after.as_ref().map(FileName::as_str);
        let is_later = |name: &str| after.is_none_or(|after| name > after);
        let mut matching = (0..table.len()).filter(|row| {
            let file = table.file(*row);
            let matches = |task: &TaskView<'_>| self.matches(task) && has_all(task, &words);
            is_later(file.name) && matches!(file.content, ContentView::Task(task) if matches(&task))
        });
        let rows: Vec<usize> = matching.by_ref().take(self.limit).collect();
        let next = match (matching.next(), rows.last()) {
            (Some(_), Some(last)) => table.file(*last).name.parse().ok(),
            _ => None,
        };
        (rows, next)
    }

    /// All conditions but that of the text.
    fn matches(&self, task: &TaskView<'_>) -> bool {
        let has_tag = |tag: &String| task.tags.iter().any(|it| it == tag);
        (self.statuses.is_empty() || self.statuses.contains(&task.status))
            && self.kategorie.is_none_or(|it| it == task.kategorie)
            && self.tag.as_ref().is_none_or(has_tag)
            && self
                .done
                .contains(task.abgeschlossen_am.map(|slot| slot.datum))
            && self.due.contains(task.deadline)
    }
}

/// Lower case in NFC: keyboards and file systems differ in the normal form they produce.
fn comparable(text: &str) -> String {
    match text.is_ascii() {
        true => text.to_ascii_lowercase(),
        false => text.to_lowercase().nfc().collect(),
    }
}

fn has_all(task: &TaskView<'_>, words: &[&str]) -> bool {
    if words.is_empty() {
        return true;
    }
    let (id, title) = (task.id.to_string(), comparable(&task.title.text()));
    let tags: Vec<String> = task.tags.iter().map(comparable).collect();
    let has = |word: &&str| {
        id.contains(word) || title.contains(word) || tags.iter().any(|tag| tag.contains(word))
    };
    words.iter().all(has)
}
