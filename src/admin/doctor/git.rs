//! Asks GitHub about the repository, without a write.

use super::facts::{BranchState, GitFacts, RepositoryFacts, WebhookFacts};
use crate::config::{Config, Credentials};
use crate::github::{GitHubError, GitHubRepository, HeadLookup, Repository};

/// The path of the service's webhook.
const WEBHOOK: &str = "/github/webhook";

/// Asks about the repository, the branch that commits go to, and the webhooks.
pub async fn look_at_repository(repository: &GitHubRepository, config: &Config) -> GitFacts {
    let settings = repository.config();
    let found = look(repository).await;
    let hooks = match &found {
        Ok(_) => Some(repository.hooks().await),
        Err(_) => None,
    };
    GitFacts {
        repository: settings.full_name(),
        branch: settings.branch.clone(),
        pull_requests: settings.pull_requests.clone(),
        by_app: matches!(settings.credentials, Credentials::App { .. }),
        found,
        webhook: WebhookFacts {
            has_secret: !config.github.webhook_secrets.is_empty(),
            address: format!("{}{WEBHOOK}", config.public_url),
            is_local: config.public_url.is_loopback(),
            hooks,
        },
    }
}

async fn look(repository: &GitHubRepository) -> Result<RepositoryFacts, GitHubError> {
    let settings = repository.config();
    let access = repository.access().await?;
    let branch = match repository.is_protected(&settings.branch).await? {
        Some(protected) => BranchState::There { protected },
        None => match repository.head(None).await {
            Ok(HeadLookup::Empty) => BranchState::Empty,
            Ok(_) | Err(GitHubError::Denied { status: 404, .. }) => BranchState::Missing,
            Err(error) => return Err(error),
        },
    };
    let rules = match &settings.pull_requests {
        // A pull request's branch has some name below the prefix.
        Some(prefix) => repository.rules(&format!("{prefix}/example")).await?,
        None => repository.rules(&settings.branch).await?,
    };
    Ok(RepositoryFacts {
        access,
        branch,
        rules,
    })
}
