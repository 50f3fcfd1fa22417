//! The parts of the synchronisation with Git that need neither GitHub nor a store: the decision on a file, commit
//! messages, trees, deliveries; the order of heads (`head_order`), and the other decisions (`decisions`).

mod decisions;
mod head_order;

use chrono::{DateTime, TimeDelta, Utc};
use codex_miroir::config::Secret;
use codex_miroir::git_sync::{RemovedFiles, UserSyncState, settled_removals};
use codex_miroir::github::{
    CommitSubject, EntryKind, ReconcileAction, ReconcileInput, SideState, TaskTree, TreeEntry,
    UserTree, batch_commit_message, decide, parse, verify,
};
use codex_miroir::task::{FileName, FileRecord, GitSha, TaskTable, git_sha};
use codex_miroir::user::UserId;
use codex_miroir::user_state::{RemovedFile, Version};
use insta::assert_snapshot;
use proptest::prelude::*;
use serde_json::json;

use crate::support::cases;
use crate::support::github::sign;
use crate::support::scene::task;

fn sha(letter: char) -> GitSha {
    git_sha(letter.to_string().as_bytes())
}

/// `-` is absent, `?` something other than a task's text, a letter a content.
fn side(letter: char) -> SideState {
    match letter {
        '-' => SideState::Absent,
        '?' => SideState::Other,
        letter => SideState::Content(sha(letter)),
    }
}

/// `sides` is, as in `bot`, base, ours, theirs; further letters are contents with a push of unknown outcome.
fn decided(sides: &str) -> ReconcileAction {
    let letters: Vec<char> = sides.chars().collect();
    let pushing: Vec<GitSha> = letters[3..].iter().map(|letter| sha(*letter)).collect();
    decide(&ReconcileInput {
        base: (letters[0] != '-').then(|| sha(letters[0])),
        pushing: &pushing,
        ours: side(letters[1]),
        theirs: side(letters[2]),
        removed: false,
    })
}

/// The rows of the decision table (`src/git_sync/README.md`, "Three contents, one decision").
#[test]
fn each_sentence_about_the_three_sides_holds() {
    let (a, b, c) = (sha('a'), sha('b'), sha('c'));
    let rows = [
        ("aaa", ReconcileAction::NoChange, "the same everywhere"),
        (
            "-aa",
            ReconcileAction::Agreed(a),
            "theirs = ours: base := theirs",
        ),
        (
            "baa",
            ReconcileAction::Agreed(a),
            "theirs = ours: base := theirs",
        ),
        ("aab", ReconcileAction::Take(b), "ours = base: take theirs"),
        (
            "aba",
            ReconcileAction::Unpushed(Some(a)),
            "theirs = base: ours is unpushed",
        ),
        (
            "aa-",
            ReconcileAction::Remove,
            "gone in Git and ours = base: delete",
        ),
        (
            "ab-",
            ReconcileAction::Unpushed(None),
            "gone in Git but edited here: keep, unpushed",
        ),
        (
            "-a-",
            ReconcileAction::Unpushed(None),
            "in neither base nor tree: unpushed, never deleted",
        ),
        (
            "a-a",
            ReconcileAction::Take(a),
            "gone here: taken again from Git",
        ),
        (
            "a-b",
            ReconcileAction::Take(b),
            "gone here: taken again from Git",
        ),
        ("--a", ReconcileAction::Take(a), "never been here"),
        (
            "a--",
            ReconcileAction::ForgetBase,
            "gone on both sides: base dropped",
        ),
        ("---", ReconcileAction::NoChange, "never been anywhere"),
        (
            "abc",
            ReconcileAction::Merge {
                base: Some(a),
                theirs: c,
            },
            "all different: merge",
        ),
        (
            "-bc",
            ReconcileAction::Merge {
                base: None,
                theirs: c,
            },
            "without a base: merge two-way",
        ),
        (
            "acbb",
            ReconcileAction::Unpushed(Some(b)),
            "an own push that comes back counts as base",
        ),
        (
            "acbcb",
            ReconcileAction::Unpushed(Some(b)),
            "also an earlier one",
        ),
        (
            "aabb",
            ReconcileAction::Unpushed(Some(b)),
            "also when it was taken back here since",
        ),
        ("abbb", ReconcileAction::Agreed(b), "its end is known then"),
        ("bbbb", ReconcileAction::Agreed(b), "its end is known then"),
        (
            "aa?",
            ReconcileAction::Skip,
            "a link there is no reason to remove anything here",
        ),
        (
            "a?b",
            ReconcileAction::Skip,
            "nor a file here that can't be opened",
        ),
    ];
    for (sides, decision, why) in rows {
        assert_eq!(decided(sides), decision, "{sides}: {why}");
    }
}

