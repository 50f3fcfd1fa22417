//! The repository that mirrors the tasks, and the credentials for it (`src/config/README.md`, "GitHub").

use url::Url;

use super::lookup::{ConfigError, Lookup, Secret, comma_separated, valid};
use super::public_url::{is_bare, is_private};

/// The GitHub settings, except those of the sign-in.
#[derive(Debug, Clone)]
pub struct GitHubConfig {
    /// `GITHUB_API_URL`, default `https://api.github.com`; without a trailing slash.
    pub api_url: String,
    /// `GITHUB_URL`, default `https://github.com`; without a trailing slash.
    pub web_url: String,
    /// `GITHUB_BASE_PATH`, default `codex-miroir`: the folder of the task files in the repository; without
    /// leading and trailing slashes.
    pub base_path: String,
    /// `GITHUB_WEBHOOK_SECRET`, the keys of the deliveries' signatures: at most two, of which a delivery may have either.
    /// Without one no delivery is accepted.
    pub webhook_secrets: Vec<Secret>,
    /// The repository, if GitHub mode is on.
    pub repository: Option<RepositoryConfig>,
}

/// The repository of GitHub mode.
#[derive(Debug, Clone)]
pub struct RepositoryConfig {
    /// `GITHUB_OWNER`.
    pub owner: String,
    /// `GITHUB_REPO`.
    pub repo: String,
    /// `GITHUB_DEFAULT_BRANCH` or `GITHUB_BRANCH`, default `main`.
    pub branch: String,
    /// The service's credentials for the repository.
    pub credentials: Credentials,
    /// With `CREATE_VIA_PR`: the prefix of the pull requests' branches (`GITHUB_PR_BRANCH_PREFIX`, default
    /// `codex/tasks`). `None`: commits go to the branch itself.
    pub pull_requests: Option<String>,
    /// `GITHUB_COMMITTER_NAME`, default `Codex Miroir Bot`.
    pub committer_name: String,
    /// `GITHUB_COMMITTER_EMAIL`, default `bot@example.com`.
    pub committer_email: String,
}

impl RepositoryConfig {
    /// `owner/name`, as in webhook payloads.
    pub fn full_name(&self) -> String {
        format!("{}/{}", self.owner, self.repo)
    }
}

/// Credentials for the repository.
#[derive(Debug, Clone)]
pub enum Credentials {
    /// `GITHUB_TOKEN`.
    Token(Secret),
    /// `GITHUB_APP_ID`, `GITHUB_APP_PRIVATE_KEY`, `GITHUB_APP_INSTALLATION_ID`.
    App {
        /// The app's id or client id.
        id: String,
        /// The app's private key, in PEM form.
        private_key: Secret,
        /// The installation's id.
        installation: u64,
    },
}

pub(super) fn github(settings: &Lookup<'_>) -> Result<GitHubConfig, ConfigError> {
    Ok(GitHubConfig {
        api_url: service_url(settings, "GITHUB_API_URL", "https://api.github.com")?,
        web_url: service_url(settings, "GITHUB_URL", "https://github.com")?,
        base_path: github_base_path(settings)?,
        webhook_secrets: webhook_secrets(settings)?,
        repository: repository(settings)?,
    })
}

/// In characters, of each of two: part of a longer secret that has a comma could be guessed.
const MIN_PAIRED_SECRET_CHARS: usize = 16;

/// Two while one takes the other's place.
fn webhook_secrets(settings: &Lookup<'_>) -> Result<Vec<Secret>, ConfigError> {
    let name = "GITHUB_WEBHOOK_SECRET";
    let secrets = comma_separated(&settings.text_or(name, ""));
    let short = |secret: &String| secret.chars().count() < MIN_PAIRED_SECRET_CHARS;
    if secrets.len() > 2 || secrets.len() == 2 && secrets.iter().any(short) {
        let allowed =
            "one secret without a comma, or two of at least 16 characters, separated by a comma";
        return Err(ConfigError::new(name, "can't be used", allowed));
    }
    Ok(secrets.into_iter().map(Secret::new).collect())
}

/// The name or the address in `Name <address>` of a commit.
fn committer(settings: &Lookup<'_>, name: &str, default: &str) -> Result<String, ConfigError> {
    let text = settings.text_or(name, default);
    let odd = |c: char| c.is_control() || c == '<' || c == '>';
    let allowed = "one line without '<' and '>'";
    let trimmed = |text: &str| (!text.contains(odd)).then(|| text.trim().to_owned());
    valid(name, &text, allowed, trimmed)
}

/// `Some`, that is GitHub mode, if owner, repository and credentials are set.
fn repository(settings: &Lookup<'_>) -> Result<Option<RepositoryConfig>, ConfigError> {
    let [owner, repo] = ["GITHUB_OWNER", "GITHUB_REPO"].map(|it| name(settings, it));
    let (owner, repo, credentials) = (owner?, repo?, credentials(settings)?);
    let branch = branch(settings)?;
    let pull_requests = pull_requests(settings)?;
    let (Some(owner), Some(repo), Some(credentials)) = (owner, repo, credentials) else {
        return Ok(None);
    };
    Ok(Some(RepositoryConfig {
        owner,
        repo,
        branch,
        credentials,
        pull_requests,
        committer_name: committer(settings, "GITHUB_COMMITTER_NAME", "Codex Miroir Bot")?,
        committer_email: committer(settings, "GITHUB_COMMITTER_EMAIL", "bot@example.com")?,
    }))
}

