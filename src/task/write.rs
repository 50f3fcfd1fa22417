//! Renders new task files.

use super::date::{Datum, Slot};
use super::edit_error::EditError;
use super::quote::{check_body, check_line, check_size, check_tags, scalar};
use super::title::{first_heading, heading_line, slug};
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
///
/// # Errors
/// [`EditError::BadText`] for a character that can't be stored; [`EditError::TooLarge`] if the text would exceed
/// [`MAX_FILE_BYTES`](super::MAX_FILE_BYTES) or have more tags than the parser accepts.
pub fn new_file(task: &NewTask) -> Result<(String, String), EditError> {
    check_body(&task.body)?;
    check_tags(&task.tags)?;
    let title = task.title.as_deref().unwrap_or_default();
    check_line("title", title)?;
    let title = Some(title.trim_matches(' ')).filter(|title| !title.is_empty());
    let slug = slug(
        title
            .or_else(|| task.body.lines().next())
            .unwrap_or_default(),
    );
    let text = format!(
        "---\n{}\n---\n\n{}",
        front_matter(task).join("\n"),
        body(title, &task.body)
    );
    check_size(&text)?;
    Ok((slug, text))
}

fn front_matter(task: &NewTask) -> Vec<String> {
    let mut lines = vec![
        "typ: task".to_owned(),
        format!("kategorie: {}", task.kategorie),
        format!("status: {}", task.status),
    ];
    lines.extend(tag_lines(&without_blank_tags(&task.tags)));
    lines.extend(
        task.deadline
            .map(|deadline| format!("deadline: {deadline}")),
    );
    match task.fixed_slot {
        Some(slot) => lines.extend(slot_lines("fixedSlot", slot)),
        None => lines.push("fixedSlot: null".to_owned()),
    }
    lines.extend(
        task.abgeschlossen_am
            .into_iter()
            .flat_map(|slot| slot_lines("abgeschlossen_am", slot)),
    );
    lines
}

fn body(title: Option<&str>, body: &str) -> String {
    match title {
        Some(title) if first_heading(body).is_none() => {
            let gap = if body.is_empty() { "" } else { "\n" };
            format!("{}{gap}{body}", heading_line(title))
        }
        _ => body.to_owned(),
    }
}

/// The tags that aren't blank.
pub(super) fn without_blank_tags(tags: &[String]) -> Vec<String> {
    tags.iter()
        .filter(|tag| !tag.trim().is_empty())
        .cloned()
        .collect()
}

/// The lines of `tags` in block style.
pub(super) fn tag_lines(tags: &[String]) -> Vec<String> {
    if tags.is_empty() {
        return vec!["tags: []".to_owned()];
    }
    let items = tags.iter().map(|tag| format!("  - {}", scalar(tag)));
    std::iter::once("tags:".to_owned()).chain(items).collect()
}

/// The lines of a key whose value is a slot.
pub(super) fn slot_lines(key: &str, slot: Slot) -> [String; 3] {
    [
        format!("{key}:"),
        format!("  datum: {}", slot.datum),
        format!("  zeit: {}", slot.zeit),
    ]
}
