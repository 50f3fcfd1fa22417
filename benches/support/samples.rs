//! Sample task files.

use std::path::Path;

use codex_miroir::task::{Kategorie, NewTask, Status, new_file};

/// A typical open task: a title of five words, two tags, a few lines of text.
pub(crate) fn sample_file(number: usize) -> (String, String) {
    let task = NewTask {
        title: Some(format!("Angebot {number} für Kunden prüfen")),
        kategorie: if number.is_multiple_of(3) {
            Kategorie::Privat
        } else {
            Kategorie::Arbeit
        },
        status: Status::Offen,
        tags: vec!["büro".to_owned(), format!("projekt-{}", number % 7)],
        deadline: None,
        fixed_slot: None,
        abgeschlossen_am: None,
        body: "Erst die Zahlen, dann der Text.\n\n- Preise\n- Fristen\n- Unterschrift\n".to_owned(),
    };
    let (slug, text) = new_file(&task).expect("a sample is a task");
    (format!("{number:04}-{slug}.md"), text)
}

/// Writes `count` sample files of `user` below `root`.
pub(crate) fn write_samples(root: &Path, user: &str, count: usize) {
    let folder = root.join("raw").join(user).join("tasks");
    std::fs::create_dir_all(&folder).expect("the folder can be made");
    for (name, text) in (0..count).map(sample_file) {
        std::fs::write(folder.join(name), text).expect("a sample can be written");
    }
}
