//! The members that only the newer version knows: one in every extensible object, with a counter of that version's
//! writes to the blob; and one at the blob's top, with the list of the objects that have it.

use serde_json::{Map, Value, json};

/// The member's name.
const MEMBER: &str = "newerVersion";

/// The kinds of JSON blobs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum BlobKind {
    State,
    Git,
    Artifact,
    /// Only the top-level object is extensible.
    Flat,
}

impl BlobKind {
    /// The kind by the blob's path; `None` for anything that isn't JSON.
    pub(crate) fn of(path: &str) -> Option<Self> {
        match path.rsplit('/').next()? {
            "state.json" => Some(Self::State),
            "git.json" => Some(Self::Git),
            "timeline.json" => Some(Self::Artifact),
            "owner.json" | "calendar.json" | ".github.json" => Some(Self::Flat),
            _ => None,
        }
    }

    /// The paths of extensible objects below the top; `*` matches every member of an object or list.
    fn member_paths(self) -> &'static [&'static [&'static str]] {
        match self {
            Self::State => &[
                &["pending", "*"],
                &["pending", "*", "files", "*"],
                &["idempotency", "*"],
                &["merged", "*"],
                &["legacyNextId"],
            ],
            Self::Git => &[&["taking", "*", "*"], &["pulls", "*"], &["lastError"]],
            Self::Artifact => &[&["files", "*"], &["files", "*", "task"]],
            Self::Flat => &[],
        }
    }
}

/// The counter at the blob's top; 0 if no newer version has written it.
pub(crate) fn count(blob: &Value) -> u64 {
    blob[MEMBER]["count"].as_u64().unwrap_or_default()
}

/// Adds the member to every extensible object.
pub(crate) fn add_members(kind: BlobKind, blob: &mut Value, count: u64) {
    let mut sealed = vec![];
    for place in kind.member_paths() {
        each(blob, place, "", &mut |name, object| {
            sealed.push(json!(identity(name, object)));
            object.insert(MEMBER.to_owned(), json!(count));
        });
    }
    blob[MEMBER] = json!({"count": count, "sealed": sealed});
}

/// Checks that every listed object which still exists has the member unchanged.
///
/// # Errors
/// The object, or the list, that is missing it.
pub(crate) fn check(kind: BlobKind, blob: &Value) -> Result<(), String> {
    let top = blob[MEMBER].as_object().ok_or("the member at the top")?;
    let sealed = top["sealed"].as_array().ok_or("the list of members")?;
    let mut lost = None;
    let mut copy = blob.clone();
    for place in kind.member_paths() {
        each(&mut copy, place, "", &mut |name, object| {
            let id = identity(name, object);
            if sealed.contains(&json!(id)) && object.get(MEMBER) != top.get("count") {
                lost = Some(id);
            }
        });
    }
    lost.map_or(Ok(()), Err)
}

/// An object's path with the values that distinguish it from a later object in the same place.
fn identity(name: &str, object: &Map<String, Value>) -> String {
    let of = match name {
        // Always the same object, with changing contents.
        "/legacyNextId" => &[][..],
        _ => &["version", "writeId", "write", "number", "at", "etag"],
    };
    let values = of.iter().filter_map(|member| object.get(*member));
    values.fold(name.to_owned(), |id, value| format!("{id} {value}"))
}

/// Calls `with` for every object that `place` matches, with its path.
fn each(
    value: &mut Value,
    place: &[&str],
    name: &str,
    with: &mut dyn FnMut(&str, &mut Map<String, Value>),
) {
    let Some((step, rest)) = place.split_first() else {
        if let Some(object) = value.as_object_mut() {
            with(name, object);
        }
        return;
    };
    match (value, *step) {
        (Value::Array(list), "*") => {
            for item in list {
                each(item, rest, &format!("{name}/-"), with);
            }
        }
        (Value::Object(object), step) => {
            for (key, member) in object.iter_mut() {
                if step == "*" || step == key {
                    each(member, rest, &format!("{name}/{key}"), with);
                }
            }
        }
        _ => {}
    }
}
