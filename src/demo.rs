//! The realistic sample week of `codex-miroir demo`.

use std::fs;
use std::io;
use std::path::Path;

use chrono::{Datelike, Days, NaiveDate, Weekday};

use crate::store::{BlobKey, BlobStore, Put, PutIf, StoreError, WriteIds};
use crate::task::{Datum, EditError, Kategorie, NewTask, Slot, Status, Zeit, new_file};
use crate::user::UserId;

use Kategorie::{Arbeit, Privat};
use Zeit::{Abends, Morgens, Nachmittags};

/// The file that marks a folder as the demo's.
const MARKER: &str = "codex-miroir-demo.txt";

/// Its content while the folder is being filled, and afterwards.
const UNFINISHED: &str = "codex-miroir demo is filling this folder.\n";
const FINISHED: &str = "codex-miroir demo filled this folder. Delete it to start afresh.\n";

/// The state of a folder, as the demo sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DemoFolder {
    /// Missing or empty; can be filled.
    Empty,
    /// An earlier demo didn't finish filling it.
    Unfinished,
    /// An earlier demo filled it.
    Filled,
    /// It holds other files; the demo must not write there.
    Foreign,
}

/// Why the sample week wasn't written.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The store failed to write a file.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A sample task can't be rendered as a file: a defect.
    #[error(transparent)]
    Task(#[from] EditError),
}

/// Classifies the folder without changing it.
///
/// # Errors
/// If the folder exists and can't be listed.
pub fn inspect(folder: &Path) -> io::Result<DemoFolder> {
    let mut entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(DemoFolder::Empty),
        entries => entries?,
    };
    match fs::read_to_string(folder.join(MARKER)) {
        Ok(text) if text == FINISHED => Ok(DemoFolder::Filled),
        Ok(_) => Ok(DemoFolder::Unfinished),
        Err(_) if entries.next().is_none() => Ok(DemoFolder::Empty),
        Err(_) => Ok(DemoFolder::Foreign),
    }
}

/// Creates the folder if necessary and marks it as the demo's, before anything else is written into it.
///
/// # Errors
/// If it can't be written.
pub fn begin(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    fs::write(folder.join(MARKER), UNFINISHED)
}

/// Marks the folder as filled: later starts keep the user's edits.
///
/// # Errors
/// If the marker can't be written.
pub fn finish(folder: &Path) -> io::Result<()> {
    fs::write(folder.join(MARKER), FINISHED)
}

/// Writes the sample week, with dates relative to `today`. Existing files are kept. Returns the number of files.
///
/// # Errors
/// If the store fails, or a sample can't be rendered.
pub async fn fill(
    store: &dyn BlobStore,
    user: &UserId,
    today: NaiveDate,
) -> Result<usize, DemoError> {
    let mut files = Vec::new();
    for (number, sample) in SAMPLES.iter().enumerate() {
        let (slug, text) = new_file(&sample.task(today))?;
        files.push((format!("{number:04}-{slug}.md"), text));
    }
    files.push((
        format!("{:04}-Garage-aufräumen.md", SAMPLES.len()),
        BROKEN.to_owned(),
    ));
    for (name, text) in &files {
        let Ok(key) = BlobKey::raw(user, name) else {
            continue;
        };
        let blob = Put {
            bytes: text.clone().into(),
            writes: WriteIds::default(),
        };
        store.put(&key, blob, PutIf::Absent).await?;
    }
    Ok(files.len())
}

/// A sample of a typical typing error: the closing quote is missing.
const BROKEN: &str = "---\ntyp: task\nkategorie: privat\nstatus: offen\ntags: [\"haus, garage]\n---\n\n# Garage aufräumen\n";

/// One sample task; its days are offsets from today.
struct Sample {
    title: &'static str,
    kategorie: Kategorie,
    status: Status,
    tags: &'static [&'static str],
    deadline: Option<u64>,
    fixed: Option<(u64, Zeit)>,
    body: &'static str,
}

impl Sample {
    const fn new(
        kategorie: Kategorie,
        title: &'static str,
        tags: &'static [&'static str],
        body: &'static str,
    ) -> Self {
        Self {
            title,
            kategorie,
            status: Status::Offen,
            tags,
            deadline: None,
            fixed: None,
            body,
        }
    }

    const fn due(self, days: u64) -> Self {
        Self {
            deadline: Some(days),
            ..self
        }
    }

    const fn at(self, days: u64, zeit: Zeit) -> Self {
        Self {
            fixed: Some((days, zeit)),
            ..self
        }
    }

    const fn status(self, status: Status) -> Self {
        Self { status, ..self }
    }

    /// Moves an appointment at work from a weekend to the next Monday.
    fn appointment(&self, day: Datum) -> Datum {
        let past_weekend = match (self.kategorie, day.0.weekday()) {
            (Arbeit, Weekday::Sat) => 2,
            (Arbeit, Weekday::Sun) => 1,
            _ => 0,
        };
        Datum(
            day.0
                .checked_add_days(Days::new(past_weekend))
                .unwrap_or(day.0),
        )
    }

    fn task(&self, today: NaiveDate) -> NewTask {
        let day = |days: u64| Datum(today.checked_add_days(Days::new(days)).unwrap_or(today));
        let done = Slot {
            datum: day(0),
            zeit: Morgens,
        };
        NewTask {
            title: Some(self.title.to_owned()),
            kategorie: self.kategorie,
            status: self.status,
            tags: self.tags.iter().map(|tag| (*tag).to_owned()).collect(),
            deadline: self.deadline.map(day),
            fixed_slot: self.fixed.map(|(days, zeit)| Slot {
                datum: self.appointment(day(days)),
                zeit,
            }),
            abgeschlossen_am: (self.status == Status::Abgeschlossen).then_some(done),
            body: self.body.to_owned(),
        }
    }
}

