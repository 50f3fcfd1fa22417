//! The activities of the branches: how each moved, when, and who moved it.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::exchange::{Answer, Call, Reply, page_size};
use super::git::NO_COMMIT;
use super::shapes::{node_id, time};
use super::world::World;

/// The kind of a branch's move. GitHub knows another, `merge_queue_merge`; there is no merge queue here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Push,
    ForcePush,
    BranchCreation,
    BranchDeletion,
    PullMerge,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Push => "push",
            Self::ForcePush => "force_push",
            Self::BranchCreation => "branch_creation",
            Self::BranchDeletion => "branch_deletion",
            Self::PullMerge => "pr_merge",
        }
    }
}

/// One move of one ref.
#[derive(Debug, Clone)]
pub(super) struct Activity {
    /// Starts at 1.
    pub(super) id: u64,
    /// The revision of the repository that the move created.
    pub(super) revision: usize,
    pub(super) reference: String,
    pub(super) before: String,
    pub(super) after: String,
    pub(super) at: DateTime<Utc>,
    pub(super) kind: Kind,
    pub(super) by: u64,
}

impl World {
    /// The kind of a ref's move from `before` to `after`, unless it merges a pull request.
    pub(super) fn kind_of_move(&mut self, before: &str, after: &str) -> Kind {
        match (before, after) {
            (NO_COMMIT, _) => Kind::BranchCreation,
            (_, NO_COMMIT) => Kind::BranchDeletion,
            _ if self.git.is_ancestor(before, after) => Kind::Push,
            _ => Kind::ForcePush,
        }
    }

    pub(super) fn record_move(
        &mut self,
        reference: &str,
        before: &str,
        after: &str,
        kind: Kind,
        by: u64,
    ) {
        self.activities.push(Activity {
            id: self.activities.len() as u64 + 1,
            revision: self.git.revision,
            reference: reference.to_owned(),
            before: before.to_owned(),
            after: after.to_owned(),
            at: self.now(),
            kind,
            by,
        });
    }

    /// `GET /repos/{owner}/{repo}/activity`; the service requests only the first page.
    pub(super) fn list_activities(&self, call: &Call) -> Answer {
        let reference = call.query("ref").map(|name| match name {
            name if name.starts_with("refs/") => name.to_owned(),
            name => format!("refs/heads/{name}"),
        });
        let fits = |activity: &&Activity| {
            activity.reference.starts_with("refs/heads/")
                && reference
                    .as_ref()
                    .is_none_or(|name| *name == activity.reference)
        };
        let known = self.shown_activities.unwrap_or(self.activities.len());
        let newest = self.activities[..known].iter().filter(fits).rev();
        let page = newest.take(page_size(call));
        let shown: Vec<Value> = page.map(|one| self.activity(one)).collect();
        Ok(Reply::json(200, json!(shown)))
    }

    fn activity(&self, activity: &Activity) -> Value {
        json!({
            "id": activity.id,
            "node_id": node_id(&format!("Activity{}", activity.id)),
            "before": activity.before,
            "after": activity.after,
            "ref": activity.reference,
            "timestamp": time(activity.at),
            "activity_type": activity.kind.name(),
            "actor": self.simple_user(activity.by),
        })
    }
}
