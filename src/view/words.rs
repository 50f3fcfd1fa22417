//! Localized texts of the printable page. The web app has its own in `web/script/words.js`.

use super::language::Language;
use crate::task::{Kategorie, ProblemCode, Zeit};

/// The page's texts in one language.
pub(super) struct WeekPageTexts {
    pub(super) week_from: &'static str,
    pub(super) as_of: &'static str,
    pub(super) valid_until: &'static str,
    pub(super) app: &'static str,
    pub(super) weekdays: [&'static str; 7],
    pub(super) today: &'static str,
    pub(super) up_now: &'static str,
    zeiten: [&'static str; 3],
    kategorien: [&'static str; 2],
    pub(super) free: &'static str,
    pub(super) fixed: &'static str,
    pub(super) due: &'static str,
    pub(super) missed: &'static str,
    pub(super) unplaced: &'static str,
    pub(super) slot_taken_by: &'static str,
    pub(super) slot_passed: &'static str,
    pub(super) outside_horizon: &'static str,
    pub(super) horizon_full: &'static str,
    pub(super) unreadable: &'static str,
    pub(super) notices: &'static str,
    pub(super) line: &'static str,
    pub(super) merged: &'static str,
    /// Follows the count of free numbers.
    pub(super) free_ids: &'static str,
}

const GERMAN: WeekPageTexts = WeekPageTexts {
    week_from: "Woche ab",
    as_of: "Stand",
    valid_until: "gültig bis",
    app: "Zur Web-App",
    weekdays: [
        "Sonntag",
        "Montag",
        "Dienstag",
        "Mittwoch",
        "Donnerstag",
        "Freitag",
        "Samstag",
    ],
    today: "Heute",
    up_now: "jetzt dran",
    zeiten: ["Morgens", "Nachmittags", "Abends"],
    kategorien: ["Arbeit", "Privat"],
    free: "frei",
    fixed: "fester Termin",
    due: "bis",
    missed: "Frist verpasst",
    unplaced: "Ohne Platz",
    slot_taken_by: "Der Termin gehört schon",
    slot_passed: "Der Termin ist vorbei.",
    outside_horizon: "Der Termin liegt nach dieser Woche.",
    horizon_full: "In dieser Woche ist nichts mehr frei.",
    unreadable: "Nicht lesbar",
    notices: "Hinweise",
    line: "Zeile",
    merged: "Hier und in Git geändert. Es gilt, was hier geändert wurde:",
    free_ids: "Nummern sind noch frei.",
};

const ENGLISH: WeekPageTexts = WeekPageTexts {
    week_from: "Week from",
    as_of: "As of",
    valid_until: "valid until",
    app: "To the web app",
    weekdays: [
        "Sunday",
        "Monday",
        "Tuesday",
        "Wednesday",
        "Thursday",
        "Friday",
        "Saturday",
    ],
    today: "Today",
    up_now: "up now",
    zeiten: ["Morning", "Afternoon", "Evening"],
    kategorien: ["Work", "Private"],
    free: "free",
    fixed: "fixed",
    due: "due",
    missed: "deadline missed",
    unplaced: "No place",
    slot_taken_by: "Its slot is taken by",
    slot_passed: "Its slot has passed.",
    outside_horizon: "Its slot is after this week.",
    horizon_full: "Nothing is free this week.",
    unreadable: "Not readable",
    notices: "Notices",
    line: "line",
    merged: "Changed here and in Git. What was changed here stands:",
    free_ids: "numbers are still free.",
};

impl WeekPageTexts {
    pub(super) fn of(language: Language) -> &'static Self {
        match language {
            Language::German => &GERMAN,
            Language::English => &ENGLISH,
        }
    }

    pub(super) fn zeit(&self, zeit: Zeit) -> &'static str {
        self.zeiten[match zeit {
            Zeit::Morgens => 0,
            Zeit::Nachmittags => 1,
            Zeit::Abends => 2,
        }]
    }

    pub(super) fn kategorie(&self, kategorie: Kategorie) -> &'static str {
        self.kategorien[match kategorie {
            Kategorie::Arbeit => 0,
            Kategorie::Privat => 1,
        }]
    }
}

/// The German text of a problem. In English the problem's own message is used.
pub(super) fn problem_text(code: ProblemCode) -> &'static str {
    match code {
        ProblemCode::BadFileName => {
            "Der Dateiname passt nicht: vier Ziffern, dann nichts oder ein Strich und ein Titel."
        }
        ProblemCode::TooLarge => "Die Datei ist größer als 1 MiB.",
        ProblemCode::NotReadable => "Der Dienst darf die Datei nicht öffnen.",
        ProblemCode::NotAFile => {
            "Das ist keine Datei, sondern etwa ein Ordner oder ein Link, der nirgendwohin führt."
        }
        ProblemCode::NotUtf8 => "Die Datei ist kein UTF-8.",
        ProblemCode::UnsupportedFrontMatter => "Der Kopf ist kein YAML.",
        ProblemCode::UnclosedFrontMatter => "Dem Kopf fehlt die schließende Zeile ---.",
        ProblemCode::BadYaml => "Der Kopf ist kein gültiges YAML.",
        ProblemCode::DuplicateKey => "Ein Feld steht zweimal im Kopf.",
        ProblemCode::BadKategorie => "kategorie muss arbeit oder privat sein.",
        ProblemCode::BadStatus => "status muss offen, abgeschlossen oder abgebrochen sein.",
        ProblemCode::BadTags => "tags muss eine Liste sein.",
        ProblemCode::BadDeadline => "deadline muss ein Datum wie 24.12.2026 sein.",
        ProblemCode::InvalidFixedSlot => "fixedSlot braucht ein gültiges datum und eine zeit.",
        ProblemCode::IdsRunningOut => "Nur noch wenige Nummern sind frei.",
        ProblemCode::MergedConflict => "Hier und in Git geändert.",
    }
}
