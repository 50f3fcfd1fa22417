//! Parses one task file (`src/task/README.md`, "Front matter").

use std::str::FromStr;

use super::front_matter::{self, entry, line_number, quoted, slice};
use super::slot::{self, SlotValue};
use super::title::title_of;
use super::yaml::{Node, NodeKind};
use super::{
    Datum, FileName, FixedSlot, Kategorie, Problem, ProblemCode, Slot, Status, Task, UnknownWord,
};

/// The largest file that is read or written, in bytes.
pub const MAX_FILE_BYTES: usize = 1 << 20;

/// The exact content of a tombstone, a file that counts as absent (`src/task/README.md`, "Tombstones").
pub const TOMBSTONE_FILE: &str = "---\ntyp: settled\n---\n";

/// The result of parsing a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parsed {
    /// A task.
    Task(Task),
    /// No front matter, or a `typ` other than `task`: ignored without a problem.
    NotATask,
    /// Exactly [`TOMBSTONE_FILE`]: counts as absent. Any other file with `typ: settled` belongs to the user.
    Tombstone,
    /// Apparently meant as a task, but not readable.
    Unreadable(Problem),
}

/// Parses `bytes`, the content of the file `name`, in linear time. Never fails and never panics: any error becomes
/// [`Parsed::Unreadable`].
pub fn parse(name: &FileName, bytes: &[u8]) -> Parsed {
    if bytes.len() > MAX_FILE_BYTES {
        let message = format!("the file is longer than {MAX_FILE_BYTES} bytes; shorten it");
        return Parsed::Unreadable(Problem {
            line: None,
            code: ProblemCode::TooLarge,
            message,
        });
    }
    if bytes == TOMBSTONE_FILE.as_bytes() {
        return Parsed::Tombstone;
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => parse_text(name, text).unwrap_or_else(Parsed::Unreadable),
        Err(error) => Parsed::Unreadable(not_utf8(bytes, error.valid_up_to())),
    }
}

fn not_utf8(bytes: &[u8], valid: usize) -> Problem {
    let before = bytes
        .get(..valid)
        .and_then(|bytes| std::str::from_utf8(bytes).ok())
        .unwrap_or_default();
    let message = "the file is not UTF-8 from this line on; save it as UTF-8".to_owned();
    Problem {
        line: Some(line_number(before, valid)),
        code: ProblemCode::NotUtf8,
        message,
    }
}

fn parse_text(name: &FileName, text: &str) -> Result<Parsed, Problem> {
    let Some(parts) = front_matter::split(text)? else {
        return Ok(Parsed::NotATask);
    };
    let root = front_matter::read(text, &parts)?;
    match present(&root, "typ").and_then(Node::text) {
        Some("task") => Fields { text, root: &root }
            .task(title_of(name, slice(text, &parts.body)))
            .map(Parsed::Task),
        _ => Ok(Parsed::NotATask),
    }
}

/// The value of `key`, unless it is missing, null or `''`.
pub(super) fn present<'a>(node: &'a Node, key: &str) -> Option<&'a Node> {
    entry(node, key)
        .map(|entry| &entry.value)
        .filter(|value| !value.is_absent())
}

/// The front matter of a task, and the text that its byte ranges refer to.
struct Fields<'a> {
    text: &'a str,
    root: &'a Node,
}

impl Fields<'_> {
    fn task(&self, title: String) -> Result<Task, Problem> {
        Ok(Task {
            title,
            kategorie: self.kategorie()?,
            status: self
                .word("status", ProblemCode::BadStatus)?
                .unwrap_or(Status::Offen),
            tags: self.tags()?,
            deadline: self.deadline()?,
            fixed_slot: self.fixed_slot(),
            abgeschlossen_am: self.abgeschlossen_am(),
        })
    }

    fn problem(&self, node: &Node, code: ProblemCode, message: String) -> Problem {
        Problem {
            line: Some(line_number(self.text, node.range.start)),
            code,
            message,
        }
    }

    fn kategorie(&self) -> Result<Kategorie, Problem> {
        self.word("kategorie", ProblemCode::BadKategorie)?
            .ok_or_else(|| {
                let at = entry(self.root, "kategorie").map_or(self.root, |entry| &entry.value);
                self.problem(
                    at,
                    ProblemCode::BadKategorie,
                    "kategorie is missing; add `kategorie: arbeit` or `kategorie: privat`".into(),
                )
            })
    }

    /// One of a fixed set of words; `None` if absent.
    fn word<W: FromStr<Err = UnknownWord>>(
        &self,
        key: &str,
        code: ProblemCode,
    ) -> Result<Option<W>, Problem> {
        let Some(node) = present(self.root, key) else {
            return Ok(None);
        };
        let found = node.text().unwrap_or_default();
        let parsed = found.parse().map(Some);
        parsed.map_err(|error: UnknownWord| {
            self.problem(node, code, format!("{error}{}", instead_of(node)))
        })
    }

    fn tags(&self) -> Result<Vec<String>, Problem> {
        let Some(node) = present(self.root, "tags") else {
            return Ok(vec![]);
        };
        let items = match &node.kind {
            NodeKind::Sequence { items, .. } => items.as_slice(),
            NodeKind::Scalar { .. } => std::slice::from_ref(node),
            NodeKind::Mapping { .. } => return Err(self.bad_tag(node)),
        };
        let texts = items
            .iter()
            .map(|item| item.text().ok_or_else(|| self.bad_tag(item)));
        texts
            .filter(|text| !matches!(text, Ok("")))
            .map(|text| text.map(str::to_owned))
            .collect()
    }

    fn bad_tag(&self, node: &Node) -> Problem {
        self.problem(
            node,
            ProblemCode::BadTags,
            "tags must be a list of plain words, without lists or keys inside".into(),
        )
    }

    fn deadline(&self) -> Result<Option<Datum>, Problem> {
        let Some(node) = present(self.root, "deadline") else {
            return Ok(None);
        };
        let parsed = node.text().unwrap_or_default().parse().map(Some);
        parsed.map_err(|error| {
            self.problem(
                node,
                ProblemCode::BadDeadline,
                format!("deadline can't be read: {error}{}", instead_of(node)),
            )
        })
    }

    fn fixed_slot(&self) -> FixedSlot {
        let Some(node) = present(self.root, "fixedSlot") else {
            return FixedSlot::None;
        };
        match slot::read(node) {
            SlotValue::None => FixedSlot::None,
            SlotValue::At(slot) => FixedSlot::At(slot),
            SlotValue::Invalid { node, message } => FixedSlot::Invalid(Box::new(self.problem(
                node,
                ProblemCode::InvalidFixedSlot,
                message,
            ))),
        }
    }

    /// Informational only, so an invalid value counts as missing.
    fn abgeschlossen_am(&self) -> Option<Slot> {
        match slot::read(present(self.root, "abgeschlossen_am")?) {
            SlotValue::At(slot) => Some(slot),
            SlotValue::None | SlotValue::Invalid { .. } => None,
        }
    }
}

/// Describes the value found, for the end of a message.
pub(super) fn instead_of(node: &Node) -> String {
    node.text().map_or_else(
        || ", not a list or keys".to_owned(),
        |text| format!(", not {}", quoted(text)),
    )
}
