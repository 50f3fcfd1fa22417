//! The decisions about who owns a login (`src/owners/README.md`): what a cached answer says to a claim at a time, what
//! a new one means, which folder is a login's, and how sessions end.

use std::time::{Duration, Instant};

use codex_miroir::owners::decision::{OwnerAnswer, OwnerState, outage_ttl, session_end};
use codex_miroir::owners::folder::{FolderOwner, OwnerFolder, choose_folder};
use codex_miroir::owners::{AccountIdentity, ConfirmedOwner, LoginClaim, OwnerError, OwnerFile};
use codex_miroir::revalidated::Freshness;
use codex_miroir::store::{BlobUpdate, StoreError};
use codex_miroir::user::UserId;
use proptest::prelude::*;
use proptest::sample::select;

const OURS: AccountIdentity = AccountIdentity::GitHub { number: 1 };
const THEIRS: AccountIdentity = AccountIdentity::GitHub { number: 2 };

/// The session generation of the cached answer.
const GENERATION: u64 = 5;

fn user(name: &str) -> UserId {
    UserId::parse(name).unwrap()
}

fn claim(session: Option<u64>) -> LoginClaim {
    LoginClaim {
        login: user("Anna"),
        identity: OURS,
        session,
    }
}

fn answer(identity: AccountIdentity, at: Instant) -> OwnerAnswer {
    OwnerAnswer {
        identity,
        folder: user("anna"),
        session_generation: GENERATION,
        at,
    }
}

fn outage() -> OwnerError {
    OwnerError::Store(StoreError::Unavailable {
        operation: "get",
        key: "state/anna/owner.json".to_owned(),
        reason: "no answer in time".to_owned(),
    })
}

fn file(identity: AccountIdentity) -> OwnerFile {
    OwnerFile::new(
        identity,
        chrono::DateTime::from_timestamp(1_000, 0).unwrap(),
    )
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// In one word, with the folder or the error.
fn said(verdict: Freshness<Result<ConfirmedOwner, OwnerError>>) -> String {
    match verdict {
        Freshness::Fresh(Ok(owner)) => format!("confirmed {}", owner.user),
        Freshness::Stale(Ok(owner)) => format!("stale {}", owner.user),
        Freshness::Fresh(Err(error)) => format!("denied {}", denied(&error)),
        Freshness::Expired => "ask".to_owned(),
        other => format!("{other:?}"),
    }
}

fn denied(error: &OwnerError) -> &'static str {
    match error {
        OwnerError::Reassigned => "reassigned",
        OwnerError::SessionEnded => "ended",
        OwnerError::NewerFormat => "newer",
        OwnerError::Unreadable => "unreadable",
        OwnerError::Store(_) => "store",
        OwnerError::Contended => "contended",
    }
}

#[test]
fn an_answer_is_used_for_an_outage_and_as_long_as_a_stale_week() {
    assert_eq!(outage_ttl(Duration::ZERO), seconds(3 * 3600));
    assert_eq!(outage_ttl(seconds(3600)), seconds(3 * 3600));
    assert_eq!(outage_ttl(seconds(86_400)), seconds(86_400 + 600));
    assert_eq!(outage_ttl(Duration::MAX), Duration::MAX);
}

#[test]
fn what_a_cached_answer_says_to_a_claim() {
    let no = None::<(OwnerError, u64)>;
    let failed = |seconds| Some((outage(), seconds));
    // Who owns it by the cached answer, the age of that, the last failure and its age, the claim's session.
    for (owner, age, failure, session, expected) in [
        (None, 0, no.clone(), None, "ask"),
        (None, 0, failed(1), None, "denied store"),
        (None, 0, failed(2), None, "ask"),
        (
            None,
            0,
            Some((OwnerError::NewerFormat, 1)),
            None,
            "denied newer",
        ),
        (Some(OURS), 599, no.clone(), None, "confirmed anna"),
        (Some(OURS), 600, no.clone(), None, "stale anna"),
        (Some(OURS), 1_199, no.clone(), None, "stale anna"),
        (Some(OURS), 1_200, no.clone(), None, "ask"),
        (Some(OURS), 10_799, failed(9), None, "confirmed anna"),
        (Some(OURS), 10_799, failed(10), None, "stale anna"),
        (Some(OURS), 10_799, failed(59), None, "stale anna"),
        (Some(OURS), 10_799, failed(60), None, "ask"),
        (Some(OURS), 10_800, failed(1), None, "denied store"),
        (Some(OURS), 10_800, failed(2), None, "ask"),
        (Some(OURS), 0, no.clone(), Some(5), "confirmed anna"),
        (Some(OURS), 700, no.clone(), Some(5), "stale anna"),
        (Some(OURS), 10_799, failed(1), Some(4), "denied ended"),
        (Some(OURS), 10_800, no.clone(), Some(4), "ask"),
        (Some(OURS), 0, no.clone(), Some(6), "ask"),
        (Some(OURS), 700, failed(30), Some(6), "ask"),
        (Some(OURS), 700, failed(9), Some(6), "confirmed anna"),
        (Some(THEIRS), 29, no.clone(), None, "denied reassigned"),
        (Some(THEIRS), 29, failed(1), Some(4), "denied reassigned"),
        (Some(THEIRS), 30, no.clone(), None, "ask"),
        (Some(THEIRS), 30, failed(1), None, "denied store"),
    ] {
        let now = Instant::now() + seconds(100_000);
        let at = |age| now - seconds(age);
        let mut state = OwnerState::default();
        let described = format!("{owner:?}, {age} s, {failure:?}, {session:?}");
        if let Some(owner) = owner {
            state.record(Ok(answer(owner, at(age))), at(age));
        }
        if let Some((error, age)) = failure {
            state.record(Err(error), at(age));
        }
        let verdict = state.verdict(&claim(session), now, outage_ttl(seconds(3600)));
        assert_eq!(said(verdict), expected, "{described}");
    }
}

