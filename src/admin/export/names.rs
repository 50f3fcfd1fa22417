//! PURE. Names that every system can unpack. A task file's name may hold what Windows doesn't allow, and two
//! names may differ only in the case of letters, which Windows and macOS take for the same.

use std::collections::BTreeSet;

use unicode_normalization::UnicodeNormalization;

/// Names that Windows keeps for devices, with any ending.
const DEVICES: [&str; 4] = ["con", "prn", "aux", "nul"];

/// The names given out so far, as the least exact system compares them.
#[derive(Default)]
pub(super) struct Names(BTreeSet<String>);

impl Names {
    /// A name like this one that no other has, on any system; the same wherever that will do.
    pub(super) fn portable(&mut self, name: &str) -> String {
        let name = spelt(name);
        let (stem, ending) = match name.rsplit_once('.') {
            Some((stem, ending)) if !stem.is_empty() => (stem, format!(".{ending}")),
            _ => (name.as_str(), String::new()),
        };
        let candidates = (2..).map(|number| format!("{stem}~{number}{ending}"));
        let free = std::iter::once(name.clone())
            .chain(candidates)
            .find(|candidate| self.0.insert(folded(candidate)));
        free.unwrap_or(name)
    }
}

/// Without what some system doesn't allow.
fn spelt(name: &str) -> String {
    let odd = |c: char| r#"<>:"|?*\/"#.contains(c) || c.is_control();
    let mut spelt: String = name.chars().map(|c| if odd(c) { '_' } else { c }).collect();
    if spelt.ends_with(['.', ' ']) {
        spelt.push('_');
    }
    if is_device(&spelt) {
        spelt.insert(0, '_');
    }
    spelt
}

fn is_device(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or_default().to_lowercase();
    let numbered = stem.strip_prefix("com").or(stem.strip_prefix("lpt"));
    DEVICES.contains(&stem.trim_end())
        || numbered.is_some_and(|number| number.len() == 1 && number.as_bytes()[0].is_ascii_digit())
}

fn folded(name: &str) -> String {
    name.nfc().flat_map(char::to_lowercase).collect()
}
