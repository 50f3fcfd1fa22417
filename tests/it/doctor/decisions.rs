//! What the facts mean.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Cursor;

use chrono::TimeDelta;
use codex_miroir::admin::doctor::facts::{
    BranchState, ConditionalWrites, CredentialKind, Facts, GitFacts, Part, Presence,
    RepositoryFacts, SettingsFacts, SignInFacts, StoreFacts, StoreKind, StrangerAccess,
    WebhookFacts,
};
use codex_miroir::admin::doctor::{Finding, Linkage, Verdict, judge, linkage};
use codex_miroir::github::RepositoryAccess;
use codex_miroir::store::StoreError;
use proptest::prelude::*;

use Verdict::{Broken, Fine, Unchecked, Warning};

const HELD: ConditionalWrites = ConditionalWrites {
    create: true,
    update: true,
    delete: true,
};

/// A container that is fine.
fn account() -> StoreFacts {
    StoreFacts {
        name: "account konto".to_owned(),
        kind: StoreKind::Account {
            variable: "AZURE_BLOB_CONN".to_owned(),
            credential: CredentialKind::Key,
        },
        presence: Ok(Presence::Present),
        writes: Some(Ok(HELD)),
        left: None,
        ahead: Some(TimeDelta::zero()),
        strangers: Some(StrangerAccess {
            list: Ok(404),
            read: Some(Ok(404)),
        }),
    }
}

fn of_store(store: StoreFacts) -> Facts {
    Facts {
        settings: SettingsFacts::default(),
        store: Part::Found(store),
        git: Part::Off,
        sign_in: Part::Found(SignInFacts::Local {
            user: "local".to_owned(),
        }),
        redis: Part::Off,
        linkage: Linkage::Static,
    }
}

fn finding(facts: &Facts, subject: &str) -> Finding {
    let found = judge(facts).0.into_iter().find(|it| it.subject == subject);
    found.unwrap()
}

fn verdicts(store: StoreFacts) -> [Verdict; 4] {
    let facts = of_store(store);
    ["storage", "conditions", "clock", "container"].map(|it| finding(&facts, it).verdict)
}

#[test]
fn a_store_is_fine_if_it_is_there_writable_and_keeps_conditions() {
    let refused = || StoreError::Denied {
        operation: "put",
        key: "state/x".to_owned(),
        reason: "403".to_owned(),
    };
    let folder = |presence| StoreFacts {
        kind: StoreKind::Folder,
        presence: Ok(presence),
        ahead: None,
        strangers: None,
        ..account()
    };
    let unread = || StoreFacts {
        presence: Err(refused()),
        writes: None,
        ..account()
    };
    let ignoring = |create, update, delete| StoreFacts {
        writes: Some(Ok(ConditionalWrites {
            create,
            update,
            delete,
        })),
        ..account()
    };
    for (case, store, expected) in [
        ("fine", account(), [Fine; 4]),
        ("refused", unread(), [Broken, Unchecked, Fine, Fine]),
        (
            "read-only",
            StoreFacts {
                writes: Some(Err(refused())),
                ..account()
            },
            [Broken, Unchecked, Fine, Fine],
        ),
        (
            "no container",
            StoreFacts {
                presence: Ok(Presence::Missing),
                writes: None,
                ..account()
            },
            [Warning, Unchecked, Fine, Unchecked],
        ),
        (
            "creates replace",
            ignoring(false, true, true),
            [Fine, Broken, Fine, Fine],
        ),
        (
            "updates replace",
            ignoring(true, false, true),
            [Fine, Broken, Fine, Fine],
        ),
        (
            "deletes ignore",
            ignoring(true, true, false),
            [Fine, Broken, Fine, Fine],
        ),
        (
            "left something",
            StoreFacts {
                left: Some("state/x".to_owned()),
                ..account()
            },
            [Warning, Fine, Fine, Fine],
        ),
        (
            "folder",
            folder(Presence::Present),
            [Fine, Fine, Unchecked, Unchecked],
        ),
        (
            "new folder",
            folder(Presence::Unused),
            [Fine, Fine, Unchecked, Unchecked],
        ),
        (
            "no folder",
            folder(Presence::Missing),
            [Warning, Fine, Unchecked, Unchecked],
        ),
    ] {
        assert_eq!(verdicts(store), expected, "{case}");
    }
}

