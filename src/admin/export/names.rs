//! PURE. Names of files in the zip. A task file's name may have characters that Windows forbids, and two names may
//! differ only in letter case, which Windows and macOS don't distinguish; nothing else of the service cares about that.

use std::collections::BTreeSet;

use unicode_normalization::UnicodeNormalization;

/// The names assigned so far, NFC-normalised and in lower case, as the least exact system compares them.
#[derive(Default)]
pub struct PortableNames(BTreeSet<String>);

impl PortableNames {
    /// The name itself where it is portable and free; otherwise a similar one that is unique on any system.
    pub fn portable(&mut self, name: &str) -> String {
        let name = sanitized(name);
        let (stem, ending) = match name.rsplit_once('.') {
            Some((stem, _)) if !stem.is_empty() => name.split_at(stem.len()),
            _ => (name.as_str(), ""),
        };
        let candidates = (2..).map(|number| format!("{stem}~{number}{ending}"));
        let free = std::iter::once(name.clone())
            .chain(candidates)
            .find(|candidate| self.0.insert(case_folded(candidate)));
        free.unwrap_or(name)
    }
}

/// The name with every character or form that some system forbids replaced.
fn sanitized(name: &str) -> String {
    let is_forbidden = |c: char| r#"<>:"|?*\/"#.contains(c) || c.is_control();
    let mut sanitized = name.replace(is_forbidden, "_");
    if sanitized.ends_with(['.', ' ']) {
        sanitized.push('_');
    }
    if is_device(&sanitized) {
        sanitized.insert(0, '_');
    }
    sanitized
}

/// Whether Windows reserves the name for a device; with any extension.
fn is_device(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or_default().to_lowercase();
    match stem.strip_prefix("com").or(stem.strip_prefix("lpt")) {
        Some(number) => number.len() == 1 && number.as_bytes()[0].is_ascii_digit(),
        None => ["con", "prn", "aux", "nul"].contains(&stem.trim_end()),
    }
}

fn case_folded(name: &str) -> String {
    name.nfc().flat_map(char::to_lowercase).collect()
}
