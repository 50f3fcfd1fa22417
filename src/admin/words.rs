//! PURE. Formatting for a terminal.

use std::fmt::{self, Write};
use std::time::Duration;

use crate::owners::AccountIdentity;

/// Untrusted text: control characters, which could inject terminal escapes, are escaped.
pub(super) struct Escaped<'a>(pub &'a str);

impl fmt::Display for Escaped<'_> {
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

/// A number with its noun in the singular or plural.
pub(super) fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// The account behind an identity.
pub(super) fn identity(identity: &AccountIdentity) -> String {
    match identity {
        AccountIdentity::GitHub { number } => format!("GitHub account {number}"),
        AccountIdentity::Other { provider, subject } => {
            format!("{} of {}", Escaped(subject), Escaped(provider))
        }
    }
}
