//! Untrusted input is parsed or rejected and never panics: damaged state documents and artifacts, deliveries,
//! connection strings. Task files and edits have tests of their own (`task_hostile`, `task_edit_properties`).
//!
//! Failing cases are kept in `proptest-regressions` and run first; `tests/run fuzz CASES` runs more cases.

use codex_miroir::cache::Artifact;
use codex_miroir::config::Secret;
use codex_miroir::github::{Delivery, parse, verify};
use codex_miroir::net::TrustStore;
use codex_miroir::store::azure::{AzureConnection, AzureStore};
use codex_miroir::task::{FileName, TaskRef};
use codex_miroir::user_state::State;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::Value;

use crate::support::cases;
use crate::support::github::sign;
use crate::support::scene::anna;

/// Damage to bytes in transit, or to a file edited by hand.
#[derive(Debug, Clone)]
enum Damage {
    Set(Index, u8),
    Cut(Index, Index),
    Repeat(Index, Index),
    Insert(Index, &'static str),
}

const PIECES: &[&str] = &[
    "\"",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "null",
    "-1",
    "1e999",
    "18446744073709551616",
    "\\u0000",
    "\u{feff}",
    "\"format\":\"2.0\",",
    "\"version\":0,",
    "{\"a\":",
    "\r\n",
    "9999",
    "true",
    "\"pending\":{},",
];

fn damage() -> impl Strategy<Value = Vec<Damage>> {
    let one = prop_oneof![
        (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Damage::Set(at, byte)),
        any::<(Index, Index)>().prop_map(|(from, to)| Damage::Cut(from, to)),
        any::<(Index, Index)>().prop_map(|(from, to)| Damage::Repeat(from, to)),
        (any::<Index>(), select(PIECES)).prop_map(|(at, piece)| Damage::Insert(at, piece)),
    ];
    prop::collection::vec(one, 0..6)
}

fn damaged(text: &str, damages: &[Damage]) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    for damage in damages {
        if bytes.is_empty() {
            break;
        }
        let range = |from: &Index, to: &Index, length| {
            let (from, to) = (from.index(length), to.index(length));
            from.min(to)..from.max(to)
        };
        match damage {
            Damage::Set(at, byte) => {
                let at = at.index(bytes.len());
                bytes[at] = *byte;
            }
            Damage::Cut(from, to) => drop(bytes.drain(range(from, to, bytes.len()))),
            Damage::Repeat(from, to) => {
                let part = bytes[range(from, to, bytes.len())].to_vec();
                bytes.extend(part);
            }
            Damage::Insert(at, piece) => {
                let at = at.index(bytes.len());
                bytes.splice(at..at, piece.bytes());
            }
        }
    }
    bytes
}

const STATE: &str = r#"{"format":"1.3","version":5,"nextId":7,"extra":true,"pending":{"op1":{"version":5,"at":"2026-03-09T07:00:00Z","note":1,"files":[{"name":"0001-a.md","writeId":"00000000000000ff","kind":"delete","why":"x"}]}},"idempotency":{"ab":{"body":"cd","op":"op0","id":3,"file":"0003-b.md","version":4,"at":"2026-03-09T06:00:00Z","more":[1]}}}"#;

const PUSH: &str = r#"{"ref":"refs/heads/main","before":"00","repository":{"id":1,"full_name":"anna/tasks"},"commits":[{"added":["a.md"]}]}"#;