#[test]
fn a_container_is_public_if_any_stranger_gets_an_answer() {
    let away = || Err("it can't be reached".to_owned());
    for (list, read, expected) in [
        (Ok(200), Some(Ok(200)), Broken),
        (Ok(200), None, Broken),
        (Ok(404), Some(Ok(200)), Broken),
        (away(), Some(Ok(206)), Broken),
        (Ok(404), Some(Ok(404)), Fine),
        (Ok(403), Some(Ok(403)), Fine),
        (Ok(409), Some(Ok(409)), Fine),
        (Ok(401), None, Fine),
        (Ok(404), Some(away()), Unchecked),
        (Ok(404), Some(Ok(503)), Unchecked),
        (away(), None, Unchecked),
        (Ok(302), None, Unchecked),
    ] {
        let case = format!("{list:?} {read:?}");
        let store = StoreFacts {
            strangers: Some(StrangerAccess { list, read }),
            ..account()
        };
        assert_eq!(verdicts(store)[3], expected, "{case}");
    }
}

#[test]
fn clocks_that_differ_by_a_minute_are_a_warning_and_by_a_quarter_of_an_hour_broken() {
    for (seconds, expected, text) in [
        (0, Fine, "this machine's and the storage's agree"),
        (5, Fine, "this machine's and the storage's agree"),
        (-6, Fine, "this machine's is 6 s behind the storage's"),
        (59, Fine, "this machine's is 59 s ahead of the storage's"),
        (60, Warning, "this machine's is 60 s ahead of the storage's"),
        (
            -119,
            Warning,
            "this machine's is 119 s behind the storage's",
        ),
        (
            899,
            Warning,
            "this machine's is 15 min ahead of the storage's",
        ),
        (
            900,
            Broken,
            "this machine's is 15 min ahead of the storage's",
        ),
        (
            -3599,
            Broken,
            "this machine's is 60 min behind the storage's",
        ),
    ] {
        let ahead = Some(TimeDelta::seconds(seconds));
        let clock = finding(&of_store(StoreFacts { ahead, ..account() }), "clock");
        assert_eq!(
            (clock.verdict, &*clock.found),
            (expected, text),
            "{seconds}"
        );
    }
}

#[test]
fn what_the_host_starts_in_place_of_the_service_is_a_wrong_setting() {
    for (runtime, expected) in [(None, Fine), (Some("custom"), Fine), (Some("node"), Broken)] {
        let mut facts = of_store(account());
        facts.settings.worker_runtime = runtime.map(str::to_owned);
        assert_eq!(finding(&facts, "settings").verdict, expected, "{runtime:?}");
    }
}

/// A repository to which a token's account may push.
fn repository(access: RepositoryAccess) -> Facts {
    let git = GitFacts {
        repository: "anna/notes".to_owned(),
        branch: "main".to_owned(),
        pull_requests: None,
        by_app: access.granted.is_some(),
        found: Ok(RepositoryFacts {
            access,
            branch: BranchState::There { protected: false },
            rules: None,
        }),
        webhook: WebhookFacts {
            has_secret: true,
            address: "https://codex.example/github/webhook".to_owned(),
            is_local: false,
            hooks: Some(Ok(None)),
        },
    };
    Facts {
        git: Part::Found(git),
        ..of_store(account())
    }
}

#[test]
fn what_credentials_may_do_is_told_as_far_as_github_says() {
    let token = |push, scopes: Option<&[&str]>, private| RepositoryAccess {
        push,
        private,
        scopes: scopes.map(|it| it.iter().map(|it| (*it).to_owned()).collect()),
        ..RepositoryAccess::default()
    };
    let app = |contents: &str| RepositoryAccess {
        // GitHub has none of an account's permissions for an installation.
        push: Some(false),
        granted: Some(BTreeMap::from([(
            "contents".to_owned(),
            contents.to_owned(),
        )])),
        ..RepositoryAccess::default()
    };
    for (access, expected, text) in [
        (
            token(Some(true), Some(&["repo"]), true),
            Fine,
            "the token may write",
        ),
        (token(Some(true), None, true), Fine, "GitHub doesn't say"),
        (
            token(Some(true), Some(&["user", "public_repo"]), false),
            Fine,
            "the token may write",
        ),
        (
            token(Some(true), Some(&["public_repo"]), true),
            Broken,
            "lacks the scope",
        ),
        (
            token(Some(true), Some(&["user"]), false),
            Broken,
            "lacks the scope",
        ),
        (
            token(Some(false), Some(&["repo"]), true),
            Broken,
            "may read it, and not write",
        ),
        (token(None, None, true), Unchecked, "doesn't say whether"),
        (app("write"), Fine, "the app may write"),
        (app("read"), Broken, "the app may not write"),
    ] {
        let found = finding(&repository(access.clone()), "github");
        assert_eq!(found.verdict, expected, "{access:?}: {found:?}");
        assert!(found.found.contains(text), "{access:?}: {found:?}");
    }
}

