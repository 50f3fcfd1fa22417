//! Renders new task files.

use super::date::{Datum, Slot};
use super::quote::{EditError, check_body, check_line, check_size, check_tags, scalar};
use super::title::{first_heading, slug, with_title};
use super::words::{Kategorie, Status};

/// The content of a new task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTask {
    /// A single line, trimmed. Becomes the first heading, unless the body already has one.
    pub title: Option<String>,
    /// Work or private.
    pub kategorie: Kategorie,
    /// Normally open.
    pub status: Status,
    /// Blank tags are dropped.
    pub tags: Vec<String>,
    /// The last day on which the task may be done.
    pub deadline: Option<Datum>,
    /// The appointment, if any.
    pub fixed_slot: Option<Slot>,
    /// When it was done.
    pub abgeschlossen_am: Option<Slot>,
    /// Markdown, stored as is.
    pub body: String,
}

/// Returns the slug for the file name, derived from the title or else from the first line of the body, and the text.
pub fn new_file(task: &NewTask) -> Result<(String, String), EditError> {
    check_body(&task.body)?;
    check_tags(&task.tags)?;
    let title = task.title.as_deref();
    check_line("title", title.unwrap_or_default())?;
    let title = title.and_then(trimmed_title);
    let named = title.or_else(|| task.body.lines().next());
    let (front, body) = (front_matter(task).join("\n"), body(title, &task.body));
    let text = format!("---\n{front}\n---\n\n{body}");
    check_size(&text)?;
    Ok((slug(named.unwrap_or_default()), text))
}

fn front_matter(task: &NewTask) -> Vec<String> {
    let mut lines = vec![
        "typ: task".to_owned(),
        format!("kategorie: {}", task.kategorie),
        format!("status: {}", task.status),
    ];
    lines.extend(tag_lines(&without_blank_tags(&task.tags)));
    lines.extend(task.deadline.map(|day| format!("deadline: {day}")));
    match task.fixed_slot {
        Some(slot) => lines.extend(slot_lines("fixedSlot", slot)),
        None => lines.push("fixedSlot: null".to_owned()),
    }
    if let Some(slot) = task.abgeschlossen_am {
        lines.extend(slot_lines("abgeschlossen_am", slot));
    }
    lines
}

fn body(title: Option<&str>, body: &str) -> String {
    match title {
        Some(title) if first_heading(body).is_none() => with_title(body, title, "\n"),
        _ => body.to_owned(),
    }
}

/// The title without the blanks around it; a blank one is none.
pub(super) fn trimmed_title(title: &str) -> Option<&str> {
    Some(title.trim_matches(' ')).filter(|title| !title.is_empty())
}

pub(super) fn without_blank_tags(tags: &[String]) -> Vec<String> {
    let tags = tags.iter().filter(|tag| !tag.trim().is_empty());
    tags.cloned().collect()
}

pub(super) fn tag_lines(tags: &[String]) -> Vec<String> {
    if tags.is_empty() {
        return vec!["tags: []".to_owned()];
    }
    let items = tags.iter().map(|tag| format!("  - {}", scalar(tag)));
    std::iter::once("tags:".to_owned()).chain(items).collect()
}

pub(super) fn slot_lines(key: &str, slot: Slot) -> [String; 3] {
    [
        format!("{key}:"),
        format!("  datum: {}", slot.datum),
        format!("  zeit: {}", slot.zeit),
    ]
}
