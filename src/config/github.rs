//! The repository that mirrors the tasks, and the credentials for it (`src/config/README.md`, "GitHub").

use url::Url;

use super::{ConfigError, Lookup, Secret};
use crate::net;

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
    /// `GITHUB_WEBHOOK_SECRET`, the key of the deliveries' signatures. Without it no delivery is accepted.
    pub webhook_secret: Option<Secret>,
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

impl<F: Fn(&str) -> Option<String>> Lookup<F> {
    pub(super) fn github(&self) -> Result<GitHubConfig, ConfigError> {
        Ok(GitHubConfig {
            api_url: self.service_url("GITHUB_API_URL", "https://api.github.com")?,
            web_url: self.service_url("GITHUB_URL", "https://github.com")?,
            base_path: self.github_base_path()?,
            webhook_secret: self.secret("GITHUB_WEBHOOK_SECRET"),
            repository: self.repository()?,
        })
    }

    pub(super) fn secret(&self, name: &str) -> Option<Secret> {
        self.text(name)
            .map(|text| Secret::new(text.trim().to_owned()))
    }

    /// A secret that is sent in a header, so it must be visible ASCII.
    pub(super) fn header_secret(&self, name: &str) -> Result<Option<Secret>, ConfigError> {
        let secret = self.secret(name);
        let fits = |it: &Secret| it.reveal().bytes().all(|c| c.is_ascii_graphic());
        match secret.as_ref().is_none_or(fits) {
            true => Ok(secret),
            false => {
                let allowed = "visible ASCII characters on one line";
                Err(ConfigError::new(name, "can't be used", allowed))
            }
        }
    }

    /// The name or the address in `Name <address>` of a commit.
    fn committer(&self, name: &str, default: &str) -> Result<String, ConfigError> {
        let text = self.text(name).unwrap_or_else(|| default.to_owned());
        let odd = |c: char| c.is_control() || c == '<' || c == '>';
        match text.contains(odd) {
            false => Ok(text.trim().to_owned()),
            true => {
                let allowed = "one line without '<' and '>'";
                Err(ConfigError::new(name, format!("is {text:?}"), allowed))
            }
        }
    }

    /// `Some`, that is GitHub mode, if owner, repository and credentials are set.
    fn repository(&self) -> Result<Option<RepositoryConfig>, ConfigError> {
        let [owner, repo] = ["GITHUB_OWNER", "GITHUB_REPO"].map(|name| self.name(name));
        let (owner, repo, credentials) = (owner?, repo?, self.credentials()?);
        let branch = self.branch()?;
        let pull_requests = self.pull_requests()?;
        let (Some(owner), Some(repo), Some(credentials)) = (owner, repo, credentials) else {
            return Ok(None);
        };
        Ok(Some(RepositoryConfig {
            owner,
            repo,
            branch,
            credentials,
            pull_requests,
            committer_name: self.committer("GITHUB_COMMITTER_NAME", "Codex Miroir Bot")?,
            committer_email: self.committer("GITHUB_COMMITTER_EMAIL", "bot@example.com")?,
        }))
    }

    /// An owner's or a repository's name, which becomes a segment of URL paths.
    fn name(&self, name: &str) -> Result<Option<String>, ConfigError> {
        let Some(text) = self.text(name) else {
            return Ok(None);
        };
        let text = text.trim();
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if text.chars().all(fits) && text != "." && text != ".." {
            return Ok(Some(text.to_owned()));
        }
        let allowed = "a name as GitHub has it: letters, digits, '-', '_' and '.'";
        Err(ConfigError::new(name, format!("is {text:?}"), allowed))
    }

    fn credentials(&self) -> Result<Option<Credentials>, ConfigError> {
        let app = [
            "GITHUB_APP_ID",
            "GITHUB_APP_PRIVATE_KEY",
            "GITHUB_APP_INSTALLATION_ID",
        ];
        let set = app.iter().filter(|name| self.text(name).is_some()).count();
        if set > 0 && set < app.len() {
            let missing = app.iter().find(|name| self.text(name).is_none());
            let missing = missing.unwrap_or(&app[0]);
            let allowed = "set together with the other two of GITHUB_APP_ID, GITHUB_APP_PRIVATE_KEY and \
                           GITHUB_APP_INSTALLATION_ID";
            return Err(ConfigError::new(missing, "is not set", allowed));
        }
        if let (Some(id), Some(private_key)) = (self.text(app[0]), self.secret(app[1])) {
            return Ok(Some(Credentials::App {
                id: id.trim().to_owned(),
                private_key: Secret::new(private_key.reveal().replace("\\n", "\n")),
                installation: self.parsed(app[2], 0, "the installation's number")?,
            }));
        }
        let token = self.header_secret("GITHUB_TOKEN")?;
        Ok(token.map(Credentials::Token))
    }

