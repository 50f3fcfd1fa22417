//! New task files, and the values that new files and edits refuse.

use codex_miroir::task::{
    Edit, EditError, FileName, Kategorie, MAX_FILE_BYTES, NewTask, Parsed, Slot, Status, Task,
    Zeit, edit, new_file, parse,
};

fn name() -> FileName {
    "0042-x.md".parse().unwrap()
}

fn task(text: &str) -> Task {
    match parse(&name(), text.as_bytes()) {
        Parsed::Task(task) => task,
        other => panic!("{text:?}: {other:?}"),
    }
}

fn slot(datum: &str, zeit: Zeit) -> Slot {
    Slot {
        datum: datum.parse().unwrap(),
        zeit,
    }
}

fn front(lines: &str) -> String {
    format!("---\ntyp: task\nkategorie: arbeit\n{lines}---\n\nText\n")
}

fn tags(tags: &[&str]) -> Edit {
    Edit {
        tags: Some(tags.iter().map(ToString::to_string).collect()),
        ..Edit::default()
    }
}

fn body(body: &str) -> Edit {
    Edit {
        body: Some(body.into()),
        ..Edit::default()
    }
}

#[test]
fn a_result_over_a_mebibyte_is_too_large() {
    let room = MAX_FILE_BYTES - (front("").len() - "Text\n".len());
    let fits = edit(&name(), &front(""), &body(&"x".repeat(room))).unwrap();
    assert_eq!(fits.len(), MAX_FILE_BYTES);
    assert_eq!(
        edit(&name(), &front(""), &body(&"x".repeat(room + 1))),
        Err(EditError::TooLarge)
    );
    assert_eq!(
        new_file(&NewTask {
            body: "x".repeat(MAX_FILE_BYTES),
            ..new_task()
        }),
        Err(EditError::TooLarge)
    );
    assert_eq!(
        new_file(&NewTask {
            tags: vec!["x".into(); 1_901],
            ..new_task()
        }),
        Err(EditError::TooLarge)
    );
    assert!(
        new_file(&NewTask {
            tags: vec!["x".into(); 1_900],
            ..new_task()
        })
        .is_ok()
    );
    assert_eq!(
        edit(&name(), &front(""), &tags(&["x"; 1_901])),
        Err(EditError::TooLarge)
    );
    assert!(edit(&name(), &front(""), &tags(&["x"; 1_900])).is_ok());
}

fn new_task() -> NewTask {
    NewTask {
        title: None,
        kategorie: Kategorie::Arbeit,
        status: Status::Offen,
        tags: vec![],
        deadline: None,
        fixed_slot: None,
        abgeschlossen_am: None,
        body: String::new(),
    }
}

#[test]
fn a_new_file_looks_as_a_person_would_write_it() {
    let (slug, text) = new_file(&NewTask {
        title: Some("E-Mail & Co".into()),
        body: "Text".into(),
        ..new_task()
    })
    .unwrap();
    assert_eq!(slug, "E-Mail-Co");
    assert_eq!(
        text,
        "---\ntyp: task\nkategorie: arbeit\nstatus: offen\ntags: []\nfixedSlot: null\n---\n\n# E-Mail & Co\n\nText"
    );
    let full = NewTask {
        tags: vec!["Büro".into(), " ".into(), "yes".into(), "it's".into()],
        deadline: Some("01.02.2026".parse().unwrap()),
        fixed_slot: Some(slot("24.12.2026", Zeit::Morgens)),
        abgeschlossen_am: Some(slot("25.12.2026", Zeit::Abends)),
        status: Status::Abgeschlossen,
        body: "\n# Kopf\n".into(),
        title: Some(" Titel ".into()),
        ..new_task()
    };
    let expected = "---\ntyp: task\nkategorie: arbeit\nstatus: abgeschlossen\ntags:\n  - Büro\n  - 'yes'\n  - \"it's\"\n\
        deadline: 01.02.2026\nfixedSlot:\n  datum: 24.12.2026\n  zeit: morgens\nabgeschlossen_am:\n  datum: 25.12.2026\n  \
        zeit: abends\n---\n\n\n# Kopf\n";
    assert_eq!(new_file(&full), Ok(("Titel".into(), expected.into())));
}

#[test]
fn a_new_file_is_named_after_its_title_or_first_line() {
    for (title, body, slug, first) in [
        (None, "# Kopf\nText", "Kopf", "# Kopf"),
        (None, "", "untitled", ""),
        (Some("  "), "Text: a", "Text-a", "Text: a"),
        (Some("Titel"), "", "Titel", "# Titel"),
        (Some("Titel"), "# Kopf", "Titel", "# Kopf"),
        (Some("Titel"), "```\n# no\n```", "Titel", "# Titel"),
    ] {
        let (made, text) = new_file(&NewTask {
            title: title.map(Into::into),
            body: body.into(),
            ..new_task()
        })
        .unwrap();
        let stored = text.split_once("---\n\n").unwrap().1;
        assert_eq!(
            (made.as_str(), stored.lines().next().unwrap_or_default()),
            (slug, first),
            "{title:?} {body:?}"
        );
    }
}

