//! Asks GitHub about the OAuth app.

use super::facts::SignInFacts;
use crate::config::{Auth, Config, OAuthApp, Secret};
use crate::github::{GitHubError, OAuth, Transport};

/// How people sign in. An OAuth app's id and secret are tried on a code that doesn't exist: GitHub names the credentials
/// if they are wrong, and else the code.
pub async fn look_at_sign_in(config: &Config, transport: &Transport) -> SignInFacts {
    let who = config.auth.to_string();
    match &config.auth {
        Auth::Dev { user } => SignInFacts::Local {
            user: user.to_string(),
        },
        Auth::EasyAuth { .. } => SignInFacts::Platform { who },
        Auth::GitHub { oauth: None, .. } => SignInFacts::TokensOnly { who },
        Auth::GitHub {
            oauth: Some(app), ..
        } => {
            let callback = app.callback(&config.public_url);
            let accepted = try_app(app, config, &callback, transport).await;
            SignInFacts::OAuth {
                who,
                callback,
                is_local: config.public_url.is_loopback(),
                accepted,
            }
        }
    }
}

async fn try_app(
    app: &OAuthApp,
    config: &Config,
    callback: &str,
    transport: &Transport,
) -> Result<(), GitHubError> {
    let unusable = |_| GitHubError::Unexpected {
        operation: "begin a sign-in",
        reason: "GITHUB_URL or the callback can't be used",
    };
    let oauth = OAuth::new(app, &config.github.web_url, callback).map_err(unusable)?;
    // Any text is a verifier; this one has the length that RFC 7636 requires.
    let verifier = Secret::new("no-code-was-ever-issued-to-codex-miroir-doctor".to_owned());
    let exchanged = oauth.exchange(transport, "no-code", &verifier).await;
    exchanged.map(drop)
}
