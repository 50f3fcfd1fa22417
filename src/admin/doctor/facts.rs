//! PURE. What was found out, before it is judged.

use std::collections::BTreeSet;

use chrono::TimeDelta;

use super::executable::Linkage;
use crate::config::UnknownSetting;
use crate::github::{GitHubError, Hook, RepositoryAccess};
use crate::shared_cache::{NoAnswer, RefusedCommand};
use crate::store::StoreError;

/// Everything that was found out.
#[derive(Debug, Clone)]
pub struct Facts {
    /// The settings themselves.
    pub settings: SettingsFacts,
    /// The storage.
    pub store: Part<StoreFacts>,
    /// The repository and its webhook.
    pub git: Part<GitFacts>,
    /// How people sign in.
    pub sign_in: Part<SignInFacts>,
    /// The cache that instances share.
    pub redis: Part<RedisFacts>,
    /// How this program is linked.
    pub linkage: Linkage,
}

/// A part of a deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part<T> {
    /// It isn't configured.
    Off,
    /// Its settings are wrong, so it wasn't asked.
    Unchecked,
    /// What was found out.
    Found(T),
}

/// The settings.
#[derive(Debug, Clone, Default)]
pub struct SettingsFacts {
    /// Why the service won't start, as it says so itself.
    pub wrong: Vec<String>,
    /// Variables with its prefix that it doesn't read.
    pub unknown: Vec<UnknownSetting>,
    /// Variables that only the older service read.
    pub older: Vec<String>,
    /// `FUNCTIONS_WORKER_RUNTIME`, by which a Functions host chooses what it starts.
    pub worker_runtime: Option<String>,
}

/// The storage.
#[derive(Debug, Clone)]
pub struct StoreFacts {
    /// As in the startup log.
    pub name: String,
    /// What it is.
    pub kind: StoreKind,
    /// Whether it is there.
    pub presence: Result<Presence, StoreError>,
    /// What conditions do; `None` if nothing could be written without leaving something.
    pub writes: Option<Result<ConditionalWrites, StoreError>>,
    /// The path of what couldn't be removed again.
    pub left: Option<String>,
    /// By how much this machine's clock is ahead of the storage's. `None` over a folder, and without an answer.
    pub ahead: Option<TimeDelta>,
    /// What strangers get; `None` over a folder.
    pub strangers: Option<StrangerAccess>,
}

/// The kind of storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreKind {
    /// A folder.
    Folder,
    /// A container of a storage account.
    Account {
        /// The variable that names the account.
        variable: String,
        /// How requests are authorised.
        credential: CredentialKind,
    },
}

/// How requests to an account are authorised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CredentialKind {
    /// By the account's key.
    Key,
    /// By a shared access signature.
    Sas,
    /// By a managed identity.
    Identity,
}

/// Whether there is a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// There is.
    Present,
    /// A folder in which the service has never run.
    Unused,
    /// There is no such folder or container.
    Missing,
}

/// Which conditions hold: each is accepted when it holds, and else refused.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ConditionalWrites {
    /// `If-None-Match: *` of a PUT.
    pub create: bool,
    /// `If-Match` of a PUT.
    pub update: bool,
    /// `If-Match` of a DELETE.
    pub delete: bool,
}

/// The HTTP statuses that strangers get, or why that isn't known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StrangerAccess {
    /// For the listing of the container.
    pub list: Result<u16, String>,
    /// For a blob; `None` if none could be written.
    pub read: Option<Result<u16, String>>,
}

/// The repository and its webhook.
#[derive(Debug, Clone)]
pub struct GitFacts {
    /// `owner/name`.
    pub repository: String,
    /// The mirrored branch.
    pub branch: String,
    /// The prefix of the branches of pull requests, with `CREATE_VIA_PR`.
    pub pull_requests: Option<String>,
    /// Whether the credentials are a GitHub App's, or a token.
    pub by_app: bool,
    /// What GitHub says, or its first refusal.
    pub found: Result<RepositoryFacts, GitHubError>,
    /// The webhook.
    pub webhook: WebhookFacts,
}

/// What GitHub says of the repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepositoryFacts {
    /// What the credentials may do.
    pub access: RepositoryAccess,
    /// The mirrored branch.
    pub branch: BranchState,
    /// The types of the rules for the branch that commits go to; `None` if this GitHub has no rules.
    pub rules: Option<BTreeSet<String>>,
}

/// A branch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BranchState {
    /// There is none of that name.
    Missing,
    /// The repository has no commit yet.
    Empty,
    /// It exists.
    There {
        /// Whether it is protected.
        protected: bool,
    },
}

/// The webhook.
#[derive(Debug, Clone)]
pub struct WebhookFacts {
    /// Whether `GITHUB_WEBHOOK_SECRET` is set.
    pub has_secret: bool,
    /// The address that deliveries must have.
    pub address: String,
    /// Whether GitHub can't reach that address: it is this machine's.
    pub is_local: bool,
    /// The repository's webhooks. `Ok(None)`: the credentials may not see them. `None`: they weren't asked for, since the
    /// repository can't be read.
    pub hooks: Option<Result<Option<Vec<Hook>>, GitHubError>>,
}

/// How people sign in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignInFacts {
    /// Nobody does: every request is this local user's.
    Local {
        /// The user.
        user: String,
    },
    /// By the platform.
    Platform {
        /// Who is authorised, and by which provider.
        who: String,
    },
    /// By personal tokens only.
    TokensOnly {
        /// Who is authorised.
        who: String,
    },
    /// By an OAuth app.
    OAuth {
        /// Who is authorised.
        who: String,
        /// Where browsers return to; the app's page at GitHub must have it.
        callback: String,
        /// Whether that is an address of this machine.
        is_local: bool,
        /// Whether GitHub accepts the app's id and secret, or why that isn't so.
        accepted: Result<(), GitHubError>,
    },
}

/// The cache that instances share.
#[derive(Debug, Clone)]
pub struct RedisFacts {
    /// The server and the variable that names it.
    pub server: String,
    /// The commands that it refuses.
    pub refused: Result<Vec<RefusedCommand>, NoAnswer>,
}
