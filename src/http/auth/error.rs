//! Authentication and authorization errors. `http::error` maps them to responses.

use std::time::Duration;

use super::token_verifier::TokenRejection;
use crate::github::GitHubError;
use crate::owners::OwnerError;

/// Why a request isn't authenticated or authorized.
#[derive(Debug, Clone, thiserror::Error)]
pub(in crate::http) enum AuthError {
    /// The request has no credentials, or its session is invalid.
    #[error("not signed in")]
    NotSignedIn,
    /// The token is malformed, or GitHub rejects it.
    #[error("the token is invalid")]
    TokenInvalid,
    /// The token was issued to another app, or can't be told apart from one that was.
    #[error("the token was issued to another app")]
    TokenForeign,
    /// GitHub can't be asked now.
    #[error("{cause}")]
    Unavailable {
        /// When the client may retry.
        retry_after: Duration,
        /// For the log.
        cause: String,
    },
    /// The login isn't on the allowlist.
    #[error("the login isn't allowed")]
    LoginNotAllowed,
    /// The login belongs to another account, or its owner record can't be read.
    #[error(transparent)]
    Owner(OwnerError),
    /// A page of another origin sent the change, or its origin is unknown.
    #[error("the change comes from another origin")]
    CrossOrigin,
    /// In `dev`: the request names a host that isn't a loopback one.
    #[error("the host isn't a loopback host")]
    HostNotAllowed,
    /// No OAuth app is configured, so browsers can't sign in.
    #[error("no OAuth app is configured")]
    OAuthNotConfigured,
    /// The callback doesn't match a sign-in of this browser, or that sign-in has expired or was completed before.
    #[error("the sign-in wasn't begun in this browser, has expired or was completed before")]
    SignInExpired,
    /// The user declined the authorization at GitHub.
    #[error("the user declined the authorization at GitHub")]
    AccessDenied,
    /// GitHub rejects the authorization code.
    #[error("GitHub rejects the authorization code")]
    SignInFailed,
}

/// `Retry-After` when GitHub is unavailable and names no time itself.
const DEFAULT_RETRY_AFTER: Duration = Duration::from_secs(5);

impl From<OwnerError> for AuthError {
    fn from(error: OwnerError) -> Self {
        match error {
            OwnerError::SessionEnded => Self::NotSignedIn,
            error => Self::Owner(error),
        }
    }
}

impl From<GitHubError> for AuthError {
    fn from(error: GitHubError) -> Self {
        let retry_after = match &error {
            GitHubError::Limited { retry_after } => *retry_after,
            GitHubError::Unavailable { .. }
            | GitHubError::Denied { .. }
            | GitHubError::Unexpected { .. } => DEFAULT_RETRY_AFTER,
        };
        let cause = error.to_string();
        Self::Unavailable { retry_after, cause }
    }
}

impl From<TokenRejection> for AuthError {
    fn from(rejection: TokenRejection) -> Self {
        match rejection {
            TokenRejection::Unknown => Self::TokenInvalid,
            TokenRejection::Foreign => Self::TokenForeign,
        }
    }
}
