//! PURE. The same for the repository and its webhook.

use std::collections::BTreeSet;

use url::Url;

use crate::admin::doctor::facts::{BranchState, GitFacts, RepositoryFacts};
use crate::admin::doctor::report::Finding;
use crate::github::{GitHubError, Hook, RepositoryAccess};

/// Rules of a branch that the service's commits never break: they move it forward, and delete nothing.
const HARMLESS_RULES: [&str; 5] = [
    "copilot_code_review",
    "deletion",
    "non_fast_forward",
    "required_linear_history",
    "tag_name_pattern",
];

pub(super) fn github(git: &GitFacts) -> Finding {
    let subject = "github";
    let repository = &git.repository;
    let at = |text: &str| format!("{repository}: {text}");
    let found = match &git.found {
        Ok(found) => found,
        Err(error) => {
            return Finding::broken(subject, at(&error.to_string()), github_advice(error, git));
        }
    };
    if let Some((text, advice)) = forbidden(&found.access, git) {
        return Finding::broken(subject, at(text), advice);
    }
    let branch = &git.branch;
    let commits = match &git.pull_requests {
        None => format!("commits go to {branch}"),
        Some(prefix) => format!("pull requests from {prefix}/… go to {branch}"),
    };
    match found.branch {
        BranchState::Missing => {
            return Finding::broken(
                subject,
                at(&format!("there is no branch {branch}")),
                "create it, or name another one in GITHUB_DEFAULT_BRANCH",
            );
        }
        BranchState::Empty if git.pull_requests.is_some() => {
            return Finding::broken(
                subject,
                at("it has no commit, so there is nothing to propose a change to"),
                format!("make a first commit on {branch}"),
            );
        }
        BranchState::Empty | BranchState::There { .. } => {}
    }
    if let Some((text, advice)) = guarded(found, git) {
        return Finding::warning(subject, at(&text), advice);
    }
    match (&found.access.push, &found.access.scopes) {
        _ if git.by_app => Finding::fine(subject, at(&format!("{commits}; the app may write"))),
        (Some(_), Some(_)) => {
            Finding::fine(subject, at(&format!("{commits}; the token may write")))
        }
        (Some(_), None) => Finding::fine(
            subject,
            at(&format!(
                "{commits}; the token's account may write, and for what the token is good GitHub doesn't say"
            )),
        ),
        (None, _) => Finding::unchecked(
            subject,
            at(&format!(
                "{commits}; GitHub doesn't say whether the token may write"
            )),
        ),
    }
}

fn github_advice(error: &GitHubError, git: &GitFacts) -> String {
    let status = match error {
        GitHubError::Unavailable { .. } => {
            return "let this machine reach GITHUB_API_URL, and look at githubstatus.com"
                .to_owned();
        }
        GitHubError::Limited { .. } => {
            return "wait; if it happens often, give the service credentials that nothing else uses"
                .to_owned();
        }
        GitHubError::Unexpected { .. } => {
            return "correct GITHUB_API_URL; of an Enterprise server it ends in /api/v3".to_owned();
        }
        GitHubError::Denied { status, .. } => *status,
    };
    let repository = &git.repository;
    match (status, git.by_app) {
        (401, false) => {
            "make a new token and put it into GITHUB_TOKEN: this one has ended or was revoked"
                .to_owned()
        }
        (401, true) => "put the app's id and a key of that app into GITHUB_APP_ID and \
             GITHUB_APP_PRIVATE_KEY; if they are, set this machine's clock"
            .to_owned(),
        (404, false) => format!(
            "correct GITHUB_OWNER and GITHUB_REPO, or let the token see {repository}: GitHub hides what it may not"
        ),
        (404, true) => format!(
            "install the app in {repository}, and put its id and the installation's number into GITHUB_APP_ID and \
             GITHUB_APP_INSTALLATION_ID"
        ),
        (_, false) => {
            "give the token Contents: read and write, and have the organization approve it"
                .to_owned()
        }
        (_, true) => {
            "give the app Contents: read and write, and accept that in the installation".to_owned()
        }
    }
}

/// Why the credentials can't write, and what to do.
fn forbidden(access: &RepositoryAccess, git: &GitFacts) -> Option<(&'static str, &'static str)> {
    if access.archived {
        return Some((
            "it is archived, so nobody can write to it",
            "unarchive it in its settings",
        ));
    }
    if let Some(granted) = &access.granted {
        let writes = |name: &str| granted.get(name).is_some_and(|it| it == "write");
        return match (writes("contents"), writes("pull_requests")) {
            (false, _) => Some((
                "the app may not write to it",
                "give the app Contents: read and write, and accept that in the installation",
            )),
            (true, false) if git.pull_requests.is_some() => Some((
                "the app may not open pull requests",
                "give the app Pull requests: read and write, and accept that in the installation",
            )),
            _ => None,
        };
    }
    if access.push == Some(false) {
        return Some((
            "the token's account may read it, and not write",
            "give the account write access to the repository, or use another account's token",
        ));
    }
    let scopes = access.scopes.as_ref()?;
    let suffices = |scope: &String| scope == "repo" || scope == "public_repo" && !access.private;
    (!scopes.iter().any(suffices)).then_some((
        "the token lacks the scope for writing",
        "make a classic token with the scope repo, or a fine-grained one with Contents: read and write",
    ))
}

