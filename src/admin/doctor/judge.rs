//! PURE. What the facts mean, and what to do about them.

mod git;

use chrono::TimeDelta;

use super::executable::Linkage;
use super::facts::{
    ConditionalWrites, CredentialKind, Facts, Part, Presence, RedisFacts, SettingsFacts,
    SignInFacts, StoreFacts, StoreKind, StrangerAccess,
};
use super::report::{Diagnosis, Finding};
use crate::github::GitHubError;
use crate::store::StoreError;

/// The difference between two clocks from which it matters: GitHub accepts an app's claims that are dated a minute ahead.
const CLOCK_WARNING: TimeDelta = TimeDelta::seconds(60);

/// The difference from which storage refuses an account key's signatures.
const CLOCK_BROKEN: TimeDelta = TimeDelta::minutes(15);

/// The resolution of the storage's clock, and time for the answer to arrive.
const CLOCK_NOISE: TimeDelta = TimeDelta::seconds(5);

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
        Part::Found(git) => findings.extend([git::github(git), git::webhook(git)]),
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
