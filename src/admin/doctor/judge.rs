//! PURE. What the facts mean, and what to do about them.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use url::Url;

use super::executable::Linkage;
use super::facts::{
    BranchState, ConditionalWrites, CredentialKind, Facts, GitFacts, Part, Presence, RedisFacts,
    RepositoryFacts, SettingsFacts, SignInFacts, StoreFacts, StoreKind, StrangerAccess,
};
use super::report::{Diagnosis, Finding};
use crate::github::{GitHubError, Hook, RepositoryAccess};
use crate::store::StoreError;

/// The difference between two clocks from which it matters: GitHub accepts an app's claims that are dated a minute ahead.
const CLOCK_WARNING: TimeDelta = TimeDelta::seconds(60);

/// The difference from which storage refuses an account key's signatures.
const CLOCK_BROKEN: TimeDelta = TimeDelta::minutes(15);

/// The resolution of the storage's clock, and time for the answer to arrive.
const CLOCK_NOISE: TimeDelta = TimeDelta::seconds(5);

/// Rules of a branch that the service's commits never break: they move it forward, and delete nothing.
const HARMLESS_RULES: [&str; 5] = [
    "copilot_code_review",
    "deletion",
    "non_fast_forward",
    "required_linear_history",
    "tag_name_pattern",
];

/// A finding for each part, in the order in which they depend on each other.
pub fn judge(facts: &Facts) -> Diagnosis {
    let mut findings = vec![settings(&facts.settings), leftovers(&facts.settings)];
    match &facts.store {
        Part::Found(store) => findings.extend([
            storage(store),
            conditions(store),
            clock(store),
            container(store),
        ]),
        Part::Off | Part::Unchecked => {
            let subjects = ["storage", "conditions", "clock", "container"];
            findings.extend(subjects.map(|it| Finding::unchecked(it, WRONG_SETTINGS)));
        }
    }
    match &facts.git {
        Part::Found(git) => findings.extend([github(git), webhook(git)]),
        Part::Off => {
            let off = "off: it takes GITHUB_OWNER, GITHUB_REPO, and GITHUB_TOKEN or GITHUB_APP_…";
            findings.push(Finding::unchecked("github", off));
            findings.push(Finding::unchecked("webhook", "off, as is github"));
        }
        Part::Unchecked => {
            let subjects = ["github", "webhook"];
            findings.extend(subjects.map(|it| Finding::unchecked(it, WRONG_SETTINGS)));
        }
    }
    findings.push(match &facts.sign_in {
        Part::Found(sign_in) => self::sign_in(sign_in),
        Part::Off | Part::Unchecked => Finding::unchecked("sign-in", WRONG_SETTINGS),
    });
    findings.push(match &facts.redis {
        Part::Found(redis) => self::redis(redis),
        Part::Off => Finding::unchecked("redis", "off: CODEX_REDIS_URL isn't set"),
        Part::Unchecked => Finding::unchecked("redis", WRONG_SETTINGS),
    });
    findings.push(executable(&facts.linkage));
    Diagnosis(findings)
}

const WRONG_SETTINGS: &str = "not checked, because the settings are wrong";

fn settings(settings: &SettingsFacts) -> Finding {
    let subject = "settings";
    match (&settings.wrong[..], &settings.worker_runtime) {
        ([], Some(runtime)) if runtime != "custom" => Finding::broken(
            subject,
            format!("FUNCTIONS_WORKER_RUNTIME is {runtime}"),
            "set it to custom, or on Flex Consumption remove it: the Functions host starts that instead",
        ),
        ([], _) => Finding::fine(subject, "the service starts with them"),
        (wrong, _) => Finding::broken(
            subject,
            wrong.join("; "),
            "correct it, and run this again: one wrong setting may hide others",
        ),
    }
}

fn leftovers(settings: &SettingsFacts) -> Finding {
    let subject = "leftovers";
    let unknown = settings.unknown.iter().map(|it| match &it.nearest {
        Some(nearest) => format!("{} isn't a setting (perhaps {nearest})", it.variable),
        None => format!("{} isn't a setting", it.variable),
    });
    let older = settings.older.iter();
    let older = older.map(|it| format!("{it} is the older service's"));
    let all: Vec<String> = unknown.chain(older).collect();
    match all.is_empty() {
        true => Finding::fine(
            subject,
            "no misspelled setting, and none of the older service",
        ),
        false => Finding::warning(subject, all.join(", "), "they do nothing: remove them"),
    }
}

