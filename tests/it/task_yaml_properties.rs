//! Flow lists and mappings, however they are laid out over lines, parse to the values they were generated from, and
//! edits of or beside them lose nothing. js-yaml 3 and 4 read every generated piece in each of its positions.

use codex_miroir::task::{
    Edit, FileName, FixedSlot, Parsed, Slot, Status, Task, Zeit, edit, parse,
};
use proptest::prelude::*;
use proptest::sample::select;

fn name() -> FileName {
    "0042-x.md".parse().unwrap()
}

fn task(text: &str) -> Result<Task, TestCaseError> {
    match parse(&name(), text.as_bytes()) {
        Parsed::Task(task) => Ok(task),
        other => Err(TestCaseError::fail(format!("{other:?} for {text}"))),
    }
}

/// The notations of a scalar in a flow collection, each with its value.
const SCALARS: &[(&str, &str)] = &[
    ("a", "a"),
    ("b c", "b c"),
    ("-1", "-1"),
    ("007", "007"),
    ("x:y", "x:y"),
    ("x#y", "x#y"),
    ("é", "é"),
    ("'a'", "a"),
    ("\"b\"", "b"),
    ("'it''s'", "it's"),
    ("\"\\te\\\"\"", "\te\""),
    ("'[x, y]'", "[x, y]"),
    ("\"} # \"", "} # "),
    ("'- a: b'", "- a: b"),
    ("'a\nb'", "a b"),
    ("'a\n\n\t b'", "a\nb"),
    ("\"a\\\n  b\"", "ab"),
    ("\"é\n\té\"", "é é"),
];

/// What may separate two pieces.
const GAPS: &[&str] = &[
    "",
    " ",
    "\t",
    "\n",
    "\n  ",
    "\n\t",
    "\n \t ",
    "\n\n",
    "\n\t\n\n\t",
    " # 'note ]\n",
    "\t# \"note }\n\t",
    "\n# [note\n  ",
];

/// What may separate a `:` from its value, in the same line or the next.
const AFTER_COLON: &[&str] = &[" ", "\t", " \t ", "\n", "\n  ", "\n\t", " # note\n"];

/// The text of a flow list or mapping.
fn brackets(
    open: char,
    close: char,
    items: Vec<(String, &str, &str)>,
    first: &str,
    comma: bool,
) -> String {
    let last = items.len();
    let mut text = format!("{open}{first}");
    for (n, (item, before, after)) in items.into_iter().enumerate() {
        text += &item;
        text += before;
        if n + 1 < last || comma {
            text.push(',');
            text += after;
        }
    }
    text.push(close);
    text
}

fn gap() -> impl Strategy<Value = &'static str> {
    select(GAPS)
}

/// A flow list of scalars: its text and its values.
fn list() -> impl Strategy<Value = (String, Vec<String>)> {
    let items = prop::collection::vec((select(SCALARS), gap(), gap()), 0..5);
    (items, gap(), any::<bool>()).prop_map(|(items, first, comma)| {
        let values = items.iter().map(|((_, values), ..)| (*values).to_owned());
        let values = values.collect();
        let items = items.into_iter();
        let items = items.map(|((written, _), before, after)| (written.to_owned(), before, after));
        (brackets('[', ']', items.collect(), first, comma), values)
    })
}

