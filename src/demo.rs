//! The realistic sample week of `codex-miroir demo`.

use std::error::Error;
use std::fs;
use std::io;
use std::path::Path;

use chrono::{Datelike, Days, NaiveDate, Weekday};
use serde::Deserialize;

use crate::store::{BlobKey, BlobStore, Put, PutIf, WriteIds};
use crate::task::{Datum, Kategorie, NewTask, Slot, Status, Zeit, new_file};
use crate::user::UserId;

/// The file that marks a folder as the demo's.
const MARKER: &str = "codex-miroir-demo.txt";

/// Its content while the folder is being filled.
pub const UNFINISHED: &str = "codex-miroir demo is filling this folder.\n";

/// Its content afterwards: later starts keep the user's edits.
pub const FINISHED: &str = "codex-miroir demo filled this folder. Delete it to start afresh.\n";

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

/// Marks the folder as the demo's, with the content of the marker, and creates it if necessary.
///
/// # Errors
/// If it can't be written.
pub fn mark(folder: &Path, content: &str) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    fs::write(folder.join(MARKER), content)
}

/// Writes the sample week, with dates relative to `today`. Existing files are kept. Returns the number of files.
///
/// # Errors
/// If the store fails, or a sample can't be rendered.
pub async fn fill(
    store: &dyn BlobStore,
    user: &UserId,
    today: NaiveDate,
) -> Result<usize, Box<dyn Error>> {
    let mut files = Vec::new();
    for sample in serde_json::from_str::<Vec<Sample>>(SAMPLES)? {
        let (slug, text) = new_file(&sample.task(today))?;
        files.push((format!("{:04}-{slug}.md", files.len()), text));
    }
    let broken = format!("{:04}-Garage-aufräumen.md", files.len());
    files.push((broken, BROKEN.to_owned()));
    for (name, text) in &files {
        let Some(key) = BlobKey::raw(user, name) else {
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

/// The sample tasks, in the order of their numbers.
const SAMPLES: &str = include_str!("demo.json");

/// One sample task; its days are offsets from today.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Sample {
    title: String,
    kategorie: Kategorie,
    status: Option<Status>,
    tags: Vec<String>,
    deadline: Option<u64>,
    fixed_slot: Option<(u64, Zeit)>,
    body: String,
}

impl Sample {
    /// Moves an appointment at work from a weekend to the next Monday.
    fn appointment(&self, day: Datum) -> Datum {
        let past_weekend = match (self.kategorie, day.0.weekday()) {
            (Kategorie::Arbeit, Weekday::Sat) => 2,
            (Kategorie::Arbeit, Weekday::Sun) => 1,
            _ => 0,
        };
        day_after(day.0, past_weekend)
    }

    fn task(self, today: NaiveDate) -> NewTask {
        let status = self.status.unwrap_or(Status::Offen);
        let done = Slot {
            datum: Datum(today),
            zeit: Zeit::Morgens,
        };
        NewTask {
            kategorie: self.kategorie,
            status,
            deadline: self.deadline.map(|days| day_after(today, days)),
            fixed_slot: self.fixed_slot.map(|(days, zeit)| Slot {
                datum: self.appointment(day_after(today, days)),
                zeit,
            }),
            abgeschlossen_am: (status == Status::Abgeschlossen).then_some(done),
            title: Some(self.title),
            tags: self.tags,
            body: self.body,
        }
    }
}

fn day_after(day: NaiveDate, days: u64) -> Datum {
    Datum(day.checked_add_days(Days::new(days)).unwrap_or(day))
}
