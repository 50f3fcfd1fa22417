//! The hook's payload for a push.

use serde_json::{Value, json};

use super::activity::Kind;
use super::commit::{self, Commit};
use super::git::NO_COMMIT;
use super::shapes::{extend, time};
use super::world::World;

/// The maximum number of changed files that GitHub reports for a commit.
const MOST_FILES: usize = 3_000;

/// The maximum number of commits in a payload, which has the oldest.
const MOST_COMMITS: usize = 2_048;

/// A push whose delivery is to be queued.
pub(super) struct PushDelivery {
    pub(super) payload: Value,
}

impl World {
    /// The payload of moving a ref from `old` to `new`.
    pub(super) fn push_payload(
        &mut self,
        reference: &str,
        old: &str,
        new: &str,
        kind: Kind,
        by: u64,
    ) -> Value {
        let created = old == NO_COMMIT;
        let deleted = new == NO_COMMIT;
        let forced = kind == Kind::ForcePush;
        let pushed = self.pushed(reference, old, new);
        let head = match deleted {
            true => Value::Null,
            false => self.head_commit(new),
        };
        let named = &pushed[..pushed.len().min(MOST_COMMITS)];
        let commits: Vec<Value> = named.iter().map(|sha| self.head_commit(sha)).collect();
        let login = self.people.users[&by].login.clone();
        json!({
            "ref": reference,
            "before": old,
            "after": new,
            "created": created,
            "deleted": deleted,
            "forced": forced,
            "base_ref": null,
            "compare": self.html(&format!("compare/{}...{}", &old[..12], &new[..12])),
            "commits": commits,
            "head_commit": head,
            "pusher": { "name": login, "email": format!("{login}@users.noreply.github.com") },
            "sender": self.simple_user(by),
            "repository": self.hook_repository(),
        })
    }

    /// The commits that are new to the ref, or for a new branch to the repository; oldest first.
    fn pushed(&mut self, reference: &str, old: &str, new: &str) -> Vec<String> {
        if new == NO_COMMIT {
            return Vec::new();
        }
        let without = match old {
            NO_COMMIT => {
                let heads = self.git.refs("refs/heads/").into_iter();
                let others = heads.filter(|(other, _)| other != reference);
                others.map(|(other, _)| other).collect()
            }
            _ => vec![old.to_owned()],
        };
        commit::between(&mut self.git, new, &without)
    }

    fn head_commit(&mut self, sha: &str) -> Value {
        let commit = commit::read(&mut self.git, sha).unwrap();
        let touched = commit::touched(&mut self.git, &commit, MOST_FILES);
        let person = |signature: &commit::Signature| {
            json!({
                "name": signature.name, "email": signature.email, "date": time(signature.at),
            })
        };
        let Commit { tree, message, .. } = &commit;
        json!({
            "id": sha,
            "tree_id": tree,
            "distinct": true,
            "message": message,
            "timestamp": time(commit.committer.at),
            "url": self.html(&format!("commit/{sha}")),
            "author": person(&commit.author),
            "committer": person(&commit.committer),
            "added": touched.added,
            "removed": touched.removed,
            "modified": touched.modified,
        })
    }

    /// The repository in the form of hooks: its times are numbers, and its owner has a name.
    fn hook_repository(&self) -> Value {
        let mut repository = self.repository();
        let owner = self.owner_login();
        let members = json!({
            "url": self.html("").trim_end_matches('/'),
            "created_at": 1_704_067_200,
            "pushed_at": self.now().timestamp(),
            "stargazers": 0,
            "master_branch": self.default_branch,
        });
        extend(&mut repository, members);
        let named = json!({
            "name": owner,
            "email": format!("{owner}@users.noreply.github.com"),
        });
        extend(&mut repository["owner"], named);
        repository
    }
}
