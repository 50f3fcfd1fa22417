//! Three-way merge of a task file (`src/git_sync/README.md`, "Merging"): the rules, by example.

use std::time::{Duration, Instant};

use codex_miroir::github::{MergeResult, merge};
use codex_miroir::task::{FileName, MAX_FILE_BYTES, Parsed, parse};
use insta::assert_snapshot;

fn name() -> FileName {
    "0042-x.md".parse().unwrap()
}

fn front(lines: &str) -> String {
    format!("---\ntyp: task\nkategorie: arbeit\n{lines}---\n\nText\n")
}

fn merge_texts(base: Option<&str>, ours: &str, theirs: &str) -> (String, String) {
    let base = base.map(str::as_bytes);
    let MergeResult { bytes, conflicts } = merge(&name(), base, ours.as_bytes(), theirs.as_bytes());
    (String::from_utf8(bytes).unwrap(), conflicts.join(", "))
}

fn is_task(text: &str) -> bool {
    matches!(parse(&name(), text.as_bytes()), Parsed::Task(_))
}

/// Merges front matter lines and asserts the merged lines and the conflicts, with LF and with CRLF.
fn assert_merge(base: Option<&str>, [ours, theirs, merged]: [&str; 3], conflicts: &str) {
    let windows = |lines: &str| front(lines).replace('\n', "\r\n");
    let note = format!("{base:?}, {ours:?}, {theirs:?}");
    for front_with in [front, windows as fn(&str) -> String] {
        let wanted = (front_with(merged), conflicts.to_owned());
        let base = base.map(front_with);
        let found = merge_texts(base.as_deref(), &front_with(ours), &front_with(theirs));
        assert_eq!(found, wanted, "{note}");
    }
}

/// Each row: base, ours, theirs, the result, the conflicts.
fn assert_merges(rows: &[[&str; 5]]) {
    for [base, ours, theirs, merged, conflicts] in rows {
        assert_merge(Some(base), [ours, theirs, merged], conflicts);
    }
}

const DONE: &str = "status: abgeschlossen\nabgeschlossen_am: {datum: 01.02.2026, zeit: abends}\n";
const DONE_LATER: &str =
    "status: abgeschlossen\nabgeschlossen_am: {datum: 09.02.2026, zeit: abends}\n";
const OPEN: &str = "status: offen\n";
const CANCELLED: &str = "status: abgebrochen\n";

#[test]
fn what_only_one_side_changed_is_taken_from_it() {
    assert_merges(&[
        [
            "a: 1\ntags: [x]\n",
            "a: 1\ntags: [y]\n",
            "a: 2\ntags: [x]\n",
            "a: 2\ntags: [y]\n",
            "",
        ],
        [
            "a: 1\n",
            "a: 1\ndeadline: 01.02.2026\n",
            "a: 2\n",
            "a: 2\ndeadline: 01.02.2026\n",
            "",
        ],
        [
            "deadline: 01.02.2026\na: 1\n",
            "a: 1\n",
            "deadline: 01.02.2026\na: 2\n",
            "a: 2\n",
            "",
        ],
        ["a: 1\nb: 1\n", "a: 1\nb: 2\n", "b: 1\n", "b: 2\n", ""],
        [
            "fixedSlot: null\na: 1\n",
            "fixedSlot: null\na: 2\n",
            "fixedSlot:\n  datum: 01.02.2026\n  zeit: abends\na: 1\n",
            "fixedSlot:\n  datum: 01.02.2026\n  zeit: abends\na: 2\n",
            "",
        ],
        // An unparseable value is a value, too.
        [
            "fixedSlot: null\na: 1\n",
            "fixedSlot: null\na: 2\n",
            "fixedSlot: bald\na: 1\n",
            "fixedSlot: bald\na: 2\n",
            "",
        ],
        // The same change in two notations.
        [
            "deadline:\na: 1\n",
            "deadline: 01.02.2026\na: 1\n",
            "deadline: '01.02.2026'\na: 2\n",
            "deadline: 01.02.2026\na: 2\n",
            "",
        ],
        // The same key added on both sides.
        ["", "b: 1\n", "a: 1\nb: 1\n", "a: 1\nb: 1\n", ""],
    ]);
}

