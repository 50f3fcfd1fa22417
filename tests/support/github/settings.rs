//! The repository's settings: who may read it, protected branches, rules, hooks.

use serde_json::{Value, json};

use super::GitHub;
use super::commit;
use super::exchange::{Answer, Reply, not_found};
use super::shapes::{BEGINNING, extend};
use super::world::{Caller, World};

/// What the settings pages have.
#[derive(Debug, Default)]
pub(super) struct Settings {
    archived: bool,
    /// The accounts that may only read the repository.
    readers: Vec<u64>,
    protected: Vec<String>,
    /// Types of rules, by the branch or the folder of branches that they apply to.
    rules: Vec<(String, String)>,
    hooks: Vec<HookSetting>,
    /// What the app's installation was granted instead of everything that it needs.
    granted: Option<Value>,
}

/// A hook, as its page shows it.
#[derive(Debug, Clone)]
pub(crate) struct HookSetting {
    pub(crate) url: String,
    pub(crate) active: bool,
    pub(crate) events: Vec<&'static str>,
    pub(crate) secret: bool,
    /// The status of the answer to the last delivery.
    pub(crate) last: Option<u16>,
}

impl HookSetting {
    /// An active hook with a secret for pushes, to which nothing was delivered yet.
    pub(crate) fn to(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            active: true,
            events: vec!["push"],
            secret: true,
            last: None,
        }
    }
}

impl GitHub {
    /// Makes the repository read-only.
    pub(crate) fn archive(&self) {
        self.hub.work(|world| world.settings.archived = true);
    }

    /// Grants read access to the repository.
    pub(crate) fn add_reader(&self, login: &str) {
        self.hub.work(|world| {
            let id = world.people.id_of(login);
            world.settings.readers.push(id);
        });
    }

    /// Protects a branch.
    pub(crate) fn protect(&self, branch: &str) {
        let branch = branch.to_owned();
        self.hub.work(|world| world.settings.protected.push(branch));
    }

    /// Adds a rule for a branch and all in the folder of that name.
    pub(crate) fn add_rule(&self, branch: &str, kind: &str) {
        let rule = (branch.to_owned(), kind.to_owned());
        self.hub.work(|world| world.settings.rules.push(rule));
    }

    /// Adds a hook to the settings. Deliveries are the test's.
    pub(crate) fn add_hook(&self, hook: HookSetting) {
        self.hub.work(|world| world.settings.hooks.push(hook));
    }

    /// Sets what the app's installation is granted.
    pub(crate) fn grant_installation(&self, permissions: Value) {
        self.hub
            .work(|world| world.settings.granted = Some(permissions));
    }
}

impl World {
    /// Whether the caller may read the repository, and not write to it.
    pub(super) fn is_reader(&self, caller: &Caller) -> bool {
        matches!(caller, Caller::User { id, .. } if self.settings.readers.contains(id))
    }

    /// What a token of the installation may do.
    pub(super) fn installation_permissions(&self) -> Value {
        let all = json!({ "contents": "write", "metadata": "read", "pull_requests": "write" });
        self.settings.granted.clone().unwrap_or(all)
    }

    /// `GET /repos/{owner}/{repo}`.
    pub(super) fn get_repository(&self, caller: &Caller) -> Answer {
        let mut repository = self.repository();
        // The permissions of the account, whatever the token's scopes are; an installation has none.
        let account = match caller {
            Caller::User { id, .. } => Some(*id),
            _ => None,
        };
        let is_owner = account == Some(self.owner);
        let writes = is_owner || account.is_some_and(|id| self.people.collaborators.contains(&id));
        let permissions = json!({
            "admin": is_owner, "maintain": is_owner, "push": writes, "triage": writes,
            "pull": account.is_some(),
        });
        let members = json!({ "archived": self.settings.archived, "permissions": permissions });
        extend(&mut repository, members);
        let reply = Reply::json(200, repository);
        Ok(match caller {
            Caller::User { scopes: None, .. } => reply.with("x-oauth-scopes", "repo, user"),
            Caller::User {
                scopes: Some(scopes),
                ..
            } => reply.with("x-oauth-scopes", scopes.join(", ")),
            _ => reply,
        })
    }

    /// `GET /repos/{owner}/{repo}/branches/{branch}`.
    pub(super) fn get_branch(&mut self, branch: &str) -> Answer {
        let tip = self.branch(branch).ok_or_else(not_found)?;
        let tip = commit::read(&mut self.git, &tip).ok_or_else(not_found)?;
        let url = self.api(&format!("branches/{branch}"));
        let protected = self.settings.protected.iter().any(|it| it == branch);
        let answer = json!({
            "name": branch,
            "commit": self.commit(&tip),
            "_links": { "self": url, "html": self.html(&format!("tree/{branch}")) },
            "protected": protected,
            "protection": { "enabled": protected },
            "protection_url": format!("{url}/protection"),
        });
        Ok(Reply::json(200, answer))
    }

    /// `GET /repos/{owner}/{repo}/rules/branches/{branch}`.
    pub(super) fn get_branch_rules(&self, branch: &str) -> Answer {
        let applies = |name: &str| {
            let rest = branch.strip_prefix(name);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let rules = self.settings.rules.iter();
        let rules = rules.filter(|(name, _)| applies(name)).map(|(_, kind)| {
            json!({
                "type": kind,
                "ruleset_source_type": "Repository",
                "ruleset_source": self.full_name(),
                "ruleset_id": 42,
            })
        });
        Ok(Reply::json(200, rules.collect()))
    }

    /// `GET /repos/{owner}/{repo}/hooks`, for who may change them.
    pub(super) fn list_hooks(&self, caller: &Caller) -> Answer {
        let may = matches!(caller, Caller::User { id, scopes } if *id == self.owner
            && scopes.as_ref().is_none_or(|it| it.iter().any(|it| it == "repo")));
        if !may {
            return Err(not_found());
        }
        let hooks = self.settings.hooks.iter().enumerate().map(|(at, hook)| {
            let url = self.api(&format!("hooks/{}", at + 1));
            let mut config = json!({
                "url": hook.url, "content_type": "json", "insecure_ssl": "0",
            });
            if hook.secret {
                extend(&mut config, json!({ "secret": "********" }));
            }
            let status = hook.last.map_or("unused", |_| "active");
            json!({
                "type": "Repository", "id": at + 1, "name": "web",
                "active": hook.active, "events": hook.events, "config": config,
                "url": url,
                "test_url": format!("{url}/tests"),
                "ping_url": format!("{url}/pings"),
                "deliveries_url": format!("{url}/deliveries"),
                "last_response": { "code": hook.last, "status": status, "message": null },
                "created_at": BEGINNING, "updated_at": BEGINNING,
            })
        });
        Ok(Reply::json(200, hooks.collect()))
    }
}
