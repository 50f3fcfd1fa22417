//! The janitor dies, or loses a request or an answer, at each of its storage requests: what is left is right
//! for everybody, and the next pass does the rest.

use super::{assert_tidy, crowded};
use crate::support::counting_store::Request;
use crate::support::losing_store::Loss;
use crate::support::scene::{Scene, settle, titles};

/// What befalls one of the requests.
#[derive(Debug, Clone, Copy)]
enum Fate {
    /// The process is killed before it reaches the store.
    Killed,
    Lost(Loss),
}

const FATES: [Fate; 4] = [
    Fate::Killed,
    Fate::Lost(Loss::Request),
    Fate::Lost(Loss::StoreResponse),
    Fate::Lost(Loss::FirstAnswer),
];

/// Every request of a pass that nothing disturbs, each path once.
async fn requests() -> Vec<Request> {
    let scene = crowded().await;
    let a = scene.instance();
    a.codex.run_janitor(scene.now()).await.unwrap();
    let mut all = a.requests.take_requests();
    all.sort_by(|a, b| (a.operation, &a.path).cmp(&(b.operation, &b.path)));
    all.dedup();
    all
}

async fn disturbed_pass(scene: &Scene, at: &Request, fate: Fate) {
    let a = scene.instance();
    match fate {
        Fate::Lost(loss) => {
            a.line.lose_next(at.operation, &at.path, loss);
            // It may fail, and may not.
            let _ = a.codex.run_janitor(scene.now()).await;
        }
        Fate::Killed => {
            let held = a.gate.hold_next(at.operation, &at.path);
            tokio::select! {
                _ = a.codex.run_janitor(scene.now()) => panic!("{at:?} wasn't sent"),
                () = held.reached() => {}
            }
        }
    }
    settle().await;
}

#[tokio::test]
async fn whatever_befalls_one_of_its_requests_the_next_pass_does_the_rest() {
    let requests = requests().await;
    assert!(requests.len() > 25, "{requests:?}");
    for at in &requests {
        for fate in FATES {
            let context = format!("{} {}, {fate:?}", at.operation, at.path);
            let scene = crowded().await;
            let version = scene.state().version;
            disturbed_pass(&scene, at, fate).await;
            let b = scene.instance();
            let read = scene.read_strictly(&b).await;
            let shown = titles(&b.json(&read));
            assert_eq!(shown, ["Aufgabe 0", "Aufgabe 1"], "{context}");
            assert_eq!(scene.state().next_id, 8, "{context}");
            let report = scene.instance().codex.run_janitor(scene.now()).await;
            assert_eq!(report.unwrap().failed, 0, "{context}");
            assert_tidy(&scene, version, &context);
        }
    }
    println!("{} requests, {} fates each", requests.len(), FATES.len());
}
