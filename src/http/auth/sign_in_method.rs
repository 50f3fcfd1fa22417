//! How callers sign in here.

use std::borrow::Cow;

use http::HeaderMap;

use super::easyauth::PRINCIPAL;
use crate::http::error::ApiError;
use crate::http::error_code::Code;

/// The available sign-in method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http) enum SignInMethod<'a> {
    /// None: every request acts as the one local user.
    Dev,
    /// A GitHub token in `Authorization: Bearer`.
    BearerToken,
    /// A GitHub token, or a browser session through the OAuth app.
    BearerTokenOrOAuth,
    /// App Service Authentication, with this identity provider.
    EasyAuth(&'a str),
}

impl SignInMethod<'_> {
    /// The URL to which to redirect a browser that isn't signed in, with `path` as the return path; `None` if browsers
    /// can't sign in here. With a platform principal also `None`: the platform would redirect back at once, in a loop.
    pub(in crate::http) fn url(self, headers: &HeaderMap, path: &str) -> Option<String> {
        let (page, parameter) = match self {
            Self::BearerTokenOrOAuth => ("/auth/github".to_owned(), "return_to"),
            Self::EasyAuth(provider) if !headers.contains_key(PRINCIPAL) => {
                (easyauth_sign_in_path(provider), "post_login_redirect_uri")
            }
            Self::Dev | Self::BearerToken | Self::EasyAuth(_) => return None,
        };
        let path: String = form_urlencoded::byte_serialize(path.as_bytes()).collect();
        Some(format!("{page}?{parameter}={path}"))
    }

    /// The error response for a failed authentication. The codes' own sentences suit a service where both a token and the
    /// browser's sign-in are possible; for other methods it says something else.
    pub(super) fn advise(self, error: ApiError) -> ApiError {
        match self.advice(error.code()) {
            Some(message) => ApiError::new(error.code(), message),
            None => error,
        }
    }

    fn advice(self, code: Code) -> Option<Cow<'static, str>> {
        let advice = match (code, self) {
            (_, Self::BearerTokenOrOAuth) | (Code::CrossOrigin, Self::BearerToken) => return None,
            (Code::NotSignedIn, Self::EasyAuth(provider)) => {
                let page = easyauth_sign_in_path(provider);
                return Some(
                    format!("Nobody is signed in by {provider}: sign in at {page}.").into(),
                );
            }
            (Code::NotSignedIn, _) => {
                "Nobody is signed in: send Authorization: Bearer with a personal access token of GitHub."
            }
            (Code::TokenInvalid, _) => "GitHub doesn't know this token: make a new one.",
            (Code::TokenForeign, _) => {
                "Tokens of apps aren't taken here: use a personal access token of GitHub."
            }
            (Code::CrossOrigin, _) => {
                "A page of another site can't change tasks: open this service's own page."
            }
            _ => return None,
        };
        Some(advice.into())
    }
}

/// App Service Authentication's sign-in path for the provider.
fn easyauth_sign_in_path(provider: &str) -> String {
    format!("/.auth/login/{provider}")
}
