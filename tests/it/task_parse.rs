//! Reading a task file (`src/task/README.md`, "Front matter", "Problems"): the values that each key accepts, and
//! the problem that each broken file gives.

use codex_miroir::task::{
    FileName, FixedSlot, Kategorie, MAX_FILE_BYTES, Parsed, Problem, ProblemCode, Slot, Status,
    Task, Zeit, parse,
};

fn name() -> FileName {
    "0042-Steuer-machen.md".parse().unwrap()
}

fn read(text: &str) -> Parsed {
    parse(&name(), text.as_bytes())
}

/// Parses a task file with these lines in its front matter, after `typ` and `kategorie`.
fn task(lines: &str) -> Task {
    match read(&front(lines)) {
        Parsed::Task(task) => task,
        other => panic!("{lines:?}: {other:?}"),
    }
}

fn front(lines: &str) -> String {
    format!("---\ntyp: task\nkategorie: arbeit\n{lines}\n---\n\nText\n")
}

fn problem(text: &str) -> Problem {
    match read(text) {
        Parsed::Unreadable(problem) => problem,
        other => panic!("{text:?}: {other:?}"),
    }
}

fn code_and_line(text: &str) -> (ProblemCode, Option<u32>) {
    let problem = problem(text);
    (problem.code, problem.line)
}

fn slot(datum: &str, zeit: Zeit) -> Slot {
    Slot {
        datum: datum.parse().unwrap(),
        zeit,
    }
}

#[test]
fn a_whole_task_is_read() {
    let text = "---\ntyp: task\nkategorie: privat\nstatus: abgeschlossen\ntags:\n  - Steuer\n  - 'a: b'\n\
                deadline: 31.05.2026\nfixedSlot:\n  datum: 24.12.2026\n  zeit: abends\n\
                abgeschlossen_am: {datum: 01.02.2026, zeit: morgens}\n---\n\n# Steuer 2025\n\nBelege\n";
    let expected = Task {
        title: "Steuer 2025".into(),
        kategorie: Kategorie::Privat,
        status: Status::Abgeschlossen,
        tags: vec!["Steuer".into(), "a: b".into()],
        deadline: Some("31.05.2026".parse().unwrap()),
        fixed_slot: FixedSlot::At(slot("24.12.2026", Zeit::Abends)),
        abgeschlossen_am: Some(slot("01.02.2026", Zeit::Morgens)),
    };
    assert_eq!(read(text), Parsed::Task(expected));
}

#[test]
fn a_byte_order_mark_and_crlf_change_nothing() {
    let plain = front("tags: [a]\ndeadline: 01.01.2026");
    let windows = format!("\u{FEFF}{}", plain.replace('\n', "\r\n"));
    assert_eq!(read(&plain), read(&windows));
    assert!(matches!(read(&windows), Parsed::Task(_)));
}

#[test]
fn what_is_missing_empty_or_null_has_its_default() {
    let bare = task("x: y");
    assert_eq!(bare.status, Status::Offen);
    assert_eq!(bare.tags, Vec::<String>::new());
    assert_eq!((bare.deadline, bare.abgeschlossen_am), (None, None));
    assert_eq!(bare.fixed_slot, FixedSlot::None);
    for value in ["", " null", " ~", " ''", " \"\"", " NULL", " # nothing"] {
        let lines = [
            "status",
            "tags",
            "deadline",
            "fixedSlot",
            "abgeschlossen_am",
        ]
        .map(|key| format!("{key}:{value}"));
        assert_eq!(task(&lines.join("\n")), bare, "{value:?}");
    }
}

#[test]
fn what_is_not_a_task_is_ignored() {
    let files = [
        "",
        "# Notes",
        "----\ntyp: task\n----\n",
        "-- -\n",
        " ---\ntyp: task\n---\n",
        "text\n---\ntyp: task\n---\n",
        "---\n---\n",
        "---\n# only a comment\n---\n",
        "---\ntitle: x\n---\n",
        "---\ntyp: note\n---\n",
        "---\ntyp:\n---\n",
        "---\ntyp: [task]\n---\n",
        "---\ntyp: Task\n---\n",
        "---\ntyp: ''\nkategorie: nonsense\n---\n",
    ];
    for file in files {
        assert_eq!(read(file), Parsed::NotATask, "{file:?}");
    }
    assert_eq!(read("---\ntyp: settled\n---\n"), Parsed::Tombstone);
}

#[test]
fn tags_are_their_source_texts() {
    let cases: &[(&str, &[&str])] = &[
        (
            "tags: [007, 1.10, yes, true, 2026-01-01, null]",
            &["007", "1.10", "yes", "true", "2026-01-01", "null"],
        ),
        (
            "tags:\n- a\n-   'b c'\n- \"d\\u00e9\\Nf\"",
            &["a", "b c", "dé\u{85}f"],
        ),
        ("tags: alone", &["alone"]),
        ("tags: 12", &["12"]),
        ("tags: ['', a, b]", &["a", "b"]),
        ("tags:\n  - a\n  -\n  - ''", &["a"]),
        ("tags: []", &[]),
        (
            "tags:\n  - a # with a comment\n  # between\n  - b#c",
            &["a", "b#c"],
        ),
        ("tags: 'it''s'", &["it's"]),
    ];
    for (lines, tags) in cases {
        assert_eq!(task(lines).tags, *tags, "{lines:?}");
    }
}

