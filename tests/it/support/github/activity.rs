//! What happened to the branches: how each moved, when, and by whose hand.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use super::exchange::{Answer, Call, Reply, page_size};
use super::git::NO_COMMIT;
use super::shapes::{node_id, time};
use super::world::World;

/// How a branch moved. GitHub knows one kind more, `merge_queue_merge`; there is no merge queue here.
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
    /// Counts from 1.
    pub(super) id: u64,
    /// The revision of the repository that it made.
    pub(super) revision: usize,
    pub(super) reference: String,
    pub(super) before: String,
    pub(super) after: String,
    pub(super) at: DateTime<Utc>,
    pub(super) kind: Kind,
    pub(super) by: u64,
}

impl World {
    /// How a ref moves from `before` to `after`, if no pull request is merged by it.
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

    /// `GET /repos/{owner}/{repo}/activity`.
    pub(super) fn list_activities(&self, call: &Call) -> Answer {
        let reference = call.query("ref").map(|name| match name {
            name if name.starts_with("refs/") => name.to_owned(),
            name => format!("refs/heads/{name}"),
        });
        let since = call.query("time_period").map(|period| {
            self.now()
                - TimeDelta::days(match period {
                    "day" => 1,
                    "week" => 7,
                    "month" => 30,
                    "quarter" => 90,
                    _ => 365,
                })
        });
        let actor = call.query("actor");
        let actor = actor.map(|login| self.people.by_login(login).map(|user| user.id));
        let kind = call.query("activity_type");
        let fits = |activity: &&Activity| {
            activity.reference.starts_with("refs/heads/")
                && reference
                    .as_ref()
                    .is_none_or(|name| *name == activity.reference)
                && since.is_none_or(|since| activity.at >= since)
                && actor.is_none_or(|actor| actor == Some(activity.by))
                && kind.is_none_or(|kind| kind == activity.kind.name())
        };
        let known = self.shown_activities.unwrap_or(self.activities.len());
        let mut found: Vec<&Activity> = self.activities[..known].iter().filter(fits).collect();
        if call.query("direction") != Some("asc") {
            found.reverse();
        }
        // The pages are told apart by cursors: what a page begins after, and what it ends before.
        let place = |name| {
            let id = from_cursor(call.query(name)?)?;
            found.iter().position(|activity| activity.id == id)
        };
        let (after, before) = (place("after"), place("before"));
        let size = page_size(call);
        let end = before.unwrap_or(found.len());
        let begin = match (after, before) {
            (Some(after), _) => after + 1,
            (None, Some(before)) => before.saturating_sub(size),
            (None, None) => 0,
        };
        let end = end.min(begin + size).max(begin);
        let page = &found[begin..end];
        let shown: Vec<Value> = page.iter().map(|one| self.activity(one)).collect();
        let mut links = Vec::new();
        let mut link = |relation: &str, name: &str, activity: Option<&&Activity>| {
            let Some(activity) = activity else { return };
            let query = call.query_with(&["after", "before"], &[(name, &cursor(activity.id))]);
            let address = self.api("activity");
            links.push(format!("<{address}?{query}>; rel=\"{relation}\""));
        };
        if begin > 0 {
            link("prev", "before", page.first());
        }
        if end < found.len() {
            link("next", "after", page.last());
        }
        let reply = Reply::json(200, json!(shown));
        match links.as_slice() {
            [] => Ok(reply),
            links => Ok(reply.with("link", links.join(", "))),
        }
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

/// A place in the list, which a client is to hand back as it is.
fn cursor(id: u64) -> String {
    URL_SAFE_NO_PAD.encode(format!("activity:{id}"))
}

fn from_cursor(cursor: &str) -> Option<u64> {
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()?;
    text.strip_prefix("activity:")?.parse().ok()
}