#[test]
fn what_a_new_answer_means_for_a_claim() {
    for (owner, session, expected) in [
        (OURS, None, Ok("anna")),
        (OURS, Some(GENERATION), Ok("anna")),
        (OURS, Some(GENERATION - 1), Err("ended")),
        (OURS, Some(GENERATION + 1), Err("ended")),
        (THEIRS, None, Err("reassigned")),
        (THEIRS, Some(GENERATION), Err("reassigned")),
    ] {
        let verdict = answer(owner, Instant::now()).verdict(&claim(session));
        let verdict = verdict.as_ref().map(|it| it.user.as_str());
        assert_eq!(verdict.map_err(denied), expected, "{session:?}");
    }
}

#[test]
fn an_answer_that_can_not_be_used_ends_the_one_before_and_an_outage_does_not() {
    let now = Instant::now();
    for (error, folder) in [
        (outage(), Some("anna")),
        (OwnerError::Contended, Some("anna")),
        (OwnerError::NewerFormat, None),
        (OwnerError::Unreadable, None),
        (OwnerError::SessionEnded, None),
    ] {
        let mut state = OwnerState::default();
        state.record(Ok(answer(OURS, now)), now);
        state.record(Err(error.clone()), now);
        assert_eq!(state.folder().map(UserId::as_str), folder, "{error}");
    }
}

#[test]
fn the_end_of_sessions_is_recorded_for_the_folder_it_is_about() {
    let now = Instant::now();
    let old = claim(Some(GENERATION));
    for (folder, generation, ends) in [
        ("anna", GENERATION + 1, true),
        ("anna", GENERATION, false),
        ("ANNA", GENERATION + 1, false),
    ] {
        let mut state = OwnerState::default();
        assert!(!state.record_session_end(&user(folder), generation));
        state.record(Ok(answer(OURS, now)), now);
        assert_eq!(state.record_session_end(&user(folder), generation), ends);
        assert_eq!(state.is_session_ended(&old), ends, "{folder} {generation}");
    }
}

#[test]
fn how_sessions_end_in_a_folder() {
    // A new file's generation is its time.
    for (owner, session, written, generation) in [
        (None, Some(1_000), false, None),
        (Some(THEIRS), Some(1_000), false, None),
        (Some(OURS), Some(999), false, Some(1_000)),
        (Some(OURS), None, false, Some(1_000)),
        (Some(OURS), Some(1_000), true, Some(1_001)),
        (Some(OURS), Some(2_000), true, Some(1_001)),
    ] {
        let ended = session_end(owner.map(file), &claim(session));
        let (bytes, value) = match ended {
            BlobUpdate::Write(bytes, value) => (Some(bytes), value),
            BlobUpdate::Keep(value) => (None, value),
        };
        assert_eq!((bytes.is_some(), value), (written, generation));
        if let Some(bytes) = bytes {
            let file = OwnerFile::parse(&bytes).unwrap();
            assert_eq!(Some(file.session_generation), generation);
            assert_eq!(file.identity, OURS);
        }
    }
}

#[test]
fn which_folder_is_a_logins() {
    let (ours, theirs) = (|| Ok(Some(file(OURS))), || Ok(Some(file(THEIRS))));
    let (unreadable, free) = (|| Err(OwnerError::Unreadable), || Ok(None));
    let cases: Vec<(Vec<(&str, FolderOwner)>, &str)> = vec![
        (vec![], "free Anna"),
        (vec![("ANNA", free())], "free ANNA"),
        (vec![("ANNA", free()), ("Anna", free())], "free Anna"),
        (vec![("ANNA", free()), ("anna", free())], "free ANNA"),
        (vec![("Anna", free()), ("anna", theirs())], "recorded anna"),
        (vec![("Anna", theirs()), ("anna", ours())], "recorded anna"),
        (vec![("ANNA", ours()), ("Anna", ours())], "recorded Anna"),
        (vec![("Anna", free()), ("anna", unreadable())], "unreadable"),
        (
            vec![("Anna", unreadable()), ("anna", ours())],
            "recorded anna",
        ),
    ];
    for (found, expected) in cases {
        let described = format!("{found:?}");
        let found = found.into_iter().map(|(name, owner)| (user(name), owner));
        let chosen = match choose_folder(&user("Anna"), &OURS, found.collect()) {
            Ok(OwnerFolder::Free(folder)) => format!("free {folder}"),
            Ok(OwnerFolder::Recorded(folder, _)) => format!("recorded {folder}"),
            Err(error) => denied(&error).to_owned(),
        };
        assert_eq!(chosen, expected, "{described}");
    }
}