/// What was removed through the service goes from Git while that has what was known of it; nothing else is removed
/// there, and a later edit in Git comes here.
#[test]
fn a_removal_through_the_service_is_pushed_unless_git_has_changed_the_file() {
    let (a, b) = (sha('a'), sha('b'));
    for (base, pushing, ours, theirs, decision) in [
        (
            Some(a),
            vec![],
            '-',
            'a',
            ReconcileAction::UnpushedRemoval(a),
        ),
        (
            Some(a),
            vec![b],
            '-',
            'b',
            ReconcileAction::UnpushedRemoval(b),
        ),
        (None, vec![b], '-', 'b', ReconcileAction::UnpushedRemoval(b)),
        (Some(a), vec![], '-', 'b', ReconcileAction::Take(b)),
        (None, vec![], '-', 'b', ReconcileAction::Take(b)),
        (Some(a), vec![], '-', '-', ReconcileAction::ForgetBase),
        (None, vec![], '-', '-', ReconcileAction::NoChange),
        (Some(a), vec![], '-', '?', ReconcileAction::Skip),
        // It is here again.
        (Some(a), vec![], 'a', 'a', ReconcileAction::NoChange),
        (
            Some(a),
            vec![],
            'b',
            'a',
            ReconcileAction::Unpushed(Some(a)),
        ),
        (Some(a), vec![], 'a', '-', ReconcileAction::Remove),
        (Some(a), vec![], 'b', '-', ReconcileAction::Unpushed(None)),
    ] {
        let sides = ReconcileInput {
            base,
            pushing: &pushing,
            ours: side(ours),
            theirs: side(theirs),
            removed: true,
        };
        assert_eq!(decide(&sides), decision, "{sides:?}");
    }
}

/// A removal is remembered until it has had its effect, or lost to an edit in Git.
#[test]
fn a_removal_is_forgotten_once_nothing_depends_on_it() {
    let (name, at): (FileName, DateTime<Utc>) = (
        "0042-Steuer.md".parse().unwrap(),
        "2026-03-09T07:00:00Z".parse().unwrap(),
    );
    let version = Version(7);
    let removed = RemovedFile {
        version,
        at,
        sha: None,
        repeated: false,
        unknown: serde_json::Map::new(),
    };
    let removed = RemovedFiles::from([(name.to_string(), removed)]);
    let text = task("Steuer");
    let base = git_sha(text.as_bytes());
    let with = |member: &str, value: serde_json::Value| {
        let document = json!({"format": "1.0", member: {name.as_str(): value}});
        let parsed = UserSyncState::parse(document.to_string().as_bytes());
        parsed.unwrap().unwrap()
    };
    let nothing = UserSyncState::default();
    let (known, sent) = (with("files", json!(base)), with("pushing", json!([base])));
    let (here, gone) = (
        TaskTable::new(vec![FileRecord::of(&name, "1", text.as_bytes())]),
        TaskTable::new(vec![]),
    );
    let old = at + TimeDelta::minutes(6);
    for (what, sync_state, table, lo, theirs, now, is_forgotten) in [
        ("in neither for long", &nothing, &gone, 7, '-', old, true),
        ("in neither, just now", &nothing, &gone, 7, '-', at, false),
        ("a push is under way", &sent, &gone, 7, '-', old, false),
        ("Git had it last", &known, &gone, 7, '-', old, false),
        ("Git has it", &known, &gone, 7, 'a', old, false),
        (
            "something else is there",
            &nothing,
            &gone,
            7,
            '?',
            old,
            false,
        ),
        ("here and in Git again", &known, &here, 7, 'a', at, true),
        ("only here again", &known, &here, 7, '-', old, false),
        (
            "listed before it was removed",
            &known,
            &here,
            6,
            'a',
            old,
            false,
        ),
    ] {
        let mut tree = UserTree::default();
        if theirs != '-' {
            tree.files.insert(name.clone(), side(theirs));
        }
        let settled = settled_removals(sync_state, table, Version(lo), &removed, &tree, now);
        let expected = is_forgotten.then(|| (name.clone(), version));
        assert_eq!(settled, Vec::from_iter(expected), "{what}");
    }
}

