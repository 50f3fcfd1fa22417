//! The operator's commands.

mod commands;
mod decisions;
mod deletion;
mod export;
mod inspect;
mod interrupted;
mod printed;
mod requests;
mod shared;

use serde_json::json;

use crate::support::scene::Scene;

const GIT: &str = "state/anna/git.json";
const OWNER: &str = "state/anna/owner.json";
const HINT: &str = "queue/anna";
const MIRROR: &str = "state/.github.json";
const PLACE: &str = "anna/week@main:codex-miroir";

/// Writes a `git.json` by which Git holds these files, given by name and (made-up) blob SHA.
fn in_git(scene: &Scene, files: &[(&str, &str)]) {
    let files: serde_json::Map<_, _> = files
        .iter()
        .map(|(name, sha)| ((*name).to_owned(), json!(sha)))
        .collect();
    let book = json!({"format": "1.0", "place": PLACE, "files": files});
    scene.store.foreign_write(GIT, book.to_string().as_bytes());
}

/// Writes a `state/.github.json` by which both users' folders have been imported.
fn mirrored(scene: &Scene) {
    let sha = "1".repeat(40);
    let mirror = json!({
        "format": "1.0", "place": PLACE, "users": {"anna": sha, "berta": sha}, "later": 1
    });
    scene
        .store
        .foreign_write(MIRROR, mirror.to_string().as_bytes());
}
