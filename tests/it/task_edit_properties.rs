//! The properties of edits and new files (`src/task/README.md`, "Changing a file"), on generated files and texts.

use codex_miroir::task::{
    Datum, Edit, EditError, FileName, FixedSlot, Kategorie, NewTask, Parsed, Slot, Status, Task,
    Zeit, edit, new_file, parse,
};
use proptest::prelude::*;
use proptest::sample::select;

use crate::task_files::{any_text, file, good_text, is_storable};

fn name() -> FileName {
    "0042-x.md".parse().unwrap()
}

fn task(text: &str) -> Task {
    match parse(&name(), text.as_bytes()) {
        Parsed::Task(task) => task,
        other => panic!("{text:?}: {other:?}"),
    }
}

fn fits_a_line(text: &str) -> bool {
    text.chars().all(is_storable)
}

fn fits_a_body(text: &str) -> bool {
    text.chars().all(|c| is_storable(c) || "\t\r\n".contains(c))
}

fn without_blank(tags: &[String]) -> Vec<String> {
    tags.iter()
        .filter(|tag| !tag.trim().is_empty())
        .cloned()
        .collect()
}

fn body_of(text: &str) -> &str {
    let (_, rest) = text.split_once("\n---").unwrap();
    let rest = rest.trim_start_matches([' ', '\t']);
    let rest = rest
        .strip_prefix("\r\n")
        .or(rest.strip_prefix('\n'))
        .unwrap_or(rest);
    rest.strip_prefix("\r\n")
        .or(rest.strip_prefix('\n'))
        .unwrap_or(rest)
}

fn any_slot() -> impl Strategy<Value = Slot> {
    let datum = select(vec!["24.12.2026", "01.01.0001", "29.02.2028"])
        .prop_map(|text| text.parse::<Datum>().unwrap());
    (datum, select(Zeit::ALL)).prop_map(|(datum, zeit)| Slot { datum, zeit })
}

fn any_tags() -> impl Strategy<Value = Vec<String>> {
    let tag = prop_oneof![
        select(vec!["a", "b", "b c", "d", "x", "y", ""]).prop_map(String::from),
        good_text()
    ];
    prop::collection::vec(tag, 0..5)
}

/// One change of one field, with the field's key.
pub(crate) fn one_change() -> impl Strategy<Value = (&'static str, Edit)> {
    let none = Edit::default;
    prop_oneof![
        1 => select(Kategorie::ALL).prop_map(move |word| ("kategorie", Edit { kategorie: Some(word), ..none() })),
        1 => select(Status::ALL).prop_map(move |word| ("status", Edit { status: Some(word), ..none() })),
        2 => any_tags().prop_map(move |tags| ("tags", Edit { tags: Some(tags), ..none() })),
        1 => prop::option::of(any_slot()).prop_map(move |day| ("deadline", Edit { deadline: Some(day.map(|slot| slot.datum)), ..none() })),
        2 => prop::option::of(any_slot()).prop_map(move |slot| ("fixedSlot", Edit { fixed_slot: Some(slot), ..none() })),
        2 => prop::option::of(any_slot()).prop_map(move |slot| ("abgeschlossen_am", Edit { abgeschlossen_am: Some(slot), ..none() })),
    ]
}

/// `task` after `change`.
fn expected(task: &Task, change: &Edit) -> Task {
    let change = change.clone();
    Task {
        title: task.title.clone(),
        kategorie: change.kategorie.unwrap_or(task.kategorie),
        status: change.status.unwrap_or(task.status),
        tags: change
            .tags
            .map_or(task.tags.clone(), |tags| without_blank(&tags)),
        deadline: change.deadline.unwrap_or(task.deadline),
        fixed_slot: change.fixed_slot.map_or(task.fixed_slot.clone(), |slot| {
            slot.map_or(FixedSlot::None, FixedSlot::At)
        }),
        abgeschlossen_am: change.abgeschlossen_am.unwrap_or(task.abgeschlossen_am),
    }
}

/// Drops the line of an unparseable slot: an edit may move the slot, but change nothing else about it.
fn without_line(mut task: Task) -> Task {
    if let FixedSlot::Invalid(problem) = &mut task.fixed_slot {
        problem.line = None;
    }
    task
}

/// The edit that sets every field to its value in `task`. It can't express an unparseable slot.
fn edit_to(task: &Task) -> Edit {
    Edit {
        kategorie: Some(task.kategorie),
        status: Some(task.status),
        tags: Some(task.tags.clone()),
        deadline: Some(task.deadline),
        fixed_slot: match &task.fixed_slot {
            FixedSlot::None => Some(None),
            FixedSlot::At(slot) => Some(Some(*slot)),
            FixedSlot::Invalid(_) => None,
        },
        abgeschlossen_am: Some(task.abgeschlossen_am),
        title: Some(task.title.clone()),
        body: None,
    }
}