fn connection() -> impl Strategy<Value = String> {
    let names = select(
        &[
            "AccountName",
            "accountkey",
            "BlobEndpoint",
            "EndpointSuffix",
            "SharedAccessSignature",
            "DefaultEndpointsProtocol",
            "UseDevelopmentStorage",
            "DevelopmentStorageProxyUri",
            "",
            "x",
        ][..],
    );
    let values = prop_oneof![
        select(
            &[
                "codex",
                "https",
                "http",
                "true",
                "c2VjcmV0",
                "http://127.0.0.1:10000/devstoreaccount1",
                "https://a.blob.core.windows.net",
                "sv=2024&sig=geheim%3D",
                "core.windows.net",
                "https://[::1",
                "//",
                "file:///etc",
                "https://a@b",
                "",
            ][..]
        )
        .prop_map(str::to_owned),
        any::<String>(),
    ];
    let parts = prop::collection::vec((names, values), 0..6);
    parts.prop_map(|parts| {
        let parts: Vec<String> = parts
            .iter()
            // An account's name is no secret, whatever it is.
            .filter(|(name, value)| {
                !(name.eq_ignore_ascii_case("AccountName") && value == "c2VjcmV0")
            })
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        parts.join(";")
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(2_000), ..ProptestConfig::default() })]

    /// A state document that parses round-trips, including the members that this version doesn't know.
    #[test]
    fn a_damaged_state_is_read_as_it_is_or_not_at_all(damages in damage()) {
        let bytes = damaged(STATE, &damages);
        if let Ok(Some(state)) = State::parse(&bytes) {
            let again = State::parse(&state.to_bytes()).unwrap().unwrap();
            prop_assert_eq!(&again, &state);
            let (before, after): (Value, Value) = (
                serde_json::from_slice(&bytes).unwrap(),
                serde_json::from_slice(&state.to_bytes()).unwrap(),
            );
            for (name, value) in before.as_object().unwrap() {
                let known = ["pending", "idempotency", "version", "nextId", "merged", "legacyNextId"].contains(&name.as_str());
                prop_assert!(known || after.get(name) == Some(value), "{}: {} became {:?}", name, value, after.get(name));
            }
        }
    }

    #[test]
    fn a_damaged_artifact_is_read_or_not(damages in damage()) {
        let text = r#"{"format":"5","userId":"anna","builtFrom":5,"builtBy":"x","version":5,"tasks":[]}"#;
        let _ = Artifact::parse(&damaged(text, &damages), &anna());
    }

    /// The signature is valid only for the signed bytes; any body parses as a push or another event, or is rejected.
    #[test]
    fn a_delivery_is_what_was_signed_or_none(damages in damage(), event in "push|ping|PUSH|.{0,8}") {
        let bytes = damaged(PUSH, &damages);
        let secrets = [Secret::new("geheim".to_owned())];
        let signature = sign("geheim", PUSH.as_bytes());
        let same = bytes == PUSH.as_bytes();
        prop_assert_eq!(verify(&secrets, Some(&signature), &bytes).is_ok(), same);
        match parse(&event, &bytes) {
            Ok(Delivery::Push(push)) => prop_assert!(event == "push" && push.reference.len() <= bytes.len() * 3),
            Ok(Delivery::Ping) => prop_assert_eq!(event, "ping"),
            Ok(Delivery::Other) => prop_assert!(event != "push" && event != "ping"),
            Err(_) => prop_assert!(event == "push" && !same),
        }
    }

    /// A connection string gives an account with an HTTP(S) endpoint, or an error that contains no secret.
    #[test]
    fn a_connection_string_is_an_account_or_a_refusal_without_secrets(text in connection()) {
        match AzureConnection::parse(&text) {
            Ok(connection) => {
                prop_assert!(["http", "https"].contains(&connection.endpoint.scheme()), "{}", text);
                let shown = format!("{connection:?}");
                prop_assert!(!shown.contains("c2VjcmV0") && !shown.contains("geheim"), "{}", shown);
                drop(AzureStore::new(connection, "codex-cache", &TrustStore::default()));
            }
            Err(error) => {
                let said = error.to_string();
                prop_assert!(!said.contains("c2VjcmV0") && !said.contains("geheim"), "{}", said);
            }
        }
    }

    /// An id in a path refers to a file in the folder, or doesn't parse.
    #[test]
    fn an_id_never_names_another_folder(text in any::<String>(), tail in "[0-9]{4}(-[^a-z]{0,12})?(/|\\\\|\\.\\.|\u{0})?.{0,4}") {
        for text in [text, tail] {
            if text.parse::<TaskRef>().is_ok() {
                prop_assert!(!text.contains(['/', '\\', '\0']) && !text.chars().any(char::is_control), "{:?}", text);
            }
            if let Ok(name) = text.parse::<FileName>() {
                prop_assert!(!name.to_string().contains(['/', '\\', '\0']));
            }
        }
    }
}
