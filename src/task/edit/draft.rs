//! Collects the patches that turn a file's text into the edited text.

use std::ops::Range;

use super::super::date::Slot;
use super::super::slot;
use super::super::text::{line_at, line_start, slice};
use super::super::write::slot_lines;
use super::super::yaml::{MappingEntry, Node, NodeKind, Style};
use super::changes::File;

pub(super) struct Draft<'a> {
    file: &'a File<'a>,
    patches: Vec<(Range<usize>, String)>,
}

pub(super) fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t')
}

impl<'a> Draft<'a> {
    pub(super) fn new(file: &'a File<'a>) -> Self {
        let patches = vec![];
        Self { file, patches }
    }

    /// Applies the patches. `None` if two patches overlap.
    pub(super) fn finish(mut self) -> Option<String> {
        self.patches.sort_by_key(|(range, _)| range.start);
        let mut edited = String::with_capacity(self.file.text.len());
        let mut done = 0;
        for (range, new) in &self.patches {
            edited.push_str(self.file.text.get(done..range.start)?);
            edited.push_str(new);
            done = range.end;
        }
        edited.push_str(self.file.text.get(done..)?);
        Some(edited)
    }

    pub(super) fn patch(&mut self, range: Range<usize>, new: String) {
        self.patches.push((range, new));
    }