fn storage(store: &StoreFacts) -> Finding {
    let subject = "storage";
    let name = &store.name;
    let at = |text: &dyn std::fmt::Display| format!("{name}: {text}");
    match (&store.presence, &store.writes, &store.kind) {
        (Err(error), _, kind) | (Ok(_), Some(Err(error)), kind) => {
            Finding::broken(subject, at(error), storage_advice(error, kind))
        }
        (Ok(Presence::Missing), _, StoreKind::Folder) => Finding::warning(
            subject,
            at(&"there is no such folder; the service makes it"),
            "if it has run before, mount the folder's disk or correct the path",
        ),
        (Ok(Presence::Missing), _, StoreKind::Account { .. }) => Finding::warning(
            subject,
            at(&"there is no such container; the service's first write makes it"),
            "if it has run before, correct AZURE_BLOB_CONTAINER or the account",
        ),
        (Ok(Presence::Unused), ..) => {
            let found = "can be read and written; the service hasn't used it yet";
            Finding::fine(subject, at(&found))
        }
        (Ok(Presence::Present), ..) => match &store.left {
            None => Finding::fine(subject, at(&"can be read and written")),
            Some(path) => Finding::warning(
                subject,
                at(&format!("{path} was written and can't be removed")),
                "allow the service to delete blobs, and delete this one",
            ),
        },
    }
}

fn storage_advice(error: &StoreError, kind: &StoreKind) -> String {
    match (error, kind) {
        (StoreError::Unavailable { .. }, StoreKind::Folder) => {
            "mount its disk, or wait until another program lets go of it".to_owned()
        }
        (_, StoreKind::Folder) => {
            "name a folder that the user who runs the service may read and write, with all that is in it"
                .to_owned()
        }
        (
            StoreError::Unavailable { .. },
            StoreKind::Account {
                variable,
                credential: CredentialKind::Identity,
            },
        ) => format!(
            "correct the account in {variable}, and assign the app an identity; outside Azure there is none"
        ),
        (StoreError::Unavailable { .. }, StoreKind::Account { variable, .. }) => {
            format!("correct the account in {variable}, or let this machine reach it")
        }
        (
            _,
            StoreKind::Account {
                variable,
                credential,
            },
        ) => match credential {
            CredentialKind::Key => format!(
                "put one of the account's present keys into {variable}; if it is one, set this machine's clock, \
                 and allow access by key and from this network"
            ),
            CredentialKind::Sas => format!(
                "put a signature into {variable} that hasn't ended, for containers and objects, with the permissions \
                 to read, add, create, write, delete and list"
            ),
            CredentialKind::Identity => {
                "give the identity the role Storage Blob Data Contributor on the account, \
                 and wait some minutes"
                    .to_owned()
            }
        },
    }
}

fn conditions(store: &StoreFacts) -> Finding {
    let subject = "conditions";
    let held = match (&store.presence, &store.writes) {
        (Ok(_), Some(Ok(held))) => held,
        (Ok(_), None) => {
            return Finding::unchecked(subject, "not checked: that would make the container");
        }
        (Err(_), _) | (_, Some(Err(_))) => {
            return Finding::unchecked(subject, "not checked, because storage is broken");
        }
    };
    let ConditionalWrites {
        create,
        update,
        delete,
    } = *held;
    let all = [
        (create, "If-None-Match of a PUT"),
        (update, "If-Match of a PUT"),
        (delete, "If-Match of a DELETE"),
    ];
    let ignored = all.iter().filter(|(holds, _)| !holds);
    let ignored: Vec<&str> = ignored.map(|(_, name)| *name).collect();
    match &ignored[..] {
        [] => Finding::fine(
            subject,
            "hold for PUT (If-None-Match, If-Match) and DELETE (If-Match)",
        ),
        ignored => Finding::broken(
            subject,
            format!("don't hold: {}", ignored.join(", ")),
            "use another storage, or remove the proxy in front of it: two writers would lose each other's tasks",
        ),
    }
}

fn clock(store: &StoreFacts) -> Finding {
    let subject = "clock";
    let Some(ahead) = store.ahead else {
        return Finding::unchecked(
            subject,
            match store.kind {
                StoreKind::Folder => "nothing to compare: a folder's clock is this machine's",
                StoreKind::Account { .. } => "not known, because the storage doesn't answer",
            },
        );
    };
    let found = match ahead.abs() {
        difference if difference <= CLOCK_NOISE => {
            return Finding::fine(subject, "this machine's and the storage's agree");
        }
        difference => {
            let side = if ahead > TimeDelta::zero() {
                "ahead of"
            } else {
                "behind"
            };
            format!(
                "this machine's is {} {side} the storage's",
                rounded(difference)
            )
        }
    };
    let advice = "set this machine's clock, for example by NTP";
    match ahead.abs() {
        difference if difference >= CLOCK_BROKEN => Finding::broken(subject, found, advice),
        difference if difference >= CLOCK_WARNING => Finding::warning(subject, found, advice),
        _ => Finding::fine(subject, found),
    }
}

