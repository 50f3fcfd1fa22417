//! Parses slots as written in files: `{datum, zeit}`, or the older list form `[{datum}, {zeit}]`.

use super::date::{BadDatum, Datum, Slot};
use super::words::Zeit;
use super::yaml::{MappingEntry, Node, NodeKind};

/// Parses a value that isn't absent. `None` if it has no `datum`. The error is the invalid node (the whole value if a
/// key is missing), and a message that says how to fix it.
pub(super) fn read(value: &Node) -> Result<Option<Slot>, (&Node, String)> {
    let Some(mappings) = mappings(value) else {
        return Err(bad(value, "fixedSlot must hold datum and zeit"));
    };
    let find = |key| mappings.iter().find_map(|mapping| mapping.present(key));
    let Some(datum) = find("datum") else {
        return Ok(None);
    };
    let Ok(day) = datum.text().unwrap_or_default().parse::<Datum>() else {
        let message = format!("fixedSlot.datum can't be read: {BadDatum}");
        return Err(bad(datum, &message));
    };
    let Some(zeit) = find("zeit") else {
        let message = "fixedSlot has no zeit; add morgens, nachmittags or abends";
        return Err((value, message.to_owned()));
    };
    let word = zeit.text().unwrap_or_default().to_ascii_lowercase();
    match word.parse::<Zeit>() {
        Ok(zeit) => Ok(Some(Slot { datum: day, zeit })),
        Err(error) => Err(bad(zeit, &format!("fixedSlot: {error}"))),
    }
}

fn bad<'a>(node: &'a Node, what: &str) -> (&'a Node, String) {
    (node, format!("{what}{}", node.instead_of()))
}

/// The entry of `key` in either form.
pub(super) fn find<'a>(value: &'a Node, key: &str) -> Option<&'a MappingEntry> {
    let mut mappings = mappings(value)?.into_iter();
    mappings.find_map(|mapping| mapping.entry(key))
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
