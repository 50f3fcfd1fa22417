//! When memory answers, what a read and a rebuild do next, and which of two snapshots is kept.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use codex_miroir::cache::{
    BoundsStep, CacheSettings, Consistency, KnownFiles, ListedTable, ListingFacts, PublishStep,
    ReadStep, ReadView, SeenArtifact, SeenState, SnapshotAge, VersionBounds, bounds_after_reread,
    decide_bounds, decide_publish, decide_publish_foreign, decide_read, digest_of, inexact_bounds,
    is_foreign, join_key, new_state, non_file_record, partition_listing,
};
use codex_miroir::rules::Rules;
use codex_miroir::store::{ETag, ListedBlob, Listing};
use codex_miroir::task::{FileName, FileRecord, TaskTable};
use codex_miroir::user_state::{State, StatePresence, Version};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::{monday, name, newer_state, older_counter, rows, state_of, stored, table};
use crate::support::cases;

const LEVELS: [Consistency; 3] = [
    Consistency::Bounded,
    Consistency::Strict,
    Consistency::Rebuilt,
];

fn settings() -> CacheSettings {
    CacheSettings {
        memory_ttl: Duration::from_secs(300),
        artifact_ttl: Duration::from_secs(900),
        revalidate: Duration::from_secs(5),
        stale_if_error: Duration::from_secs(3600),
        memory_max_bytes: 0,
        deadline: Duration::from_secs(30),
        pending_expiry: Duration::from_secs(60),
        zone: chrono_tz::Europe::Berlin,
        ids: || 0,
        rules: Rules::default(),
    }
}

/// `=7`: exact at 7; `7x`: the same, but its listing has expired; `7o`: loaded too long ago; `5..7`: inexact.
fn age(word: &str) -> Option<SnapshotAge> {
    let text = word.trim_matches(['=', 'x', 'o']);
    let (lo, hi) = text.split_once("..").unwrap_or((text, text));
    (word != "-").then(|| SnapshotAge {
        floor: Version(0),
        lo: Version(lo.parse().unwrap()),
        hi: Version(hi.parse().unwrap()),
        exact: !word.contains(".."),
        confirmed: Duration::from_secs(10),
        loaded: Duration::from_secs(if word.ends_with('o') { 300 } else { 299 }),
        listing_expired: word.ends_with('x'),
    })
}

/// `=7` or `5..7`.
fn bounds(word: &str) -> VersionBounds {
    let SnapshotAge { lo, hi, exact, .. } = age(word).unwrap();
    VersionBounds {
        lo,
        hi,
        exact,
        state: None,
        before: None,
        covers_foreign: false,
    }
}

/// The lowest and highest versions, `=7` if exact.
fn shown(bounds: &VersionBounds) -> String {
    match bounds.exact {
        true => format!("={}", bounds.hi),
        false => format!("{}..{}", bounds.lo, bounds.hi),
    }
}

/// `none`, `damaged`, or a document.
fn presence(word: &str) -> StatePresence {
    match word {
        "none" => StatePresence::Missing,
        "damaged" => StatePresence::Damaged(ETag::new("d")),
        "newer" => StatePresence::Present(stored(newer_state())),
        _ => StatePresence::Present(stored(state_of(word))),
    }
}

/// A snapshot of version 7; the version that the client brings, and the highest that was acknowledged here.
const AGES: &str = "
confirmed within 5 s              | =7   | 4    | 7 - | memory, confirmable, stale
confirmed 5 s ago                 | =7   | 5    | 7 - | confirmable, stale
the client brings no version      | =7   | 4    | - - | memory, confirmable, stale
the client has seen more          | =7   | 4    | 8 - | confirmable
more was acknowledged here        | =7   | 4    | 7 8 | memory, confirmable
inexact: only what is below it    | 5..7 | 4    | 5 5 | stale
inexact: may not contain this     | 5..7 | 4    | 7 - |
loaded 300 s ago                  | 7o   | 4    | 7 - | stale
its listing has expired           | 7x   | 4    | 7 - | stale
confirmed within the hour         | =7   | 3599 | 7 7 | confirmable, stale
confirmed an hour ago             | =7   | 3600 | 7 7 | confirmable
";

