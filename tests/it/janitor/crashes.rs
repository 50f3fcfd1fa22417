//! The janitor is killed, or loses a request or a response, at each of its storage requests: what is left is correct
//! for every reader and writer, and the next pass completes the work.

use super::{assert_tidy, crowded};
use crate::support::counting_store::Request;
use crate::support::losing_store::Loss;
use crate::support::scene::{Scene, settle, titles};

/// How one of the requests fails.
#[derive(Debug, Clone, Copy)]
enum Failure {
    /// The process is killed before it reaches the store.
    Killed,
    Lost(Loss),
}

const FAILURES: [Failure; 4] = [
    Failure::Killed,
    Failure::Lost(Loss::Request),
    Failure::Lost(Loss::StoreResponse),
    Failure::Lost(Loss::FirstAnswer),
];

/// Every request of an undisturbed pass, each operation and path once.
async fn requests() -> Vec<Request> {
    let scene = crowded().await;
    let a = scene.instance();
    a.codex.janitor().run(scene.now()).await.unwrap();
    let mut all = a.requests.take_requests();
    all.sort_by(|a, b| (a.operation, &a.path).cmp(&(b.operation, &b.path)));
    all.dedup();
    all
}

async fn disturbed_pass(scene: &Scene, at: &Request, failure: Failure) {
    let a = scene.instance();
    match failure {
        Failure::Lost(loss) => {
            a.line.lose_next(at.operation, &at.path, loss);
            // The pass may fail or succeed.
            let _ = a.codex.janitor().run(scene.now()).await;
        }
        Failure::Killed => {
            let held = a.gate.hold_next(at.operation, &at.path);
            let janitor = a.codex.janitor();
            tokio::select! {
                _ = janitor.run(scene.now()) => panic!("{at:?} wasn't sent"),
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
        for failure in FAILURES {
            let context = format!("{} {}, {failure:?}", at.operation, at.path);
            let scene = crowded().await;
            let version = scene.state().version;
            disturbed_pass(&scene, at, failure).await;
            let b = scene.instance();
            let read = scene.read_strictly(&b).await;
            let shown = titles(&b.json(&read));
            assert_eq!(shown, ["Aufgabe 0", "Aufgabe 1"], "{context}");
            assert_eq!(scene.state().next_id, 8, "{context}");
            let report = scene.instance().codex.janitor().run(scene.now()).await;
            assert_eq!(report.unwrap().failed, 0, "{context}");
            assert_tidy(&scene, version, &context);
        }
    }
    println!(
        "{} requests, {} failures each",
        requests.len(),
        FAILURES.len()
    );
}
