//! Accounts, apps and tokens.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};

/// An account, identified by its number; the login may be renamed and taken by another account.
#[derive(Debug, Clone)]
pub(super) struct User {
    pub(super) id: u64,
    pub(super) login: String,
}

/// An OAuth app, or a GitHub App.
#[derive(Debug, Clone)]
pub(super) struct OAuthApp {
    pub(super) secret: String,
    /// The registered prefix of a sign-in's return address.
    pub(super) callback: String,
    /// The app named in an answer about one of its tokens.
    pub(super) named: String,
}

/// A GitHub App with its one installation.
#[derive(Debug, Clone)]
pub(super) struct GitHubApp {
    pub(super) id: u64,
    pub(super) installation: u64,
    /// RSA, as PKCS#1 DER.
    pub(super) public_key: Vec<u8>,
}

/// The owner of a token and its permissions.
#[derive(Debug, Clone)]
pub(super) enum Grant {
    /// A personal token, with all of the user's permissions.
    Personal { user: u64 },
    /// Issued to an OAuth app.
    App {
        user: u64,
        client: String,
        scopes: Vec<String>,
        at: DateTime<Utc>,
    },
    /// A GitHub App's token, for the repositories in which it is installed.
    Installation { id: u64, expires: DateTime<Utc> },
}

/// A sign-in whose code hasn't been exchanged yet.
#[derive(Debug, Clone)]
pub(super) struct Code {
    pub(super) client: String,
    pub(super) user: u64,
    pub(super) redirect: Option<String>,
    pub(super) challenge: Option<String>,
    pub(super) scopes: Vec<String>,
    pub(super) expires: DateTime<Utc>,
}

/// All accounts, apps and tokens.
#[derive(Default)]
pub(super) struct People {
    pub(super) users: BTreeMap<u64, User>,
    pub(super) tokens: HashMap<String, Grant>,
    pub(super) oauth_apps: HashMap<String, OAuthApp>,
    pub(super) apps: HashMap<u64, GitHubApp>,
    pub(super) codes: HashMap<String, Code>,
    /// The user at the browser.
    pub(super) signed_in: Option<u64>,
    /// Whether that user denies the app access.
    pub(super) denies: bool,
    /// The accounts that may read and write the repository besides its owner.
    pub(super) collaborators: Vec<u64>,
    made: u64,
}

impl People {
    pub(super) fn by_login(&self, login: &str) -> Option<&User> {
        let mut users = self.users.values();
        users.find(|user| user.login.eq_ignore_ascii_case(login))
    }

    #[track_caller]
    pub(super) fn id_of(&self, login: &str) -> u64 {
        let user = self.by_login(login);
        user.unwrap_or_else(|| panic!("there is no account {login}"))
            .id
    }

    /// A fresh secret, recognisable as made up.
    pub(super) fn make(&mut self, prefix: &str) -> String {
        self.made += 1;
        let tail: String = std::iter::repeat_with(fastrand::alphanumeric)
            .take(24)
            .collect();
        format!("{prefix}madeup{:06}{tail}", self.made)
    }

    pub(super) fn grant(&mut self, prefix: &str, grant: Grant) -> String {
        let token = self.make(prefix);
        self.tokens.insert(token.clone(), grant);
        token
    }
}
