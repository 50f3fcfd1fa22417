//! The hub's state, and how a branch moves.

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
use super::settings::Settings;

/// The hub's one repository and everything around it, under one lock.
pub(super) struct World {
    /// The base URL of the API and of the web pages.
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
    /// The number of them that are shown, while a replica is read.
    pub(super) shown_activities: Option<usize>,
    /// The time of each revision of the repository, by `World::moment`.
    pub(super) revisions: Vec<Duration>,
    /// Every change of a pull request, with the revision that contains it.
    pub(super) pull_changes: Vec<(usize, Pull)>,
    /// The pull requests as of the last revision.
    pub(super) sealed_pulls: Vec<Pull>,
    pub(super) replicas: Vec<State>,
    pub(super) limits: Limits,
    pub(super) settings: Settings,
    pub(super) pushes: Vec<PushDelivery>,
    /// A tree with more entries is truncated.
    pub(super) tree_limit: usize,
    /// Whether anything was ever pushed.
    pub(super) filled: bool,
    /// The lifetime of an installation token.
    pub(super) installation_life: Duration,
    pub(super) begun: Instant,
    /// The offset of the hub's clock.
    pub(super) ahead: Duration,
}

/// The client behind a request.
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
    /// User name and password, for the routes of an app.
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

    /// A URL below the repository's in the API.
    pub(super) fn api(&self, below: &str) -> String {
        format!("{}/repos/{}/{below}", self.base, self.full_name())
    }

    /// A URL below the repository's web page.
    pub(super) fn html(&self, below: &str) -> String {
        format!("{}/{}/{below}", self.base, self.full_name())
    }

    /// The caller of a request, or the refusal of an invalid credential.
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

    /// Checks that the caller may read the repository; else GitHub's answer to strangers.
    pub(super) fn may_read(&self, caller: &Caller) -> Result<(), Box<Reply>> {
        if self.private && !self.is_member(caller) && !self.is_reader(caller) {
            return Err(not_found());
        }
        Ok(())
    }

    /// Checks that the caller may write to the repository.
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

    /// The name and address of this caller's commits.
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

    /// The account named as the pusher.
    pub(super) fn pusher(&self, caller: &Caller) -> u64 {
        match caller {
            Caller::User { id, .. } => *id,
            _ => self.owner,
        }
    }

    /// The commit of a branch.
    pub(super) fn branch(&mut self, branch: &str) -> Option<String> {
        self.git.tip(&format!("refs/heads/{branch}"))
    }

    /// The commit of a branch, a tag or a SHA.
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

    /// Whether no push has happened yet.
    pub(super) fn is_empty(&self) -> bool {
        !self.filled
    }

    /// Moves a ref from its current commit, queues the push's delivery, and updates pull requests.
    pub(super) fn push(&mut self, reference: &str, new: &str, by: u64) -> Result<(), String> {
        self.push_as(reference, new, by, None)
    }

    /// The same, for a move whose kind its commits don't determine.
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