const SAMPLES: &[Sample] = &[
    Sample::new(
        Arbeit,
        "Urlaubsantrag abgeben",
        &["büro"],
        "Zwei Wochen im Sommer, mit Jonas abgestimmt.\n",
    )
    .status(Status::Abgeschlossen),
    Sample::new(
        Arbeit,
        "Angebot für Stadtwerke fertigstellen",
        &["kunde", "angebot"],
        "- Preise prüfen\n- Anhang B ergänzen\n- Unterschrift holen\n",
    )
    .due(2),
    Sample::new(
        Arbeit,
        "Quartalszahlen zusammenstellen",
        &["bericht"],
        "Vorlage liegt im Projektordner.\n",
    )
    .due(4),
    Sample::new(
        Arbeit,
        "Teamrunde",
        &["besprechung"],
        "Tagesordnung: Personalplanung, Messe, Sonstiges.\n",
    )
    .at(1, Morgens),
    Sample::new(
        Privat,
        "Zahnarzt",
        &["gesundheit"],
        "Bonusheft mitnehmen.\n",
    )
    .at(2, Nachmittags),
    Sample::new(
        Arbeit,
        "Protokoll der letzten Sitzung verschicken",
        &["besprechung"],
        "",
    )
    .due(1),
    Sample::new(
        Privat,
        "Steuererklärung vorbereiten",
        &["finanzen", "papier"],
        "- Belege sortieren\n- Spendenquittungen\n- Fahrtkosten\n",
    )
    .due(20),
    Sample::new(
        Arbeit,
        "Bewerbungen für die Elternzeitvertretung lesen",
        &["personal"],
        "Fünf Mappen, Rückmeldung an Frau Yılmaz.\n",
    )
    .due(3),
    Sample::new(
        Privat,
        "Fahrrad zur Werkstatt bringen",
        &["rad"],
        "Die Bremse hinten schleift.\n",
    ),
    Sample::new(
        Privat,
        "Elternabend",
        &["schule"],
        "Raum 204, Beginn 19:30 Uhr.\n",
    )
    .at(3, Abends),
    Sample::new(
        Arbeit,
        "Messestand buchen",
        &["messe"],
        "Halle 4 oder 5, höchstens 24 m².\n",
    )
    .due(5),
    Sample::new(
        Arbeit,
        "Präsentation für den Vorstand",
        &["bericht", "präsentation"],
        "Zwölf Folien, nicht mehr.\n",
    )
    .due(6),
    Sample::new(
        Privat,
        "Geburtstagsgeschenk für Oma",
        &["familie"],
        "Vielleicht das Fotobuch vom Sommer.\n",
    )
    .due(6),
    Sample::new(Privat, "Chorprobe", &["chor"], "Noten: Brahms op. 45.\n").at(4, Abends),
    Sample::new(Arbeit, "Rechnungen freigeben", &["finanzen"], ""),
    Sample::new(
        Arbeit,
        "Wartungsvertrag kündigen",
        &["vertrag"],
        "Kündigungsfrist beachten!\n",
    )
    .due(1),
    Sample::new(
        Privat,
        "Balkon winterfest machen",
        &["haus"],
        "Oleander in den Keller.\n",
    ),
    Sample::new(
        Arbeit,
        "Telefonat mit Herrn Nowak",
        &["kunde"],
        "Wegen der Reklamation vom letzten Monat.\n",
    )
    .at(1, Morgens),
    Sample::new(
        Arbeit,
        "Einarbeitungsplan schreiben",
        &["personal"],
        "Erste Woche: Rundgang, Zugänge, Pate.\n",
    ),
    Sample::new(
        Privat,
        "Wocheneinkauf",
        &["haus"],
        "Milch, Brot, Kaffee, Katzenfutter.\n",
    ),
    Sample::new(
        Arbeit,
        "Lieferanten vergleichen",
        &["einkauf"],
        "| Firma | Preis | Frist |\n|---|---|---|\n| A | 12,40 € | 3 Tage |\n| B | 11,90 € | 8 Tage |\n",
    ),
    Sample::new(Privat, "Impftermin", &["gesundheit"], "").at(9, Morgens),
    Sample::new(
        Arbeit,
        "Datenschutzschulung",
        &["pflicht"],
        "Online, etwa 40 Minuten.\n",
    )
    .due(12),
    Sample::new(Arbeit, "Archivschrank ausräumen", &["büro"], "").status(Status::Abgebrochen),
    Sample::new(
        Privat,
        "Reifen wechseln",
        &["auto"],
        "Winterreifen liegen in der Garage.\n",
    ),
    Sample::new(
        Arbeit,
        "Interview mit der Lokalzeitung",
        &["presse"],
        "Fragen vorab an die Pressestelle.\n",
    )
    .at(4, Nachmittags),
    Sample::new(Privat, "Sportkurs anmelden", &["gesundheit", "sport"], "").due(3),
    Sample::new(
        Arbeit,
        "Handbuch Kapitel 3 überarbeiten",
        &["doku"],
        "Abbildungen 7 bis 9 stimmen nicht mehr.\n",
    ),
    Sample::new(Arbeit, "Altgeräte inventarisieren", &["büro"], ""),
    Sample::new(
        Privat,
        "Kino mit Mara",
        &["freunde"],
        "Karten an der Abendkasse.\n",
    )
    .at(6, Abends),
    Sample::new(
        Arbeit,
        "Budget für nächstes Jahr schätzen",
        &["finanzen", "planung"],
        "Mit und ohne Neueinstellung.\n",
    ),
];
