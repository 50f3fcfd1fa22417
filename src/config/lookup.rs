//! Reads one setting at a time, and says what is wrong with it.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// Settings on the command line. They take precedence over the corresponding variables.
#[derive(Debug, Clone, Default)]
pub struct Flags {
    /// `--port`, in place of `PORT`.
    pub port: Option<u16>,
    /// `--folder`, in place of `CODEX_DATA_DIR`.
    pub folder: Option<PathBuf>,
}

/// A secret value; `Debug` doesn't print it.
#[derive(Clone, PartialEq, Eq, derive_more::Debug)]
#[debug("(secret)")]
pub struct Secret(String);

impl Secret {
    /// Wraps `value`.
    pub fn new(value: String) -> Self {
        Self(value)
    }

    /// The value itself. Never log it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

/// A setting has an invalid value, or is missing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{variable} {was}; it must be {allowed}")]
pub struct ConfigError {
    variable: String,
    was: String,
    allowed: String,
}

impl ConfigError {
    /// The message is "`variable` `was`; it must be `allowed`", with `was` as in `is "7"`. `was` must not contain a
    /// secret.
    pub fn new(variable: &str, was: impl Into<String>, allowed: impl Into<String>) -> Self {
        Self {
            variable: variable.to_owned(),
            was: was.into(),
            allowed: allowed.into(),
        }
    }
}

/// What `read` makes of the text.
pub(super) fn valid<T>(
    name: &str,
    text: &str,
    allowed: &str,
    read: impl FnOnce(&str) -> Option<T>,
) -> Result<T, ConfigError> {
    read(text).ok_or_else(|| ConfigError::new(name, format!("is {text:?}"), allowed))
}

/// The parts between commas, trimmed; no empty ones.
pub(super) fn comma_separated(text: &str) -> Vec<String> {
    let parts = text.split(',').map(str::trim);
    let parts = parts.filter(|part| !part.is_empty());
    parts.map(str::to_owned).collect()
}

/// The sources of the settings: the command line, and the environment or a test's replacement for it.
pub(super) struct Lookup<'a> {
    pub(super) variable: &'a dyn Fn(&str) -> Option<String>,
    pub(super) flags: Flags,
}

impl Lookup<'_> {
    /// The value as it is written; a blank one counts as not set.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        (self.variable)(name).filter(|value| !value.trim().is_empty())
    }

    pub(super) fn text_or(&self, name: &str, default: &str) -> String {
        self.text(name).unwrap_or_else(|| default.to_owned())
    }

    pub(super) fn is_set(&self, name: &str) -> bool {
        self.text(name).is_some()
    }

    pub(super) fn trimmed(&self, name: &str) -> Option<String> {
        self.text(name).map(|text| text.trim().to_owned())
    }

    /// What `read` makes of the trimmed value.
    pub(super) fn read<T>(
        &self,
        name: &str,
        allowed: &str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, ConfigError> {
        let text = self.trimmed(name);
        text.map(|text| valid(name, &text, allowed, read))
            .transpose()
    }

    pub(super) fn parsed<T: FromStr>(
        &self,
        name: &str,
        default: T,
        allowed: &str,
    ) -> Result<T, ConfigError> {
        match self.text(name) {
            Some(text) => valid(name, &text, allowed, |text| text.trim().parse().ok()),
            None => Ok(default),
        }
    }

    pub(super) fn seconds(&self, name: &str, default: u64) -> Result<Duration, ConfigError> {
        /// A larger value is a typing error, and could overflow the arithmetic on instants.
        const MAX: u64 = 366 * 24 * 3600;
        let allowed = "a whole number of seconds, at most a year";
        match self.parsed(name, default, allowed)? {
            seconds @ 0..=MAX => Ok(Duration::from_secs(seconds)),
            seconds => Err(ConfigError::new(name, format!("is \"{seconds}\""), allowed)),
        }
    }

    /// A timeout, which can't be zero.
    pub(super) fn positive_seconds(
        &self,
        name: &str,
        default: u64,
    ) -> Result<Duration, ConfigError> {
        match self.seconds(name, default)? {
            Duration::ZERO => Err(ConfigError::new(name, "is \"0\"", "at least 1 second")),
            span => Ok(span),
        }
    }

    pub(super) fn secret(&self, name: &str) -> Option<Secret> {
        self.trimmed(name).map(Secret)
    }

    /// A secret that is sent in a header, so it must be visible ASCII.
    pub(super) fn header_secret(&self, name: &str) -> Result<Option<Secret>, ConfigError> {
        let allowed = "visible ASCII characters on one line";
        match self.secret(name) {
            Some(Secret(text)) if !text.bytes().all(|c| c.is_ascii_graphic()) => {
                Err(ConfigError::new(name, "can't be used", allowed))
            }
            secret => Ok(secret),
        }
    }

    /// The platform's or a Functions host's variables are set.
    pub(super) fn is_hosted(&self) -> bool {
        ["FUNCTIONS_CUSTOMHANDLER_PORT", "WEBSITE_SITE_NAME"]
            .iter()
            .any(|name| self.is_set(name))
    }
}

/// Two settings of which neither works without the other.
pub(super) fn both<A, B>(
    names: [&str; 2],
    values: (Option<A>, Option<B>),
) -> Result<Option<(A, B)>, ConfigError> {
    let (missing, other) = match values {
        (Some(a), Some(b)) => return Ok(Some((a, b))),
        (None, None) => return Ok(None),
        (None, Some(_)) => (names[0], names[1]),
        (Some(_), None) => (names[1], names[0]),
    };
    let allowed = format!("set together with {other}, or neither of them");
    Err(ConfigError::new(missing, "is not set", allowed))
}