#[test]
fn a_snapshot_answers_from_memory_is_confirmed_or_stands_in_as_its_row_says() {
    let settings = settings();
    for [why, word, confirmed, versions, expected] in rows(AGES) {
        let confirmed = Duration::from_secs(confirmed.parse().unwrap());
        let age = SnapshotAge {
            confirmed,
            ..age(word).unwrap()
        };
        let mut versions = versions.split(' ').map(|it| it.parse().ok().map(Version));
        let (seen, acknowledged) = (versions.next().unwrap(), versions.next().unwrap());
        for level in LEVELS {
            let mut is = vec![];
            is.extend(age.satisfies(level, seen, &settings).then_some("memory"));
            is.extend(age.is_confirmable(&settings).then_some("confirmable"));
            let stale = age.may_be_stale_answer(level, seen, acknowledged, &settings);
            is.extend(stale.then_some("stale"));
            let mut expected: Vec<&str> =
                expected.split(", ").filter(|it| !it.is_empty()).collect();
            if level != Consistency::Bounded {
                expected.retain(|it| *it == "confirmable");
            }
            assert_eq!(is, expected, "{level:?}: {why}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases(256)))]

    #[test]
    fn what_answers_from_memory_has_what_the_client_saw_and_did_so_earlier(
        (lo, more, seen, acknowledged) in (0..5_u64, 0..3_u64, 0..6_u64, 0..6_u64),
        (exact, listing_expired) in any::<(bool, bool)>(),
        (confirmed, loaded, passed) in (0..8_u64, 290..305_u64, 0..8_u64),
    ) {
        let settings = settings();
        let seconds = Duration::from_secs;
        let age = |later: u64| SnapshotAge {
            floor: Version(0),
            lo: Version(lo),
            hi: Version(lo + more),
            exact,
            confirmed: seconds(confirmed + later),
            loaded: seconds(loaded + later),
            listing_expired,
        };
        let (seen, acknowledged) = (Some(Version(seen)), Some(Version(acknowledged)));
        let satisfies = |later| age(later).satisfies(Consistency::Bounded, seen, &settings);
        let stale = |later| age(later).may_be_stale_answer(Consistency::Bounded, seen, acknowledged, &settings);
        prop_assert!(!satisfies(0) || age(0).is_confirmable(&settings) && seen <= Some(age(0).lo));
        prop_assert!(!stale(0) || seen.max(acknowledged) <= Some(age(0).lo));
        prop_assert!((satisfies(0) || !satisfies(passed)) && (stale(0) || !stale(passed)));
    }
}

/// `?`: not requested; `none`; `a7`, `a7x`: built from version 7, expired.
fn artifact(word: &str) -> SeenArtifact {
    match word {
        "?" => SeenArtifact::NotRequested,
        "none" => SeenArtifact::Unusable,
        _ => SeenArtifact::Found {
            built_from: Version(word.trim_matches(['a', 'x']).parse().unwrap()),
            is_current: !word.ends_with('x'),
        },
    }
}

fn seen<'a>(word: &str, state: &'a State) -> SeenState<'a> {
    match word {
        "304" => SeenState::NotModified,
        "none" => SeenState::Missing,
        _ => SeenState::Present(state),
    }
}

fn document(word: &str) -> State {
    state_of(if word.starts_with(|it: char| it.is_ascii_digit()) {
        word
    } else {
        "0"
    })
}

/// Snapshot, state document and artifact of a strong read; `again`: the document was read a second time.
const READS: &str = "
the document hasn't changed                          | =7   | 304  | ?    |         | ConfirmSnapshot
it has changed, but to the same version              | =7   | 7    | ?    |         | ConfirmSnapshot
the same with an artifact                            | =7   | 7    | a7   |         | ConfirmSnapshot
something is pending at that version                 | =7   | 7+7  | ?    |         | Rebuild
another version                                      | =7   | 8    | ?    |         | RequestArtifact
another version, an artifact of it                   | =7   | 8    | a8   |         | ServeArtifact
another version, an artifact of the old one          | =7   | 8    | a7   |         | Rebuild
another version, no artifact                         | =7   | 8    | none |         | Rebuild
another version, and an expired artifact of it       | =7   | 8    | a8x  |         | Rebuild
another version, something pending                   | =7   | 8+8  | ?    |         | Rebuild
the artifact is ahead                                | =7   | 8    | a9   |         | RereadState
it is ahead even though it has expired               | =7   | 8    | a9x  |         | RereadState
it is ahead of the second document, too              | =7   | 8    | a9   | again   | Rebuild
the second document is where it is                   | =7   | 9    | a9   | again   | ServeArtifact
the document is behind the snapshot                  | =7   | 6    | ?    |         | Rebuild
an artifact of it is behind the snapshot, too        | =7   | 6    | a6   |         | Rebuild
an inexact snapshot isn't confirmed                  | 5..7 | 7    | ?    |         | RequestArtifact
nor one whose listing has expired                    | 7x   | 7    | ?    |         | RequestArtifact
nor one loaded long ago                              | 7o   | 7    | none |         | Rebuild
but an artifact of its version may be newer          | 7x   | 7    | a7   |         | ServeArtifact
a new instance with a current artifact               | -    | 7    | a7   |         | ServeArtifact
with one of another version                          | -    | 7    | a6   |         | Rebuild
while something is pending                           | -    | 7+7  | a7   |         | Rebuild
no document: the artifact may name its versions      | -    | none | ?    |         | RequestArtifact
no document, no artifact                             | -    | none | none |         | Rebuild
no document: nothing proves the artifact             | -    | none | a7   |         | Rebuild
nor the snapshot                                     | =7   | none | none |         | Rebuild
a new listing is wanted, whatever there is           | =7   | 7    | ?    | Rebuilt | Rebuild
whatever artifact there is                           | -    | 7    | a7   | Rebuilt | Rebuild
but versions of a lost document are looked for       | =7   | none | ?    | Rebuilt | RequestArtifact
";

#[test]
fn a_read_does_next_what_its_row_says() {
    for [why, snapshot, state, found, rest, step] in rows(READS) {
        let document = document(state);
        let view = ReadView {
            consistency: LEVELS[1 + usize::from(rest == "Rebuilt")],
            snapshot: age(snapshot),
            state: seen(state, &document),
            artifact: artifact(found),
            is_reread: rest == "again",
        };
        let decided = decide_read(&view, &settings());
        assert_eq!(format!("{decided:?}"), step, "{why}");
    }
}

const STATES: [&str; 8] = ["none", "6", "7", "8", "7+7", "8+7", "8+8", "304"];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases(4_096)))]

    /// A read as its driver does it: it may find the artifact at once or when it requests it, and another document the
    /// second time. A document only moves on, or is lost.
    #[test]
    fn each_read_ends_after_three_steps_with_an_answer_that_has_what_was_promised(
        snapshot in select(vec!["-", "=6", "=7", "=8", "7x", "7o", "5..7", "6..8"]).prop_map(age),
        consistency in select(LEVELS.to_vec()),
        (first, second) in (select(STATES.to_vec()), select(STATES[..7].to_vec())),
        found in select(vec!["none", "a6", "a7", "a8", "a8x", "a9"]).prop_map(artifact),
        at_once in any::<bool>(),
    ) {
        let (settings, before, after) = (settings(), document(first), document(second));
        let mut view = ReadView {
            consistency,
            snapshot,
            state: seen(first, &before),
            artifact: if at_once { found } else { SeenArtifact::NotRequested },
            is_reread: false,
        };
        let is_later = after.version >= before.version && after.finished() >= before.finished();
        let is_asked = first != "304" || view.confirmable(&settings).is_some();
        if !is_asked || !is_later && second != "none" {
            return Ok(());
        }
        let promised = view.lower_bound(&settings);
        let mut step = decide_read(&view, &settings);
        for _ in 0..2 {
            match step {
                ReadStep::RequestArtifact => view.artifact = found,
                ReadStep::RereadState => (view.state, view.is_reread) = (seen(second, &after), true),
                _ => break,
            }
            step = decide_read(&view, &settings);
        }
        let contained = match (step, view.state) {
            (ReadStep::ConfirmSnapshot, state) => {
                let known = snapshot.unwrap();
                prop_assert!(known.exact && !known.listing_expired && known.loaded < settings.memory_ttl);
                if let SeenState::Present(State { version, pending, .. }) = state {
                    prop_assert!(*version == known.hi && pending.is_empty());
                }
                known.lo
            }
            (ReadStep::ServeArtifact, SeenState::Present(State { version, pending, .. })) => {
                prop_assert_eq!(view.artifact, SeenArtifact::Found { built_from: *version, is_current: true });
                prop_assert!(pending.is_empty() && snapshot.is_none_or(|it| it.hi <= *version));
                *version
            }
            (ReadStep::Rebuild, SeenState::Present(state)) => state.finished(),
            // A document made anew is above all that was found.
            (ReadStep::Rebuild, SeenState::Missing) => Version(u64::MAX),
            _ => return Err(TestCaseError::fail(format!("{step:?}"))),
        };
        prop_assert!(consistency != Consistency::Rebuilt || step == ReadStep::Rebuild);
        prop_assert!(promised <= contained);
    }
}

