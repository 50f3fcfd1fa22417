//! Everything the hub knows, and how a branch moves.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

use super::activity::{Activity, Kind};
use super::commit::{self, Signature};
use super::exchange::{Call, Reply, not_found, refuse};
use super::git::{Git, NO_COMMIT};
use super::limits::Limits;
use super::people::{Grant, People};
use super::pulls::Pull;
use super::push::PushDelivery;
use super::replica::State;

/// The hub's one repository and all around it, under one lock.
pub(super) struct World {
    /// Of the API and of the web pages.
    pub(super) base: String,
    pub(super) owner: u64,
    pub(super) name: String,
    pub(super) private: bool,
    pub(super) default_branch: String,
    pub(super) git: Git,
    pub(super) people: People,
    pub(super) pulls: Vec<Pull>,
    /// The test merges of pull requests, by base and head; `None` for a conflict.
    pub(super) test_merges: HashMap<[String; 2], Option<String>>,
    /// Every move of a ref, oldest first.
    pub(super) activities: Vec<Activity>,
    /// Only so many of them are shown, while a replica is read.
    pub(super) shown_activities: Option<usize>,
    /// When each revision of the repository was made, by `World::moment`.
    pub(super) revisions: Vec<Duration>,
    /// Every change of a pull request, with the revision that it is in.
    pub(super) pull_changes: Vec<(usize, Pull)>,
    /// The pull requests as of the last revision.
    pub(super) sealed_pulls: Vec<Pull>,
    pub(super) replicas: Vec<State>,
    pub(super) limits: Limits,
    pub(super) pushes: Vec<PushDelivery>,
    /// More entries than this, and a tree is cut off.
    pub(super) tree_limit: usize,
    /// Whether anything was ever pushed.
    pub(super) filled: bool,
    /// How long an installation's token lasts.
    pub(super) installation_life: Duration,
    pub(super) begun: Instant,
    /// How far the hub's clock is ahead.
    pub(super) ahead: Duration,
}

/// Who asks.
#[derive(Debug, Clone)]
pub(super) enum Caller {
    Nobody,
    User {
        id: u64,
        scopes: Option<Vec<String>>,
    },
    Installation {
        id: u64,
    },
    /// Name and password, for the routes of an app.
    Basic(String, String),
    /// A GitHub App's own signed claim, for its routes.
    Claim(String),
}

impl World {
    pub(super) fn now(&self) -> DateTime<Utc> {
        Utc::now() + self.ahead
    }

    pub(super) fn owner_login(&self) -> String {
        self.people.users[&self.owner].login.clone()
    }

    /// `owner/name`.
    pub(super) fn full_name(&self) -> String {
        format!("{}/{}", self.owner_login(), self.name)
    }

    /// An address below the repository's in the API.
    pub(super) fn api(&self, below: &str) -> String {
        format!("{}/repos/{}/{below}", self.base, self.full_name())
    }

    /// An address below the repository's web page.
    pub(super) fn html(&self, below: &str) -> String {
        format!("{}/{}/{below}", self.base, self.full_name())
    }

    /// Who sent this, or the refusal of a credential that is none.
    pub(super) fn caller(&self, call: &Call) -> Result<Caller, Box<Reply>> {
        if call.header("authorization").is_none() {
            return Ok(Caller::Nobody);
        }
        if let Some((name, password)) = call.basic() {
            return Ok(Caller::Basic(name, password));
        }
        let token = call.bearer().unwrap_or("");
        if token.split('.').count() == 3 {
            return Ok(Caller::Claim(token.to_owned()));
        }
        match self.people.tokens.get(token) {
            Some(Grant::Personal { user }) => Ok(Caller::User {
                id: *user,
                scopes: None,
            }),
            Some(Grant::App { user, scopes, .. }) => Ok(Caller::User {
                id: *user,
                scopes: Some(scopes.clone()),
            }),
            Some(Grant::Installation { id, expires }) if *expires > self.now() => {
                Ok(Caller::Installation { id: *id })
            }
            _ => Err(refuse(401, "Bad credentials")),
        }
    }