/// An owner's or a repository's name, which becomes a segment of URL paths.
fn name(settings: &Lookup<'_>, name: &str) -> Result<Option<String>, ConfigError> {
    let allowed = "a name as GitHub has it: letters, digits, '-', '_' and '.'";
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    settings.read(name, allowed, |text| {
        let fits = text.chars().all(fits) && text != "." && text != "..";
        fits.then(|| text.to_owned())
    })
}

fn credentials(settings: &Lookup<'_>) -> Result<Option<Credentials>, ConfigError> {
    let app = [
        "GITHUB_APP_ID",
        "GITHUB_APP_PRIVATE_KEY",
        "GITHUB_APP_INSTALLATION_ID",
    ];
    let missing = app.iter().find(|name| !settings.is_set(name));
    if let Some(missing) = missing
        && app.iter().any(|name| settings.is_set(name))
    {
        let allowed = "set together with the other two of GITHUB_APP_ID, GITHUB_APP_PRIVATE_KEY and \
                       GITHUB_APP_INSTALLATION_ID";
        return Err(ConfigError::new(missing, "is not set", allowed));
    }
    if let (Some(id), Some(private_key)) = (settings.trimmed(app[0]), settings.secret(app[1])) {
        return Ok(Some(Credentials::App {
            id,
            private_key: Secret::new(private_key.reveal().replace("\\n", "\n")),
            installation: settings.parsed(app[2], 0, "the installation's number")?,
        }));
    }
    let token = settings.header_secret("GITHUB_TOKEN")?;
    Ok(token.map(Credentials::Token))
}

fn branch(settings: &Lookup<'_>) -> Result<String, ConfigError> {
    let [default, short] =
        ["GITHUB_DEFAULT_BRANCH", "GITHUB_BRANCH"].map(|name| settings.text(name));
    if let (Some(default), Some(short)) = (&default, &short)
        && default != short
    {
        let was = format!("is {short:?} while GITHUB_DEFAULT_BRANCH is {default:?}");
        let allowed = "the same, or one of them not set";
        return Err(ConfigError::new("GITHUB_BRANCH", was, allowed));
    }
    let (name, branch) = match default {
        Some(branch) => ("GITHUB_DEFAULT_BRANCH", branch),
        None => ("GITHUB_BRANCH", short.unwrap_or_else(|| "main".to_owned())),
    };
    checked_ref(name, branch.trim(), "a branch's name, as in main")
}

fn pull_requests(settings: &Lookup<'_>) -> Result<Option<String>, ConfigError> {
    let name = "GITHUB_PR_BRANCH_PREFIX";
    let prefix = settings.text(name);
    let prefix = prefix.as_deref().unwrap_or("codex/tasks").trim();
    let allowed = "the start of a branch's name, as in codex/tasks";
    let prefix = checked_ref(name, prefix.trim_matches('/'), allowed)?;
    let on = settings.read("CREATE_VIA_PR", "true or false", |text| match text {
        "true" | "1" => Some(true),
        "false" | "0" => Some(false),
        _ => None,
    })?;
    Ok(on.unwrap_or(false).then_some(prefix))
}

fn github_base_path(settings: &Lookup<'_>) -> Result<String, ConfigError> {
    let name = "GITHUB_BASE_PATH";
    let allowed = "a folder in the repository, as in codex-miroir or notes/codex";
    let odd = |c: char| c == '\\' || c.is_control();
    let fits = |it: &str| !matches!(it, "" | "." | "..") && !it.contains(odd);
    let path = settings.text_or(name, "codex-miroir");
    valid(name, &path, allowed, |path| {
        let path = path.trim().trim_matches('/');
        path.split('/').all(fits).then(|| path.to_owned())
    })
}

/// A service's URL without a trailing slash. Tokens are sent there, so it must be https, except on a loopback host.
fn service_url(settings: &Lookup<'_>, name: &str, default: &str) -> Result<String, ConfigError> {
    let text = settings.text_or(name, default);
    let fits = |url: &Url| is_private(url) && is_bare(url);
    let url = Url::parse(text.trim()).ok().filter(fits);
    let url = url.map(|url| url.as_str().trim_end_matches('/').to_owned());
    url.ok_or_else(|| {
        let allowed =
            "an https address without a name, a query or a fragment; http only for this machine";
        ConfigError::new(name, "is something else", allowed)
    })
}

/// Git's rules for ref names (`git check-ref-format`), as far as they matter in a path.
fn checked_ref(name: &str, text: &str, allowed: &str) -> Result<String, ConfigError> {
    let odd = |c: char| c.is_control() || c.is_whitespace() || "~^:?*[\\".contains(c);
    let part = |it: &str| {
        !it.is_empty() && !it.starts_with('.') && !it.ends_with(".lock") && !it.ends_with('.')
    };
    valid(name, text, allowed, |text| {
        let held = text.contains(odd) || text.contains("..") || text.contains("@{");
        (!held && text.split('/').all(part)).then(|| text.to_owned())
    })
}
