//! PURE. Two versions of one task file become one (`src/codex/git/README.md`, "Merging").
//!
//! Each field, each unknown key and each place in the body is decided for itself, then the text is
//! put together from the lines of both sides and read again. Where it doesn't say what was decided
//! (keys in `{…}`, say), their values are set in our text instead, and where that can't be done,
//! our text stands as it is.

mod assemble;
mod decide;
mod lines;
mod three;

use std::borrow::Cow;
use std::collections::BTreeSet;

use crate::task::{Edit, FileName, Parsed, Status, Task, edit, outline, parse};

use decide::{Decided, Key, Version, ask};
use three::{Side, Three};

/// A file both sides agree on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Merged {
    /// The file's content.
    pub bytes: Vec<u8>,
    /// What both sides changed differently, so that the API's value stands: the names of keys,
    /// `body`, or `file` alone where only one side's whole file could be taken. Sorted, each once.
    pub conflicts: Vec<String>,
}

impl Merged {
    fn clean(bytes: &[u8]) -> Self {
        Self {
            bytes: bytes.to_vec(),
            conflicts: vec![],
        }
    }

    fn whole(bytes: &[u8]) -> Self {
        Self {
            bytes: bytes.to_vec(),
            conflicts: vec!["file".to_owned()],
        }
    }

    fn new(text: String, conflicts: BTreeSet<String>) -> Self {
        Self {
            bytes: text.into_bytes(),
            conflicts: conflicts.into_iter().collect(),
        }
    }
}

/// Puts together what the API made of the file `name` (`ours`) and what Git holds now (`theirs`).
/// `base` is what both started from; without it, what differs counts as changed on both sides.
///
/// What only one side changed is taken from it. What both changed differently is ours and named in
/// [`Merged::conflicts`], except that a task which one of them completed is completed. When both
/// are the same, or one is `base`, the result is the other, byte by byte. Never panics; a file
/// that isn't a task that can be read is taken or left as a whole.
pub fn merge(name: &FileName, base: Option<&[u8]>, ours: &[u8], theirs: &[u8]) -> Merged {
    if ours == theirs || base == Some(theirs) {
        return Merged::clean(ours);
    }
    if base == Some(ours) {
        return Merged::clean(theirs);
    }
    match (read(name, ours), read(name, theirs)) {
        (Some(ours), Some(theirs)) => {
            let base = base.and_then(|base| read(name, base));
            merge_tasks(name, &Three { base, ours, theirs })
        }
        (None, Some((_, task))) if task.status == Status::Abgeschlossen => Merged::whole(theirs),
        _ => Merged::whole(ours),
    }
}

fn read<'a>(name: &FileName, bytes: &'a [u8]) -> Option<(&'a str, Task)> {
    match parse(name, bytes) {
        Parsed::Task(task) => Some((std::str::from_utf8(bytes).ok()?, task)),
        Parsed::NotATask | Parsed::Settled | Parsed::Unreadable(_) => None,
    }
}

fn merge_tasks(name: &FileName, files: &Three<(&str, Task)>) -> Merged {
    let (ours, theirs) = (&files.ours, &files.theirs);
    let Some(texts) = in_one_line_ending(&files.map(|(text, _)| *text)) else {
        return Merged::whole(ours.0.as_bytes());
    };
    let Some(versions) = versions(&texts, files) else {
        return Merged::whole(ours.0.as_bytes());
    };
    let decided = Decided::new(name, &versions);
    if let Some(text) = assemble::assemble(name, &versions, &decided) {
        return Merged::new(text, decided.conflicts);
    }
    let completes =
        decided.task.status == Status::Abgeschlossen && ours.1.status != decided.task.status;
    let whole = if completes {
        let change = ask(&decided.task, ["status", "abgeschlossen_am"].into_iter());
        let completed = change.and_then(|change| edit(name, ours.0, &change).ok());
        Merged::whole(completed.as_deref().unwrap_or(theirs.0).as_bytes())
    } else {
        Merged::whole(ours.0.as_bytes())
    };
    edit_ours(name, ours.0, &decided).unwrap_or(whole)
}

fn versions<'a>(
    texts: &'a Three<Cow<'_, str>>,
    files: &Three<(&str, Task)>,
) -> Option<Three<Version<'a>>> {
    let outlines = texts.map(|text| outline(text).map(|outline| (&**text, outline)));
    let version = |(text, outline), (_, task): &(&str, Task)| Version {
        text,
        task: task.clone(),
        outline,
    };
    Some(outlines.all()?.with(files, version))
}

/// The front matters with the line ending that they come to have together, so that a side that
/// changed all of them changed nothing else.
fn in_one_line_ending<'a>(texts: &Three<&'a str>) -> Option<Three<Cow<'a, str>>> {
    let outlines = texts.map(|text| outline(text)).all()?;
    let newline = *outlines.map(|outline| outline.newline).changed();
    Some(outlines.with(texts, |outline, text| {
        if outline.newline == newline {
            return Cow::Borrowed(*text);
        }
        let (front, body) = text.split_at(text.len() - outline.body.len());
        let front = front.replace("\r\n", "\n").replace('\n', newline);
        Cow::Owned(front + body)
    }))
}

/// Our text, with their values set in it as an edit would. Other keys stay ours.
fn edit_ours(name: &FileName, ours: &str, decided: &Decided<'_>) -> Option<Merged> {
    let change = Edit {
        body: Some(decided.body.clone()),
        ..ask(&decided.task, decided.names(Side::Theirs))?
    };
    let text = edit(name, ours, &change).ok()?;
    let theirs = |key: &&Key<'_>| key.side == Side::Theirs && key.is_unknown_and_differs();
    let left = decided.keys.iter().filter(theirs);
    let mut conflicts = decided.conflicts.clone();
    conflicts.extend(left.map(|key| key.name.to_owned()));
    Some(Merged::new(text, conflicts))
}