    /// Whether the caller may read the repository, else what GitHub says to strangers.
    pub(super) fn may_read(&self, caller: &Caller) -> Result<(), Box<Reply>> {
        if self.private && !self.is_member(caller) {
            return Err(not_found());
        }
        Ok(())
    }

    /// Whether the caller may write to it.
    pub(super) fn may_write(&self, caller: &Caller) -> Result<(), Box<Reply>> {
        self.may_read(caller)?;
        match caller {
            _ if self.is_member(caller) => Ok(()),
            Caller::Nobody => Err(refuse(401, "Requires authentication")),
            _ => Err(refuse(403, "Must have push access to repository.")),
        }
    }

    fn is_member(&self, caller: &Caller) -> bool {
        let scoped = |scope: &String| scope == "repo" || (scope == "public_repo" && !self.private);
        match caller {
            Caller::User { id, scopes } => {
                let known = *id == self.owner || self.people.collaborators.contains(id);
                known
                    && scopes
                        .as_ref()
                        .is_none_or(|scopes| scopes.iter().any(scoped))
            }
            Caller::Installation { .. } => true,
            Caller::Nobody | Caller::Basic(..) | Caller::Claim(_) => false,
        }
    }

    /// Name and address under which this caller's commits are made.
    pub(super) fn signature(&self, caller: &Caller) -> Signature {
        let (name, email) = match caller {
            Caller::User { id, .. } => {
                let login = self.people.users[id].login.clone();
                let email = format!("{id}+{login}@users.noreply.github.com");
                (login, email)
            }
            Caller::Installation { id } => (
                "codex-miroir[bot]".to_owned(),
                format!("{id}+codex-miroir[bot]@users.noreply.github.com"),
            ),
            _ => ("GitHub".to_owned(), "noreply@github.com".to_owned()),
        };
        Signature {
            name,
            email,
            at: self.now(),
        }
    }

    /// Who is named as the one that pushed.
    pub(super) fn pusher(&self, caller: &Caller) -> u64 {
        match caller {
            Caller::User { id, .. } => *id,
            _ => self.owner,
        }
    }

    /// The commit a branch is at.
    pub(super) fn branch(&mut self, branch: &str) -> Option<String> {
        self.git.tip(&format!("refs/heads/{branch}"))
    }

    /// A branch's, a tag's or a commit's commit.
    pub(super) fn resolve(&mut self, name: &str) -> Option<String> {
        let name = name.strip_prefix("refs/").unwrap_or(name);
        let name = name.strip_prefix("heads/").unwrap_or(name);
        let found = self
            .branch(name)
            .or_else(|| self.git.tip(&format!("refs/{name}")))
            .or_else(|| self.git.tip(&format!("refs/tags/{name}")));
        found.or_else(|| {
            let commit = commit::read(&mut self.git, name)?;
            Some(commit.sha)
        })
    }

    /// Whether nothing was ever pushed.
    pub(super) fn is_empty(&self) -> bool {
        !self.filled
    }

    /// Moves a ref from where it is, queues the push's delivery, and lets pull requests follow.
    pub(super) fn push(&mut self, reference: &str, new: &str, by: u64) -> Result<(), String> {
        self.push_as(reference, new, by, None)
    }

    /// The same, for what is of another kind than the move alone shows.
    pub(super) fn push_as(
        &mut self,
        reference: &str,
        new: &str,
        by: u64,
        kind: Option<Kind>,
    ) -> Result<(), String> {
        let old = self.git.tip(reference);
        let old = old.unwrap_or_else(|| NO_COMMIT.to_owned());
        self.git.move_ref(reference, &old, new)?;
        self.filled = true;
        if old != new {
            let kind = kind.unwrap_or_else(|| self.kind_of_move(&old, new));
            self.record_move(reference, &old, new, kind, by);
            let payload = self.push_payload(reference, &old, new, kind, by);
            let push = PushDelivery { payload };
            self.pushes.push(push);
            self.pulls_follow();
        }
        Ok(())
    }
}