#[test]
fn what_both_changed_differently_is_ours_and_is_named() {
    assert_merges(&[
        [
            "tags: [x]\n",
            "tags: [y]\n",
            "tags: [z]\n",
            "tags: [y]\n",
            "tags",
        ],
        [
            "deadline: 01.02.2026\n",
            "",
            "deadline: 02.02.2026\n",
            "",
            "deadline",
        ],
        [
            "deadline: 01.02.2026\n",
            "deadline: 02.02.2026\n",
            "",
            "deadline: 02.02.2026\n",
            "deadline",
        ],
        [
            "status: offen\nx: 1\n",
            "status: abgebrochen\nx: 2\n",
            "x: 3\n",
            "status: abgebrochen\nx: 2\n",
            "x",
        ],
        ["", "a b: 1\n", "a b: '1'\n", "a b: 1\n", "a b"],
        [
            "fixedSlot: bald\n",
            "fixedSlot: nie\n",
            "fixedSlot: jetzt\n",
            "fixedSlot: nie\n",
            "fixedSlot",
        ],
        [
            "z: 1\na: 1\n",
            "z: 2\na: 2\n",
            "z: 3\na: 3\n",
            "z: 2\na: 2\n",
            "a, z",
        ],
    ]);
}

#[test]
fn other_words_for_the_same_are_no_change_of_the_field() {
    assert_merges(&[
        // Only the notation differs, on the Git side.
        [
            "tags: [x]\na: 1\n",
            "tags: [x]\na: 2\n",
            "tags: [ 'x' ] # more?\na: 1\n",
            "tags: [ 'x' ] # more?\na: 2\n",
            "",
        ],
        // The value is ours, its notation and comment are Git's.
        [
            "status: offen\n",
            "status: abgebrochen\n",
            "status: 'offen' # still\n",
            "status: 'abgebrochen' # still\n",
            "",
        ],
        [
            "deadline: 01.02.2026\n",
            "",
            "deadline: 01.02.2026 # why?\n",
            "deadline: # why?\n",
            "",
        ],
        [
            "tags: [x]\n",
            "tags: [x, z]\n",
            "tags:\n  - x # first\n",
            "tags:\n  - x # first\n  - z\n",
            "",
        ],
        // The value and its notation are Git's; a notation changed on both sides is ours.
        [
            "status: offen\n",
            "status: 'offen' # still\n",
            "status: abgebrochen\n",
            "status: abgebrochen\n",
            "",
        ],
        [
            "status: offen\n",
            "status: 'offen'\n",
            "status: \"offen\"\n",
            "status: 'offen'\n",
            "",
        ],
    ]);
}

#[test]
fn who_completes_a_task_has_completed_it() {
    assert_merges(&[
        [OPEN, DONE, CANCELLED, DONE, "status"],
        [OPEN, CANCELLED, DONE, DONE, "status"],
        [OPEN, OPEN, DONE, DONE, ""],
        ["", "x: 1\n", DONE, &[DONE, "x: 1\n"].concat(), ""],
        [OPEN, DONE, DONE, DONE, ""],
        [OPEN, DONE, DONE_LATER, DONE, "abgeschlossen_am"],
        // A comment on the status line is kept.
        [
            OPEN,
            DONE,
            "status: offen # really?\n",
            &DONE.replacen('\n', " # really?\n", 1),
            "",
        ],
        // A task that is completed in the base may be reopened.
        [DONE, OPEN, DONE, OPEN, ""],
        [
            DONE,
            &[DONE, "x: 1\n"].concat(),
            OPEN,
            "status: offen\nx: 1\n",
            "",
        ],
        [DONE, OPEN, DONE_LATER, OPEN, "status"],
        [DONE, DONE_LATER, OPEN, DONE_LATER, "status"],
        [DONE, DONE_LATER, CANCELLED, DONE_LATER, "status"],
    ]);
}

