//! The members that only the newer version knows: one in every object that may have more, with a number that
//! grows with each of its writes; and at the top of the blob which objects have it.

use serde_json::{Map, Value, json};

/// How the members are called.
const MEMBER: &str = "newerVersion";

/// What a blob is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    State,
    Git,
    Artifact,
    /// Nothing below its top.
    Flat,
}

impl Kind {
    /// By the blob's name; `None` for what isn't JSON.
    pub(crate) fn of(path: &str) -> Option<Self> {
        match path.rsplit('/').next()? {
            "state.json" => Some(Self::State),
            "git.json" => Some(Self::Git),
            "timeline.json" => Some(Self::Artifact),
            "owner.json" | ".github.json" => Some(Self::Flat),
            _ => None,
        }
    }

    /// Where below the top there are objects; `*` stands for every member of an object or list.
    fn places(self) -> &'static [&'static [&'static str]] {
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

/// The number at the blob's top; 0 where a newer version hasn't written it.
pub(crate) fn count(blob: &Value) -> u64 {
    blob[MEMBER]["count"].as_u64().unwrap_or_default()
}

/// Gives every object the member.
pub(crate) fn seal(kind: Kind, blob: &mut Value, count: u64) {
    let mut sealed = vec![];
    for place in kind.places() {
        each(blob, place, "", &mut |name, object| {
            sealed.push(json!(identity(name, object)));
            object.insert(MEMBER.to_owned(), json!(count));
        });
    }
    blob[MEMBER] = json!({"count": count, "sealed": sealed});
}

/// Holds every object that has been given the member to it, as long as it is there.
///
/// # Errors
/// What is missing.
pub(crate) fn check(kind: Kind, blob: &Value) -> Result<(), String> {
    let top = blob[MEMBER].as_object().ok_or("the member at the top")?;
    let sealed = top["sealed"].as_array().ok_or("the list of members")?;
    let mut lost = None;
    let mut copy = blob.clone();
    for place in kind.places() {
        each(&mut copy, place, "", &mut |name, object| {
            let id = identity(name, object);
            if sealed.contains(&json!(id)) && object.get(MEMBER) != top.get("count") {
                lost = Some(id);
            }
        });
    }
    lost.map_or(Ok(()), Err)
}

/// What tells an object from another one that takes its place.
fn identity(name: &str, object: &Map<String, Value>) -> String {
    let of = match name {
        // One blob with changing contents.
        "/legacyNextId" => &[][..],
        _ => &["version", "writeId", "write", "number", "at", "etag"],
    };
    let values = of.iter().filter_map(|member| object.get(*member));
    values.fold(name.to_owned(), |id, value| format!("{id} {value}"))
}

/// Calls `with` for every object in this place, with where that is.
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
