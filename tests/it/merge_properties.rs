//! The properties of merging (`src/git_sync/README.md`, "Merging"), on generated files and changes.

use codex_miroir::github::{MergeResult, merge};
use codex_miroir::task::{
    Edit, FileName, FixedSlot, Parsed, Status, Task, body_of, edit, outline, parse,
};
use proptest::prelude::*;
use proptest::sample::{Index, select};

use crate::task_edit_properties::one_change;
use crate::task_files::{File, Lines, any_text, file};

fn name() -> FileName {
    "0042-x.md".parse().unwrap()
}

fn read(text: &str) -> Option<Task> {
    match parse(&name(), text.as_bytes()) {
        Parsed::Task(task) => Some(task),
        _ => None,
    }
}

fn task(text: &str) -> Task {
    read(text).unwrap_or_else(|| panic!("not a task: {text}"))
}

fn merge_texts(base: Option<&str>, ours: &str, theirs: &str) -> (String, Vec<String>) {
    let base = base.map(str::as_bytes);
    let MergeResult { bytes, conflicts } = merge(&name(), base, ours.as_bytes(), theirs.as_bytes());
    (String::from_utf8(bytes).unwrap(), conflicts)
}

/// A change that one side makes to a file.
#[derive(Debug, Clone)]
enum Change {
    /// An edit through the API.
    Edit(Edit),
    /// A key's lines in another notation; a new key is inserted at a random position.
    Lines(Lines, Index),
    /// Another value for a key that the service doesn't know.
    Value(Index, &'static str),
    /// Removes one piece of the front matter, if the file is still a task without it.
    Remove(Index),
    /// Swaps two pieces.
    Swap(Index, Index),
    /// Replaces everything from the closing `---` on.
    Tail(String),
}

fn change() -> impl Strategy<Value = Change> {
    let lines = (file(), any::<Index>(), any::<Index>())
        .prop_map(|(file, which, at)| Change::Lines(which.get(&file.lines).clone(), at));
    prop_oneof![
        4 => one_change().prop_map(|(_, edit)| Change::Edit(edit)),
        3 => lines,
        2 => (any::<Index>(), select(vec!["1", "'1' # eins", "\n- 1\n- 2"])).prop_map(|(at, value)| Change::Value(at, value)),
        1 => any::<Index>().prop_map(Change::Remove),
        1 => any::<(Index, Index)>().prop_map(|(a, b)| Change::Swap(a, b)),
        1 => select(vec!["---", "---\n\n# Kopf\n\nText\n", "---\n\n# Titel\n\nText\nmehr", "---\r\n\r\n\r\nText"]).prop_map(|tail| Change::Tail(tail.to_owned())),
    ]
}

/// Applies the changes, except those after which the file would no longer be a task.
fn apply_changes(file: &File, changes: &[Change]) -> String {
    let mut file = file.clone();
    let mut edits = vec![];
    for change in changes {
        let before = file.clone();
        match change {
            Change::Edit(change) => edits.push(change),
            Change::Lines(lines, at) => {
                let there = |other: &Lines| !lines.key.is_empty() && other.key == lines.key;
                match file.lines.iter().position(there) {
                    Some(found) => file.lines[found] = lines.clone(),
                    None => file
                        .lines
                        .insert(at.index(file.lines.len() + 1), lines.clone()),
                }
            }
            Change::Value(at, value) => {
                let others = file.lines.iter_mut().filter(|lines| lines.key.is_empty());
                let mut others: Vec<_> = others.filter(|lines| lines.text.contains(':')).collect();
                if !others.is_empty() {
                    let at = at.index(others.len());
                    let text = &mut others[at].text;
                    *text = format!("{}: {value}\n", &text[..text.find(':').unwrap()]);
                }
            }
            Change::Remove(at) => {
                file.lines.remove(at.index(file.lines.len()));
            }
            Change::Swap(a, b) => {
                let (a, b) = (a.index(file.lines.len()), b.index(file.lines.len()));
                file.lines.swap(a, b);
            }
            Change::Tail(tail) => file.tail.clone_from(tail),
        }
        if read(&file.text()).is_none() {
            file = before;
        }
    }
    edits.into_iter().fold(file.text(), |text, change| {
        edit(&name(), &text, change).unwrap_or(text)
    })
}

/// A base file and each side's version of it.
fn any_versions() -> impl Strategy<Value = [String; 3]> {
    let changes = || prop::collection::vec(change(), 0..4);
    (file(), changes(), changes()).prop_map(|(file, ours, theirs)| {
        [
            file.text(),
            apply_changes(&file, &ours),
            apply_changes(&file, &theirs),
        ]
    })
}

/// The value of a field or another key, normalised so that equal strings mean equal values.
fn value(text: &str, key: &str) -> String {
    let task = task(text);
    match key {
        "typ" => String::new(),
        "kategorie" => task.kategorie.to_string(),
        "status" | "abgeschlossen_am" => format!("{} {:?}", task.status, task.abgeschlossen_am),
        "tags" => format!("{:?}", task.tags),
        "deadline" => format!("{:?}", task.deadline),
        "fixedSlot" => match task.fixed_slot {
            FixedSlot::Invalid(_) => lines_of(text, key),
            slot => format!("{slot:?}"),
        },
        "body" => body_of(text).to_owned(),
        _ => lines_of(text, key),
    }
}

fn lines_of(text: &str, key: &str) -> String {
    let outline = outline(text).unwrap();
    let lines = outline.block(key).map(|block| block.lines);
    lines.map_or("-".to_owned(), |lines| lines.replace("\r\n", "\n"))
}

/// Every known field, the body, and every key of one of the texts.
fn keys(texts: &[&str]) -> Vec<String> {
    let known = [
        "kategorie",
        "status",
        "tags",
        "deadline",
        "fixedSlot",
        "abgeschlossen_am",
        "body",
    ];
    let mut keys: Vec<_> = known.iter().map(ToString::to_string).collect();
    for text in texts {
        keys.extend(
            outline(text)
                .unwrap()
                .blocks
                .into_iter()
                .map(|block| block.key),
        );
    }
    keys.sort();
    keys.dedup();
    keys
}

/// The generated comments that name the key they belong to.
fn comments(text: &str) -> Vec<String> {
    let comment = |line: &str| {
        line.split_once(" # ")
            .map(|(_, comment)| comment.to_owned())
    };
    text.lines()
        .filter_map(comment)
        .filter(|comment| !comment.starts_with('-') && comment.contains("'[{"))
        .collect()
}

fn is_done(text: &str) -> bool {
    task(text).status == Status::Abgeschlossen
}

proptest! {
    #![proptest_config(ProptestConfig { cases: crate::support::cases(400), ..ProptestConfig::default() })]

    #[test]
    fn what_only_one_side_changed_is_the_result([base, ours, theirs] in any_versions()) {
        for base in [Some(base.as_str()), None] {
            prop_assert_eq!(merge_texts(base, &ours, &ours), (ours.clone(), vec![]));
        }
        prop_assert_eq!(merge_texts(Some(&base), &base, &theirs), (theirs, vec![]));
        prop_assert_eq!(merge_texts(Some(&base), &ours, &base), (ours, vec![]));
    }

    #[test]
    fn every_field_is_that_of_the_side_that_changed_it([base, ours, theirs] in any_versions()) {
        let (merged, conflicts) = merge_texts(Some(&base), &ours, &theirs);
        prop_assume!(conflicts != ["file"]);
        for key in keys(&[&base, &ours, &theirs]) {
            let [b, o, t, m] = [&base, &ours, &theirs, &merged].map(|text| value(text, &key));
            let completed_there = matches!(key.as_str(), "status" | "abgeschlossen_am") && is_done(&theirs) && !is_done(&ours) && !is_done(&base);
            let wanted = if o == b || completed_there { &t } else { &o };
            let unknown = !matches!(key.as_str(), "kategorie" | "status" | "tags" | "deadline" | "fixedSlot" | "abgeschlossen_am" | "body" | "typ");
            // An unparseable slot has no value to compare.
            let unknown = unknown || (key == "fixedSlot" && [&base, &ours, &theirs].iter().any(|text| matches!(task(text).fixed_slot, FixedSlot::Invalid(_))));
            // A body is merged by line, and an unknown key's comments may come from either side.
            if key != "body" && !unknown {
                prop_assert_eq!(&m, wanted, "{}:\n{}\n{}\n{}\n{}", key, base, ours, theirs, merged);
            } else if o == b || t == b {
                prop_assert_eq!(&m, if o == b { &t } else { &o }, "{}:\n{}\n{}\n{}\n{}", key, base, ours, theirs, merged);
            }
            let both = o != b && t != b && o != t;
            let named = conflicts.contains(&key);
            if key == "abgeschlossen_am" || key == "status" {
                let same_status = task(&ours).status == task(&theirs).status;
                prop_assert_eq!(named, both && (key == "status") != same_status, "{} {:?}\n{}\n{}\n{}", key, conflicts, base, ours, theirs);
            } else if key != "body" && !unknown {
                prop_assert_eq!(named, both, "{} {:?}\n{}\n{}\n{}", key, conflicts, base, ours, theirs);
            } else {
                prop_assert!(both || !named, "{} {:?}\n{}\n{}\n{}", key, conflicts, base, ours, theirs);
            }
        }
    }

    #[test]
    fn the_result_is_a_task_and_says_nothing_that_nobody_said([base, ours, theirs] in any_versions()) {
        for base in [Some(base.as_str()), None] {
            let (merged, _) = merge_texts(base, &ours, &theirs);
            task(&merged);
            let originals = [&ours, &theirs].map(|text| comments(text)).concat();
            for comment in comments(&merged) {
                prop_assert!(originals.contains(&comment), "{:?}:\n{}\n{}\n{}", comment, ours, theirs, merged);
            }
        }
        let (merged, _) = merge_texts(Some(&base), &ours, &theirs);
        let there = comments(&merged);
        let kept = comments(&base).into_iter().filter(|comment| comments(&ours).contains(comment) && comments(&theirs).contains(comment));
        for comment in kept {
            prop_assert!(there.contains(&comment), "{:?}:\n{}\n{}\n{}", comment, ours, theirs, merged);
        }
    }

    #[test]
    fn a_task_one_side_completed_is_completed([base, ours, theirs] in any_versions()) {
        for base in [Some(base.as_str()), None] {
            let (merged, _) = merge_texts(base, &ours, &theirs);
            let before = base.is_some_and(is_done);
            if !before && (is_done(&ours) || is_done(&theirs)) {
                let when = |text: &str| task(text).abgeschlossen_am;
                prop_assert!(is_done(&merged), "{}", merged);
                let completed_by = [&ours, &theirs].into_iter().filter(|text| is_done(text));
                prop_assert!(completed_by.map(|text| when(text)).any(|at| at == when(&merged)));
            }
        }
    }

    #[test]
    fn what_is_merged_once_is_merged([base, ours, theirs] in any_versions()) {
        let (merged, _) = merge_texts(Some(&base), &ours, &theirs);
        prop_assert_eq!(merge_texts(Some(&theirs), &merged, &theirs), (merged.clone(), vec![]));
        prop_assert_eq!(merge_texts(Some(&merged), &merged, &theirs).0, theirs);
    }

    #[test]
    fn without_a_base_nothing_of_ours_is_lost([_, ours, theirs] in any_versions()) {
        let (merged, conflicts) = merge_texts(None, &ours, &theirs);
        for key in keys(&[&ours]) {
            let there = key == "body" || outline(&ours).unwrap().block(&key).is_some();
            let completed_there = matches!(key.as_str(), "status" | "abgeschlossen_am") && is_done(&theirs);
            let unit = ["status", "abgeschlossen_am"];
            let half = unit.contains(&key.as_str()) && unit.iter().any(|key| outline(&ours).unwrap().block(key).is_none());
            if there && !completed_there && !half {
                prop_assert_eq!(value(&merged, &key), value(&ours, &key), "{} {:?}\n{}\n{}\n{}", key, conflicts, ours, theirs, merged);
            }
        }
    }

    #[test]
    fn an_outline_is_the_whole_text(file in file()) {
        let text = file.text();
        let outline = outline(&text).unwrap();
        let blocks = outline.blocks.iter().flat_map(|block| [block.lines, block.below]);
        let front: String = [outline.head, outline.above].into_iter().chain(blocks).collect();
        prop_assert_eq!(front + outline.closing + outline.body, text.as_str());
        for block in &outline.blocks {
            prop_assert!(!block.below.lines().any(|line| !line.trim().is_empty() && !line.trim().starts_with('#')), "{:?}", block);
        }
    }

    #[test]
    fn merging_never_panics(files in any_versions(), texts in prop::collection::vec(any_text(), 3), cuts in prop::collection::vec((any::<Index>(), prop::collection::vec(any::<u8>(), 0..5)), 3), damaged in 1..8_usize) {
        let damage = |(text, (at, junk)): (&String, &(Index, Vec<u8>))| {
            let (before, after) = text.as_bytes().split_at(at.index(text.len() + 1));
            [before, junk, after.get(1..).unwrap_or_default()].concat()
        };
        let broken: Vec<_> = files.iter().zip(&cuts).map(damage).collect();
        let pick = |side: usize| if damaged >> side & 1 == 1 { broken[side].as_slice() } else { files[side].as_bytes() };
        let soup = |side: usize| if damaged >> side & 1 == 1 { texts[side].as_bytes() } else { files[side].as_bytes() };
        for [base, ours, theirs] in [[0, 1, 2].map(pick), [0, 1, 2].map(soup)] {
            for base in [Some(base), None] {
                let merged = merge(&name(), base, ours, theirs);
                let is_task = |bytes| matches!(parse(&name(), bytes), Parsed::Task(_));
                prop_assert!(is_task(&merged.bytes) || !is_task(ours) || !is_task(theirs));
            }
        }
    }

    #[test]
    fn places_in_a_body_are_merged_each_for_itself(places in prop::collection::vec(place(), 1..8), final_newline in any::<bool>()) {
        let side = |pick: fn(&Place) -> &String| {
            let texts: Vec<_> = places.iter().enumerate().map(|(at, place)| format!("Absatz {at}\nvon {at}\n{}", pick(place).replace('a', &format!("a{at}")).replace('b', &format!("b{at}")))).collect();
            let text = format!("---\ntyp: task\nkategorie: arbeit\n---\n\n{}Ende\nEnde.\n", texts.concat());
            if final_newline { text } else { text.trim_end().to_owned() }
        };
        let (merged, conflicts) = merge_texts(Some(&side(|place| &place.base)), &side(|place| &place.ours), &side(|place| &place.theirs));
        prop_assert_eq!(merged, side(|place| &place.merged));
        let conflict = places.iter().any(|place| place.conflict);
        prop_assert_eq!(conflicts, if conflict { vec!["body"] } else { vec![] });
    }
}

/// A region of a body: its lines in each version, and the expected merge.
#[derive(Debug, Clone)]
struct Place {
    base: String,
    ours: String,
    theirs: String,
    merged: String,
    conflict: bool,
}

fn place() -> impl Strategy<Value = Place> {
    let lines = || select(vec!["", "a\n", "a\nb\n", "\n", "c\r\n"]).prop_map(String::from);
    (lines(), lines(), lines()).prop_map(|(base, ours, theirs)| {
        let conflict = ours != base && theirs != base && ours != theirs;
        let merged = if ours == base { &theirs } else { &ours }.clone();
        Place {
            base,
            ours,
            theirs,
            merged,
            conflict,
        }
    })
}
