//! Authentication and authorization settings (`src/config/README.md`, "Signing in").

use std::net::IpAddr;

use url::Url;

use super::lookup::{ConfigError, Lookup, Secret, both, comma_separated, valid};
use super::public_url::PublicUrl;
use crate::user::UserId;

/// The authentication mode (`CODEX_AUTH`), with its settings. `Display` says who is authorized.
#[derive(Debug, Clone, PartialEq, Eq, derive_more::Display)]
pub enum Auth {
    /// One local user (`CODEX_DEV_USER`, default `local`); requests must name a loopback host.
    #[display("whoever reaches this address, as {user}")]
    Dev {
        /// The user as which every request acts.
        user: UserId,
    },
    /// GitHub tokens and, with an OAuth app, browser sessions.
    #[display("{allowed}")]
    GitHub {
        /// The logins that are authorized.
        allowed: Allowlist,
        /// The OAuth app (`GITHUB_OAUTH_CLIENT_ID`), without which browsers can't sign in.
        oauth: Option<OAuthApp>,
        /// `CODEX_SESSION_KEY`, else the OAuth app's secret: the first key seals, all of them open.
        session_keys: Vec<Secret>,
    },
    /// The platform authenticates requests (App Service Authentication, only where `WEBSITE_SITE_NAME` is set).
    #[display("{allowed}, by {provider}")]
    EasyAuth {
        /// `CODEX_EASYAUTH_IDP`, default `github`: the only identity provider that is accepted, in lower case.
        provider: String,
        /// The logins that are authorized.
        allowed: Allowlist,
    },
}

/// A GitHub OAuth app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OAuthApp {
    /// `GITHUB_OAUTH_CLIENT_ID`.
    pub client_id: String,
    /// `GITHUB_OAUTH_CLIENT_SECRET`.
    pub client_secret: Secret,
    /// `GITHUB_OAUTH_REDIRECT_URI`, if it is set: the callback at the public URL's origin, with an optional query.
    pub redirect_uri: Option<String>,
}

impl OAuthApp {
    /// Where browsers return to after a sign-in.
    pub fn callback(&self, public: &PublicUrl) -> String {
        let default = || format!("{public}{CALLBACK}");
        self.redirect_uri.clone().unwrap_or_else(default)
    }
}

/// The logins that are authorized (`CODEX_ALLOWED_LOGINS`).
#[derive(Debug, Clone, PartialEq, Eq, derive_more::Display)]
pub enum Allowlist {
    /// Every authenticated account.
    #[display("everyone")]
    Everyone,
    /// These, compared without regard to ASCII case.
    #[display("{}", _0.join(", "))]
    Logins(Vec<String>),
}

impl Auth {
    /// The local user in `dev`; `None` in the other modes.
    pub fn dev_user(&self) -> Option<&UserId> {
        match self {
            Self::Dev { user } => Some(user),
            Self::GitHub { .. } | Self::EasyAuth { .. } => None,
        }
    }

    /// The mode's name in `CODEX_AUTH`.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Dev { .. } => "dev",
            Self::GitHub { .. } => "github",
            Self::EasyAuth { .. } => "easyauth",
        }
    }
}

impl Allowlist {
    /// Whether this name is authorized.
    pub fn allows(&self, name: &str) -> bool {
        match self {
            Self::Everyone => true,
            Self::Logins(logins) => logins.iter().any(|it| it.eq_ignore_ascii_case(name)),
        }
    }
}

/// Any of these settings makes `github` the default mode in place of `dev`, even if others are missing: an incomplete
/// configuration must not leave the service open.
const SIGN_IN_SETTINGS: [&str; 13] = [
    "GITHUB_OWNER",
    "GITHUB_REPO",
    "GITHUB_TOKEN",
    "GITHUB_APP_ID",
    "GITHUB_APP_PRIVATE_KEY",
    "GITHUB_APP_INSTALLATION_ID",
    "GITHUB_WEBHOOK_SECRET",
    "GITHUB_OAUTH_CLIENT_ID",
    "GITHUB_OAUTH_CLIENT_SECRET",
    "GITHUB_OAUTH_REDIRECT_URI",
    "CODEX_ALLOWED_LOGINS",
    "CODEX_SESSION_KEY",
    "CODEX_EASYAUTH_IDP",
];

