//! The address of a calendar: getting, ending, what it opens and what opens it, for how long an instance remembers it,
//! and what it costs.

use std::time::{Duration, Instant};

use codex_miroir::codex::calendar_address::{AddressState, AddressTtl, CalendarFile, new_address};
use codex_miroir::codex::{CalendarAddress, CalendarFeed};
use codex_miroir::owners::{AccountIdentity, LoginClaim};
use codex_miroir::revalidated::Freshness;
use codex_miroir::store::{Blob, BlobUpdate, ETag, StoreError, WriteIds};
use codex_miroir::user::UserId;
use codex_miroir::user_state::ReadError;
use codex_miroir::view::Language;
use http::StatusCode;
use http::request::Builder;
use insta::assert_snapshot;
use proptest::prelude::*;

use crate::support::http::{Reply, get, request, send};
use crate::support::losing_store::Loss;
use crate::support::scene::{Instance, Scene, anna, settle};

const BLOB: &str = "state/anna/calendar.json";

/// The status of every address that opens nothing.
const UNKNOWN: &str = r#"404 {"ok":false,"code":"not_found","error":"There is nothing at this path; the week is at /codex."}"#;

async fn send_now(scene: &Scene, instance: &Instance, request: Builder) -> Reply {
    send(instance, request.extension(scene.now())).await
}

/// Gets an address, as a path.
async fn create(scene: &Scene, instance: &Instance) -> String {
    let reply = send_now(scene, instance, request("POST", "/api/calendar")).await;
    assert_eq!(reply.header("cache-control"), "no-store");
    let url = reply.ok()["url"].as_str().unwrap().to_owned();
    let path = url.strip_prefix("http://127.0.0.1:7071").unwrap();
    path.to_owned()
}

async fn delete(scene: &Scene, instance: &Instance) -> Reply {
    send_now(scene, instance, request("DELETE", "/api/calendar")).await
}

async fn read(scene: &Scene, instance: &Instance, path: &str) -> Reply {
    send_now(scene, instance, get(path)).await
}

async fn status(scene: &Scene, instance: &Instance, path: &str) -> u16 {
    let reply = read(scene, instance, path).await;
    if reply.status == StatusCode::NOT_FOUND {
        assert_eq!(reply.refusal(), UNKNOWN);
    }
    reply.status.as_u16()
}

/// The path with one of its hexadecimal digits replaced by another one.
fn changed(path: &str, at: usize) -> String {
    let mut changed = path.to_owned();
    let other = if &path[at..=at] == "0" { "1" } else { "0" };
    changed.replace_range(at..=at, other);
    changed
}

#[tokio::test]
async fn its_address_opens_the_week_and_nothing_else_does() {
    let scene = Scene::with_tasks(2);
    let a = scene.instance();
    let path = create(&scene, &a).await;
    let segment = path.strip_prefix("/calendar/anna.").unwrap();
    assert_eq!(segment.len(), "0123456789abcdef0123456789abcdef.ics".len());
    let reply = read(&scene, &a, &path).await;
    assert_eq!(reply.status, StatusCode::OK);
    assert_eq!(reply.header("content-type"), "text/calendar; charset=utf-8");
    assert_eq!(reply.header("cache-control"), "private, no-cache");
    assert_eq!(reply.header("x-content-type-options"), "nosniff");
    assert_eq!(reply.text().matches("BEGIN:VEVENT").count(), 2);
    assert!(reply.text().contains("SUMMARY:Aufgabe 1\r\n"));
    let head = send_now(&scene, &a, request("HEAD", &path)).await;
    assert_eq!((head.status, head.body.len()), (StatusCode::OK, 0));
    assert_eq!(head.header("etag"), reply.header("etag"));

    let etag = reply.header("etag").to_owned();
    let same = get(&path).header("if-none-match", &etag);
    let same = send_now(&scene, &a, same).await;
    assert_eq!(
        (same.status, same.body.len()),
        (StatusCode::NOT_MODIFIED, 0)
    );
    let b = scene.instance();
    assert_eq!(
        read(&scene, &b, &path).await.body,
        reply.body,
        "of another instance"
    );

    // Every bit of it counts; the user is part of it.
    let digits = path.len() - ".ics".len() - 32;
    for at in [digits, digits + 15, digits + 31] {
        assert_eq!(status(&scene, &a, &changed(&path, at)).await, 404);
    }
    let of_berta = path.replace("anna", "berta");
    let upper = path.replace(segment, &segment.to_uppercase());
    let long = format!("/calendar/{}", "a".repeat(5_000));
    for wrong in [
        &of_berta,
        &path.replace("anna", "Anna"),
        &upper,
        &path.replace(".ics", ""),
        &path.replace(".ics", ".ICS"),
        &format!("{path}%00"),
        &path.replace("anna.", ""),
        "/calendar/anna.ics",
        "/calendar/..%2Fanna.0123456789abcdef0123456789abcdef.ics",
        "/calendar/%ff",
        "/calendar/.ics",
        &long,
    ] {
        assert_eq!(status(&scene, &a, wrong).await, 404, "{wrong}");
    }
    let with_token = get("/calendar/anna.ics").header("authorization", "Bearer ghp_anna");
    assert_eq!(send_now(&scene, &a, with_token).await.refusal(), UNKNOWN);
    let post = send_now(&scene, &a, request("POST", &path)).await;
    assert_eq!(
        (post.status.as_u16(), post.header("allow")),
        (405, "GET,HEAD")
    );
    assert!(!post.text().contains(segment));
}