/// What happens to a state, so many seconds after what was before: an answer, or a failure.
type Event = (u64, Result<(AccountIdentity, u64), OwnerError>);

fn events() -> impl Strategy<Value = Vec<Event>> {
    let answer = (select(vec![OURS, THEIRS]), 3..8_u64).prop_map(Ok);
    let errors = vec![outage(), OwnerError::Contended, OwnerError::Unreadable];
    let event = prop_oneof![answer, select(errors).prop_map(Err)];
    prop::collection::vec((select(vec![0, 1, 9, 25, 300, 3_000]), event), 0..6)
}

proptest! {
    /// Only the account that the store named last gets in, never by a session that is known to have ended, and never by
    /// an answer older than an outage may last.
    #[test]
    fn nobody_is_confirmed_without_an_answer_for_him(
        events in events(),
        session in prop::option::of(3..8_u64),
        later in select(vec![0, 1, 9, 25, 300, 900, 3_000, 20_000_u64]),
    ) {
        let ttl = outage_ttl(seconds(3600));
        let (mut now, mut state) = (Instant::now(), OwnerState::default());
        let mut last = None;
        for (passed, event) in events {
            now += seconds(passed);
            let event = event.map(|(identity, session_generation)| OwnerAnswer {
                session_generation,
                ..answer(identity, now)
            });
            match &event {
                Ok(answer) => last = Some(answer.clone()),
                Err(OwnerError::Unreadable) => last = None,
                Err(_) => {}
            }
            state.record(event, now);
        }
        now += seconds(later);
        let claim = claim(session);
        if let Some(Ok(owner)) = state.verdict(&claim, now, ttl).usable() {
            let answer = last.expect("an answer");
            prop_assert_eq!(&answer.identity, &claim.identity);
            prop_assert_eq!(owner.user, answer.folder);
            prop_assert!(session.is_none_or(|it| it >= answer.session_generation));
            prop_assert!(now - answer.at < ttl);
            prop_assert!(!state.is_session_ended(&claim));
        }
    }

    /// A fresh answer that confirms a claim is what the cache says then; one that denies it is never a confirmation.
    #[test]
    fn a_cached_answer_says_what_it_said_when_it_came(
        identity in select(vec![OURS, THEIRS]),
        session in prop::option::of(3..8_u64),
    ) {
        let now = Instant::now();
        let answer = answer(identity, now);
        let mut state = OwnerState::default();
        state.record(Ok(answer.clone()), now);
        let cached = state.verdict(&claim(session), now, outage_ttl(Duration::ZERO));
        match answer.verdict(&claim(session)) {
            Ok(owner) => prop_assert_eq!(cached.usable().unwrap().unwrap(), owner),
            Err(_) => prop_assert!(!matches!(cached.usable(), Some(Ok(_)))),
        }
    }

    /// A PUT that landed and whose answer was lost isn't repeated.
    #[test]
    fn the_end_of_sessions_recognises_its_own_result(session in prop::option::of(0..3_000_u64)) {
        let claim = claim(session.filter(|it| *it <= 1_000));
        if let BlobUpdate::Write(bytes, generation) = session_end(Some(file(OURS)), &claim) {
            let again = session_end(Some(OwnerFile::parse(&bytes).unwrap()), &claim);
            prop_assert!(matches!(again, BlobUpdate::Keep(it) if it == generation));
        }
    }

    /// A folder that the account owns is found whatever else there is, in whatever order.
    #[test]
    fn an_own_folder_wins(others in prop::collection::vec(0..3_usize, 0..5), at in 0..5_usize) {
        let other = |kind| match kind {
            0 => Ok(None),
            1 => Ok(Some(file(THEIRS))),
            _ => Err(OwnerError::Unreadable),
        };
        let mut found: Vec<(UserId, FolderOwner)> = others
            .into_iter()
            .map(|kind| (user("Anna"), other(kind)))
            .collect();
        found.insert(at.min(found.len()), (user("ANNA"), Ok(Some(file(OURS)))));
        let chosen = choose_folder(&user("Anna"), &OURS, found).unwrap();
        prop_assert_eq!(chosen, OwnerFolder::Recorded(user("ANNA"), file(OURS)));
    }
}
