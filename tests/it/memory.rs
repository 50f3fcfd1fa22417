//! The per-user snapshots in an instance's memory: which users stay when not all fit, what is evicted, and that the
//! size accounting is right.

use std::sync::Arc;

use codex_miroir::codex::{Consistency, Layer, ReadRequest};
use codex_miroir::owners::{AccountIdentity, LoginClaim};
use codex_miroir::user::UserId;

use crate::support::scene::{Scene, task};

fn claim(user: &UserId) -> LoginClaim {
    LoginClaim {
        login: user.clone(),
        identity: AccountIdentity::GitHub { number: 1_001 },
        session: None,
    }
}

/// A scene with `users` users, each with one task.
fn scene_with_users(users: usize) -> Scene {
    let scene = Scene::with_tasks(1);
    for number in 0..users {
        let path = format!("raw/{}/tasks/0000-Eine.md", user_id(number));
        scene
            .store
            .foreign_write(&path, task(&format!("Aufgabe {number}")).as_bytes());
    }
    scene
}

fn user_id(number: usize) -> UserId {
    UserId::parse(&format!("user{number}")).unwrap()
}

fn read_request(scene: &Scene, user: UserId) -> ReadRequest {
    ReadRequest {
        user,
        ..scene.read_request(Consistency::Bounded)
    }
}

#[tokio::test]
async fn who_is_read_again_and_again_stays_while_others_walk_by() {
    const BOUND: u64 = 64 << 10;
    let scene = scene_with_users(500);
    let a = scene.instance_with(1_000, BOUND);
    scene.read(&a).await;
    for number in 0..500 {
        a.read(read_request(&scene, user_id(number))).await;
        assert_eq!(scene.read(&a).await.layer, Layer::Memory, "{number}");
        let (users, bytes) = a.codex.memory_size();
        assert!(
            bytes <= BOUND && users < 100,
            "{users} users, {bytes} bytes"
        );
    }
}

#[tokio::test]
async fn somebody_too_large_for_memory_is_answered_not_kept_and_drives_nobody_out() {
    let scene = scene_with_users(3);
    for number in 1..600 {
        let title = format!("Aufgabe {number}");
        scene.file(&format!("{number:04}-Aufgabe.md"), &task(&title));
    }
    let a = scene.instance_with(1_000, 32 << 10);
    for number in 0..3 {
        a.read(read_request(&scene, user_id(number))).await;
    }
    for _ in 0..2 {
        let read = scene.read(&a).await;
        assert!(a.json(&read).to_string().contains("Aufgabe 599"));
        for number in 0..3 {
            let read = a.read(read_request(&scene, user_id(number))).await;
            assert_eq!(read.layer, Layer::Memory, "{number}");
        }
        assert_eq!(a.codex.memory_size().0, 3);
    }
}

/// Concurrent readers of more users than fit: no read returns another user's week, and the bound on size holds.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_count_is_right_whatever_happens_at_once() {
    const BOUND: u64 = 64 << 10;
    const USERS: usize = 60;
    let scene = Arc::new(scene_with_users(USERS));
    let a = Arc::new(scene.instance_with(100_000, BOUND));
    let readers = (0..8).map(|seed| {
        let (scene, a) = (Arc::clone(&scene), Arc::clone(&a));
        tokio::spawn(async move {
            let mut random = fastrand::Rng::with_seed(seed);
            for _ in 0..400 {
                let number = random.usize(0..USERS);
                let user = user_id(number);
                let mut read_request = read_request(&scene, user.clone());
                if random.u8(0..4) == 0 {
                    read_request.consistency = Consistency::Rebuilt;
                }
                let read = a.codex.reader().week(&read_request).await.unwrap();
                let week = a.json(&read).to_string();
                assert!(week.contains(&format!("Aufgabe {number}\"")), "{week}");
                let claim = claim(&user);
                let confirmed = a.codex.owners().confirm(&claim, scene.now());
                confirmed.await.unwrap();
                assert!(a.codex.memory_size().1 <= BOUND);
            }
        })
    });
    for reader in futures::future::join_all(readers).await {
        reader.unwrap();
    }
    assert!(a.codex.memory_size().0 > 5);
}