#[tokio::test]
async fn only_its_hash_is_stored_and_a_new_one_ends_it() {
    let scene = Scene::with_tasks(1);
    let a = scene.instance();
    let english = request("POST", "/api/calendar").header("accept-language", "en, de;q=0.5");
    let first = send_now(&scene, &a, english).await.ok()["url"].to_string();
    let stored = scene.store.peek(BLOB).unwrap();
    let stored = String::from_utf8(stored.bytes.to_vec()).unwrap();
    assert_snapshot!(stored.replace(stored.split('"').nth(3).unwrap(), "(hash)"), @r#"{"address":"(hash)","format":"1.0","language":"en"}"#);
    let secret = first.split('.').rev().nth(1).unwrap();
    assert!(!stored.contains(secret) && secret.len() == 32);
    scene
        .store
        .foreign_write(BLOB, stored.replace('{', r#"{"later":[1],"#).as_bytes());
    let second = create(&scene, &a).await;
    let stored = scene.store.peek(BLOB).unwrap();
    let stored = String::from_utf8(stored.bytes.to_vec()).unwrap();
    assert!(
        stored.contains(r#""later":[1]"#) && stored.contains(r#""language":"de""#),
        "{stored}"
    );
    assert_eq!(status(&scene, &a, &second).await, 200);
    assert_eq!(delete(&scene, &a).await.ok()["ok"], true);
    assert_eq!(scene.store.peek(BLOB).map(|_| ()), None);
    assert_eq!(status(&scene, &a, &second).await, 404);
    assert_eq!(
        delete(&scene, &a).await.status,
        StatusCode::OK,
        "there is none"
    );
}

/// On the instance that does it at once; on every other one within `CODEX_REVALIDATE_SECONDS` (5).
#[tokio::test]
async fn an_address_that_was_ended_stops_within_the_bound_and_a_new_one_works_at_once() {
    let scene = Scene::with_tasks(1);
    let (a, b) = (scene.instance(), scene.instance());
    let first = create(&scene, &a).await;
    assert_eq!(status(&scene, &a, &first).await, 200);
    assert_eq!(status(&scene, &b, &first).await, 200);
    scene.pass_seconds(4);
    let second = create(&scene, &a).await;
    assert_eq!(status(&scene, &a, &first).await, 404);
    for instance in [&a, &b] {
        assert_eq!(status(&scene, instance, &second).await, 200, "at once");
    }
    scene.pass(Duration::from_millis(999));
    assert_eq!(
        status(&scene, &b, &first).await,
        200,
        "the bound isn't over"
    );
    scene.pass(Duration::from_millis(1));
    assert_eq!(status(&scene, &b, &first).await, 404);
    assert_eq!(status(&scene, &b, &second).await, 200);
    delete(&scene, &b).await;
    assert_eq!(status(&scene, &b, &second).await, 404);
    scene.pass_seconds(5);
    assert_eq!(status(&scene, &a, &second).await, 404);
}

#[tokio::test]
async fn what_it_costs() {
    let scene = Scene::with_tasks(3);
    let (a, b) = (scene.instance(), scene.instance());
    scene.read(&a).await;
    scene.read(&b).await;
    let took = async |instance: &Instance, path: &str, expected: u16| {
        instance.took();
        assert_eq!(status(&scene, instance, path).await, expected);
        instance.took()
    };
    a.took();
    let first = create(&scene, &a).await;
    assert_eq!(a.took(), "1 get state, 1 put state", "getting an address");
    assert_eq!(
        took(&a, &first, 200).await,
        "1 get state",
        "the first look-up"
    );
    assert_eq!(took(&a, &first, 200).await, "", "from memory");
    let conditional = get(&first).header("if-none-match", "*");
    assert_eq!(
        send_now(&scene, &a, conditional).await.status,
        StatusCode::NOT_MODIFIED
    );
    assert_eq!(a.took(), "", "304 from memory");
    let strict = get(&first).header("cache-control", "no-cache");
    let strict = strict.header("x-codex-version", "9999999999999999");
    assert_eq!(send_now(&scene, &a, strict).await.status, StatusCode::OK);
    assert_eq!(a.took(), "", "the address asks for no stronger read");
    scene.pass_seconds(5);
    assert_eq!(
        took(&a, &first, 200).await,
        "2 get state",
        "its address, and the week"
    );
    assert_eq!(
        took(&b, &first, 200).await,
        "2 get state",
        "the same, on another instance"
    );

    create(&scene, &a).await;
    scene.pass_seconds(5);
    assert_eq!(
        took(&b, &first, 404).await,
        "1 get state",
        "the first time after it ended"
    );
    assert_eq!(took(&b, &first, 404).await, "", "and for five seconds");
    assert_eq!(took(&b, "/calendar/anna.ics", 404).await, "", "no address");
    a.took();
    delete(&scene, &a).await;
    assert_eq!(a.took(), "1 delete state, 1 get state");
    delete(&scene, &a).await;
    assert_eq!(a.took(), "1 get state");
}

/// Also for a look-up that was under way and had read the file before.
#[tokio::test]
async fn where_it_was_ended_it_opens_nothing_from_then_on() {
    let scene = Scene::with_tasks(1);
    let a = scene.instance();
    scene.read(&a).await;
    let path = create(&scene, &a).await;
    // The answer to the look-up comes after the file was deleted.
    let held = a.gate.hold_next("got", BLOB);
    let (reply, ()) = tokio::join!(status(&scene, &a, &path), async {
        held.reached().await;
        let ended = delete(&scene, &a);
        tokio::pin!(ended);
        assert!(futures::poll!(&mut ended).is_pending());
        settle().await;
        held.release();
        assert_eq!(ended.await.status, StatusCode::OK);
    });
    assert_eq!(reply, 200, "it was asked before");
    a.took();
    assert_eq!(status(&scene, &a, &path).await, 404);
    assert_eq!(a.took(), "", "it is remembered");
}

/// Many at once share a look-up.
#[tokio::test]
async fn look_ups_at_once_are_one() {
    let scene = Scene::with_tasks(1);
    let a = scene.instance();
    scene.read(&a).await;
    let path = create(&scene, &a).await;
    a.took();
    let held = a.gate.hold_next("get", "state/");
    let all = futures::future::join_all((0..20).map(|_| status(&scene, &a, &path)));
    let (all, ()) = tokio::join!(all, async {
        held.reached().await;
        settle().await;
        held.release();
    });
    assert_eq!(all, [200; 20]);
    assert_eq!(a.took(), "1 get state");
}

#[tokio::test]
async fn wrong_addresses_are_limited_and_right_ones_go_on() {
    let scene = Scene::with_tasks(1);
    let a = scene.instance();
    let path = create(&scene, &a).await;
    assert_eq!(status(&scene, &a, &path).await, 200);
    a.took();
    let wrong = |n: u64| {
        format!(
            "/calendar/{}",
            CalendarAddress::new(&anna(), [0, n]).segment()
        )
    };
    for n in 0..100 {
        assert_eq!(status(&scene, &a, &wrong(n)).await, 404);
    }
    assert_eq!(a.requests.take().total(), 100);
    let limited = read(&scene, &a, &wrong(100)).await;
    assert_snapshot!(limited.refusal(), @r#"429 {"ok":false,"code":"too_many_requests","error":"Too many wrong addresses of calendars came within a minute: try again later."}"#);
    assert_eq!(limited.header("retry-after"), "60");
    assert_eq!(a.requests.take().total(), 0, "no request of the storage");
    scene.pass_seconds(6);
    assert_eq!(status(&scene, &a, &path).await, 200, "looked up again");
    scene.pass_seconds(54);
    assert_eq!(status(&scene, &a, &wrong(100)).await, 404);
}

#[tokio::test]
async fn getting_and_ending_count_as_writes_of_the_user() {
    let scene = Scene::with_tasks(1);
    let a = scene.instance_limited(2);
    let path = create(&scene, &a).await;
    assert_eq!(delete(&scene, &a).await.status, StatusCode::OK);
    assert_eq!(
        delete(&scene, &a).await.status,
        StatusCode::TOO_MANY_REQUESTS
    );
    assert_eq!(status(&scene, &a, &path).await, 404);
}

#[tokio::test]
async fn a_page_of_another_site_gets_none() {
    let scene = Scene::with_tasks(1);
    let a = scene.instance();
    for method in ["POST", "DELETE"] {
        let foreign = request(method, "/api/calendar").header("origin", "https://evil.example");
        let reply = send_now(&scene, &a, foreign).await;
        assert_eq!(reply.json()["code"], "cross_origin");
    }
    assert_eq!(scene.store.peek(BLOB).map(|_| ()), None);
}

#[tokio::test]
async fn while_the_storage_is_away_a_known_address_goes_on() {
    let scene = Scene::with_tasks(1);
    let a = scene.instance();
    let path = create(&scene, &a).await;
    assert_eq!(status(&scene, &a, &path).await, 200);
    scene.pass_seconds(6);
    a.line.set_outage(true);
    let reply = read(&scene, &a, &path).await;
    assert_eq!(
        (reply.status.as_u16(), reply.header("x-codex-cache")),
        (200, "stale")
    );
    let unknown = changed(&path, path.len() - 5);
    assert_eq!(
        read(&scene, &a, &unknown).await.json()["code"],
        "storage_unavailable"
    );
    let refused = send_now(&scene, &a, request("POST", "/api/calendar")).await;
    assert_eq!(refused.json()["code"], "storage_unavailable");
    scene.pass_seconds(3_600);
    assert_eq!(
        status(&scene, &a, &path).await,
        503,
        "no longer than the week itself"
    );
    a.line.set_outage(false);
    scene.pass_seconds(6);
    assert_eq!(status(&scene, &a, &path).await, 200);
}

#[tokio::test]
async fn a_lost_answer_to_getting_one_gives_the_one_that_was_written() {
    let scene = Scene::with_tasks(1);
    let a = scene.instance();
    a.line
        .lose_next("put", "state/anna/calendar", Loss::FirstAnswer);
    let path = create(&scene, &a).await;
    assert_eq!(status(&scene, &a, &path).await, 200);
}

#[tokio::test]
async fn a_file_of_a_newer_version_is_not_written_and_a_damaged_one_is() {
    let scene = Scene::with_tasks(1);
    let a = scene.instance();
    let path = create(&scene, &a).await;
    scene.store.foreign_write(BLOB, br#"{"format":"2.0"}"#);
    scene.pass_seconds(6);
    for request in [
        get(&path),
        request("POST", "/api/calendar"),
        request("DELETE", "/api/calendar"),
    ] {
        let reply = send_now(&scene, &a, request).await;
        assert_eq!(reply.json()["code"], "newer_format");
    }
    scene.store.foreign_write(BLOB, b"{");
    scene.pass_seconds(6);
    assert_eq!(status(&scene, &a, &path).await, 404);
    let path = create(&scene, &a).await;
    assert_eq!(status(&scene, &a, &path).await, 200);
}

fn feed() -> CalendarFeed {
    CalendarFeed {
        user: anna(),
        account: Some(LoginClaim {
            login: anna(),
            identity: AccountIdentity::GitHub { number: 1_001 },
            session: None,
        }),
        language: Language::English,
    }
}

fn blob(bytes: Vec<u8>) -> Blob {
    Blob {
        bytes: bytes.into(),
        etag: ETag::new("e"),
        writes: WriteIds::default(),
    }
}

#[test]
fn what_a_new_address_writes() {
    let [old, new] = [1, 2].map(|n| CalendarAddress::new(&anna(), [n, n]).hash());
    let written = |blob| match new_address(blob, new, &feed()).unwrap() {
        BlobUpdate::Write(bytes, ended) => (CalendarFile::parse(&bytes).unwrap().unwrap(), ended),
        BlobUpdate::Keep(_) => panic!("not written"),
    };
    let (file, ended) = written(None);
    assert_eq!(ended, None);
    assert_eq!(file.clone().opened_by(&new, &anna()), Some(feed()));
    assert_eq!(file.clone().opened_by(&old, &anna()), None);
    let before = CalendarFile::new(None, old, &feed()).to_bytes();
    assert_eq!(written(Some(blob(before))).1, Some(old));
    assert_eq!(written(Some(blob(b"damaged".to_vec()))).1, None);
    let same = new_address(Some(blob(file.to_bytes())), new, &feed());
    assert!(
        matches!(same, Ok(BlobUpdate::Keep(None))),
        "its own, whose answer was lost"
    );
    assert!(new_address(Some(blob(br#"{"format":"2.0"}"#.to_vec())), new, &feed()).is_err());
}

#[test]
fn how_long_an_answer_counts() {
    let ttl = AddressTtl {
        fresh: Duration::from_secs(5),
        outage: Duration::from_secs(3_600),
    };
    let start = Instant::now();
    let at = |seconds| start + Duration::from_secs(seconds);
    let outage = || ReadError::from(StoreError::unavailable("get", "calendar.json", "away"));
    let shown = |state: &AddressState, seconds| match state.verdict(at(seconds), ttl) {
        Freshness::Fresh(Ok(Some(_))) => "open",
        Freshness::Fresh(Ok(None)) => "refused",
        Freshness::Fresh(Err(_)) => "failed",
        Freshness::Expired => "ask",
        Freshness::Stale(_) | Freshness::StaleForOthers(_) => "stale",
    };
    let mut state = AddressState::default();
    assert_eq!((shown(&state, 0), state.is_open()), ("ask", false));
    state.record(Ok(None), at(0), at(1));
    assert_eq!(
        [shown(&state, 0), shown(&state, 4), shown(&state, 5)],
        ["refused", "refused", "ask"]
    );
    state.record(Err(outage()), at(6), at(6));
    assert_eq!([shown(&state, 7), shown(&state, 8)], ["failed", "ask"]);
    state.record(Ok(Some(feed())), at(10), at(11));
    assert_eq!([shown(&state, 14), shown(&state, 15)], ["open", "ask"]);
    state.record(Err(outage()), at(3_608), at(3_608));
    assert_eq!(
        [shown(&state, 3_609), shown(&state, 3_610)],
        ["open", "ask"]
    );
    state.record(Err(outage()), at(3_610), at(3_610));
    assert_eq!(shown(&state, 3_611), "failed");
    state.record(Err(ReadError::Contended), at(12), at(12));
    assert!(state.is_open(), "an address that was right stays known");
}

proptest! {
    #[test]
    fn an_address_reads_back_and_no_other_text_is_it(
        user in "[A-Za-z0-9_-]{1,64}", random in any::<[u64; 2]>(), flipped in 0..128_usize, text in ".{0,120}",
    ) {
        let user = UserId::parse(&user).unwrap();
        let address = CalendarAddress::new(&user, random);
        let segment = address.segment();
        prop_assert_eq!(CalendarAddress::parse(&segment), Some(address.clone()));
        let secret = &segment[segment.len() - 36..segment.len() - 4];
        let debug = format!("{:?}", address);
        prop_assert!(!debug.contains(secret));
        let mut bits = random;
        bits[flipped / 64] ^= 1 << (flipped % 64);
        let other = CalendarAddress::new(&user, bits);
        let file = CalendarFile::new(None, address.hash(), &feed());
        prop_assert!(file.clone().opened_by(&other.hash(), &user).is_none());
        prop_assert!(file.opened_by(&address.hash(), &user).is_some());
        if let Some(parsed) = CalendarAddress::parse(&text) {
            prop_assert_eq!(parsed.segment(), text);
        }
    }
}