/// In seconds below two minutes, else in minutes.
fn rounded(difference: TimeDelta) -> String {
    match difference.num_seconds() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds => format!("{} min", (seconds + 30) / 60),
    }
}

fn container(store: &StoreFacts) -> Finding {
    let subject = "container";
    let Some(StrangerAccess { list, read }) = &store.strangers else {
        return Finding::unchecked(subject, "a folder is as private as its permissions");
    };
    if matches!(store.presence, Ok(Presence::Missing)) {
        return Finding::unchecked(
            subject,
            "there is none yet; the service makes a private one",
        );
    }
    let answers = [Some(list), read.as_ref()];
    let mut refused = 0;
    for answer in answers.into_iter().flatten() {
        match answer {
            Ok(200..300) => {
                return Finding::broken(
                    subject,
                    "public: anybody can read the tasks",
                    "turn off public access: az storage account update --allow-blob-public-access false",
                );
            }
            // Azure hides a private container, or says that the account allows no public access.
            Ok(401 | 403 | 404 | 409) => refused += 1,
            Ok(_) | Err(_) => {}
        }
    }
    match (refused, read) {
        (2, _) => Finding::fine(subject, "private: strangers can neither list nor read it"),
        (1, None) => Finding::fine(subject, "private as far as seen: strangers can't list it"),
        _ => Finding::unchecked(subject, "not known, because strangers get no usable answer"),
    }
}

fn github(git: &GitFacts) -> Finding {
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

fn webhook(git: &GitFacts) -> Finding {
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

fn sign_in(facts: &SignInFacts) -> Finding {
    let subject = "sign-in";
    match facts {
        SignInFacts::Local { user } => Finding::unchecked(
            subject,
            format!("off: whoever reaches the service on this machine is {user}"),
        ),
        SignInFacts::Platform { who } => {
            Finding::fine(subject, format!("by the platform, for {who}"))
        }
        SignInFacts::TokensOnly { who } => Finding::warning(
            subject,
            format!("by personal tokens only, for {who}"),
            "for browsers set GITHUB_OAUTH_CLIENT_ID and GITHUB_OAUTH_CLIENT_SECRET of an OAuth app",
        ),
        SignInFacts::OAuth {
            accepted: Err(GitHubError::Unexpected { reason, .. }),
            callback,
            ..
        } => Finding::broken(
            subject,
            *reason,
            format!(
                "copy the client id and a secret from the OAuth app's page, whose callback must be {callback}"
            ),
        ),
        SignInFacts::OAuth {
            accepted: Err(error),
            ..
        } => Finding::broken(
            subject,
            error.to_string(),
            "let this machine reach GITHUB_URL, and look at githubstatus.com",
        ),
        SignInFacts::OAuth {
            who,
            callback,
            is_local: true,
            ..
        } => Finding::warning(
            subject,
            format!(
                "by an OAuth app, for {who}, and only on this machine: browsers return to {callback}"
            ),
            "set CODEX_PUBLIC_URL to where people reach the service",
        ),
        SignInFacts::OAuth { who, callback, .. } => Finding::fine(
            subject,
            format!("by an OAuth app, for {who}; its callback must be {callback}"),
        ),
    }
}

fn redis(redis: &RedisFacts) -> Finding {
    let subject = "redis";
    let server = &redis.server;
    match &redis.refused {
        Ok(refused) if refused.is_empty() => {
            Finding::fine(subject, format!("{server}: signed in, every command works"))
        }
        Ok(refused) => {
            let all = refused.iter();
            let all: Vec<String> = all
                .map(|it| format!("{}: {}", it.command, it.reason))
                .collect();
            Finding::broken(
                subject,
                format!("{server}: {}", all.join("; ")),
                "give the user the keys, the channel and the commands that the settings' page lists, and the server memory",
            )
        }
        Err(error) => Finding::broken(
            subject,
            format!("{server}: {error}"),
            "correct host, port and password, or let this machine reach it; meanwhile the service goes on without it",
        ),
    }
}

fn executable(linkage: &Linkage) -> Finding {
    let subject = "executable";
    let advice =
        "fine where it was built; for Azure Functions build it for x86_64-unknown-linux-musl";
    match linkage {
        Linkage::Static => Finding::fine(subject, "statically linked, as Azure Functions needs it"),
        Linkage::Dynamic(path) => {
            Finding::warning(subject, format!("needs this system's {path}"), advice)
        }
        Linkage::Foreign => Finding::warning(subject, "is no program for Linux", advice),
        Linkage::Unreadable(reason) => {
            Finding::unchecked(subject, format!("can't be read: {reason}"))
        }
    }
}