    pub(super) fn text(&self, range: Range<usize>) -> &'a str {
        slice(self.file.text, &range)
    }

    pub(super) fn newline(&self) -> &'static str {
        self.file.parts.newline
    }

    pub(super) fn entry(&self, key: &str) -> Option<&'a MappingEntry> {
        self.file.root.entry(key)
    }

    /// The line that contains byte `at`, including its line ending.
    pub(super) fn line(&self, at: usize) -> Range<usize> {
        line_start(self.file.text, at)..line_at(self.file.text, at).end
    }

    /// The end of the line that contains byte `at`, excluding its line ending.
    pub(super) fn line_end(&self, at: usize) -> usize {
        let rest = self.text(at..self.line(at).end);
        at + rest.trim_end_matches(['\r', '\n']).len()
    }

    /// The indentation before `at`. `None` if anything but blanks precedes it on its line.
    fn indent(&self, at: usize) -> Option<&'a str> {
        let before = self.text(self.line(at).start..at);
        before.trim_matches(is_blank).is_empty().then_some(before)
    }

    /// Inserts the lines of a new key before the closing line.
    pub(super) fn insert(&mut self, lines: &[String]) {
        let first = match &self.file.root.kind {
            NodeKind::Mapping { entries, .. } => entries.first(),
            _ => None,
        };
        let indent = first.and_then(|entry| self.indent(entry.key_range.start));
        let indent = indent.unwrap_or_default();
        let at = self.file.parts.closing.start;
        let line = |line| format!("{indent}{line}{}", self.newline());
        self.patch(at..at, lines.iter().map(line).collect());
    }

    /// Sets `key` to `word`, which must not need quotes.
    pub(super) fn set_word(&mut self, key: &str, word: &str) -> Option<()> {
        match self.entry(key) {
            None => self.insert(&[format!("{key}: {word}")]),
            Some(entry) if word != "null" && self.is_writable(&entry.value) => {
                self.set_scalar(&entry.value, word);
            }
            Some(entry) => self.replace_value(entry, word, &[])?,
        }
        Some(())
    }

    /// Whether [`Self::set_scalar`] can replace this node.
    fn is_writable(&self, node: &Node) -> bool {
        let NodeKind::Scalar { style, .. } = node.kind else {
            return false;
        };
        let after_colon = self.text(0..node.range.start).ends_with(':');
        style != Style::Block && (!node.range.is_empty() || after_colon)
    }

    /// Replaces a scalar by `word`, keeping its quotes.
    fn set_scalar(&mut self, node: &Node, word: &str) {
        let quote = match node.kind {
            NodeKind::Scalar { style, .. } => style.quote(),
            _ => "",
        };
        let gap = if node.range.is_empty() { " " } else { quote };
        let new = format!("{gap}{word}{quote}");
        self.patch(node.range.clone(), new);
    }

    /// Sets `key` to `slot`, keeping the existing form.
    pub(super) fn set_slot(&mut self, key: &str, slot: Slot) -> Option<()> {
        let lines = slot_lines(key, slot);
        let Some(entry) = self.entry(key) else {
            self.insert(&lines);
            return Some(());
        };
        let parts = [
            ("datum", slot.datum.to_string()),
            ("zeit", slot.zeit.to_string()),
        ];
        let parts = parts.map(|(part, new)| (part, slot::find(&entry.value, part), new));
        let found: Vec<_> = parts.iter().filter_map(|(_, found, _)| *found).collect();
        let whole = found.len() == 2 || matches!(entry.value.kind, NodeKind::Mapping { .. });
        if !whole || !found.iter().all(|entry| self.is_writable(&entry.value)) {
            return self.replace_value(entry, "", lines.get(1..)?);
        }
        for (part, found, new) in parts {
            match found {
                Some(found) if found.value.text()?.eq_ignore_ascii_case(&new) => {}
                Some(found) => self.set_scalar(&found.value, &new),
                None => self.add_key(&entry.value, &format!("{part}: {new}"))?,
            }
        }
        Some(())
    }

    /// Appends `line`, a key and its value, to a mapping.
    fn add_key(&mut self, mapping: &Node, line: &str) -> Option<()> {
        let NodeKind::Mapping { entries, flow } = &mapping.kind else {
            return None;
        };
        if *flow {
            self.add_key_in_braces(mapping.range.end.checked_sub(1)?, entries.last(), line);
        } else {
            let indent = self.indent(entries.first()?.key_range.start)?;
            let end = self.line_end(mapping.range.end);
            self.patch(end..end, format!("{}{indent}{line}", self.newline()));
        }
        Some(())
    }

    fn add_key_in_braces(&mut self, brace: usize, last: Option<&MappingEntry>, line: &str) {
        let end = last.map_or(brace, |entry| entry.value.range.end);
        let open_end = last.is_none() || self.text(end..brace).trim_ascii_start().starts_with(',');
        let first_there = !self.patches.iter().any(|(range, _)| range.start == brace);
        match (open_end, first_there) {
            (false, _) => self.patch(end..end, format!(", {line}")),
            (true, true) => self.patch(brace..brace, line.to_owned()),
            (true, false) => self.patch(brace..brace, format!(", {line}")),
        }
    }

    /// Removes the lines of `key`; only the value if a comment would be lost with them.
    pub(super) fn remove(&mut self, key: &str) -> Option<()> {
        let Some(entry) = self.entry(key) else {
            return Some(());
        };
        self.indent(entry.key_range.start)?;
        let lines = self.line(entry.key_range.start).start..self.line(entry.value.range.end).end;
        let inside = self.comments(&(entry.key_range.end..lines.end), &entry.value);
        if !inside.is_empty() || self.has_indented_comment_at(lines.end) {
            return self.replace_value(entry, "", &[]);
        }
        self.patch(lines, String::new());
        Some(())
    }

    /// Whether an indented comment follows. It belongs to the value: if the key before it were removed, it could become
    /// part of a `|` scalar further up.
    fn has_indented_comment_at(&self, at: usize) -> bool {
        let mut below = self.text(at..self.file.parts.yaml.end).lines();
        let next = below.find(|line| !line.trim_matches(is_blank).is_empty());
        let comment = |line: &str| line.trim_start_matches(is_blank).starts_with('#');
        next.is_some_and(|line| line.starts_with(is_blank) && comment(line))
    }

    /// Replaces the value of an entry, whatever it was, by `inline` followed by `lines`. Keeps its comments: one on the
    /// key's line stays there, the others move to lines of their own after the value.
    pub(super) fn replace_value(
        &mut self,
        entry: &MappingEntry,
        inline: &str,
        lines: &[String],
    ) -> Option<()> {
        let indent = self.indent(entry.key_range.start)?;
        let colon = entry.key_range.end
            + self
                .text(entry.key_range.end..self.file.text.len())
                .find(':')?;
        let range = colon + 1..self.line_end(entry.value.range.end.max(colon + 1));
        let first_line_end = self.line(colon).end;
        let gap = if inline.is_empty() { "" } else { " " };
        let mut value = format!("{gap}{inline}");
        let (beside, inner): (Vec<_>, Vec<_>) = self
            .comments(&range, &entry.value)
            .into_iter()
            .partition(|comment| comment.start < first_line_end);
        value.extend(beside.into_iter().map(|comment| self.text(comment)));
        for line in lines {
            value.extend([self.newline(), indent, line]);
        }
        for comment in inner {
            let comment = self.text(comment).trim_start_matches(is_blank);
            value.extend([self.newline(), indent, "  ", comment]);
        }
        self.patch(range, value);
        Some(())
    }

    /// The comments in `range`, each with its leading blanks. Outside the scalars of `value` there are only blanks,
    /// indicators and comments, so a `#` there starts a comment.
    pub(super) fn comments(&self, range: &Range<usize>, value: &Node) -> Vec<Range<usize>> {
        let mut scalars = vec![];
        collect_scalars(value, &mut scalars);
        let mut comments = vec![];
        let mut from = range.start;
        for scalar in scalars {
            self.comments_between(from..scalar.start.min(range.end), &mut comments);
            from = from.max(scalar.end);
        }
        self.comments_between(from..range.end, &mut comments);
        comments
    }

    fn comments_between(&self, gap: Range<usize>, comments: &mut Vec<Range<usize>>) {
        let mut from = gap.start;
        while let Some(at) = self.text(from..gap.end).find('#') {
            let blanks = self.text(from..from + at).trim_end_matches(is_blank).len();
            let end = self.line_end(from + at).min(gap.end);
            comments.push(from + blanks..end);
            from = end;
        }
    }

    /// Replaces the body. Inserts the blank separator line if there was no body, or if the new body starts with a blank
    /// line that would otherwise be taken for the separator.
    pub(super) fn set_body(&mut self, body: &str) {
        let (closing, old) = (&self.file.parts.closing, &self.file.parts.body);
        let has_blank = old.start > closing.end;
        let needs_blank = old.is_empty() || body.starts_with('\n') || body.starts_with("\r\n");
        let ended = self.text(closing.clone()).ends_with('\n');
        let breaks = usize::from(!ended) + usize::from(!has_blank && needs_blank);
        self.patch(old.clone(), self.newline().repeat(breaks) + body);
    }
}

/// Collects the byte ranges of all scalars in a value, keys included, in file order.
fn collect_scalars(node: &Node, scalars: &mut Vec<Range<usize>>) {
    match &node.kind {
        NodeKind::Scalar { .. } => scalars.push(node.range.clone()),
        NodeKind::Sequence { items, .. } => {
            items.iter().for_each(|item| collect_scalars(item, scalars));
        }
        NodeKind::Mapping { entries, .. } => {
            for entry in entries {
                scalars.push(entry.key_range.clone());
                collect_scalars(&entry.value, scalars);
            }
        }
    }
}