/// Documents with the next number 3; `foreign`, `shown 9`: a version shown before; `file 5`: numbers in use.
const BOUNDS: &str = "
no document                          | none    |                | CreateState(Absent)
a damaged one                        | damaged | foreign        | CreateState(Same(d))
nothing odd                          | 7       |                | RereadState
something pending                    | 7+7     |                | RereadState
foreign changes                      | 7       | foreign        | RaiseVersion(\"files changed by others\")
foreign changes beside intents       | 7+7     | foreign        | VersionForeignFiles
a later version was shown            | 7       | shown 8        | RaiseVersion(\"state behind\")
this version was shown               | 7       | shown 7        | RereadState
a number is in use                   | 7       | file 3         | RaiseVersion(\"state behind\")
the numbers below are                | 7       | file 2         | RereadState
the same beside intents              | 7+7     | file 3         | VersionForeignFiles
both                                 | 7       | foreign file 3 | RaiseVersion(\"files changed by others\")
a newer format is never written      | newer   | foreign file 3 | RereadState
";

#[test]
fn a_rebuild_determines_its_bounds_as_its_row_says_and_needs_no_second_step() {
    for [why, found, facts, step] in rows(BOUNDS) {
        let after = |word| Some(facts.split_once(word)?.1.trim().parse::<u32>().unwrap());
        let facts = ListingFacts {
            foreign: facts.starts_with("foreign"),
            floor: Version(after("shown").unwrap_or(0).into()),
            min_next_id: after("file").map_or(0, |number| number + 1),
        };
        let found = presence(found);
        let decided = decide_bounds(&found, &facts, Rules::default());
        assert_eq!(format!("{decided:?}"), step, "{why}");
        let next = match (decided, &found) {
            (BoundsStep::CreateState(_), _) => new_state(monday(), &facts, None, Rules::default()),
            (
                BoundsStep::RaiseVersion(_) | BoundsStep::VersionForeignFiles,
                StatePresence::Present(it),
            ) => it.state.after_foreign_write(facts.floor, facts.min_next_id),
            _ => continue,
        };
        assert!(next.version > facts.floor, "{why}");
        let facts = ListingFacts {
            foreign: false,
            ..facts
        };
        let next = decide_bounds(
            &StatePresence::Present(stored(next)),
            &facts,
            Rules::default(),
        );
        assert_eq!(next, BoundsStep::RereadState, "{why}");
    }
}

#[test]
fn a_new_document_starts_above_all_that_may_have_been_handed_out() {
    let clock = u64::try_from(monday().timestamp_millis()).unwrap();
    let rows = [
        (0, 0, None, 0, 0),
        (9, 4, None, 9, 4),
        (9, 4, Some(143), 9, 143),
        (0, 200, Some(143), 0, 200),
    ];
    for (above_clock, min_next_id, older, version, next_id) in rows {
        let floor = Version(if above_clock == 0 {
            7
        } else {
            clock + above_clock
        });
        let facts = ListingFacts {
            foreign: false,
            floor,
            min_next_id,
        };
        let legacy = older.map(older_counter);
        let made = new_state(monday(), &facts, legacy.clone(), Rules::default());
        let expected = (Version(clock + version + 1), next_id, legacy);
        assert_eq!((made.version, made.next_id, made.legacy_next_id), expected);
    }
}

/// The document before the LIST and after it, and the bounds of what was listed between.
const REREADS: &str = "
unchanged, nothing pending        | 7    | 304    | =7
unchanged, and pending            | 7+6  | 304    | 5..7
a change was finished             | 7    | 8      | 7..8
a change was begun                | 7    | 8+8    | 7..8
the pending one was finished      | 7+7  | 7      | 6..7
it was lost and made again        | 7    | 5      | 5..5
it was lost                       | 7    | none   | gone
it was damaged                    | 7    | damaged | gone
";

/// The same, when each reading was of another document.
const INEXACT: &str = "
7       | 9       | 7..9
7+7     | 9+7     | 6..9
7       | 5       | 7..7
7       | none    | 7..7
none    | 9       | 0..9
damaged | damaged | 0..0
";

#[test]
fn what_was_listed_between_two_readings_has_the_bounds_of_its_row() {
    for [why, first, second, expected] in rows(REREADS) {
        let before = stored(state_of(first));
        let second = (second != "304").then(|| presence(second));
        let found = bounds_after_reread(&before, second, &settings());
        assert_eq!(
            found.as_ref().map_or("gone".to_owned(), shown),
            expected,
            "{why}"
        );
        if let Ok(found) = found {
            assert!(
                found.lo <= found.hi && found.state.unwrap().state.version == found.hi,
                "{why}"
            );
            assert!(!found.covers_foreign && Arc::ptr_eq(&found.before.unwrap(), &before));
        }
    }
    for [first, last, expected] in rows(INEXACT) {
        let found = inexact_bounds(&presence(first), &presence(last));
        assert_eq!(shown(&found), expected, "{first}, {last}");
    }
}

#[test]
fn a_rebuild_is_joined_by_the_etag_of_a_document_with_nothing_pending() {
    for [found, key] in rows("none|\n damaged|\n 7|7+0\n 7+7|") {
        let joined = join_key(&presence(found), Rules::default());
        assert_eq!(joined.as_ref().map_or("", ETag::as_str), key, "{found}");
    }
}

/// The present snapshot and a new one, and what is kept: also if the new one's version is a foreign file's.
const PUBLISHED: &str = "
a later one                            | =5   | =7   | Store        | Store
the same again                         | =7   | =7   | Store        | Store
an older one                           | =7   | =5   | KeepPresent  | KeepPresent
an inexact one of the same version     | =7   | 7..7 | KeepPresent  | KeepPresent
an inexact one that may have more      | =7   | 7..9 | KeepPresent  | Store
an inexact one that lacks something    | =7   | 5..9 | KeepPresent  | MarkPresentInexact
an exact one for an inexact one        | 7..7 | =7   | Store        | Store
it has all, but less was shown         | 5..9 | =7   | StoreInexact | StoreInexact
it lacks something, but more was shown | 5..7 | 4..9 | KeepPresent  | MarkPresentInexact
inexact both, the later one            | 5..7 | 5..9 | Store        | Store
inexact both, less was shown           | 5..9 | 6..7 | StoreInexact | StoreInexact
";

#[test]
fn of_two_snapshots_that_is_kept_which_its_row_says() {
    for [why, present, new, step, foreign] in rows(PUBLISHED) {
        let (present, new) = (bounds(present), bounds(new));
        assert_eq!(
            format!("{:?}", decide_publish(&present, &new)),
            step,
            "{why}"
        );
        assert_eq!(
            format!("{:?}", decide_publish_foreign(&present, &new)),
            foreign,
            "foreign: {why}"
        );
    }
}

/// A reader that has read the state at version 7 publishes after a rebuild has shown a foreign file at version 8.
#[test]
fn a_late_snapshot_of_an_earlier_version_takes_back_no_foreign_file() {
    let (exact, rebuilt) = (bounds("=7"), bounds("5..8"));
    let marked = decide_publish_foreign(&exact, &rebuilt);
    assert_eq!(marked, PublishStep::MarkPresentInexact);
    let marked = exact.inexact_after(&rebuilt);
    assert_eq!(decide_publish(&marked, &exact), PublishStep::StoreInexact);
    let stored = exact.inexact_after(&marked);
    assert_eq!(decide_publish(&stored, &exact), PublishStep::StoreInexact);
}

fn any_bounds() -> impl Strategy<Value = String> {
    let inexact = (0..5, 0..3).prop_map(|(lo, more)| format!("{lo}..{}", lo + more));
    prop_oneof![inexact, (0..7).prop_map(|it| format!("={it}"))]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases(1_024)))]

    /// P4.
    #[test]
    fn what_a_snapshot_has_or_has_shown_is_never_lost_to_another(
        (present, new) in (any_bounds(), any_bounds()),
        is_foreign in any::<bool>(),
    ) {
        let (present, new) = (bounds(&present), bounds(&new));
        let decide = if is_foreign { decide_publish_foreign } else { decide_publish };
        let (kept, exact) = match decide(&present, &new) {
            PublishStep::KeepPresent => (&present, present.exact),
            PublishStep::MarkPresentInexact => (&present, false),
            PublishStep::Store => (&new, new.exact),
            PublishStep::StoreInexact => (&new, false),
        };
        let lacks_file = is_foreign && present.hi < new.hi;
        let lost_exact = present.exact && !exact && kept.lo == present.lo;
        prop_assert!(kept.lo >= present.lo, "something is lost");
        prop_assert!(!exact || kept.hi >= present.hi, "what was shown can be confirmed away");
        prop_assert!(!lost_exact || lacks_file, "an exact one is lost");
        prop_assert!(!lacks_file || !exact || kept.hi >= new.hi, "a foreign file can be confirmed away");
    }
}

/// What was known and what is listed, as in `a1 b2`; `made for` is what the document says its version is of.
const FOREIGN: &str = "
a new user's files of the service      | none | -         | -         | a1       |                 | no
a new user's files of an editor        | none | -         | -         | a1       | unknown writer  | yes
an earlier listing showed it           | none | -         | -         | a1       | earlier         | yes
nothing is known, nothing is odd       | 7    | -         | -         | a1       |                 | no
a file without a writer                | 7    | -         | -         | a1       | unknown writer  | yes
the files of this version, known       | 7    | -         | 7 a1      | a1       |                 | no
they differ at this version            | 7    | -         | 7 a1      | a2       |                 | yes
one is gone                            | 7    | -         | 7 a1 b1   | a1       |                 | yes
a tombstone is nothing                 | 7    | -         | 7 a1 b-   | a1       |                 | no
known at another version               | 7    | -         | 6 a1      | a2       |                 | no
something is pending                   | 7+7  | -         | 7 a1      | a2       |                 | no
pending, and without a writer          | 7+7  | -         | 7 a1      | a2       | unknown writer  | yes
the version was made for these         | 7    | 7 a2      | 7 a1      | a2       | unknown writer  | no
for these, after an earlier listing    | 7    | 7 a2      | -         | a2       | earlier         | no
for others                             | 7    | 7 a1      | -         | a2       |                 | yes
an earlier version was                 | 7    | 6 a1      | -         | a2       |                 | no
it was, but something is pending       | 7+7  | 7 a1      | -         | a2       |                 | no
";

#[test]
fn a_listing_shows_a_foreign_change_as_its_row_says() {
    for [why, found, made_for, known, listed, flags, foreign] in rows(FOREIGN) {
        let versioned = |text: &str| {
            text.split_once(' ')
                .map(|(at, files)| (Version(at.parse().unwrap()), table(files)))
        };
        let mut found = presence(found);
        if let (StatePresence::Present(it), Some((version, files))) = (&found, versioned(made_for))
        {
            let mut document = it.state.clone().with_files_digest(digest_of(&files));
            document.files.as_mut().unwrap().version = version;
            found = StatePresence::Present(stored(document));
        }
        let known =
            versioned(known).map_or_else(KnownFiles::default, |(version, files)| KnownFiles {
                table: Some(Arc::new(files)),
                exact_at: Some(version),
                lo: version,
                floor: version,
            });
        let listed = ListedTable {
            table: Arc::new(table(listed)),
            has_unknown_writer: flags == "unknown writer",
        };
        let decided = is_foreign(
            &found,
            &known,
            &listed,
            flags == "earlier",
            Rules::default(),
        );
        assert_eq!(decided, foreign == "yes", "{why}");
    }
}

fn listed(name: &str, etag: &str, size: usize) -> ListedBlob {
    ListedBlob {
        name: name.to_owned(),
        etag: ETag::new(etag),
        size: size as u64,
        modified: None,
    }
}

/// Known are the files a1, d1, e (which couldn't be read), the folder f, and the tombstone c. `-`: a folder is listed.
const LISTED: &str = "
unchanged                      | 0000-x.md   | 1 | 9       | known
changed                        | 0000-x.md   | 2 | 9       | fetched
still unreadable, perhaps      | 0004-x.md   |   | 9       | fetched
new                            | 0006-x.md   | 1 | 9       | fetched
new, of the largest size       | 0006-x.md   | 1 | 1048576 | fetched
new, and too large             | 0006-x.md   | 1 | 1048577 | known, foreign
new, and no task's name        | Einkauf.md  | 1 | 9       | known, foreign
no task                        | notes.txt   | 1 | 9       |
an editor's companion          | ._0006-x.md | 1 | 9       |
a folder known as such         | 0005-x.md   | - |         | known
a folder where a file was      | 0000-x.md   | - |         | known, foreign
a folder with no task's name   | notes       | - |         |
";

#[test]
fn a_listing_is_split_into_known_files_and_those_to_fetch() {
    let base = table("a1 c- d1 e").with(&[non_file_record(&name(5))]);
    for [why, name, etag, size, expected] in rows(LISTED) {
        let mut listing = Listing::default();
        match etag {
            "-" => listing.others.push(name.to_owned()),
            _ => listing
                .blobs
                .push(listed(name, etag, size.parse().unwrap())),
        }
        let found = partition_listing(listing, Some(&base));
        let mut is = vec![];
        let known = found.known.iter().any(|it| it.name == name);
        is.extend(known.then_some("known"));
        let fetches = |name: &str| found.unknown.iter().any(|it| it.as_str() == name);
        is.extend(fetches(name).then_some("fetched"));
        is.extend(found.foreign.then_some("foreign"));
        assert_eq!(is.join(", "), expected, "{why}");
        assert!(fetches("0003-x.md") && !fetches("0002-x.md"), "not listed");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases(256)))]

    /// Each file that is listed or was known is known or fetched, once; the digest names exactly the files.
    #[test]
    fn no_listed_or_known_file_is_lost(
        before in subsequence(vec!["a1", "b1", "c1", "d1", "e-", "f2"], 0..=6),
        after in subsequence(vec!["a1", "b2", "c1", "d3", "e1", "g1", "f-"], 0..=7),
    ) {
        let (base, now) = (table(&before.join(" ")), table(&after.join(" ")));
        let blobs = now.iter().map(|it| listed(it.name, it.etag, 9)).collect();
        let found = partition_listing(Listing { blobs, requests: 1, ..Listing::default() }, Some(&base));
        let mut names: Vec<&str> = found.known.iter().map(|it| it.name.as_str()).collect();
        names.extend(found.unknown.iter().map(FileName::as_str));
        names.sort_unstable();
        let there = base.iter().filter(|it| !it.is_tombstone());
        let expected: BTreeSet<&str> = there.chain(now.iter()).map(|it| it.name).collect();
        prop_assert_eq!(names, expected.into_iter().collect::<Vec<_>>());
        prop_assert!(!found.foreign);
        for known in &found.known {
            prop_assert_eq!(base.find(&known.name).map(|it| it.to_record()), Some(known.clone()));
            prop_assert_eq!(now.find(&known.name).map(|it| it.etag.to_owned()), Some(known.etag.clone()));
        }
        let files = |table: &TaskTable| -> Vec<FileRecord> {
            table.iter().filter(|it| !it.is_tombstone()).map(|it| it.to_record()).collect()
        };
        prop_assert_eq!(digest_of(&base) == digest_of(&now), files(&base) == files(&now));
        prop_assert_eq!(digest_of(&base).len(), 32);
    }
}

