//! The test's controls: people, tokens, limits, outages.

use std::time::Duration;

use super::people::{GitHubApp, Grant, OAuthApp, User};
use super::pulls::Merge;
use super::traffic::{Fault, Hold, Seen};
use super::world::Caller;
use super::{GitHub, app_key};

/// A pull request, as its page shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PullState {
    pub(crate) number: u64,
    pub(crate) title: String,
    pub(crate) body: Option<String>,
    pub(crate) head: String,
    pub(crate) base: String,
    pub(crate) head_sha: String,
    pub(crate) open: bool,
    pub(crate) merged: bool,
}

/// People and their tokens.
impl GitHub {
    pub(crate) fn add_user(&self, login: &str, id: u64) {
        let login = login.to_owned();
        let user = User { id, login };
        self.hub.work(|world| world.people.users.insert(id, user));
    }

    /// Renames an account, which keeps its number and its tokens.
    pub(crate) fn rename_user(&self, login: &str, new: &str) {
        self.hub.work(|world| {
            let id = world.people.id_of(login);
            new.clone_into(&mut world.people.users.get_mut(&id).unwrap().login);
        });
    }

    /// Gives a login to another account, after its holder has left it.
    pub(crate) fn reassign_login(&self, login: &str, new_id: u64) {
        self.rename_user(login, &format!("{login}-before"));
        self.add_user(login, new_id);
    }

    /// Grants read and write access to the repository.
    pub(crate) fn add_collaborator(&self, login: &str) {
        self.hub.work(|world| {
            let id = world.people.id_of(login);
            world.people.collaborators.push(id);
        });
    }

    /// Issues a personal token, `ghp_…`.
    pub(crate) fn personal_token(&self, login: &str) -> String {
        self.hub.work(|world| {
            let user = world.people.id_of(login);
            world.people.grant("ghp_", Grant::Personal { user })
        })
    }

    /// Registers an OAuth app. The return address of a sign-in must start with `callback`.
    pub(crate) fn add_oauth_app(&self, client: &str, secret: &str, callback: &str) {
        let app = OAuthApp {
            secret: secret.to_owned(),
            callback: callback.to_owned(),
            named: client.to_owned(),
        };
        let client = client.to_owned();
        self.hub
            .work(|world| world.people.oauth_apps.insert(client, app));
    }

    /// Makes the check of this app's tokens name another app from now on.
    pub(crate) fn answer_for_app(&self, client: &str, named: &str) {
        self.hub.work(|world| {
            let app = world.people.oauth_apps.get_mut(client).unwrap();
            named.clone_into(&mut app.named);
        });
    }

    /// Issues a token, `gho_…`, as a sign-in with this app does.
    pub(crate) fn app_token(&self, client: &str, login: &str, scopes: &[&str]) -> String {
        self.hub.work(|world| {
            let grant = Grant::App {
                user: world.people.id_of(login),
                client: client.to_owned(),
                scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(),
                at: world.now(),
            };
            world.people.grant("gho_", grant)
        })
    }

    /// Registers a GitHub App with the key [`app_key::app_private_key`], installed in the repository.
    pub(crate) fn add_github_app(&self, id: u64, installation: u64) {
        let app = GitHubApp {
            id,
            installation,
            public_key: app_key::app_public_key(),
        };
        self.hub.work(|world| world.people.apps.insert(app.id, app));
    }

    /// Sets the lifetime of installation tokens issued from now on; GitHub's is an hour.
    pub(crate) fn set_installation_token_life(&self, life: Duration) {
        self.hub.work(|world| world.installation_life = life);
    }

    /// Revokes a token.
    pub(crate) fn revoke(&self, token: &str) {
        self.hub.work(|world| world.people.tokens.remove(token));
    }

    /// Sets the user at the sign-in page's browser.
    pub(crate) fn sign_in(&self, login: &str) {
        self.hub.work(|world| {
            world.people.signed_in = Some(world.people.id_of(login));
            world.people.denies = false;
        });
    }

    /// Makes the user deny the sign-in from now on.
    pub(crate) fn deny_sign_in(&self) {
        self.hub.work(|world| world.people.denies = true);
    }
}

/// Limits.
impl GitHub {
    /// Sets the number of requests per hour.
    pub(crate) fn set_rate_limit(&self, requests: u64) {
        self.hub.work(|world| world.limits.requests = requests);
    }