const CALLBACK: &str = "/auth/github/callback";

/// In characters; a shorter session key could be guessed.
const MIN_SESSION_KEY_CHARS: usize = 32;

enum AuthModeSetting {
    Dev,
    GitHub,
    EasyAuth,
}

pub(super) fn auth(
    settings: &Lookup<'_>,
    bind: IpAddr,
    public: &PublicUrl,
) -> Result<Auth, ConfigError> {
    let oauth = oauth(settings)?;
    let session_keys = session_keys(settings, oauth.as_ref())?;
    match mode(settings, bind, public)? {
        AuthModeSetting::Dev => dev_user(settings).map(|user| Auth::Dev { user }),
        AuthModeSetting::GitHub => {
            let allowed = allowed(settings, true)?;
            let redirect_uri = redirect_uri(settings, public)?;
            let oauth = oauth.map(|app| OAuthApp {
                redirect_uri,
                ..app
            });
            Ok(Auth::GitHub {
                allowed,
                oauth,
                session_keys,
            })
        }
        AuthModeSetting::EasyAuth => {
            let provider = provider(settings)?;
            let allowed = allowed(settings, provider == "github")?;
            Ok(Auth::EasyAuth { provider, allowed })
        }
    }
}

/// In lower case, as the platform writes it; it is a segment of the sign-in URL.
fn provider(settings: &Lookup<'_>) -> Result<String, ConfigError> {
    let name = "CODEX_EASYAUTH_IDP";
    let allowed = "a provider's name of letters, digits, '-' and '_', as in github or aad";
    let fits = |c: u8| c.is_ascii_alphanumeric() || c == b'-' || c == b'_';
    let lower = |text: &str| text.bytes().all(fits).then(|| text.to_ascii_lowercase());
    let provider = settings.read(name, allowed, lower)?;
    Ok(provider.unwrap_or_else(|| "github".to_owned()))
}

fn mode(
    settings: &Lookup<'_>,
    bind: IpAddr,
    public: &PublicUrl,
) -> Result<AuthModeSetting, ConfigError> {
    let refuse = |was: &str, allowed: &str| Err(ConfigError::new("CODEX_AUTH", was, allowed));
    let on_azure = settings.is_set("WEBSITE_SITE_NAME");
    let public = settings.is_set("CODEX_PUBLIC_URL") && !public.is_loopback();
    let enabled = settings.trimmed("WEBSITE_AUTH_ENABLED");
    let is_enabled = enabled.is_some_and(|it| it.eq_ignore_ascii_case("true"));
    let configured = SIGN_IN_SETTINGS.iter().any(|name| settings.is_set(name));
    match settings.trimmed("CODEX_AUTH").as_deref() {
        Some("dev") if on_azure => refuse(
            "is dev while WEBSITE_SITE_NAME is set",
            "github or easyauth on Azure, where strangers reach the service",
        ),
        Some("dev") if public => refuse(
            "is dev while CODEX_PUBLIC_URL is another address than this machine's",
            "github or easyauth where others reach the service",
        ),
        Some("dev") => Ok(AuthModeSetting::Dev),
        Some("github") => Ok(AuthModeSetting::GitHub),
        Some("easyauth") if is_enabled && on_azure => Ok(AuthModeSetting::EasyAuth),
        Some("easyauth") if is_enabled => refuse(
            "is easyauth while WEBSITE_SITE_NAME isn't set",
            "github or dev outside Azure: nobody takes off a header there that says who somebody is",
        ),
        Some("easyauth") => refuse(
            "is easyauth while WEBSITE_AUTH_ENABLED isn't true",
            "github as long as the platform's authentication is off: anybody could say who they are",
        ),
        Some(other) => refuse(&format!("is {other:?}"), "github, easyauth or dev"),
        None if on_azure || configured => Ok(AuthModeSetting::GitHub),
        None if public => refuse(
            "is not set while CODEX_PUBLIC_URL is another address than this machine's",
            "github or easyauth",
        ),
        None if bind.is_loopback() && !settings.is_hosted() => Ok(AuthModeSetting::Dev),
        None => refuse(
            "is not set while others may reach the service",
            "github, easyauth, or dev if every local caller may act as the one user",
        ),
    }
}