/// A document, or none, in a word of [`presence`].
fn any_document() -> impl Strategy<Value = String> {
    let document = (5..9_u64, prop::option::of(0..3_u64));
    let present = document.prop_map(|(version, below)| match below {
        Some(below) => format!("{version}+{}", version - below),
        None => version.to_string(),
    });
    prop_oneof![
        1 => select(vec!["none", "damaged", "newer"]).prop_map(str::to_owned),
        3 => present,
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases(256)))]

    #[test]
    fn a_rebuild_determines_its_bounds_in_at_most_two_steps(
        found in any_document(),
        foreign in any::<bool>(),
        floor in 0..12_u64,
        min_next_id in 0..6_u32,
    ) {
        let facts = ListingFacts { foreign, floor: Version(floor), min_next_id };
        let found = presence(&found);
        let next = match (decide_bounds(&found, &facts, Rules::default()), &found) {
            (BoundsStep::RereadState, StatePresence::Present(it)) => {
                let is_newer = it.state.is_read_only();
                prop_assert!(is_newer || !foreign && it.state.version >= facts.floor);
                return Ok(());
            }
            (BoundsStep::CreateState(_), StatePresence::Missing | StatePresence::Damaged(_)) => {
                new_state(monday(), &facts, None, Rules::default())
            }
            (_, StatePresence::Present(it)) => {
                prop_assert!(!it.state.is_read_only(), "it isn't this version's to write");
                it.state.after_foreign_write(facts.floor, min_next_id)
            }
            (step, _) => return Err(TestCaseError::fail(format!("{step:?} of {found:?}"))),
        };
        prop_assert!(next.version > facts.floor && next.next_id >= min_next_id);
        let facts = ListingFacts { foreign: false, ..facts };
        let next = StatePresence::Present(stored(next));
        prop_assert_eq!(decide_bounds(&next, &facts, Rules::default()), BoundsStep::RereadState);
    }

    #[test]
    fn a_new_document_is_above_what_was_shown_and_numbers_anew(
        floor in any::<u32>(),
        min_next_id in 0..10_000_u32,
        older in prop::option::of(0..10_000_u32),
    ) {
        let facts = ListingFacts { foreign: false, floor: Version(floor.into()), min_next_id };
        let made = new_state(monday(), &facts, older.map(older_counter), Rules::default());
        prop_assert!(made.version > facts.floor);
        prop_assert_eq!(made.next_id, min_next_id.max(older.unwrap_or(0)));
    }

    #[test]
    fn bounds_claim_no_more_than_both_readings_allow(
        first in any_document(),
        second in prop::option::of(any_document()),
    ) {
        let before = presence(&first);
        let version = |it: &StatePresence| match it {
            StatePresence::Present(it) => Some(it.state.version),
            StatePresence::Missing | StatePresence::Damaged(_) => None,
        };
        let last = second.as_deref().map(presence);
        let inexact = inexact_bounds(&before, last.as_ref().unwrap_or(&before));
        prop_assert!(!inexact.exact && inexact.lo <= inexact.hi);
        prop_assert!(version(&before).is_none_or(|it| inexact.lo <= it));
        let StatePresence::Present(before) = before else { return Ok(()) };
        // `None` is a document that hasn't changed.
        let is_exact = last.is_none() && before.state.pending.is_empty();
        let last_version = last.as_ref().map_or(Some(before.state.version), version);
        let Ok(found) = bounds_after_reread(&before, last, &settings()) else {
            prop_assert!(last_version.is_none());
            return Ok(());
        };
        prop_assert!(found.lo <= found.hi && found.lo <= before.state.version);
        prop_assert_eq!((Some(found.hi), found.exact), (last_version, is_exact));
    }

    #[test]
    fn only_listings_of_the_same_document_are_shared(first in any_document(), second in any_document()) {
        let key = |word: &str| join_key(&presence(word), Rules::default());
        if let Some(shared) = key(&first) {
            prop_assert!(!first.contains('+'));
            prop_assert_eq!(first == second, key(&second) == Some(shared));
        }
    }
}