#[test]
fn every_form_of_a_fixed_slot_is_read() {
    let at = FixedSlot::At(slot("24.12.2026", Zeit::Nachmittags));
    for form in [
        "fixedSlot:\n  datum: 24.12.2026\n  zeit: nachmittags",
        "fixedSlot:\n  zeit: NACHMITTAGS\n  datum: '24.12.2026'",
        "fixedSlot: {datum: 24.12.2026, zeit: \"Nachmittags\"}",
        "fixedSlot:\n  - datum: 24.12.2026\n  - zeit: nachmittags",
        "fixedSlot:\n- zeit: nachmittags\n- datum: 24.12.2026",
        "fixedSlot: [{datum: 24.12.2026}, {zeit: nachmittags}]",
        "fixedSlot: [datum: 24.12.2026, zeit: nachmittags]",
        "fixedSlot:\n  - datum: 24.12.2026\n    zeit: nachmittags",
    ] {
        assert_eq!(task(form).fixed_slot, at, "{form:?}");
        let done = task(&form.replace("fixedSlot", "abgeschlossen_am")).abgeschlossen_am;
        assert_eq!(
            done,
            Some(slot("24.12.2026", Zeit::Nachmittags)),
            "{form:?}"
        );
    }
}

#[test]
fn a_fixed_slot_without_a_datum_is_none() {
    for form in [
        "{}",
        "[]",
        "{zeit: morgens}",
        "{datum: , zeit: morgens}",
        "{datum: '', zeit: x}",
        "{datum: null}",
        "[{zeit: morgens}]",
    ] {
        assert_eq!(
            task(&format!("fixedSlot: {form}")).fixed_slot,
            FixedSlot::None,
            "{form:?}"
        );
    }
}

#[test]
fn a_fixed_slot_that_is_wrong_is_invalid_with_its_line() {
    for (form, line) in [
        ("fixedSlot: {datum: 31.02.2026, zeit: morgens}", 4),
        ("fixedSlot:\n  zeit: morgens\n  datum: 2026-01-01", 6),
        ("fixedSlot:\n  datum: 24.12.2026\n  zeit: mittags", 6),
        ("fixedSlot: {datum: 24.12.2026}", 4),
        ("fixedSlot:\n  datum: 24.12.2026\n  zeit:", 5),
        ("fixedSlot: morgen", 4),
        ("fixedSlot: [24.12.2026, morgens]", 4),
        ("fixedSlot: {datum: [24.12.2026], zeit: morgens}", 4),
    ] {
        let FixedSlot::Invalid(problem) = task(form).fixed_slot else {
            panic!("{form:?} is read")
        };
        assert_eq!(
            (problem.code, problem.line),
            (ProblemCode::InvalidFixedSlot, Some(line)),
            "{form:?}"
        );
        let done = task(&form.replace("fixedSlot", "abgeschlossen_am")).abgeschlossen_am;
        assert_eq!(done, None, "{form:?}");
    }
}

#[test]
fn a_field_that_is_wrong_is_a_problem_with_its_line() {
    use ProblemCode::{BadDeadline, BadKategorie, BadStatus, BadTags};
    let cases = [
        ("---\ntyp: task\n---\n", BadKategorie, 2),
        ("---\ntyp: task\nkategorie:\n---\n", BadKategorie, 3),
        ("---\ntyp: task\nkategorie: Arbeit\n---\n", BadKategorie, 3),
        (
            "---\ntyp: task\nkategorie: [arbeit]\n---\n",
            BadKategorie,
            3,
        ),
        (
            "---\ntyp: task\nkategorie: arbeit\nstatus: fertig\n---\n",
            BadStatus,
            4,
        ),
        (
            "---\ntyp: task\nkategorie: arbeit\ndeadline: 31.02.2026\n---\n",
            BadDeadline,
            4,
        ),
        (
            "---\ntyp: task\nkategorie: arbeit\ndeadline: 1.1.26\n---\n",
            BadDeadline,
            4,
        ),
        (
            "---\ntyp: task\nkategorie: arbeit\ndeadline:\n  - 01.01.2026\n---\n",
            BadDeadline,
            5,
        ),
        (
            "---\ntyp: task\nkategorie: arbeit\ntags:\n  - a\n  - [b]\n---\n",
            BadTags,
            6,
        ),
        (
            "---\ntyp: task\nkategorie: arbeit\ntags: {a: b}\n---\n",
            BadTags,
            4,
        ),
    ];
    for (text, code, line) in cases {
        assert_eq!(code_and_line(text), (code, Some(line)), "{text:?}");
        let windows = format!("\u{FEFF}{}", text.replace('\n', "\r\n"));
        assert_eq!(code_and_line(&windows), (code, Some(line)), "{windows:?}");
    }
}

