//! PURE. How things are put on a terminal.

use std::fmt::{self, Write};
use std::time::Duration;

use crate::codex::Holder;

/// A text that somebody else has chosen: control characters, which could steer a terminal, are spelt out.
pub(super) struct Plain<'a>(pub &'a str);

impl fmt::Display for Plain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c.is_control() {
                true => write!(f, "{}", c.escape_default())?,
                false => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

/// A time span in its two largest units.
pub(super) fn span(span: Duration) -> String {
    let seconds = span.as_secs();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600, seconds / 60);
    match () {
        () if days > 0 => format!("{days} d {} h", hours % 24),
        () if hours > 0 => format!("{hours} h {} min", minutes % 60),
        () if minutes > 0 => format!("{minutes} min {} s", seconds % 60),
        () => format!("{seconds} s"),
    }
}

/// So many of something.
pub(super) fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// Who somebody is.
pub(super) fn holder(holder: &Holder) -> String {
    match holder {
        Holder::GitHub { number } => format!("GitHub account {number}"),
        Holder::Other { provider, subject } => {
            format!("{} of {}", Plain(subject), Plain(provider))
        }
    }
}
