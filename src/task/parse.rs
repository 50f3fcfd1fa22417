//! Parses one task file (`src/task/README.md`, "Front matter").

use std::fmt::Display;
use std::str::FromStr;

use super::content::{
    FixedSlot, MAX_FILE_BYTES, Parsed, Problem, ProblemCode, TOMBSTONE_FILE, Task,
};
use super::date::Slot;
use super::file_name::FileName;
use super::front_matter;
use super::slot;
use super::text::{line_number, slice};
use super::title::title_of;
use super::words::{Kategorie, Status};
use super::yaml::{Node, NodeKind};

/// Parses `bytes`, the content of the file `name`, in linear time. Never fails and never panics: any error becomes
/// [`Parsed::Unreadable`].
pub fn parse(name: &FileName, bytes: &[u8]) -> Parsed {
    if bytes.len() > MAX_FILE_BYTES {
        let message = format!("the file is longer than {MAX_FILE_BYTES} bytes; shorten it");
        return Parsed::Unreadable(Problem::new(None, ProblemCode::TooLarge, message));
    }
    if bytes == TOMBSTONE_FILE.as_bytes() {
        return Parsed::Tombstone;
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => parse_text(name, text).unwrap_or_else(Parsed::Unreadable),
        Err(error) => {
            let line = line_number(bytes, error.valid_up_to());
            let message = "the file is not UTF-8 from this line on; save it as UTF-8";
            Parsed::Unreadable(Problem::new(line, ProblemCode::NotUtf8, message))
        }
    }
}

fn parse_text(name: &FileName, text: &str) -> Result<Parsed, Problem> {
    let Some(parts) = front_matter::split(text)? else {
        return Ok(Parsed::NotATask);
    };
    let root = front_matter::read(text, &parts)?;
    match root.present("typ").and_then(Node::text) {
        Some("task") => Fields { text, root: &root }
            .task(title_of(name, slice(text, &parts.body)))
            .map(Parsed::Task),
        _ => Ok(Parsed::NotATask),
    }
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
                .value("status", ProblemCode::BadStatus, "")?
                .unwrap_or(Status::Offen),
            tags: self.tags()?,
            deadline: self.value(
                "deadline",
                ProblemCode::BadDeadline,
                "deadline can't be read: ",
            )?,
            fixed_slot: self.fixed_slot(),
            abgeschlossen_am: self.abgeschlossen_am(),
        })
    }

    fn problem(&self, node: &Node, code: ProblemCode, message: impl Into<String>) -> Problem {
        Problem::new(line_number(self.text, node.range.start), code, message)
    }

    fn kategorie(&self) -> Result<Kategorie, Problem> {
        let code = ProblemCode::BadKategorie;
        self.value("kategorie", code, "")?.ok_or_else(|| {
            let entry = self.root.entry("kategorie");
            let at = entry.map_or(self.root, |entry| &entry.value);
            let message = "kategorie is missing; add `kategorie: arbeit` or `kategorie: privat`";
            self.problem(at, code, message)
        })
    }

    /// A value that is one word; `None` if absent. `unread` is how the message begins if it can't be read.
    fn value<V: FromStr<Err: Display>>(
        &self,
        key: &str,
        code: ProblemCode,
        unread: &str,
    ) -> Result<Option<V>, Problem> {
        let Some(node) = self.root.present(key) else {
            return Ok(None);
        };
        let parsed = node.text().unwrap_or_default().parse().map(Some);
        parsed.map_err(|error| {
            let message = format!("{unread}{error}{}", node.instead_of());
            self.problem(node, code, message)
        })
    }

    fn tags(&self) -> Result<Vec<String>, Problem> {
        let Some(node) = self.root.present("tags") else {
            return Ok(vec![]);
        };
        let items = match &node.kind {
            NodeKind::Sequence { items, .. } => items.as_slice(),
            NodeKind::Scalar { .. } => std::slice::from_ref(node),
            NodeKind::Mapping { .. } => return Err(self.bad_tag(node)),
        };
        let text = |item: &Node| {
            item.text()
                .map(str::to_owned)
                .ok_or_else(|| self.bad_tag(item))
        };
        let is_blank = |text: &Result<String, _>| matches!(text.as_deref(), Ok(""));
        items.iter().map(text).filter(|it| !is_blank(it)).collect()
    }

    fn bad_tag(&self, node: &Node) -> Problem {
        let message = "tags must be a list of plain words, without lists or keys inside";
        self.problem(node, ProblemCode::BadTags, message)
    }

    fn fixed_slot(&self) -> FixedSlot {
        match self.root.present("fixedSlot").map(slot::read) {
            None | Some(Ok(None)) => FixedSlot::None,
            Some(Ok(Some(slot))) => FixedSlot::At(slot),
            Some(Err((node, message))) => {
                let problem = self.problem(node, ProblemCode::InvalidFixedSlot, message);
                FixedSlot::Invalid(Box::new(problem))
            }
        }
    }

    /// Informational only, so an invalid value counts as missing.
    fn abgeschlossen_am(&self) -> Option<Slot> {
        slot::read(self.root.present("abgeschlossen_am")?).ok()?
    }
}