#[test]
fn yaml_that_is_not_read_is_a_problem_with_its_line() {
    for (yaml, line) in [
        ("typ: task\na: [b", 3),
        ("typ: task\na: 'b", 3),
        ("typ: task\n a: b", 3),
        ("typ: task\na: &x b\nc: *x", 3),
        ("typ: task\nc: *x", 3),
        ("typ: task\na: !!str b", 3),
        ("typ: task\n? a\n: b", 3),
        ("typ: task\n[a]: b", 3),
        ("typ: task\n...\ntyp: task", 4),
        ("typ: task\n--- x", 3),
        ("--- {typ: task}", 2),
        ("- typ: task", 2),
        ("just text", 2),
        ("typ: task\na: \u{FEFF}b", 3),
        ("typ: task\na: \0", 3),
    ] {
        assert_eq!(
            code_and_line(&format!("---\n{yaml}\n---\n")),
            (ProblemCode::BadYaml, Some(line)),
            "{yaml:?}"
        );
    }
}

#[test]
fn depth_and_size_are_bounded() {
    let nested = |depth: usize| front(&format!("x: {}{}", "[".repeat(depth), "]".repeat(depth)));
    assert!(matches!(read(&nested(15)), Parsed::Task(_)));
    assert_eq!(code_and_line(&nested(16)), (ProblemCode::BadYaml, Some(4)));
    // The limit of 2000 includes seven values before the items: the mapping, two keys, their values, `x`, its list.
    let long = |items: usize| front(&format!("x:\n{}", "- a\n".repeat(items)));
    assert!(matches!(read(&long(1993)), Parsed::Task(_)));
    assert_eq!(
        code_and_line(&long(1994)),
        (ProblemCode::BadYaml, Some(1998))
    );
    let flow = |items: usize| front(&format!("x:\n [{}]", "a,".repeat(items)));
    assert!(matches!(read(&flow(1993)), Parsed::Task(_)));
    assert_eq!(code_and_line(&flow(1994)).0, ProblemCode::BadYaml);
}

#[test]
fn a_duplicate_key_is_a_problem_with_its_line() {
    for (yaml, line) in [
        ("typ: task\nkategorie: arbeit\ntyp: task", 4),
        ("typ: note\n'typ': note", 3),
        ("typ: task\nx:\n  - a: b\n    c: d\n    a: e", 6),
        ("typ: task\nfixedSlot: {datum: x, datum: y}", 3),
    ] {
        let text = format!("---\n{yaml}\n---\n");
        assert_eq!(
            code_and_line(&text),
            (ProblemCode::DuplicateKey, Some(line)),
            "{yaml:?}"
        );
    }
}

#[test]
fn other_languages_and_unclosed_front_matter_are_problems() {
    for text in [
        "---js\n{}\n---\n",
        "---yaml\ntyp: task\n---\n",
        "--- # x\n---\n",
        "---json",
        "\u{feff}\u{feff}---\ntyp: task\n---\n",
        "\u{200b}---\r\ntyp: task\r\n---\r\n",
        "\u{feff}\u{2060}---",
    ] {
        assert_eq!(
            code_and_line(text),
            (ProblemCode::UnsupportedFrontMatter, Some(1)),
            "{text:?}"
        );
    }
    for text in [
        "---",
        "---\n",
        "---\ntyp: task\n",
        "---\ntyp: task\n----\n",
        "---\ntyp: task\n ---\n",
        "---\n--- x\n",
    ] {
        assert_eq!(
            code_and_line(text),
            (ProblemCode::UnclosedFrontMatter, Some(1)),
            "{text:?}"
        );
    }
}

#[test]
fn size_comes_first_then_utf8() {
    let text = front("x: y");
    let mut bytes = text.clone().into_bytes();
    bytes.resize(MAX_FILE_BYTES, b' ');
    assert!(matches!(parse(&name(), &bytes), Parsed::Task(_)));
    bytes.push(0xFF);
    let Parsed::Unreadable(problem) = parse(&name(), &bytes) else {
        panic!("is read")
    };
    assert_eq!((problem.code, problem.line), (ProblemCode::TooLarge, None));
    let Parsed::Unreadable(problem) = parse(&name(), b"---\ntyp: note\n---\n\xFFx") else {
        panic!("is read")
    };
    assert_eq!(
        (problem.code, problem.line),
        (ProblemCode::NotUtf8, Some(4))
    );
}

#[test]
fn a_message_quotes_little_and_escapes_controls() {
    let long = "\\e\\x7f\u{2028}".to_owned() + &"ä".repeat(5000);
    let message = problem(&front(&format!("deadline: \"{long}\""))).message;
    assert!(message.chars().count() < 200, "{message}");
    assert!(
        !message.chars().any(|c| c.is_control() || c == '\u{2028}'),
        "{message}"
    );
    assert!(message.contains("dd.mm.yyyy"), "{message}");
}