/// The text of a flow mapping with each of `keys` and its value, as text.
fn keys(keys: Vec<(&'static str, String)>) -> impl Strategy<Value = String> {
    let layout = (
        select(vec!["k", "'k'", "\"k\""]),
        select(AFTER_COLON),
        gap(),
        gap(),
    );
    let layouts = prop::collection::vec(layout, keys.len());
    (layouts, gap(), any::<bool>(), Just(keys)).prop_map(|(layouts, first, comma, keys)| {
        let entries = keys.into_iter().zip(layouts);
        let entries = entries.map(|((key, value), (quotes, colon, before, after))| {
            let key = quotes.replace('k', key);
            (format!("{key}:{colon}{value}"), before, after)
        });
        brackets('{', '}', entries.collect(), first, comma)
    })
}

/// Nested flow lists and mappings.
fn nested() -> impl Strategy<Value = String> {
    let leaf = select(SCALARS).prop_map(|(written, _)| written.to_owned());
    leaf.prop_recursive(4, 16, 3, |inner| {
        let items = prop::collection::vec((inner.clone(), gap(), gap()), 0..3);
        prop_oneof![
            (items, gap(), any::<bool>())
                .prop_map(|(items, first, comma)| brackets('[', ']', items, first, comma)),
            (inner.clone(), inner).prop_flat_map(|(a, b)| keys(vec![("a", a), ("b", b)])),
        ]
    })
}

fn slot() -> Slot {
    Slot {
        datum: "24.12.2026".parse().unwrap(),
        zeit: Zeit::Abends,
    }
}

/// The text before the lines of `tags`, those lines, the text after them, and the values of the tags.
fn lines() -> impl Strategy<Value = (String, String, String, Vec<String>)> {
    let slots = keys(vec![
        ("datum", "'24.12.2026'".into()),
        ("zeit", "abends".into()),
    ]);
    let colon = || select(vec![" ", "\t", "\t  ", "\n  ", "\n "]);
    let dash = select(vec!["- ", "-\t", "  -  "]);
    let end = select(vec!["", " ", "\t", " # note", "\t# note"]);
    (
        (nested(), slots, list()),
        (dash, colon(), colon(), end),
        any::<bool>(),
    )
        .prop_map(|((nested, slot, (list, values)), (a, b, c, end), windows)| {
            let ends = |text: String| {
                if windows {
                    text.replace('\n', "\r\n")
                } else {
                    text
                }
            };
            let before = format!(
                "---\ntyp:\ttask\nkategorie: arbeit\nx:\n{a}{nested}\nfixedSlot:{b}{slot}{end}\n"
            );
            let tags = format!("tags:{c}{list}{end}\n");
            let after = "status:\toffen\n---\n\n# Text\n".to_owned();
            (ends(before), ends(tags), ends(after), values)
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: crate::support::cases(2_000), ..ProptestConfig::default() })]

    #[test]
    fn what_stands_in_brackets_is_read_as_it_was_made((before, tags, after, values) in lines()) {
        let read = task(&[before, tags, after].concat())?;
        prop_assert_eq!(read.tags, values);
        prop_assert_eq!(read.fixed_slot, FixedSlot::At(slot()));
    }

    #[test]
    fn an_edit_of_or_beside_brackets_loses_nothing((before, tags, after, values) in lines(), new in select(vec!["neu", "a: b", "'"])) {
        let text = [&*before, &tags, &after].concat();
        let closed = Edit { status: Some(Status::Abgeschlossen), ..Edit::default() };
        let edited = edit(&name(), &text, &closed).map_err(|error| TestCaseError::fail(format!("{error:?} for {text}")))?;
        prop_assert_eq!(&edited, &[&*before, &tags, &after.replacen("offen", "abgeschlossen", 1)].concat());

        // An edit can't express a tag of two lines.
        let kept = values.into_iter().filter(|tag| !tag.contains(char::is_control));
        let tagged = Edit { tags: Some(kept.chain([new.to_owned()]).collect()), ..Edit::default() };
        let edited = edit(&name(), &text, &tagged).map_err(|error| TestCaseError::fail(format!("{error:?} for {text}")))?;
        prop_assert!(edited.starts_with(&before) && edited.ends_with(&after), "{}\n{}", text, edited);
        prop_assert_eq!(Some(task(&edited)?.tags), tagged.tags);
        let comments = |text: &str| text.matches("note").count();
        prop_assert_eq!(comments(&edited), comments(&text), "{}\n{}", text, edited);

        let moved = Edit { fixed_slot: Some(Some(Slot { zeit: Zeit::Morgens, ..slot() })), ..Edit::default() };
        let edited = edit(&name(), &text, &moved).map_err(|error| TestCaseError::fail(format!("{error:?} for {text}")))?;
        prop_assert_eq!(edited, text.replacen("abends", "morgens", 1));
    }
}