#[test]
fn tags_are_quoted_when_any_yaml_would_misread_them() {
    for (tag, written) in [
        ("a]", "'a]'"),
        ("#x", "'#x'"),
        ("a #x", "'a #x'"),
        ("a: b", "'a: b'"),
        ("a:", "'a:'"),
        ("123", "'123'"),
        ("0x1F", "'0x1F'"),
        ("1_000", "'1_000'"),
        ("190:20:30", "'190:20:30'"),
        (".5", "'.5'"),
        (".inf", "'.inf'"),
        ("1e3", "'1e3'"),
        ("true", "'true'"),
        ("Yes", "'Yes'"),
        ("OFF", "'OFF'"),
        ("n", "'n'"),
        ("~", "'~'"),
        ("null", "'null'"),
        ("2026-01-01", "'2026-01-01'"),
        ("-", "'-'"),
        ("- a", "'- a'"),
        ("---", "'---'"),
        ("...", "'...'"),
        ("=", "'='"),
        ("<<", "'<<'"),
        ("&a", "'&a'"),
        ("*a", "'*a'"),
        ("!a", "'!a'"),
        ("|", "'|'"),
        (">", "'>'"),
        ("%a", "'%a'"),
        ("@a", "'@a'"),
        ("`a`", "'`a`'"),
        ("a, b", "'a, b'"),
        ("{a}", "'{a}'"),
        (" a", "' a'"),
        ("a ", "'a '"),
        ("\u{a0}a", "'\u{a0}a'"),
        ("it's", "\"it's\""),
        ("\"a\"", "'\"a\"'"),
        ("a\\b", "'a\\b'"),
        ("'\"", "'''\"'"),
        ("a\u{85}b", "\"a\\Nb\""),
        ("a\u{2028}b", "\"a\\Lb\""),
        ("a\u{2029}\"b\\", "\"a\\P\\\"b\\\\\""),
        ("\u{FEFF}a", "\"\\uFEFFa\""),
        ("a b", "a b"),
        ("Büro-2", "Büro-2"),
        ("日本", "日本"),
        ("🎉", "🎉"),
        ("a/b_c.d+e", "a/b_c.d+e"),
        ("yesterday", "yesterday"),
    ] {
        let (_, text) = new_file(&NewTask {
            tags: vec![tag.into()],
            ..new_task()
        })
        .unwrap();
        assert!(
            text.contains(&format!("\ntags:\n  - {written}\n")),
            "{tag:?} in {text}"
        );
        assert_eq!(task(&text).tags, [tag]);
        let flow = edit(&name(), &front("tags: [x]\n"), &tags(&[tag])).unwrap();
        assert_eq!(flow, front(&format!("tags: [{written}]\n")));
    }
}

#[test]
fn characters_that_cannot_be_stored_are_refused_by_field() {
    for c in [
        '\0',
        '\u{1}',
        '\u{1b}',
        '\u{7f}',
        '\u{80}',
        '\u{9f}',
        '\u{FDD0}',
        '\u{FDEF}',
        '\u{FFFE}',
        '\u{FFFF}',
        '\u{10FFFF}',
        '\t',
        '\n',
        '\r',
    ] {
        let text = format!("a{c}b");
        let refused = |field| Err(EditError::BadText { field });
        assert_eq!(
            edit(&name(), &front(""), &tags(&[&text])),
            refused("tags"),
            "{c:?}"
        );
        assert_eq!(
            new_file(&NewTask {
                tags: vec![text.clone()],
                ..new_task()
            })
            .map(|made| made.1),
            refused("tags"),
            "{c:?}"
        );
        assert_eq!(
            new_file(&NewTask {
                title: Some(text.clone()),
                ..new_task()
            })
            .map(|made| made.1),
            refused("title"),
            "{c:?}"
        );
        if matches!(c, '\t' | '\n' | '\r') {
            assert_eq!(
                task(&edit(&name(), &front(""), &body(&text)).unwrap()).tags,
                Vec::<String>::new()
            );
        } else {
            assert_eq!(
                edit(&name(), &front(""), &body(&text)),
                refused("body"),
                "{c:?}"
            );
            assert_eq!(
                new_file(&NewTask {
                    body: text,
                    ..new_task()
                })
                .map(|made| made.1),
                refused("body"),
                "{c:?}"
            );
        }
    }
}