fn dev_user(settings: &Lookup<'_>) -> Result<UserId, ConfigError> {
    let name = "CODEX_DEV_USER";
    let allowed = "1 to 64 of A-Z, a-z, 0-9, '-' and '_'";
    let user = settings.text_or(name, "local");
    valid(name, &user, allowed, |user| UserId::parse(user).ok())
}

/// `by_login`: the names are GitHub logins and must be valid as such.
fn allowed(settings: &Lookup<'_>, by_login: bool) -> Result<Allowlist, ConfigError> {
    let name = "CODEX_ALLOWED_LOGINS";
    let refuse = |was: String| {
        let allowed = "logins separated by commas, as in anna,ben, or * for everyone";
        Err(ConfigError::new(name, was, allowed))
    };
    let (logins, if_none) = match settings.text(name) {
        Some(text) => (comma_separated(&text), "names nobody"),
        None => (
            settings.trimmed("GITHUB_OWNER").into_iter().collect(),
            "is not set, nor is GITHUB_OWNER",
        ),
    };
    if logins.is_empty() {
        return refuse(if_none.to_owned());
    }
    if logins.iter().any(|login| login == "*") {
        return Ok(Allowlist::Everyone);
    }
    let odd = logins.iter().find(|login| UserId::parse(login).is_err());
    match odd.filter(|_| by_login) {
        Some(odd) => refuse(format!("holds {odd:?}")),
        None => Ok(Allowlist::Logins(logins)),
    }
}

fn oauth(settings: &Lookup<'_>) -> Result<Option<OAuthApp>, ConfigError> {
    let names = ["GITHUB_OAUTH_CLIENT_ID", "GITHUB_OAUTH_CLIENT_SECRET"];
    let [id, secret] = names.map(|name| settings.header_secret(name));
    let app = both(names, (id?, secret?))?;
    Ok(app.map(|(id, client_secret)| OAuthApp {
        client_id: id.reveal().to_owned(),
        client_secret,
        redirect_uri: None,
    }))
}

fn redirect_uri(settings: &Lookup<'_>, public: &PublicUrl) -> Result<Option<String>, ConfigError> {
    let name = "GITHUB_OAUTH_REDIRECT_URI";
    let allowed = format!(
        "{public}{CALLBACK}, which is where CODEX_PUBLIC_URL or its default says people reach the service"
    );
    let fits =
        |url: &Url| url.origin().ascii_serialization() == public.origin() && url.path() == CALLBACK;
    let url = |text: &str| Url::parse(text).ok().filter(fits).map(Into::into);
    settings.read(name, &allowed, url)
}

fn session_keys(
    settings: &Lookup<'_>,
    oauth: Option<&OAuthApp>,
) -> Result<Vec<Secret>, ConfigError> {
    let name = "CODEX_SESSION_KEY";
    let Some(text) = settings.text(name) else {
        // The same on every instance, so that each one can open the others' cookies.
        return Ok(oauth.iter().map(|it| it.client_secret.clone()).collect());
    };
    let keys = comma_separated(&text);
    let short = |key: &String| key.chars().count() < MIN_SESSION_KEY_CHARS;
    if keys.is_empty() || keys.iter().any(short) {
        let allowed =
            "random text of at least 32 characters; several, separated by commas, to change it";
        return Err(ConfigError::new(name, "holds a shorter key", allowed));
    }
    Ok(keys.into_iter().map(Secret::new).collect())
}