/// An ELF program with these program headers: their types, and what each names.
fn elf(is_64: bool, is_little: bool, headers: &[(u32, &str)]) -> Vec<u8> {
    let number = |value: usize, bytes: usize| -> Vec<u8> {
        let little = value.to_le_bytes();
        match is_little {
            true => little[..bytes].to_vec(),
            false => little[..bytes].iter().rev().copied().collect(),
        }
    };
    let (word, head, entry) = if is_64 { (8, 64, 56) } else { (4, 52, 32) };
    let mut file = vec![0; head];
    file[..4].copy_from_slice(b"\x7fELF");
    (file[4], file[5]) = (if is_64 { 2 } else { 1 }, if is_little { 1 } else { 2 });
    let mut put = |at: usize, bytes: Vec<u8>| file[at..at + bytes.len()].copy_from_slice(&bytes);
    let [table, size, count] = if is_64 { [32, 54, 56] } else { [28, 42, 44] };
    put(table, number(head, word));
    put(size, number(entry, 2));
    put(count, number(headers.len(), 2));
    let mut names = vec![];
    for (kind, name) in headers {
        let mut header = vec![0; entry];
        header[..4].copy_from_slice(&number(*kind as usize, 4));
        let offset = head + headers.len() * entry + names.len();
        let [at_offset, at_length] = if is_64 { [8, 32] } else { [4, 16] };
        header[at_offset..at_offset + word].copy_from_slice(&number(offset, word));
        header[at_length..at_length + word].copy_from_slice(&number(name.len(), word));
        file.extend(header);
        names.extend(name.bytes());
    }
    file.extend(names);
    file
}

#[test]
fn a_program_that_names_no_dynamic_linker_is_static() {
    let linker = "/lib64/ld-linux-x86-64.so.2\0";
    for (is_64, is_little) in [(true, true), (true, false), (false, true), (false, false)] {
        let of =
            |headers: &[(u32, &str)]| linkage(&mut Cursor::new(elf(is_64, is_little, headers)));
        assert_eq!(of(&[(6, ""), (1, "code"), (2, "dynamic")]), Linkage::Static);
        let dynamic = Linkage::Dynamic(linker.trim_end_matches('\0').to_owned());
        assert_eq!(of(&[(6, ""), (3, linker), (1, "code")]), dynamic);
    }
    for bytes in [&b""[..], b"#!/bin/sh\nexec true\n", b"MZ\x90\0", &[0; 200]] {
        assert_eq!(linkage(&mut Cursor::new(bytes)), Linkage::Foreign);
    }
    let cut = elf(true, true, &[(1, ""), (3, linker)]);
    let cut = linkage(&mut Cursor::new(&cut[..80]));
    assert!(matches!(cut, Linkage::Unreadable(_)), "{cut:?}");
}

proptest! {
    /// Any file is of some kind, whatever its headers say.
    #[test]
    fn no_file_ends_the_reading_of_headers(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        linkage(&mut Cursor::new([&b"\x7fELF"[..], &bytes].concat()));
    }

    /// Each part has one finding, with what to do exactly if something isn't as it should be.
    #[test]
    fn each_part_is_found_once_with_what_to_do(
        presence in 0..3,
        written in 0..3,
        held in any::<(bool, bool, bool)>(),
        ahead in prop::option::of(-5000_i64..5000),
        list in 100_u16..600,
        read in prop::option::of(100_u16..600),
        rules in prop::collection::btree_set("[a-z_]{3,12}", 0..3),
        protected: bool,
    ) {
        let refused = || StoreError::unavailable("put", "state/x", "away");
        let store = StoreFacts {
            presence: match presence {
                0 => Ok(Presence::Present),
                1 => Ok(Presence::Missing),
                _ => Err(refused()),
            },
            writes: match written {
                0 => None,
                1 => Some(Err(refused())),
                _ => Some(Ok(ConditionalWrites { create: held.0, update: held.1, delete: held.2 })),
            },
            ahead: ahead.map(TimeDelta::seconds),
            strangers: Some(StrangerAccess { list: Ok(list), read: read.map(Ok) }),
            ..account()
        };
        let access = RepositoryAccess { push: Some(true), ..RepositoryAccess::default() };
        let mut facts = Facts { store: Part::Found(store), ..repository(access) };
        if let Part::Found(GitFacts { found: Ok(found), .. }) = &mut facts.git {
            found.rules = Some(rules.into_iter().collect::<BTreeSet<String>>());
            found.branch = BranchState::There { protected };
        }
        let diagnosis = judge(&facts);
        let subjects: Vec<&str> = diagnosis.0.iter().map(|it| it.subject).collect();
        let all = [
            "settings", "leftovers", "storage", "conditions", "clock", "container", "github",
            "webhook", "sign-in", "redis", "executable",
        ];
        prop_assert_eq!(subjects, all);
        for finding in &diagnosis.0 {
            let is_wrong = matches!(finding.verdict, Warning | Broken);
            prop_assert_eq!(finding.advice.is_some(), is_wrong, "{:?}", finding);
        }
    }
}