    /// Exhausts every caller's limit until the hub's clock has advanced by `reset_in`.
    pub(crate) fn exhaust_rate_limit(&self, reset_in: Duration) {
        self.hub.work(|world| {
            let people = world.people.users.keys().map(|id| Caller::User {
                id: *id,
                scopes: None,
            });
            let apps = world.people.apps.values().map(|app| Caller::Installation {
                id: app.installation,
            });
            let clients = world.people.oauth_apps.keys();
            let clients = clients.map(|name| Caller::Basic(name.clone(), String::new()));
            let all = people.chain(apps).chain(clients).chain([Caller::Nobody]);
            let (all, until) = (all.collect(), world.now() + reset_in);
            world.limits.exhaust(all, until);
        });
    }

    /// Sets the number of entries beyond which a tree is truncated; GitHub's limit is 100,000.
    pub(crate) fn set_tree_limit(&self, entries: usize) {
        self.hub.work(|world| world.tree_limit = entries);
    }
}

/// Outages, and recorded requests. A path matches as a prefix of whole segments, with or without
/// `/repos/{owner}/{repo}`; `/` matches every path. A method may be `*`.
impl GitHub {
    /// Applies a fault to every request until [`Self::recover`].
    pub(crate) fn fail(&self, fault: Fault) {
        self.fail_at("*", "/", fault);
    }

    /// Applies a fault to every matching request until [`Self::recover`].
    pub(crate) fn fail_at(&self, method: &str, path: &str, fault: Fault) {
        self.hub.traffic.rule(method, path, 0, false, fault);
    }

    /// Applies a fault to the `nth` matching request (from 1) from now on.
    pub(crate) fn plan(&self, method: &str, path: &str, nth: usize, fault: Fault) {
        self.hub.traffic.rule(method, path, nth - 1, true, fault);
    }

    /// Ends all faults, including planned ones.
    pub(crate) fn recover(&self) {
        self.hub.traffic.recover();
    }

    /// The number of hanging requests.
    pub(crate) fn hanging(&self) -> usize {
        self.hub.traffic.hanging()
    }

    /// Delays every answer by this time.
    pub(crate) fn set_latency(&self, latency: Duration) {
        self.hub.traffic.set_latency(latency);
    }

    /// Holds the next matching request before it is carried out.
    pub(crate) fn hold(&self, method: &str, path: &str) -> Hold {
        self.hub.traffic.hold(method, path, false)
    }

    /// Carries out the next matching request, and holds its answer.
    pub(crate) fn hold_answer(&self, method: &str, path: &str) -> Hold {
        self.hub.traffic.hold(method, path, true)
    }

    /// The number of matching requests so far.
    pub(crate) fn calls(&self, method: &str, path: &str) -> usize {
        self.requests_to(method, path).len()
    }

    /// The matching requests, in order of arrival.
    pub(crate) fn requests_to(&self, method: &str, path: &str) -> Vec<Seen> {
        self.hub.traffic.matching(method, path)
    }

    /// Every request so far.
    pub(crate) fn requests(&self) -> Vec<Seen> {
        self.hub.traffic.seen()
    }

    /// Clears the recorded requests.
    pub(crate) fn clear_requests(&self) {
        self.hub.traffic.clear();
    }
}

/// Pull requests.
impl GitHub {
    pub(crate) fn pulls(&self) -> Vec<PullState> {
        self.hub.work(|world| {
            let pulls = world.pulls.iter().map(|pull| PullState {
                number: pull.number,
                title: pull.title.clone(),
                body: pull.body.clone(),
                head: pull.head.clone(),
                base: pull.base.clone(),
                head_sha: pull.head_sha.clone(),
                open: pull.closed.is_none(),
                merged: pull.merged.is_some(),
            });
            pulls.collect()
        })
    }

    /// Merges as the button on its page does; `None` on a conflict.
    pub(crate) fn merge_pull(&self, number: u64, how: Merge) -> Option<String> {
        self.hub.work(|world| {
            let by = world.owner;
            world.merge_pull(number, how, by)
        })
    }

    /// Closes it without merging.
    pub(crate) fn close_pull(&self, number: u64) {
        self.hub.work(|world| world.close_pull(number));
    }

    /// Reopens it at its branch's current head. Returns false, and it stays closed, if it is merged, its branch is
    /// gone, rewritten or has nothing new, or another pull request is open for it.
    pub(crate) fn reopen_pull(&self, number: u64) -> bool {
        self.hub.work(|world| world.reopen_pull(number))
    }
}