/// Reconciles one file, and applies the decision, including the push, to the three contents.
fn reconcile_once(
    base: &mut Option<GitSha>,
    ours: &mut SideState,
    theirs: &mut SideState,
) -> ReconcileAction {
    let sides = ReconcileInput {
        base: *base,
        pushing: &[],
        ours: *ours,
        theirs: *theirs,
        removed: false,
    };
    let decision = decide(&sides);
    match decision {
        ReconcileAction::NoChange | ReconcileAction::Skip => {}
        ReconcileAction::Agreed(sha) => *base = Some(sha),
        ReconcileAction::ForgetBase => *base = None,
        ReconcileAction::Take(sha) => (*base, *ours) = (Some(sha), SideState::Content(sha)),
        ReconcileAction::Remove => (*base, *ours) = (None, SideState::Absent),
        ReconcileAction::Merge { theirs, .. } => (*base, *ours) = (Some(theirs), side('m')),
        ReconcileAction::UnpushedRemoval(_) => (*base, *theirs) = (None, SideState::Absent),
        // As after the push.
        ReconcileAction::Unpushed(_) => {
            *theirs = *ours;
            if let SideState::Content(sha) = *ours {
                *base = Some(sha);
            }
        }
    }
    decision
}

fn any_side() -> impl Strategy<Value = SideState> {
    prop::sample::select(vec!['-', 'a', 'b', 'c']).prop_map(side)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases(256)))]

    #[test]
    fn two_steps_make_the_sides_equal_and_nothing_unknown_to_git_goes(
        base in prop::sample::select(vec![None, Some(sha('a')), Some(sha('b')), Some(sha('c'))]),
        ours in any_side(),
        theirs in any_side(),
    ) {
        let (mut b, mut o, mut t) = (base, ours, theirs);
        let first = reconcile_once(&mut b, &mut o, &mut t);
        reconcile_once(&mut b, &mut o, &mut t);
        prop_assert_eq!(o, t);
        prop_assert_eq!(b.map_or(SideState::Absent, SideState::Content), o);
        prop_assert_eq!(reconcile_once(&mut b, &mut o, &mut t), ReconcileAction::NoChange);
        // A removed file was in Git with the same content, and is gone from there.
        if first == ReconcileAction::Remove {
            prop_assert!(theirs == SideState::Absent && base.map(SideState::Content) == Some(ours));
        }
        // An overwritten file was in Git with the same content; otherwise the two are merged.
        if let ReconcileAction::Take(_) = first {
            prop_assert!(ours == SideState::Absent || base.map(SideState::Content) == Some(ours));
        }
    }

    #[test]
    fn a_signature_holds_for_its_bytes_and_secret_only(
        body in prop::collection::vec(any::<u8>(), 0..200),
        other in prop::collection::vec(any::<u8>(), 0..200),
        secret in "[a-z]{1,40}",
        wrong in "[a-z]{1,40}",
    ) {
        let signature = sign(&secret, &body);
        let secrets_of = |texts: &[&String]| -> Vec<Secret> {
            texts.iter().map(|text| Secret::new(text.to_string())).collect()
        };
        let right = secrets_of(&[&secret]);
        prop_assert!(verify(&right, Some(&signature), &body).is_ok());
        prop_assert_eq!(verify(&right, Some(&signature), &other).is_ok(), body == other);
        prop_assert_eq!(verify(&secrets_of(&[&wrong]), Some(&signature), &body).is_ok(), secret == wrong);
        prop_assert!(verify(&right, None, &body).is_err());
        for pair in [[&secret, &wrong], [&wrong, &secret]] {
            prop_assert!(verify(&secrets_of(&pair), Some(&signature), &body).is_ok(), "either one fits");
        }
        prop_assert!(verify(&[], Some(&signature), &body).is_err());
    }

    #[test]
    fn whatever_a_delivery_holds_is_read_or_refused(body in prop::collection::vec(any::<u8>(), 0..400), event in "[a-z_]{0,20}") {
        let _ = parse(&event, &body);
        let _ = parse("push", &body);
        prop_assert!(verify(&[Secret::new(String::new())], Some(&sign("", &body)), &body).is_err(), "an empty key signs nothing");
    }
}

/// The example on GitHub's page "Validating webhook deliveries".
#[test]
fn the_signature_that_github_publishes_holds() {
    let secrets = [Secret::new("It's a Secret to Everybody".to_owned())];
    let signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    assert!(verify(&secrets, Some(signature), b"Hello, World!").is_ok());
    let with_sign = signature.replacen("07", "+7", 1);
    assert!(verify(&secrets, Some(&with_sign), b"Hello, World!").is_err());
}

