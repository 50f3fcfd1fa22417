//! The languages of the pages and their texts, which the web app has from the same `words.json` (`build.rs`).

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;

use crate::task::{Kategorie, ProblemCode, Zeit};

/// A language of the pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// German, the default: the values in task files are German, too.
    German,
    /// English, if the request prefers it.
    English,
}

/// What the printable page and the calendar say in one language.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WeekPageTexts {
    pub(super) week_from: String,
    pub(super) as_of: String,
    pub(super) valid_until: String,
    pub(super) app: String,
    pub(super) with_bodies: String,
    pub(super) without_bodies: String,
    pub(super) unreadable_body: String,
    pub(super) days: [String; 7],
    pub(super) today: String,
    pub(super) up_now: String,
    pub(super) zeit: BTreeMap<Zeit, String>,
    pub(super) kategorie: BTreeMap<Kategorie, String>,
    pub(super) free: String,
    pub(super) fixed: String,
    pub(super) due: String,
    /// By the name of the attention that a task needs.
    pub(super) attention: BTreeMap<String, String>,
    /// Before the title of a deadline's entry in the calendar.
    pub(super) deadline: String,
    pub(super) unplaced: String,
    /// By the code in API responses. The one of a taken slot is followed by the file that has it.
    pub(super) reason: BTreeMap<String, String>,
    /// Empty in English: there the problem's own message is used.
    pub(super) problem: BTreeMap<ProblemCode, String>,
    pub(super) unreadable: String,
    pub(super) notices: String,
    pub(super) line: String,
    pub(super) merged: String,
    /// Follows the count of free numbers.
    pub(super) free_ids: String,
}

#[expect(clippy::expect_used, reason = "the texts are part of the program")]
static TEXTS: LazyLock<BTreeMap<String, WeekPageTexts>> =
    LazyLock::new(|| serde_json::from_str(include_str!("words.json")).expect("texts of a page"));

impl Language {
    /// The BCP 47 tag, for HTML's `lang`.
    pub fn tag(self) -> &'static str {
        match self {
            Self::German => "de",
            Self::English => "en",
        }
    }

    /// The language with this tag.
    pub fn of_tag(tag: &str) -> Option<Self> {
        let all = [Self::German, Self::English];
        all.into_iter().find(|language| language.tag() == tag)
    }

    pub(super) fn texts(self) -> &'static WeekPageTexts {
        &TEXTS[self.tag()]
    }
}