/// A body with a heading: what is before the heading's text, the text, what is between it and the next line, what is
/// after. Nothing before is a heading with text.
fn body_with_heading() -> impl Strategy<Value = [String; 4]> {
    let before = select(vec![
        "",
        "Text\n\n",
        "\n\n",
        "- a\n- b\n\n",
        "```\n# no\n```\n",
        "#\n\n",
        "<!--\n# no\n-->\n\n",
        "Äpfel\r\n\r\n",
    ]);
    let marks = select(vec![
        "# ", "## ", "######\t", "   #  ", "> # ", "- ## ", "1. > # ",
    ]);
    let closing = select(vec!["", " #", "  ###  ", " \t"]);
    let after = prop_oneof![
        Just(String::new()),
        any_text().prop_map(|text| format!("\n{text}")),
        any_text().prop_map(|text| format!("\r\n\r\n# {text}")),
    ];
    let heading = (before, marks, any_title(), closing, after);
    heading.prop_map(|(before, marks, title, closing, after)| {
        let closing = match title.trim_end_matches('#') {
            before if before == title => closing,
            // What closes a heading is no part of the title.
            _ => " #",
        };
        [format!("{before}{marks}"), title, closing.to_owned(), after]
    })
}

/// A title that is stored as it is.
fn any_title() -> impl Strategy<Value = String> {
    let text = good_text().prop_map(|text| text.trim_matches(' ').to_owned());
    text.prop_filter("a blank title is none", |text| !text.is_empty())
}