/// Rust reads a number with a `+` before it.
#[test]
fn a_sign_is_no_hexadecimal_digit() {
    assert!("0f".repeat(20).parse::<GitSha>().is_ok());
    assert!("+f".repeat(20).parse::<GitSha>().is_err());
}

#[test]
fn a_commit_says_what_a_file_became() {
    let name = "0042-Steuer.md".parse().unwrap();
    let done = task("Steuer").replace("offen", "abgeschlossen");
    let privat = task("Steuer").replace("arbeit", "privat");
    let subject =
        |text: &str, in_git, was_done| CommitSubject::of(&name, text.as_bytes(), in_git, was_done);
    let subjects = [
        subject(&task("Steuer"), false, false),
        subject(&privat, false, false),
        subject(&done, false, false),
        subject("no task", false, false),
        subject(&task("Steuer"), true, false),
        subject(&done, true, false),
        subject(&done, true, true),
        subject(&task("Steuer"), true, true),
    ];
    let user = UserId::parse("anna").unwrap();
    let rows: Vec<String> = subjects
        .iter()
        .map(|it| format!("{} | {}", it.message(), it.branch("codex/tasks", &user)))
        .collect();
    assert_snapshot!(rows.join("\n"), @r"
    [codex] add task 0042 (arbeit) | codex/tasks/anna/0042
    [codex] add task 0042 (privat) | codex/tasks/anna/0042
    [codex] add task 0042 (arbeit) | codex/tasks/anna/0042
    [codex] add task 0042 | codex/tasks/anna/0042
    [codex] update task 0042 | codex/tasks/anna/0042-update
    [codex] complete task 0042 | codex/tasks/anna/0042-complete
    [codex] update task 0042 | codex/tasks/anna/0042-update
    [codex] update task 0042 | codex/tasks/anna/0042-update
    ");
    assert_snapshot!(batch_commit_message(&subjects[3..6]), @r"
    [codex] bring 3 tasks

    add task 0042
    update task 0042
    complete task 0042
    ");
    assert_eq!(batch_commit_message(&subjects[..1]), subjects[0].message());
}

/// Something other than a folder in a folder's place, at any level of the path, counts as present: no file below it is
/// known to be gone.
#[test]
fn what_is_no_folder_where_one_belongs_hides_files_and_removes_none() {
    let entry = |path: &str, kind| TreeEntry {
        path: path.to_owned(),
        kind,
        sha: sha('a'),
        size: None,
    };
    let anna = UserId::parse("anna").unwrap();
    let name: FileName = "0001-a.md".parse().unwrap();
    for kind in [EntryKind::File, EntryKind::Link, EntryKind::Other] {
        for place in [
            "notes",
            "notes/codex",
            "notes/codex/anna",
            "notes/codex/anna/tasks",
        ] {
            let tree = TaskTree::of(&[entry(place, kind)], "notes/codex");
            assert_eq!(
                tree.user(&anna).side(&name),
                SideState::Other,
                "{kind:?} at {place}"
            );
        }
        for place in [
            "note",
            "notes/code",
            "notes/codex/ann",
            "notes/codex/anna/task",
        ] {
            let tree = TaskTree::of(&[entry(place, kind)], "notes/codex");
            assert_eq!(
                tree.user(&anna).side(&name),
                SideState::Absent,
                "{kind:?} at {place}"
            );
        }
    }
}

/// A skipped entry in a task file's place counts as present.
#[test]
fn what_is_passed_over_is_not_absent() {
    let settled = git_sha(b"---\ntyp: settled\n---\n");
    let long: FileName = format!("0001-{}.md", "x".repeat(193)).parse().unwrap();
    let short: FileName = format!("0001-{}.md", "x".repeat(192)).parse().unwrap();
    let rows = [
        (
            &short,
            EntryKind::File,
            sha('a'),
            3,
            SideState::Content(sha('a')),
        ),
        (
            &short,
            EntryKind::Executable,
            sha('a'),
            3,
            SideState::Content(sha('a')),
        ),
        (&short, EntryKind::File, sha('a'), 1 << 21, SideState::Other),
        (&short, EntryKind::Folder, sha('a'), 0, SideState::Other),
        (&short, EntryKind::Link, sha('a'), 0, SideState::Other),
        (&short, EntryKind::Other, sha('a'), 0, SideState::Other),
        (&short, EntryKind::File, settled, 22, SideState::Other),
        (&long, EntryKind::File, sha('a'), 3, SideState::Other),
    ];
    let anna = UserId::parse("anna").unwrap();
    for (name, kind, sha, size, side) in rows {
        let entry = TreeEntry {
            path: format!("codex/anna/tasks/{name}"),
            kind,
            sha,
            size: Some(size),
        };
        let tree = TaskTree::of(&[entry], "codex");
        assert_eq!(tree.user(&anna).side(name), side, "{name}, {kind:?}");
    }
    // A name that isn't imported from Git isn't pushed there either.
    assert_eq!(
        TaskTree::default().user(&anna).side(&long),
        SideState::Other
    );
    assert_eq!(
        TaskTree::default().user(&anna).side(&short),
        SideState::Absent
    );
}

/// While a folder in another letter case exists, no file is known to be gone from a folder that is absent; if the
/// user's own folder exists, its entries count.
#[test]
fn a_folder_in_another_letter_case_may_be_the_users_own_renamed() {
    let entry = |path: &str, kind| TreeEntry {
        path: format!("notes/codex/{path}"),
        kind,
        sha: sha('a'),
        size: (kind == EntryKind::File).then_some(3),
    };
    let user = |name: &str| UserId::parse(name).unwrap();
    let mut entries = vec![
        entry("anna", EntryKind::Folder),
        entry("anna/tasks", EntryKind::Folder),
        entry("anna/tasks/0001-a.md", EntryKind::File),
        entry("ANNA", EntryKind::File),
        entry("Ann/tasks", EntryKind::Folder),
        entry("Anna/tasks", EntryKind::Folder),
        entry("Anna/tasks/0002-b.md", EntryKind::File),
    ];
    let tree = TaskTree::of(&entries, "notes/codex");
    // The spellings found don't depend on the one asked for, even if it has no folder.
    for name in ["anna", "Anna", "aNNa"] {
        let there = [user("Anna"), user("anna")];
        assert_eq!(tree.spellings(&user(name)), there, "{name}");
    }
    assert_eq!(tree.spellings(&user("Berta")), []);
    let [one, other]: [FileName; 2] = ["0001-a.md", "0002-b.md"].map(|it| it.parse().unwrap());
    let with_other_spellings = |tree: &TaskTree| {
        let anna = user("anna");
        tree.user(&anna)
            .with_other_spellings(vec![user("Anna")], &anna, "notes/codex")
    };
    let own = with_other_spellings(&tree);
    assert!(!own.closed && own.respelt == [user("Anna")]);
    assert_eq!(
        (own.side(&one), own.side(&other)),
        (SideState::Content(sha('a')), SideState::Absent)
    );
    entries.drain(..3);
    let own = with_other_spellings(&TaskTree::of(&entries, "notes/codex"));
    assert!(own.closed && own.folder.is_none());
    assert_eq!(
        (own.side(&one), own.side(&other)),
        (SideState::Other, SideState::Other)
    );
    let reported: Vec<String> = own
        .skipped
        .iter()
        .map(|it| format!("{:?} {}: {}", it.code, it.file, it.message))
        .collect();
    assert_snapshot!(reported.join("\n"), @"OtherSpelling notes/codex/Anna/tasks: This login's folder is called anna here: name notes/codex/Anna so, or move its files to notes/codex/anna. Until then none of them is taken, and nothing is removed here.");
}

#[test]
fn only_files_in_a_users_folder_count() {
    let entry = |path: &str, kind| TreeEntry {
        path: path.to_owned(),
        kind,
        sha: sha('a'),
        size: (kind == EntryKind::File).then_some(3),
    };
    let paths = [
        "notes/codex/anna/tasks/0001-a.md",
        "notes/codex/Ben_2-x/tasks/0002-b.md",
        "notes/codex/anna/0003-c.md",
        "notes/codex/anna/tasks/alt/0004-d.md",
        "notes/codexx/anna/tasks/0005-e.md",
        "notes/codex/tasks/0006-f.md",
        "codex/anna/tasks/0007-g.md",
        "notes/codex/anna/tasks/../0008-h.md",
    ];
    let mut entries: Vec<_> = paths
        .iter()
        .map(|path| entry(path, EntryKind::File))
        .collect();
    entries.push(entry("notes/codex/anna/tasks", EntryKind::Folder));
    let tree = TaskTree::of(&entries, "notes/codex");
    let found: Vec<String> = tree
        .users
        .iter()
        .map(|(user, files)| {
            format!(
                "{user}: {:?}, {:?}",
                files
                    .files
                    .keys()
                    .map(ToString::to_string)
                    .collect::<Vec<_>>(),
                files.folder.is_some()
            )
        })
        .collect();
    assert_snapshot!(found.join("\n"), @r#"
    Ben_2-x: ["0002-b.md"], false
    anna: ["0001-a.md"], true
    "#);
}
