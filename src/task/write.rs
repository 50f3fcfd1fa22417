//! Writes a new task file.

use super::quote::{check_body, check_line, check_size, check_tags, scalar};
use super::title::{heading, heading_line};
use super::{Datum, EditError, Kategorie, Slot, Status, slug};

/// What a new task says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTask {
    /// One line. Written as the first heading, unless the body has one; blanks around it are
    /// dropped.
    pub title: Option<String>,
    /// Work or private.
    pub kategorie: Kategorie,
    /// Usually open.
    pub status: Status,
    /// Blank ones are dropped.
    pub tags: Vec<String>,
    /// The last day it may be done on.
    pub deadline: Option<Datum>,
    /// The appointment, if it has one.
    pub fixed_slot: Option<Slot>,
    /// When it was done.
    pub abgeschlossen_am: Option<Slot>,
    /// Markdown, stored as it is.
    pub body: String,
}

/// The slug for the new file's name, and its text. The slug is made of the title, else of the
/// body's first line.
///
/// [`EditError::BadText`] for a character that can't be stored, [`EditError::TooLarge`] for a
/// result over [`MAX_FILE_BYTES`](super::MAX_FILE_BYTES) or with more tags than are read; nothing else is refused.
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
    lines.extend(tag_lines(&without_blanks(&task.tags)));
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
        Some(title) if heading(body).is_none() => {
            let gap = if body.is_empty() { "" } else { "\n" };
            format!("{}{gap}{body}", heading_line(title))
        }
        _ => body.to_owned(),
    }
}

/// The tags that say something.
pub(super) fn without_blanks(tags: &[String]) -> Vec<String> {
    tags.iter()
        .filter(|tag| !tag.trim().is_empty())
        .cloned()
        .collect()
}

/// The lines of `tags`, a tag a line.
pub(super) fn tag_lines(tags: &[String]) -> Vec<String> {
    if tags.is_empty() {
        return vec!["tags: []".to_owned()];
    }
    let items = tags.iter().map(|tag| format!("  - {}", scalar(tag)));
    std::iter::once("tags:".to_owned()).chain(items).collect()
}

/// The lines of a key that holds a day and a time of day.
pub(super) fn slot_lines(key: &str, slot: Slot) -> [String; 3] {
    [
        format!("{key}:"),
        format!("  datum: {}", slot.datum),
        format!("  zeit: {}", slot.zeit),
    ]
}
