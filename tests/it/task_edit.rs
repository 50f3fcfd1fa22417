//! Editing a task file (`src/task/README.md`, "Changing a file"): an edit changes only the lines of its fields.

use codex_miroir::task::{Edit, EditError, FileName, ProblemCode, Slot, Status, Zeit, edit};

fn name() -> FileName {
    "0042-x.md".parse().unwrap()
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

/// Applies `change` to a task with `before` in its front matter and asserts `after` there, with LF and with CRLF.
fn assert_edit(before: &str, change: &Edit, after: &str) {
    assert_eq!(
        edit(&name(), &front(before), change).as_deref(),
        Ok(front(after).as_str()),
        "{before:?}"
    );
    let windows = |lines| front(lines).replace('\n', "\r\n");
    assert_eq!(
        edit(&name(), &windows(before), change),
        Ok(windows(after)),
        "{before:?} with CRLF"
    );
}

fn tags(tags: &[&str]) -> Edit {
    Edit {
        tags: Some(tags.iter().map(ToString::to_string).collect()),
        ..Edit::default()
    }
}

fn status(status: Status) -> Edit {
    Edit {
        status: Some(status),
        ..Edit::default()
    }
}

fn deadline(deadline: Option<&str>) -> Edit {
    Edit {
        deadline: Some(deadline.map(|text| text.parse().unwrap())),
        ..Edit::default()
    }
}

fn fixed(slot: Option<Slot>) -> Edit {
    Edit {
        fixed_slot: Some(slot),
        ..Edit::default()
    }
}

fn done(slot: Option<Slot>) -> Edit {
    Edit {
        abgeschlossen_am: Some(slot),
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
fn a_word_is_changed_in_place() {
    let closed = status(Status::Abgeschlossen);
    assert_edit(
        "status: offen # now\nx: y\n",
        &closed,
        "status: abgeschlossen # now\nx: y\n",
    );
    assert_edit(
        "status:   'offen'  \n",
        &closed,
        "status:   'abgeschlossen'  \n",
    );
    assert_edit(
        "\"status\" : \"offen\"\n",
        &closed,
        "\"status\" : \"abgeschlossen\"\n",
    );
    assert_edit(
        "status:\n  offen # below\n",
        &closed,
        "status:\n  abgeschlossen # below\n",
    );
    assert_edit("status:\n", &closed, "status: abgeschlossen\n");
    assert_edit(
        "status: # empty\n",
        &closed,
        "status: abgeschlossen # empty\n",
    );
    assert_edit(
        "status: >- # folded\n  offen\n",
        &closed,
        "status: abgeschlossen # folded\n",
    );
    assert_edit(
        "x: y # last\n# end\n",
        &closed,
        "x: y # last\n# end\nstatus: abgeschlossen\n",
    );
}

#[test]
fn a_deadline_comes_changes_and_goes() {
    let set = deadline(Some("01.02.2026"));
    assert_edit("", &set, "deadline: 01.02.2026\n");
    assert_edit(
        "deadline: null # soon\n",
        &set,
        "deadline: 01.02.2026 # soon\n",
    );
    assert_edit(
        "deadline: ''\nx: y\n",
        &set,
        "deadline: '01.02.2026'\nx: y\n",
    );
    assert_edit("deadline: 02.02.2026\nx: y\n", &deadline(None), "x: y\n");
    assert_edit(
        "deadline: 02.02.2026 # soon\n",
        &deadline(None),
        "deadline: # soon\n",
    );
    assert_edit(
        "deadline:\n  # one\n  02.02.2026 # two\nx: y\n",
        &deadline(None),
        "deadline:\n  # one\n  # two\nx: y\n",
    );
    assert_edit("deadline: ''\n", &deadline(None), "deadline: ''\n");
    let below = "x: |\n  text\ndeadline: 02.02.2026\n  # below\n";
    assert_edit(
        below,
        &deadline(None),
        "x: |\n  text\ndeadline:\n  # below\n",
    );
}

#[test]
fn tags_keep_their_form_and_their_comments() {
    assert_edit("", &tags(&["a", "b: c"]), "tags:\n  - a\n  - 'b: c'\n");
    assert_edit(
        "tags: [] # none\n",
        &tags(&["a", "b]"]),
        "tags: [a, 'b]'] # none\n",
    );
    assert_edit("tags: [a, b]\n", &tags(&[]), "tags: []\n");
    assert_edit(
        "tags: [ # one\n  a, # two\n  b]\nx: y\n",
        &tags(&["c"]),
        "tags: # one\n  - c\n  # two\nx: y\n",
    );
    assert_edit(
        "tags: a # alone\n",
        &tags(&["a", "b"]),
        "tags: # alone\n  - a\n  - b\n",
    );
    assert_edit("tags: null\n", &tags(&["a"]), "tags:\n  - a\n");
    assert_edit(
        "tags:\n- a # 1\n# between\n- b # 2\n",
        &tags(&["b"]),
        "tags:\n# 1\n# between\n- b # 2\n",
    );
    assert_edit(
        "tags:\n- a # 1\n- b\n",
        &tags(&["a", "x", "b"]),
        "tags:\n- a # 1\n- x\n- b\n",
    );
    assert_edit(
        "tags:\n    -   b\n",
        &tags(&["a", "b", "c"]),
        "tags:\n    -   a\n    -   b\n    -   c\n",
    );
    assert_edit(
        "tags:\n  - 'a' # 1\n  - \"b\" # 2\n",
        &tags(&["a", "c"]),
        "tags:\n  - 'a' # 1\n  - c # 2\n",
    );
    assert_edit(
        "tags: # all\n  - a # 1\n  # 2\n  - b\n",
        &tags(&[]),
        "tags: [] # all\n  # 1\n  # 2\n",
    );
    assert_edit(
        "tags:\n  -\n    a # 1\n  - b\n",
        &tags(&["b"]),
        "tags:\n  - b\n  # 1\n",
    );
    assert_edit("tags:\n  - a\n", &tags(&["a", " ", ""]), "tags:\n  - a\n");
}

#[test]
fn a_removed_tag_leaves_its_comment() {
    let before = "tags:\n  - a # 1\n  - b\n  - b # 2\n";
    assert_edit(
        before,
        &tags(&["b", "b"]),
        "tags:\n  # 1\n  - b\n  - b # 2\n",
    );
    assert_edit(
        before,
        &tags(&["a", "b"]),
        "tags:\n  - a # 1\n  - b\n  # 2\n",
    );
    assert_edit("tags:\n- a\n- a # 2\n", &tags(&["a"]), "tags:\n- a\n# 2\n");
}

#[test]
fn a_slot_keeps_its_form() {
    let set = fixed(Some(slot("24.12.2026", Zeit::Abends)));
    let block = "fixedSlot:\n  datum: 24.12.2026\n  zeit: abends\n";
    assert_edit("", &set, block);
    assert_edit("fixedSlot: null\n", &set, block);
    assert_edit("fixedSlot:\n", &set, block);
    assert_edit(
        "fixedSlot: '' # later\nx: y\n",
        &set,
        "fixedSlot: # later\n  datum: 24.12.2026\n  zeit: abends\nx: y\n",
    );
    assert_edit("fixedSlot: heute\n", &set, block);
    assert_edit(
        "fixedSlot:\n  zeit: 'morgens' # z\n  datum: \"01.01.2026\" # d\n",
        &set,
        "fixedSlot:\n  zeit: 'abends' # z\n  datum: \"24.12.2026\" # d\n",
    );
    assert_edit(
        "fixedSlot:\n  zeit: ABENDS\n  datum: 01.01.2026\n",
        &set,
        "fixedSlot:\n  zeit: ABENDS\n  datum: 24.12.2026\n",
    );
    assert_edit(
        "fixedSlot:\n- datum: 01.01.2026 # d\n- zeit: morgens\n",
        &set,
        "fixedSlot:\n- datum: 24.12.2026 # d\n- zeit: abends\n",
    );
    assert_edit(
        "fixedSlot: {datum: 01.01.2026, zeit: morgens} # f\n",
        &set,
        "fixedSlot: {datum: 24.12.2026, zeit: abends} # f\n",
    );
    assert_edit(
        "fixedSlot: [{datum: 01.01.2026}, {zeit: morgens}]\n",
        &set,
        "fixedSlot: [{datum: 24.12.2026}, {zeit: abends}]\n",
    );
    assert_edit(
        "fixedSlot: {}\n",
        &set,
        "fixedSlot: {datum: 24.12.2026, zeit: abends}\n",
    );
    assert_edit(
        "fixedSlot: {datum:}\n",
        &set,
        "fixedSlot: {datum: 24.12.2026, zeit: abends}\n",
    );
    assert_edit(
        "fixedSlot: { ort: x, }\n",
        &set,
        "fixedSlot: { ort: x, datum: 24.12.2026, zeit: abends}\n",
    );
    assert_edit(
        "fixedSlot: { ort: x }\n",
        &set,
        "fixedSlot: { ort: x, datum: 24.12.2026, zeit: abends }\n",
    );
    assert_edit(
        "fixedSlot: { ort: x, # }\n  }\n",
        &set,
        "fixedSlot: { ort: x, # }\n  datum: 24.12.2026, zeit: abends}\n",
    );
    assert_edit(
        "fixedSlot:\n    datum: null\n    ort: x # o\n",
        &set,
        "fixedSlot:\n    datum: 24.12.2026\n    ort: x # o\n    zeit: abends\n",
    );
    assert_edit(
        "fixedSlot:\n  - datum: 01.01.2026 # d\n",
        &set,
        "fixedSlot:\n  datum: 24.12.2026\n  zeit: abends\n  # d\n",
    );
    assert_edit(
        "fixedSlot: # a\n  datum: 01.01.2026 # b\n  zeit: morgens\n",
        &fixed(None),
        "fixedSlot: null # a\n  # b\n",
    );
    assert_edit("fixedSlot: heute\n", &fixed(None), "fixedSlot: null\n");
    assert_edit(
        "fixedSlot: {zeit: morgens}\n",
        &fixed(None),
        "fixedSlot: {zeit: morgens}\n",
    );
}

#[test]
fn what_goes_over_several_lines_or_has_tabs_is_changed_where_it_is() {
    let closed = status(Status::Abgeschlossen);
    assert_edit(
        "tags: [\n  'a',\n]\nstatus:\toffen\t# c\n",
        &closed,
        "tags: [\n  'a',\n]\nstatus:\tabgeschlossen\t# c\n",
    );
    assert_edit(
        "x: [\n\t'y',\n\tz\n\t]\n",
        &closed,
        "x: [\n\t'y',\n\tz\n\t]\nstatus: abgeschlossen\n",
    );
    assert_edit(
        "tags: [\n  'a',\n\"b\"\n]\nx: y\n",
        &tags(&["a", "b]"]),
        "tags: [a, 'b]']\nx: y\n",
    );
    assert_edit(
        "tags: [\n'a', # one\n# two\n]\nx: y\n",
        &tags(&["a", "b"]),
        "tags:\n  - a\n  - b\n  # one\n  # two\nx: y\n",
    );
    assert_edit(
        "tags: [\n'a'\n]\nx: 'y\nz'\n",
        &tags(&[]),
        "tags: []\nx: 'y\nz'\n",
    );
    assert_edit("tags:\n-\ta\n", &tags(&["a", "b"]), "tags:\n-\ta\n-\tb\n");
    let set = fixed(Some(slot("24.12.2026", Zeit::Abends)));
    assert_edit(
        "fixedSlot: {\n'datum': '01.01.2026', # d\n'zeit':\t\"morgens\"\n}\nx: y\n",
        &set,
        "fixedSlot: {\n'datum': '24.12.2026', # d\n'zeit':\t\"abends\"\n}\nx: y\n",
    );
    assert_edit(
        "fixedSlot:\t{\nort: 'x'\n}\n",
        &set,
        "fixedSlot:\t{\nort: 'x', datum: 24.12.2026, zeit: abends\n}\n",
    );
    assert_edit(
        "fixedSlot: {\n\tort: x,\n}\n",
        &set,
        "fixedSlot: {\n\tort: x,\ndatum: 24.12.2026, zeit: abends}\n",
    );
    assert_edit(
        "x: y\nfixedSlot: [\n{'datum': '01.01.2026'}\n]\n",
        &fixed(None),
        "x: y\nfixedSlot: null\n",
    );
    assert_edit(
        "deadline:\t\nx: y\n",
        &deadline(Some("01.02.2026")),
        "deadline: 01.02.2026\t\nx: y\n",
    );
    assert_edit(
        "deadline:\t'01.02.2026'\nx: [\n'y'\n]\n",
        &deadline(None),
        "x: [\n'y'\n]\n",
    );
}

#[test]
fn completion_is_written_and_removed() {
    let block = "abgeschlossen_am:\n  datum: 24.12.2026\n  zeit: abends\n";
    assert_edit(
        "x: y\n",
        &done(Some(slot("24.12.2026", Zeit::Abends))),
        &format!("x: y\n{block}"),
    );
    assert_edit(&format!("{block}x: y\n"), &done(None), "x: y\n");
    assert_edit("abgeschlossen_am: gestern\n", &done(None), "");
    assert_edit(
        "abgeschlossen_am: {datum: 24.12.2026, zeit: abends} # c\n",
        &done(None),
        "abgeschlossen_am: # c\n",
    );
    let both = Edit {
        status: Some(Status::Abgeschlossen),
        ..done(Some(slot("24.12.2026", Zeit::Abends)))
    };
    assert_edit(
        "tags: []\n",
        &both,
        &format!("tags: []\nstatus: abgeschlossen\n{block}"),
    );
}

#[test]
fn a_key_added_after_a_growing_list_stays_after_it() {
    let both = Edit {
        status: Some(Status::Abgebrochen),
        ..tags(&["a", "b"])
    };
    assert_edit(
        "tags:\n- a\n",
        &both,
        "tags:\n- a\n- b\nstatus: abgebrochen\n",
    );
}

fn title(title: &str) -> Edit {
    Edit {
        title: Some(title.into()),
        ..Edit::default()
    }
}

#[test]
fn a_title_replaces_the_text_of_the_first_heading() {
    for (before, after) in [
        ("# Old", "# New"),
        ("# Old\nText\n# Other\n", "# New\nText\n# Other\n"),
        ("Text\n\n  ##\tOld \t\r\n", "Text\n\n  ##\tNew \t\r\n"),
        ("### Old ## \n", "### New ## \n"),
        ("# Old #", "# New #"),
        ("#\n\n##  \n\n# Old\n", "#\n\n##  \n\n# New\n"),
        ("> - # Old\n", "> - # New\n"),
        ("```\n# no\n```\n# Old\n", "```\n# no\n```\n# New\n"),
        ("\n\nOld\n===  \nText\n", "\n\n# New  \nText\n"),
        ("Old\r\nand *more*\r\n--\r\nText", "## New\r\nText"),
        ("> Old\n> more\n> ===\n> Text\n", "> # New\n> Text\n"),
        ("- Old\n  ===\n", "- # New\n"),
        // Without one it comes above the body, with the body's line endings.
        ("Text", "# New\n\nText"),
        ("Text\r\n", "# New\r\n\r\nText\r\n"),
        ("#\nText\n", "# New\n\n#\nText\n"),
        ("", "# New\n"),
    ] {
        let front = "---\ntyp: task # t\nkategorie: arbeit\n---\n\n";
        let text = |body| format!("{front}{body}");
        let edited = edit(&name(), &text(before), &title(" New "));
        assert_eq!(edited.as_deref(), Ok(&*text(after)), "{before:?}");
        let again = edit(&name(), &text(after), &title("New"));
        assert_eq!(again.as_deref(), Ok(&*text(after)), "{before:?} again");
    }
}

#[test]
fn a_title_with_a_body_is_that_of_the_body() {
    let text = |body: &str| format!("---\ntyp: task\nkategorie: arbeit\n---\n\n{body}");
    for (asked, sent, after) in [
        ("New", "Text", "# New\n\nText"),
        ("New", "# Sent\nText", "# New\nText"),
        ("Old", "Text", "# Old\n\nText"),
        ("Sent", "# Sent #\n", "# Sent #\n"),
        ("  ", "Text", "Text"),
    ] {
        let change = Edit {
            body: Some(sent.into()),
            ..title(asked)
        };
        let edited = edit(&name(), &text("# Old\n"), &change);
        assert_eq!(edited, Ok(text(after)), "{asked} {sent}");
    }
}

#[test]
fn a_title_is_checked_as_that_of_a_new_task_and_the_body_that_is_there_is_not() {
    let text = |body: &str| format!("---\ntyp: task\nkategorie: arbeit\n---\n\n{body}");
    let (odd, plain) = (text("# Old\u{1}\n\u{2}\n"), text("Text"));
    for bad in ["a\nb", "a\tb", "a\u{0}", "\u{FFFE}"] {
        let refused = Err(EditError::BadText { field: "title" });
        assert_eq!(edit(&name(), &plain, &title(bad)), refused, "{bad:?}");
    }
    assert_eq!(
        edit(&name(), &odd, &title("New")),
        Ok(text("# New\n\u{2}\n"))
    );
    // The title that the file has, from its name, and none at all.
    for same in ["x", "", "  "] {
        assert_eq!(edit(&name(), &plain, &title(same)), Ok(plain.clone()));
    }
    // Front matter in one line has no part in it.
    let flow = "---\n{typ: task, kategorie: arbeit}\n---\n";
    assert_eq!(
        edit(&name(), flow, &title("New")),
        Ok(format!("{flow}\n# New\n"))
    );
}

#[test]
fn a_new_body_is_stored_as_sent() {
    for (before, asked, after) in [
        ("---\n\nold", "new", "---\n\nnew"),
        ("---\n\nold\n", "", "---\n\n"),
        ("---\nold\n", "new\r\n", "---\nnew\r\n"),
        ("---\nold\n", "\nnew", "---\n\n\nnew"),
        ("---\nold\n", "\r\nnew", "---\n\n\r\nnew"),
        ("---\n", "new", "---\n\nnew"),
        ("---\n\n", "\n---\n\n", "---\n\n\n---\n\n"),
        ("---", "new", "---\n\nnew"),
        ("--- ", "\u{FEFF}new", "--- \n\n\u{FEFF}new"),
    ] {
        let head = "---\ntyp: task\nkategorie: arbeit\n";
        assert_eq!(
            edit(&name(), &format!("{head}{before}"), &body(asked)),
            Ok(format!("{head}{after}")),
            "{before:?}"
        );
    }
    assert_eq!(
        edit(
            &name(),
            "---\r\ntyp: task\r\nkategorie: arbeit\r\n---",
            &body("x")
        ),
        Ok("---\r\ntyp: task\r\nkategorie: arbeit\r\n---\r\n\r\nx".into())
    );
}

#[test]
fn front_matter_in_braces_is_not_editable_but_its_body_is() {
    let text = "---\n# c\n{typ: task, kategorie: arbeit, deadline: 01.01.2026}\n---\n\nold";
    assert_eq!(
        edit(&name(), text, &status(Status::Abgebrochen)),
        Err(EditError::NotEditable { line: 3 })
    );
    assert_eq!(
        edit(&name(), text, &deadline(Some("02.02.2026"))),
        Err(EditError::NotEditable { line: 3 })
    );
    assert_eq!(
        edit(&name(), text, &status(Status::Offen)).as_deref(),
        Ok(text)
    );
    assert_eq!(
        edit(&name(), text, &body("new")),
        Ok(text.replace("old", "new"))
    );
}

#[test]
fn what_would_change_something_else_is_not_editable() {
    let lone = front("x: y\ndeadline: 01.01.2026\rz: y\n");
    assert_eq!(
        edit(&name(), &lone, &deadline(None)),
        Err(EditError::NotEditable { line: 5 })
    );
    let ended = front("x: y\n...\n");
    assert_eq!(
        edit(&name(), &ended, &deadline(Some("01.01.2026"))),
        Err(EditError::NotEditable { line: 2 })
    );
}

#[test]
fn what_is_not_a_readable_task_is_not_edited() {
    for text in [
        "",
        "# x",
        "---\ntyp: note\n---\n",
        "---\ntyp: settled\n---\n",
    ] {
        assert_eq!(
            edit(&name(), text, &body("x")),
            Err(EditError::NotATask),
            "{text:?}"
        );
    }
    let anchored = edit(&name(), &front("a: &x b\n"), &body("x"));
    assert!(
        matches!(anchored, Err(EditError::Unreadable(problem)) if problem.code == ProblemCode::BadYaml && problem.line == Some(4))
    );
}