fn merged(first: Edit, second: Edit) -> Edit {
    Edit {
        kategorie: first.kategorie.or(second.kategorie),
        status: first.status.or(second.status),
        tags: first.tags.or(second.tags),
        deadline: first.deadline.or(second.deadline),
        fixed_slot: first.fixed_slot.or(second.fixed_slot),
        abgeschlossen_am: first.abgeschlossen_am.or(second.abgeschlossen_am),
        title: first.title.or(second.title),
        body: first.body.or(second.body),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: crate::support::cases(1_000), ..ProptestConfig::default() })]

    #[test]
    fn an_edit_changes_no_other_byte(file in file(), (key, change) in one_change()) {
        let text = file.text();
        let edited = edit(&name(), &text, &change).map_err(|error| TestCaseError::fail(format!("{error:?} for {text}")))?;
        let (before, after) = file.around(key);
        prop_assert!(edited.starts_with(&before) && edited.ends_with(&after), "{:?}\n{}\n{}", change, text, edited);
        prop_assert!(edited.len() >= before.len() + after.len());
        prop_assert_eq!(without_line(task(&edited)), without_line(expected(&task(&text), &change)));
        for comment in file.comments() {
            prop_assert!(edited.contains(&comment), "{:?} is lost: {}", comment, edited);
        }
        let mixed = edited.matches('\n').count() != edited.matches("\r\n").count();
        prop_assert_eq!(mixed, text.matches('\n').count() != text.matches("\r\n").count());
    }

    #[test]
    fn undoing_an_edit_gives_the_same_task(file in file(), (_, change) in one_change()) {
        let text = file.text();
        let mut old = task(&text);
        let edited = edit(&name(), &text, &change).unwrap();
        let mut undone = edit(&name(), &edited, &edit_to(&old)).map_err(|error| TestCaseError::fail(format!("{error:?} for {edited}")))?;
        prop_assert_eq!(edit(&name(), &undone, &edit_to(&task(&undone))), Ok(undone.clone()));
        if edit_to(&old).fixed_slot.is_none() {
            // An edit can't express an unparseable slot.
            let cleared = Edit { fixed_slot: Some(None), ..Edit::default() };
            undone = edit(&name(), &undone, &cleared).unwrap();
            old.fixed_slot = FixedSlot::None;
        }
        prop_assert_eq!(task(&undone), old);
    }

    #[test]
    fn asking_for_what_is_there_changes_nothing(file in file()) {
        let text = file.text();
        let mut all = edit_to(&task(&text));
        // Clearing would also remove an unparseable value.
        all.abgeschlossen_am = all.abgeschlossen_am.filter(Option::is_some);
        prop_assert_eq!(edit(&name(), &text, &all), Ok(text.clone()));
        prop_assert_eq!(edit(&name(), &text, &Edit::default()), Ok(text));
    }

    #[test]
    fn two_changes_at_once_say_what_both_say(file in file(), (_, one) in one_change(), (_, two) in one_change(), body in prop::option::of(good_text())) {
        let text = file.text();
        let both = Edit { body, ..merged(one, two) };
        let edited = edit(&name(), &text, &both).map_err(|error| TestCaseError::fail(format!("{error:?} for {text}")))?;
        let mut wanted = without_line(expected(&task(&text), &both));
        wanted.title = task(&edited).title;
        prop_assert_eq!(without_line(task(&edited)), wanted);
        prop_assert_eq!(body_of(&edited), both.body.as_deref().unwrap_or(body_of(&text)));
    }

    #[test]
    fn every_body_reads_back_or_is_refused(file in file(), body in any_text()) {
        let text = file.text();
        let edited = edit(&name(), &text, &Edit { body: Some(body.clone()), ..Edit::default() });
        if fits_a_body(&body) {
            let edited = edited.unwrap();
            prop_assert_eq!(body_of(&edited), body);
            let untouched = text.len() - file.tail.len();
            prop_assert_eq!(&edited[..untouched + 3], &text[..untouched + 3]);
        } else {
            prop_assert_eq!(edited, Err(EditError::BadText { field: "body" }));
        }
    }

    #[test]
    fn a_title_changes_the_text_of_the_heading_and_no_other_byte(file in file(), body in body_with_heading(), asked in any_title()) {
        let [before, old, closing, after] = &body;
        let head = &file.text()[..file.text().len() - file.tail.len()];
        let text = format!("{head}---\n\n{}", body.concat());
        prop_assume!(task(&text).title == *old);
        let titled = |text: &str, title: &str| edit(&name(), text, &Edit { title: Some(title.to_owned()), ..Edit::default() }).unwrap();
        let edited = titled(&text, &asked);
        prop_assert_eq!(&task(&edited).title, &asked);
        let new = edited.strip_prefix(&format!("{head}---\n\n{before}")).and_then(|rest| rest.strip_suffix(&format!("{}{after}", closing.trim_start())));
        let new = new.map(|new| new.trim_end_matches([' ', '\t', '#']));
        prop_assert_eq!(new, Some(asked.trim_end_matches([' ', '\t', '#'])), "{}", edited);
        let expected = Task { title: asked.clone(), ..task(&text) };
        prop_assert_eq!(task(&edited), expected);
        prop_assert_eq!(titled(&edited, &asked), edited.clone());
        if !closing.trim().is_empty() || !asked.ends_with('#') {
            prop_assert_eq!(titled(&edited, old), text);
        }
    }

    #[test]
    fn a_title_is_added_above_a_body_without_a_heading(file in file(), asked in any_title()) {
        let text = file.text();
        let edited = edit(&name(), &text, &Edit { title: Some(asked.clone()), ..Edit::default() }).unwrap();
        let title = task(&edited).title;
        prop_assert_eq!(title, asked);
        let untouched = text.len() - file.tail.len();
        prop_assert_eq!(&edited[..untouched], &text[..untouched]);
    }

    #[test]
    fn every_title_of_an_edit_reads_back_or_is_refused(file in file(), title in prop_oneof![any_text(), good_text()]) {
        let text = file.text();
        let edited = edit(&name(), &text, &Edit { title: Some(title.clone()), ..Edit::default() });
        let asked = title.trim_matches(' ');
        if asked.is_empty() || asked == task(&text).title {
            prop_assert_eq!(edited, Ok(text));
        } else if fits_a_line(&title) {
            prop_assert_eq!(task(&edited.unwrap()).title, asked);
        } else {
            prop_assert_eq!(edited, Err(EditError::BadText { field: "title" }));
        }
    }

    #[test]
    fn every_tag_reads_back_or_is_refused(file in file(), tags in prop::collection::vec(prop_oneof![any_text(), good_text()], 1..4)) {
        let text = file.text();
        let edited = edit(&name(), &text, &Edit { tags: Some(tags.clone()), ..Edit::default() });
        let created = new_file(&NewTask { tags: tags.clone(), ..new_task() });
        if tags.iter().all(|tag| fits_a_line(tag)) {
            prop_assert_eq!(task(&edited.unwrap()).tags, without_blank(&tags));
            prop_assert_eq!(task(&created.unwrap().1).tags, without_blank(&tags));
        } else {
            let there = task(&text).tags == without_blank(&tags);
            prop_assert_eq!(edited, if there { Ok(text) } else { Err(EditError::BadText { field: "tags" }) });
            prop_assert_eq!(created, Err(EditError::BadText { field: "tags" }));
        }
    }

    #[test]
    fn every_title_and_body_reads_back_or_is_refused(title in prop_oneof![any_text(), good_text()], body in prop_oneof![any_text(), good_text()]) {
        let made = new_file(&NewTask { title: Some(title.clone()), body: body.clone(), ..new_task() });
        if !fits_a_body(&body) || !fits_a_line(&title) {
            let refused = matches!(made, Err(EditError::BadText { .. }));
            prop_assert!(refused);
            return Ok(());
        }
        let text = made.unwrap().1;
        let title = title.trim_matches(' ');
        let stored = body_of(&text);
        if stored != body {
            prop_assert!(!title.is_empty());
            prop_assert_eq!(task(&text).title, title);
            let after = stored.strip_prefix(&["# ", title].concat()).unwrap();
            // A title that ends like a closed heading gets one more closing `#`.
            let after = after.strip_prefix(" #").unwrap_or(after).strip_prefix('\n');
            prop_assert_eq!(after.map(|rest| rest.trim_start_matches('\n')), Some(body.trim_start_matches('\n')));
        }
    }
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
