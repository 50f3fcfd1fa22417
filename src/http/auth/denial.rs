//! Why somebody isn't let in; what a client is told of it is in `http::error`.

use std::time::Duration;

use super::tokens::TokenRefusal;
use crate::codex::OwnerError;
use crate::github::GitHubError;

/// Why somebody isn't let in.
#[derive(Debug, Clone, thiserror::Error)]
pub(in crate::http) enum Denial {
    /// Nothing says who it is.
    #[error("nobody is signed in")]
    NotSignedIn,
    /// The token is nobody's.
    #[error("the token is nobody's")]
    TokenInvalid,
    /// The token was given to another app, or can't be told from one that was.
    #[error("the token was given to another app")]
    TokenForeign,
    /// Who it is can't be found out just now.
    #[error("{cause}")]
    Unavailable {
        /// When to come back.
        retry_after: Duration,
        /// For the log.
        cause: String,
    },
    /// They aren't on the list.
    #[error("the login isn't allowed")]
    NotAllowed,
    /// The name belongs to another account, or it can't be known whose it is.
    #[error(transparent)]
    Owner(OwnerError),
    /// A page of another site sent the change, or nothing says which page did.
    #[error("the change comes from elsewhere")]
    CrossOrigin,
    /// The request names a host that isn't this machine.
    #[error("the host isn't this machine")]
    Host,
    /// Nobody signs in by a browser here.
    #[error("no sign-in by a browser")]
    NoBrowserSignIn,
    /// The callback doesn't end a sign-in that this browser began.
    #[error("the sign-in wasn't begun here, took too long or was ended before")]
    NoSignIn,
    /// The person said no at GitHub.
    #[error("GitHub's page was left with a refusal")]
    SaidNo,
    /// GitHub doesn't take the sign-in's code.
    #[error("GitHub doesn't take the code")]
    CodeRefused,
}

/// When a client may try again while GitHub is away and doesn't say.
const SOON: Duration = Duration::from_secs(5);

impl From<OwnerError> for Denial {
    fn from(error: OwnerError) -> Self {
        match error {
            OwnerError::SessionEnded => Self::NotSignedIn,
            error => Self::Owner(error),
        }
    }
}

impl From<GitHubError> for Denial {
    fn from(error: GitHubError) -> Self {
        let retry_after = match &error {
            GitHubError::Limited { retry_after } => *retry_after,
            GitHubError::Unavailable { .. }
            | GitHubError::Denied { .. }
            | GitHubError::Unexpected { .. } => SOON,
        };
        let cause = error.to_string();
        Self::Unavailable { retry_after, cause }
    }
}

impl From<TokenRefusal> for Denial {
    fn from(refusal: TokenRefusal) -> Self {
        match refusal {
            TokenRefusal::Unknown => Self::TokenInvalid,
            TokenRefusal::Foreign => Self::TokenForeign,
        }
    }
}