/// What may refuse commits although the credentials can write, and what to do.
fn guarded(found: &RepositoryFacts, git: &GitFacts) -> Option<(String, String)> {
    let is_empty = found.branch == BranchState::Empty;
    let creates = is_empty || git.pull_requests.is_some();
    let refuses = |rule: &&String| match rule.as_str() {
        "creation" => creates,
        rule => !HARMLESS_RULES.contains(&rule),
    };
    let rules: Vec<&str> = found
        .rules
        .iter()
        .flatten()
        .collect::<BTreeSet<_>>()
        .into_iter()
        .filter(refuses)
        .map(String::as_str)
        .collect();
    let protected = found.branch == BranchState::There { protected: true };
    let rules = match rules.is_empty() {
        true => String::new(),
        false => format!(" (rules: {})", rules.join(", ")),
    };
    let who = if git.by_app {
        "the app"
    } else {
        "the token's account"
    };
    match &git.pull_requests {
        Some(prefix) if !rules.is_empty() => Some((
            format!("branches {prefix}/… are protected{rules}"),
            format!("let {who} bypass the rules, or exempt these branches from them"),
        )),
        None if protected || !rules.is_empty() => Some((
            format!("commits go to {}, which is protected{rules}", git.branch),
            format!("set CREATE_VIA_PR=true, or let {who} bypass the protection"),
        )),
        _ => None,
    }
}

pub(super) fn webhook(git: &GitFacts) -> Finding {
    let subject = "webhook";
    let webhook = &git.webhook;
    let address = &webhook.address;
    let create = format!(
        "in the repository's settings add {address}, application/json, the secret of GITHUB_WEBHOOK_SECRET, the event push"
    );
    let hooks = match &webhook.hooks {
        None => return Finding::unchecked(subject, "not checked, because github is broken"),
        Some(hooks) => hooks,
    };
    if webhook.is_local {
        let found = "GitHub can't reach this machine; the timer finds what is pushed";
        return Finding::unchecked(subject, found);
    }
    let hooks = match hooks {
        Ok(Some(hooks)) => hooks,
        Ok(None) | Err(_) => {
            let found = match hooks {
                Err(error) => format!("not seen: {error}"),
                _ => "the credentials may not see the repository's webhooks".to_owned(),
            };
            return match webhook.has_secret {
                true => Finding::unchecked(
                    subject,
                    format!(
                        "a secret is set; {found}, which must have {address} with the event push"
                    ),
                ),
                false => Finding::warning(subject, format!("no secret is set; {found}"), secret()),
            };
        }
    };
    let is_ours = |it: &&Hook| {
        let url = it.url.strip_suffix('/').unwrap_or(&it.url);
        url.eq_ignore_ascii_case(address)
    };
    let ours = hooks.iter().filter(is_ours);
    let Some(hook) = ours.max_by_key(|it| (it.active && it.signed, delivers(it))) else {
        let others = others(hooks);
        return Finding::warning(subject, format!("none has {address}{others}"), create);
    };
    let events: Vec<&str> = hook.events.iter().map(String::as_str).collect();
    let found = format!("{address} for {}", events.join(", "));
    let answer = hook.last_status.filter(|it| !(200..300).contains(it));
    match (
        webhook.has_secret,
        hook.signed,
        hook.active,
        delivers(hook),
        answer,
    ) {
        (false, ..) => {
            Finding::warning(subject, format!("{found}; no secret is set here"), secret())
        }
        (_, false, ..) => Finding::warning(
            subject,
            format!("{found}; no secret is set at GitHub"),
            "enter GITHUB_WEBHOOK_SECRET in the webhook: without a signature each delivery is refused",
        ),
        (_, _, false, ..) => Finding::warning(
            subject,
            format!("{found}; it is switched off"),
            "activate it in the repository's settings",
        ),
        (_, _, _, false, _) => Finding::warning(
            subject,
            format!("{found}; pushes aren't delivered"),
            "add the event push in the repository's settings",
        ),
        (.., Some(status)) => Finding::warning(
            subject,
            format!("{found}; the last delivery was answered with {status}"),
            "look at the webhook's recent deliveries; 401 means that the secrets differ",
        ),
        (.., None) => Finding::fine(subject, format!("{found}; a secret is set")),
    }
}

fn delivers(hook: &Hook) -> bool {
    hook.events.contains("push") || hook.events.contains("*")
}

fn secret() -> String {
    "set GITHUB_WEBHOOK_SECRET, here and in the webhook: without it each delivery is refused"
        .to_owned()
}

/// The addresses of the repository's webhooks. Without their paths, which may be secret.
fn others(hooks: &[Hook]) -> String {
    let origin = |hook: &Hook| {
        let url = Url::parse(&hook.url).map(|it| it.origin().ascii_serialization());
        let events: Vec<&str> = hook.events.iter().map(String::as_str).collect();
        let url = url.unwrap_or_else(|_| "an unreadable address".to_owned());
        format!("{url}/… for {}", events.join(", "))
    };
    match hooks {
        [] => String::new(),
        hooks => {
            let all: Vec<String> = hooks.iter().map(origin).collect();
            format!("; there are {}", all.join("; "))
        }
    }
}