#[test]
fn without_a_base_what_differs_was_changed_by_both() {
    for [ours, theirs, merged, conflicts] in [
        [
            "tags: [x]\na: 1\n",
            "b: 1\ntags: [x]\n",
            "b: 1\ntags: [x]\na: 1\n",
            "",
        ],
        [
            "tags: [x]\na: 1\n",
            "tags: [y]\na: 2\n",
            "tags: [x]\na: 1\n",
            "a, tags",
        ],
        ["tags: [x]\n", "tags: ['x']\n", "tags: [x]\n", ""],
        ["", "deadline: 01.02.2026\n", "deadline: 01.02.2026\n", ""],
        [OPEN, CANCELLED, OPEN, "status"],
        [OPEN, DONE, DONE, "status"],
        ["", DONE, DONE, ""],
        [DONE, OPEN, DONE, "status"],
        [DONE, "x: 1\n", &["x: 1\n", DONE].concat(), ""],
        [DONE, "status: abgeschlossen\n", DONE, ""],
        ["status: abgeschlossen\n", DONE, DONE, ""],
        [DONE, DONE_LATER, DONE, "abgeschlossen_am"],
        ["", CANCELLED, CANCELLED, ""],
    ] {
        assert_merge(None, [ours, theirs, merged], conflicts);
    }
    let bodies = |body| front("") + body;
    let found = merge_texts(None, &bodies("A\n"), &bodies("B\n"));
    assert_eq!(found, (bodies("A\n"), "body".into()));
}

#[test]
fn a_base_that_is_no_task_is_no_base() {
    for base in [
        "",
        "kein",
        "---\ntyp: settled\n---\n",
        "---\ntyp: task\n---\n",
    ] {
        let found = merge_texts(Some(base), &front("a: 1\n"), &front("a: 2\nb: 1\n"));
        assert_eq!(found, (front("a: 1\nb: 1\n"), "a".into()), "{base:?}");
    }
}

