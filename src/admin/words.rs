//! PURE. Formatting for a terminal.

use std::fmt::{self, Display, Write};
use std::time::Duration;

use crate::owners::AccountIdentity;

/// Lines of a label, padded to a column, and a text.
pub(super) struct Lines {
    width: usize,
    text: String,
}

impl Lines {
    pub(super) fn new(width: usize) -> Self {
        let text = String::new();
        Self { width, text }
    }

    pub(super) fn add(&mut self, label: &str, text: impl Display) {
        let (width, text) = (self.width, escaped(&text.to_string()));
        // Writing to a string never fails.
        let _ = writeln!(self.text, "{label:<width$}{text}");
    }

    /// A line with the same label for each text.
    pub(super) fn add_each(&mut self, label: &str, texts: &[String]) {
        texts.iter().for_each(|text| self.add(label, text));
    }
}

impl Display for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Adds a line whose text is formatted: `line!(lines, "label" => "{number} files")`.
macro_rules! line {
    ($lines:expr, $label:expr => $($text:tt)+) => { $lines.add($label, format_args!($($text)+)) };
}
pub(super) use line;

/// Text with untrusted parts: control characters, which could inject terminal escapes, are escaped.
pub(super) fn escaped(text: &str) -> String {
    let escape = |c: char| match c.is_control() {
        true => c.escape_default().to_string(),
        false => c.to_string(),
    };
    text.chars().map(escape).collect()
}

/// A duration in its two largest units.
pub(super) fn format_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600, seconds / 60);
    match () {
        () if days > 0 => format!("{days} d {} h", hours % 24),
        () if hours > 0 => format!("{hours} h {} min", minutes % 60),
        () if minutes > 0 => format!("{minutes} min {} s", seconds % 60),
        () => format!("{seconds} s"),
    }
}

/// A number with its noun, whose plural ends in "s".
pub(super) fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// The account behind an identity.
pub(super) fn identity(identity: &AccountIdentity) -> String {
    match identity {
        AccountIdentity::GitHub { number } => format!("GitHub account {number}"),
        AccountIdentity::Other { provider, subject } => {
            escaped(&format!("{subject} of {provider}"))
        }
    }
}
