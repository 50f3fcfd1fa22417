//! An authenticated caller.

use std::sync::Arc;

use axum::response::Response;
use http::HeaderValue;
use http::header::SET_COOKIE;

use crate::github::Account;
use crate::owners::{AccountIdentity, ConfirmedOwner, LoginClaim, Owners};
use crate::user::UserId;

/// An authenticated and allowed user.
pub(in crate::http) struct Caller {
    /// The user whose files the request reads and writes.
    pub(in crate::http) user: UserId,
    /// What the caller has proved; `None` in `dev`.
    claim: Option<Arc<LoginClaim>>,
    /// Boxed: rare, and moved along with every request.
    pub(in crate::http) renewal: Option<Box<SessionRenewal>>,
}

/// A renewed session, for the response to the request that renewed it.
pub(in crate::http) struct SessionRenewal {
    pub(super) cookie: HeaderValue,
    pub(super) claim: Arc<LoginClaim>,
    pub(super) owners: Owners,
}

impl Caller {
    pub(super) fn new(confirmed: ConfirmedOwner, claim: Arc<LoginClaim>) -> Self {
        Self {
            user: confirmed.user,
            claim: Some(claim),
            renewal: None,
        }
    }

    pub(super) fn dev(user: UserId) -> Self {
        Self {
            user,
            claim: None,
            renewal: None,
        }
    }

    /// The account, for what it may do later without authenticating; `None` in `dev`.
    pub(in crate::http) fn account(&self) -> Option<LoginClaim> {
        let claim = self.claim.as_deref()?.clone();
        let session = None;
        Some(LoginClaim { session, ..claim })
    }

    /// The provider's name for the account: the GitHub login, or another provider's permanent id.
    pub(in crate::http) fn login(&self) -> &str {
        let claim = self.claim.as_deref();
        claim.map_or(self.user.as_str(), account_name)
    }
}

/// What an account of GitHub claims; `session` is its session's generation, if that authenticated it.
pub(super) fn github_claim(account: &Account, session: Option<u64>) -> LoginClaim {
    let number = account.number;
    LoginClaim {
        login: account.login.clone(),
        identity: AccountIdentity::GitHub { number },
        session,
    }
}

/// The provider's name for an account.
pub(super) fn account_name(claim: &LoginClaim) -> &str {
    match &claim.identity {
        AccountIdentity::GitHub { .. } => claim.login.as_str(),
        AccountIdentity::Other { subject, .. } => subject,
    }
}

impl SessionRenewal {
    /// Adds the session's cookie to the response that is about to be sent, unless the session has ended since: that may
    /// happen during the request.
    pub(in crate::http) fn add_to(self, response: &mut Response) {
        if !self.owners.is_session_ended(&self.claim) {
            response.headers_mut().append(SET_COOKIE, self.cookie);
        }
    }
}