    fn branch(&self) -> Result<String, ConfigError> {
        let [default, short] =
            ["GITHUB_DEFAULT_BRANCH", "GITHUB_BRANCH"].map(|name| self.text(name));
        if let (Some(default), Some(short)) = (&default, &short)
            && default != short
        {
            let was = format!("is {short:?} while GITHUB_DEFAULT_BRANCH is {default:?}");
            return Err(ConfigError::new(
                "GITHUB_BRANCH",
                was,
                "the same, or one of them not set",
            ));
        }
        let name = match default {
            Some(_) => "GITHUB_DEFAULT_BRANCH",
            None => "GITHUB_BRANCH",
        };
        let branch = default.or(short).unwrap_or_else(|| "main".to_owned());
        checked_ref(name, branch.trim(), "a branch's name, as in main")
    }

    fn pull_requests(&self) -> Result<Option<String>, ConfigError> {
        let prefix_name = "GITHUB_PR_BRANCH_PREFIX";
        let prefix = self.text(prefix_name);
        let prefix = prefix.as_deref().unwrap_or("codex/tasks").trim();
        let prefix = prefix.trim_matches('/');
        let prefix = checked_ref(
            prefix_name,
            prefix,
            "the start of a branch's name, as in codex/tasks",
        )?;
        let name = "CREATE_VIA_PR";
        match self.text(name).as_deref().map(str::trim) {
            Some("true" | "1") => Ok(Some(prefix)),
            None | Some("false" | "0") => Ok(None),
            Some(other) => Err(ConfigError::new(
                name,
                format!("is {other:?}"),
                "true or false",
            )),
        }
    }

    fn github_base_path(&self) -> Result<String, ConfigError> {
        let name = "GITHUB_BASE_PATH";
        let path = self.text(name).unwrap_or_else(|| "codex-miroir".to_owned());
        let segments: Vec<&str> = path.trim().trim_matches('/').split('/').collect();
        let odd = |c: char| c == '\\' || c.is_control();
        let fits = |it: &&str| !it.is_empty() && *it != "." && *it != ".." && !it.contains(odd);
        if segments.iter().all(fits) {
            return Ok(segments.join("/"));
        }
        let allowed = "a folder in the repository, as in codex-miroir or notes/codex";
        Err(ConfigError::new(name, format!("is {path:?}"), allowed))
    }

    /// A service's URL without a trailing slash. Tokens are sent there, so it must be https, except on a loopback host.
    pub(super) fn service_url(&self, name: &str, default: &str) -> Result<String, ConfigError> {
        let text = self.text(name).unwrap_or_else(|| default.to_owned());
        let fits = |url: &Url| {
            let plain = net::is_loopback(url.host_str().unwrap_or_default());
            let scheme = url.scheme() == "https" || url.scheme() == "http" && plain;
            let bare = url.username().is_empty() && url.password().is_none();
            scheme && bare && url.query().is_none() && url.fragment().is_none()
        };
        match Url::parse(text.trim()).ok().filter(fits) {
            Some(url) => Ok(url.as_str().trim_end_matches('/').to_owned()),
            None => {
                let allowed = "an https address without a name, a query or a fragment; http only for this machine";
                Err(ConfigError::new(name, "is something else", allowed))
            }
        }
    }
}

/// Git's rules for ref names (`git check-ref-format`), as far as they matter in a path.
fn checked_ref(name: &str, text: &str, allowed: &str) -> Result<String, ConfigError> {
    let odd = |c: char| c.is_control() || c.is_whitespace() || "~^:?*[\\".contains(c);
    let part = |it: &str| {
        !it.is_empty() && !it.starts_with('.') && !it.ends_with(".lock") && !it.ends_with('.')
    };
    let fits = text.split('/').all(part)
        && !text.contains(odd)
        && !text.contains("..")
        && !text.contains("@{");
    if fits {
        return Ok(text.to_owned());
    }
    Err(ConfigError::new(name, format!("is {text:?}"), allowed))
}