#[test]
fn comments_order_and_unknown_keys_of_both_stay() {
    let base = "---\ntyp: task\n# where\nkategorie: arbeit # mine\nx: |\n  # text\n\n# last\n---\n\nA\n\nB\n\nC\n";
    let ours = "---\ntyp: task\n# where\nkategorie: privat # mine\nx: |\n  # text\n\n# last\ndeadline: 01.02.2026\nstatus: abgebrochen\n---\n\nA1\n\nB\n\nC\n";
    let theirs = "--- \n# first\nx: |\n  # text\n  # more\n\n# last\n# very last\ntyp: task\n# where now\nkategorie: arbeit # mine\n\"y\": [1,\n 2] # two\n---\n\nA\n\nB\n\nC\nD";
    let (text, conflicts) = merge_texts(Some(base), ours, theirs);
    assert_snapshot!(text, @r#"
    --- 
    # first
    x: |
      # text
      # more

    # last
    # very last
    deadline: 01.02.2026
    status: abgebrochen
    typ: task
    # where now
    kategorie: privat # mine
    "y": [1,
     2] # two
    ---

    A1

    B

    C
    D
    "#);
    assert_eq!(conflicts, "");
}

#[test]
fn a_change_of_all_line_endings_is_no_change_of_a_field() {
    let base = front("status: offen\nx: 1\n");
    let (text, conflicts) = merge_texts(
        Some(&base),
        &front("status: abgebrochen\nx: 2\n"),
        &format!("\u{FEFF}{}", base.replace('\n', "\r\n")),
    );
    let wanted =
        "\u{FEFF}".to_owned() + &front("status: abgebrochen\nx: 2\n").replace('\n', "\r\n");
    assert_eq!((text, conflicts), (wanted, String::new()));
}

#[test]
fn comments_of_both_stay() {
    assert_merges(&[
        [
            "# a\n\n# b\nx: 1\n",
            "# A\n\n# b\nx: 1\n",
            "# a\n\n# B\nx: 1\n",
            "# A\n\n# B\nx: 1\n",
            "",
        ],
        [
            "x: 1\n# a\n",
            "x: 1\n# A\n",
            "x: 1\n# 1\n",
            "x: 1\n# A\n# 1\n",
            "",
        ],
        [
            "x: 1\ny: 1\n",
            "x: 1\n# a\ny: 1\n",
            "x: 1\ny: 1\n# b\n",
            "x: 1\n# a\ny: 1\n# b\n",
            "",
        ],
        [
            "# a\nx: 1\n",
            "x: 1\n",
            "# a\n# b\nx: 1\n",
            "# a\n# b\nx: 1\n",
            "",
        ],
        [
            "x: 1\n",
            "x: 1\n# both\n# a\n",
            "x: 1\n# both\n# b\n",
            "x: 1\n# both\n# a\n# b\n",
            "",
        ],
    ]);
}

/// Merges bodies in which `/` is a line ending; returns the result, followed by `body` on a conflict.
fn merge_bodies(base: &str, ours: &str, theirs: &str) -> String {
    let [base, ours, theirs] =
        [base, ours, theirs].map(|body| front("") + &body.replace('/', "\n"));
    let (text, conflicts) = merge_texts(Some(&base), &ours, &theirs);
    let body = text.strip_prefix(&front("")).unwrap().replace('\n', "/");
    format!("{body} {conflicts}").trim_end().to_owned()
}

#[test]
fn bodies_are_merged_line_by_line() {
    for [base, ours, theirs, merged] in [
        ["a/b/c/", "A/b/c/", "a/b/C/", "A/b/C/"],
        ["a/b/c/", "a/b/c/d/", "z/a/b/c/", "z/a/b/c/d/"],
        ["a/b/c/", "b/c/", "a/b/", "b/"],
        ["a/b/c/", "A/b/c/", "A/b/C/", "A/b/C/"],
        ["a/b/c/", "a/B/c/", "a/1/c/", "a/B/c/ body"],
        ["a/b/c/", "A/b/c/", "a/B/c/", "A/b/c/ body"],
        ["a/b/c/d/e/", "a/c/d/E/", "a/B/c/d/e/", "a/c/d/E/ body"],
        ["a/b/c/d/e/", "a/B/c/d/E/", "a/b/1/d/2/", "a/B/c/d/E/ body"],
        ["", "a/", "b/", "a/ body"],
        ["a/b/", "", "a/b/c/", " body"],
        // The final newline is merged separately.
        ["a/b/c", "a/b/c/d", "A/b/c", "A/b/c/d"],
        ["a/b/c", "a/b/c/d", "A/b/c/", "A/b/c/d/"],
        ["a/b/c", "a/b/c/", "A/b/c", "A/b/c/"],
        ["a/b/c/", "a/b/c", "a/b/c/d/", "a/b/c/d"],
        ["a/b/c", "a/b", "z/a/b/c", "z/a/b"],
        ["a/b/c", "a/b/d", "a/b/c/", "a/b/d/"],
    ] {
        assert_eq!(
            merge_bodies(base, ours, theirs),
            merged,
            "{base} {ours} {theirs}"
        );
    }
}

#[test]
fn a_body_follows_the_front_matter_whatever_was_there() {
    let head = "---\ntyp: task\nkategorie: arbeit\n";
    for [base, ours, theirs, merged] in [
        ["---", "---\n\nText", "x: 1\n---", "x: 1\n---\n\nText"],
        [
            "---\nText",
            "---\nText\nmehr",
            "x: 1\n---\nText",
            "x: 1\n---\nText\nmehr",
        ],
        [
            "---\nA\n\nB\n",
            "---\n\n\n\nB\n",
            "---\nA\n\nB\nC\n",
            "---\n\n\n\nB\nC\n",
        ],
        ["---\n", "---  \n", "---\nText", "---  \nText"],
        ["---\r\n", "---", "---\r\nText", "---\nText"],
    ] {
        let [base, ours, theirs, merged] =
            [base, ours, theirs, merged].map(|tail| head.to_owned() + tail);
        let found = merge_texts(Some(&base), &ours, &theirs);
        assert_eq!(found, (merged, String::new()), "{base:?}");
    }
}

#[test]
fn front_matter_without_lines_of_its_own_is_edited_or_left() {
    let flow = |front: &str, body: &str| format!("---\n{front}\n---\n\n{body}\n");
    let base = flow("{typ: task, kategorie: arbeit}", "A");
    let lines = "typ: task\nkategorie: arbeit\n";
    // A changed body can be merged into flow style.
    let ours = flow("{typ: task, kategorie: privat}", "A");
    let merged = flow("{typ: task, kategorie: privat}", "B");
    let found = merge_texts(
        Some(&base),
        &ours,
        &flow("{typ: task, kategorie: arbeit}", "B"),
    );
    assert_eq!(found, (merged, String::new()));
    // A changed field can't.
    let found = merge_texts(
        Some(&base),
        &ours,
        &flow("{typ: task, kategorie: arbeit, tags: [x]}", "B"),
    );
    assert_eq!(found, (ours.clone(), "file".into()));
    // From flow style, a known field can be taken, an unknown key can't.
    let ours = flow(&format!("{lines}deadline: 01.02.2026"), "A");
    let found = merge_texts(
        Some(&base),
        &ours,
        &flow("{typ: task, kategorie: privat, x: 1}", "B"),
    );
    let merged = flow("typ: task\nkategorie: privat\ndeadline: 01.02.2026", "B");
    assert_eq!(found, (merged, "x".into()));
    // A completion survives, if need be by taking the whole file.
    let ours = flow("{typ: task, kategorie: privat}", "A");
    let theirs = flow(&format!("{lines}{}", DONE.trim_end()), "B");
    assert_eq!(
        merge_texts(Some(&base), &ours, &theirs),
        (theirs.clone(), "file".into())
    );
    let theirs = flow("{typ: task, kategorie: arbeit, status: abgeschlossen}", "B");
    assert_eq!(
        merge_texts(Some(&base), &ours, &theirs),
        (theirs.clone(), "file".into())
    );
}

#[test]
fn a_file_that_cannot_be_read_is_taken_or_left_as_a_whole() {
    let task = front("");
    let broken = "---\ntyp: task\nkategorie: [\n---\n";
    let settled = "---\ntyp: settled\n---\n";
    for other in [broken, settled, "", "kein Kopf", "---\ntyp: x\n---\n"] {
        let base = front("x: 1\n");
        for base in [Some(base.as_str()), Some(" "), None] {
            assert_eq!(
                merge_texts(base, &task, other),
                (task.clone(), "file".into())
            );
            assert_eq!(
                merge_texts(base, other, &task),
                (other.into(), "file".into())
            );
            assert_eq!(
                merge_texts(base, other, &front(DONE)),
                (front(DONE), "file".into())
            );
            assert_eq!(
                merge_texts(base, other, " \n"),
                (other.into(), "file".into())
            );
        }
        assert_eq!(
            merge_texts(Some(&task), &task, other),
            (other.into(), String::new())
        );
        assert_eq!(
            merge_texts(Some(&task), other, &task),
            (other.into(), String::new())
        );
        assert_eq!(
            merge_texts(Some(other), &task, other),
            (task.clone(), String::new())
        );
    }
    let merged = merge(&name(), None, b"\xff\n", task.as_bytes());
    assert_eq!(merged.bytes, b"\xff\n");
    assert_eq!(merged.conflicts, ["file"]);
}

#[test]
fn a_result_that_is_too_large_is_not_taken() {
    let half = "Zeile\n".repeat(MAX_FILE_BYTES / 12 - 100);
    let with = |lines: &str, before: &str, after: &str| front(lines) + before + "x\ny\nz\n" + after;
    let base = with("", "", "");
    let ours = with("", &half.repeat(2), "");
    let (text, conflicts) = merge_texts(Some(&base), &ours, &with("", "", &half));
    assert!(text == ours, "{} bytes", text.len());
    assert_eq!(conflicts, "file");
    let (text, conflicts) = merge_texts(Some(&base), &ours, &with(DONE, "", &half));
    let done = "status: abgeschlossen\nabgeschlossen_am:\n  datum: 01.02.2026\n  zeit: abends\n";
    assert!(
        text == with(done, &half.repeat(2), ""),
        "{} bytes",
        text.len()
    );
    assert_eq!(conflicts, "file");
}

/// Bodies of `size` bytes for which a naive diff takes hours.
fn hostile(size: usize) -> Vec<(&'static str, [String; 3])> {
    let numbers: Vec<_> = (0..size / 7 - 1).map(|n| format!("{n:06}\n")).collect();
    let reversed: String = numbers.iter().rev().map(String::as_str).collect();
    let every = |n: usize, word: &str| -> String {
        let change = |(at, line): (usize, &String)| {
            if at % n == 0 {
                word.to_owned()
            } else {
                line.clone()
            }
        };
        numbers.iter().enumerate().map(change).collect()
    };
    let random = |seed: u64, words: &[&str]| -> String {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut text = String::new();
        while text.len() < size - 8 {
            text += words[random.usize(..words.len())];
        }
        text
    };
    let shuffled = |seed: u64| -> String {
        let mut lines = numbers.clone();
        fastrand::Rng::with_seed(seed).shuffle(&mut lines);
        lines.concat()
    };
    let text = numbers.concat();
    let period = |words: &str| words.repeat(size / words.len());
    vec![
        (
            "reversed",
            [text.clone(), reversed.clone(), text.clone() + "x\n"],
        ),
        (
            "both reversed",
            [text.clone(), reversed.clone(), "x\n".to_owned() + &reversed],
        ),
        ("shuffled", [text.clone(), shuffled(1), shuffled(2)]),
        (
            "every third line",
            [text.clone(), every(3, "a\n"), every(5, "b\n")],
        ),
        (
            "every other line",
            [text.clone(), every(2, "a\n"), every(2, "b\n")],
        ),
        (
            "all empty",
            [period("\n"), period("\n\n\n \n"), period("\n\n \n\n\n")],
        ),
        (
            "two lines at random",
            [
                random(1, &["a\n", "b\n"]),
                random(2, &["a\n", "b\n"]),
                random(3, &["a\n", "b\n"]),
            ],
        ),
        (
            "ten lines at random",
            [
                random(
                    1,
                    &[
                        "a\n", "b\n", "c\n", "d\n", "e\n", "f\n", "g\n", "h\n", "i\n", "j\n",
                    ],
                ),
                random(
                    2,
                    &[
                        "a\n", "b\n", "c\n", "d\n", "e\n", "f\n", "g\n", "h\n", "i\n", "j\n",
                    ],
                ),
                random(3, &["j\n", "b\n", "c\n"]),
            ],
        ),
        (
            "periods",
            [period("a\nb\n"), period("b\na\na\n"), period("a\nb\nb\n")],
        ),
        (
            "grown",
            ["a\n".repeat(size / 4), period("a\n"), period("b\na\n")],
        ),
    ]
}

#[test]
fn hostile_bodies_are_merged_in_seconds() {
    // The smaller bodies are diffed up to the limit, most of the larger ones aren't diffed at all.
    for (what, bodies) in [hostile(50_000), hostile(MAX_FILE_BYTES - 200)].concat() {
        let [base, ours, theirs] = bodies.map(|body| front("") + &body);
        assert!(
            [&base, &ours, &theirs]
                .into_iter()
                .all(|text| is_task(text)),
            "{what}"
        );
        let start = Instant::now();
        let _ = merge_texts(Some(&base), &ours, &theirs);
        let took = start.elapsed();
        assert!(took < Duration::from_secs(20), "{what} took {took:?}");
    }
}

#[test]
fn hostile_front_matter_is_merged_in_seconds() {
    let keys = |value: &str| -> String { (0..990).map(|n| format!("k{n}: {value}\n")).collect() };
    let backwards =
        |text: &str| -> String { text.lines().rev().map(|line| format!("{line}\n")).collect() };
    let notes = |text: &str| text.repeat((MAX_FILE_BYTES - 200) / text.len());
    for [base, ours, theirs] in [
        [keys("a"), keys("b"), backwards(&keys("c"))],
        [
            String::new(),
            keys("b"),
            backwards(&keys("c").replace('k', "l")),
        ],
        [notes("#\n"), notes("#\n# a\n"), notes("#b\n#\n")],
        [notes("\n"), notes("\n\n#\n"), notes("\n# a\n")],
    ] {
        let start = Instant::now();
        let (text, _) = merge_texts(Some(&front(&base)), &front(&ours), &front(&theirs));
        let took = start.elapsed();
        assert!(is_task(&text));
        assert!(took < Duration::from_secs(20), "took {took:?}");
    }
}
