//! The fields of a task that have fixed words as values.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The value of a front matter key isn't one of its allowed words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key} must be one of {allowed}")]
pub struct UnknownWord {
    /// The key as spelled in the file.
    pub key: &'static str,
    /// The allowed words.
    pub allowed: &'static str,
}

/// `Serialize` by `Display` and `Deserialize` by `FromStr`.
macro_rules! as_text {
    ($name:ident) => {
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(from)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}
pub(super) use as_text;

macro_rules! words {
    ($(#[$doc:meta])* $name:ident, $key:literal, $allowed:literal, { $($(#[$vdoc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema, derive_more::Display)]
        #[display("{}", self.as_str())]
        #[serde(rename_all = "lowercase")]
        pub enum $name { $($(#[$vdoc])* $variant),+ }

        impl $name {
            /// Every value, in natural order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word as spelled in files and API responses.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }

        impl FromStr for $name {
            type Err = UnknownWord;
            fn from_str(text: &str) -> Result<Self, UnknownWord> {
                match text {
                    $($word => Ok(Self::$variant),)+
                    _ => Err(UnknownWord { key: $key, allowed: $allowed }),
                }
            }
        }
    };
}
words! {
    /// Which days a task may be planned on.
    Kategorie, "kategorie", "arbeit, privat", {
        /// Work: Monday to Friday.
        Arbeit = "arbeit",
        /// Private: Saturday and Sunday.
        Privat = "privat",
    }
}

words! {
    /// Where a task stands; only open ones are planned.
    Status, "status", "offen, abgeschlossen, abgebrochen", {
        /// Open. Also when a file says nothing.
        Offen = "offen",
        /// Done.
        Abgeschlossen = "abgeschlossen",
        /// Cancelled.
        Abgebrochen = "abgebrochen",
    }
}

words! {
    /// One of a day's three slots.
    Zeit, "zeit", "morgens, nachmittags, abends", {
        /// Morning, passed from 9:00.
        Morgens = "morgens",
        /// Afternoon, passed from 14:00.
        Nachmittags = "nachmittags",
        /// Evening, passed from 19:00; never filled automatically.
        Abends = "abends",
    }
}
