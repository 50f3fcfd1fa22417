//! A day and a time of day as files write them: `{datum, zeit}`, or the older list form
//! `[{datum}, {zeit}]`.

use super::front_matter::entry;
use super::parse::{instead_of, present};
use super::yaml::{Entry, Kind, Node};
use super::{Datum, Slot, Zeit};

/// What such a value says.
pub(super) enum Place<'a> {
    /// No `datum`.
    None,
    /// Here.
    At(Slot),
    /// A `datum` is meant, but `at` is wrong.
    Invalid {
        /// The node that is wrong, or the whole value where one is missing.
        at: &'a Node,
        /// What to do about it.
        what: String,
    },
}

/// Reads a value that isn't absent.
pub(super) fn read(value: &Node) -> Place<'_> {
    let Some(mappings) = mappings(value) else {
        let what = format!("fixedSlot must hold datum and zeit{}", instead_of(value));
        return Place::Invalid { at: value, what };
    };
    let find = |key| mappings.iter().find_map(|mapping| present(mapping, key));
    let Some(datum) = find("datum") else {
        return Place::None;
    };
    let Ok(day) = datum.text().unwrap_or_default().parse::<Datum>() else {
        let what = format!(
            "fixedSlot.datum can't be read: {}{}",
            super::BadDatum,
            instead_of(datum)
        );
        return Place::Invalid { at: datum, what };
    };
    let Some(zeit) = find("zeit") else {
        let what = "fixedSlot has no zeit; add morgens, nachmittags or abends".to_owned();
        return Place::Invalid { at: value, what };
    };
    match zeit
        .text()
        .unwrap_or_default()
        .to_ascii_lowercase()
        .parse::<Zeit>()
    {
        Ok(zeit) => Place::At(Slot { datum: day, zeit }),
        Err(error) => Place::Invalid {
            at: zeit,
            what: format!("fixedSlot: {error}{}", instead_of(zeit)),
        },
    }
}

/// The entry of `key`, in either form.
pub(super) fn find<'a>(value: &'a Node, key: &str) -> Option<&'a Entry> {
    mappings(value)?
        .into_iter()
        .find_map(|mapping| entry(mapping, key))
}

/// The mappings that may hold `datum` and `zeit`; `None` for any other shape.
fn mappings(value: &Node) -> Option<Vec<&Node>> {
    let is_mapping = |node: &&Node| matches!(node.kind, Kind::Mapping { .. });
    match &value.kind {
        Kind::Mapping { .. } => Some(vec![value]),
        Kind::Sequence { items, .. } => {
            let given: Vec<_> = items.iter().filter(|item| !item.is_absent()).collect();
            given.iter().all(is_mapping).then_some(given)
        }
        Kind::Scalar { .. } => None,
    }
}
