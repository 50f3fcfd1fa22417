//! Edits the tag list in its existing form.

use std::ops::Range;

use super::super::quote::scalar;
use super::super::write::tag_lines;
use super::super::yaml::{Node, NodeKind, Style};
use super::draft::{Draft, is_blank};

/// Sets the list to `tags`. `None` if the layout doesn't allow it.
pub(super) fn set(draft: &mut Draft<'_>, tags: &[String]) -> Option<()> {
    let lines = tag_lines(tags);
    let Some(entry) = draft.entry("tags") else {
        draft.insert(&lines);
        return Some(());
    };
    match &entry.value.kind {
        _ if tags.is_empty() => draft.replace_value(entry, "[]", &[]),
        NodeKind::Sequence { flow: true, .. }
            if draft.comments(&entry.value.range, &entry.value).is_empty() =>
        {
            let items: Vec<_> = tags.iter().map(|tag| scalar(tag)).collect();
            draft.patch(entry.value.range.clone(), format!("[{}]", items.join(", ")));
            Some(())
        }
        NodeKind::Sequence { items, flow: false } => {
            match items.iter().map(|item| Item::of(draft, item)).collect() {
                Some(items) => update(draft, items, tags),
                None => draft.replace_value(entry, "", lines.get(1..)?),
            }
        }
        _ => draft.replace_value(entry, "", lines.get(1..)?),
    }
}

/// A tag on a line of its own, `  - tag`, optionally with a comment.
struct Item<'a> {
    tag: &'a str,
    /// The whole line, including its line ending.
    line: Range<usize>,
    value: Range<usize>,
}

impl<'a> Item<'a> {
    fn of(draft: &Draft<'a>, node: &'a Node) -> Option<Self> {
        let NodeKind::Scalar { text: tag, style } = &node.kind else {
            return None;
        };
        let line = draft.line(node.range.start);
        let marker = draft
            .text(line.start..node.range.start)
            .trim_start_matches(is_blank)
            .strip_prefix('-')?;
        let alone = !marker.is_empty() && marker.trim_matches(is_blank).is_empty();
        let whole = *style != Style::Block && !node.range.is_empty() && node.range.end <= line.end;
        (alone && whole).then(|| Self {
            tag,
            line,
            value: node.range.clone(),
        })
    }
}

/// Keeps the common prefix and suffix of the lists; rewrites, removes or adds the lines between them.
fn update(draft: &mut Draft<'_>, items: Vec<Item<'_>>, tags: &[String]) -> Option<()> {
    let kept = |(item, tag): &(&Item<'_>, &String)| item.tag == tag.as_str();
    let before = items.iter().zip(tags).take_while(kept).count();
    let most = items.len().min(tags.len()) - before;
    let from_end = items.iter().rev().zip(tags.iter().rev());
    let after = from_end.take(most).take_while(kept).count();
    let old = items.get(before..items.len() - after)?;
    let new = tags.get(before..tags.len() - after)?;
    for (item, tag) in old.iter().zip(new) {
        draft.patch(item.value.clone(), scalar(tag));
    }
    for item in old.iter().skip(new.len()) {
        remove(draft, item);
    }
    let added = new.get(old.len()..).unwrap_or_default();
    add(draft, &items, before + old.len(), added)
}

/// Removes an item's line but keeps its comment.
fn remove(draft: &mut Draft<'_>, item: &Item<'_>) {
    let before = draft.text(item.line.start..item.value.start);
    let marker = item.line.start + before.find('-').unwrap_or(0);
    let comment = draft.text(item.value.end..item.line.end).find('#');
    let gone = comment.map_or(item.line.clone(), |at| marker..item.value.end + at);
    draft.patch(gone, String::new());
}

/// Inserts lines before index `at`, formatted like the first item.
fn add(draft: &mut Draft<'_>, items: &[Item<'_>], at: usize, tags: &[String]) -> Option<()> {
    let first = items.first()?;
    let marker = draft.text(first.line.start..first.value.start);
    let newline = draft.newline();
    for tag in tags.iter().map(|tag| scalar(tag)) {
        match at.checked_sub(1) {
            Some(previous) => {
                // Inserted before the line ending, so that a key added after the list stays after it.
                let end = draft.line_end(items.get(previous)?.value.end);
                draft.patch(end..end, format!("{newline}{marker}{tag}"));
            }
            None => {
                let start = first.line.start;
                draft.patch(start..start, format!("{marker}{tag}{newline}"));
            }
        }
    }
    Some(())
}
