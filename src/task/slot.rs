//! Parses slots as written in files: `{datum, zeit}`, or the older list form `[{datum}, {zeit}]`.

use super::front_matter::entry;
use super::parse::{instead_of, present};
use super::yaml::{MappingEntry, Node, NodeKind};
use super::{Datum, Slot, Zeit};

/// A parsed slot value.
pub(super) enum SlotValue<'a> {
    /// No `datum`.
    None,
    /// A valid slot.
    At(Slot),
    /// Has a `datum`, but is invalid.
    Invalid {
        /// The invalid node, or the whole value if a key is missing.
        node: &'a Node,
        /// The message, which says how to fix it.
        message: String,
    },
}

/// Parses a value that isn't absent.
pub(super) fn read(value: &Node) -> SlotValue<'_> {
    let Some(mappings) = mappings(value) else {
        let message = format!("fixedSlot must hold datum and zeit{}", instead_of(value));
        return SlotValue::Invalid {
            node: value,
            message,
        };
    };
    let find = |key| mappings.iter().find_map(|mapping| present(mapping, key));
    let Some(datum) = find("datum") else {
        return SlotValue::None;
    };
    let Ok(day) = datum.text().unwrap_or_default().parse::<Datum>() else {
        let message = format!(
            "fixedSlot.datum can't be read: {}{}",
            super::BadDatum,
            instead_of(datum)
        );
        return SlotValue::Invalid {
            node: datum,
            message,
        };
    };
    let Some(zeit) = find("zeit") else {
        let message = "fixedSlot has no zeit; add morgens, nachmittags or abends".to_owned();
        return SlotValue::Invalid {
            node: value,
            message,
        };
    };
    match zeit
        .text()
        .unwrap_or_default()
        .to_ascii_lowercase()
        .parse::<Zeit>()
    {
        Ok(zeit) => SlotValue::At(Slot { datum: day, zeit }),
        Err(error) => SlotValue::Invalid {
            node: zeit,
            message: format!("fixedSlot: {error}{}", instead_of(zeit)),
        },
    }
}

/// The entry of `key` in either form.
pub(super) fn find<'a>(value: &'a Node, key: &str) -> Option<&'a MappingEntry> {
    mappings(value)?
        .into_iter()
        .find_map(|mapping| entry(mapping, key))
}

/// The mappings that may contain `datum` and `zeit`; `None` for any other shape.
fn mappings(value: &Node) -> Option<Vec<&Node>> {
    let is_mapping = |node: &&Node| matches!(node.kind, NodeKind::Mapping { .. });
    match &value.kind {
        NodeKind::Mapping { .. } => Some(vec![value]),
        NodeKind::Sequence { items, .. } => {
            let given: Vec<_> = items.iter().filter(|item| !item.is_absent()).collect();
            given.iter().all(is_mapping).then_some(given)
        }
        NodeKind::Scalar { .. } => None,
    }
}
