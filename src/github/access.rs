//! What the service's credentials may do in the repository, as far as GitHub tells without a write.

use std::collections::{BTreeMap, BTreeSet};

use http::StatusCode;
use http::header::HeaderName;
use serde::Deserialize;

use super::client::{GitHubRepository, RepositoryToken};
use super::error::{GitHubError, unless};
use super::transport::encode_path;

/// The scopes of a classic token; other tokens have no such header in their answers.
const SCOPES: HeaderName = HeaderName::from_static("x-oauth-scopes");

/// What the repository says of itself to these credentials.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RepositoryAccess {
    /// Whether it is archived, so that nobody may write.
    pub archived: bool,
    /// Whether it is private.
    pub private: bool,
    /// Whether the token's account may push; `None` if GitHub doesn't say. A fine-grained token may be allowed less.
    pub push: Option<bool>,
    /// The scopes of a classic token; `None` for another kind, or if GitHub names none.
    pub scopes: Option<BTreeSet<String>>,
    /// What a GitHub App's installation was granted, as in `contents: write`.
    pub granted: Option<BTreeMap<String, String>>,
}

/// A webhook of the repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hook {
    /// The address of the deliveries. It may hold a secret of another service.
    pub url: String,
    /// Whether deliveries are sent.
    pub active: bool,
    /// The events that are delivered; `*` for all.
    pub events: BTreeSet<String>,
    /// Whether deliveries are signed.
    pub signed: bool,
    /// The HTTP status of the answer to the latest delivery; `None` without one of late.
    pub last_status: Option<u16>,
}

#[derive(Deserialize)]
struct RepositoryResponse {
    #[serde(default)]
    archived: bool,
    #[serde(default)]
    private: bool,
    permissions: Option<PermissionsResponse>,
}

#[derive(Deserialize)]
struct PermissionsResponse {
    push: bool,
}

#[derive(Deserialize)]
struct BranchResponse {
    protected: bool,
}

#[derive(Deserialize)]
struct RuleResponse {
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
struct HookResponse {
    active: bool,
    events: BTreeSet<String>,
    config: HookConfigResponse,
    last_response: Option<LastDeliveryResponse>,
}

#[derive(Deserialize)]
struct HookConfigResponse {
    #[serde(default)]
    url: String,
    secret: Option<String>,
}

#[derive(Deserialize)]
struct LastDeliveryResponse {
    code: Option<u16>,
}

impl GitHubRepository {
    /// What the credentials may do.
    pub async fn access(&self) -> Result<RepositoryAccess, GitHubError> {
        let granted = match &self.token {
            RepositoryToken::Fixed(_) => None,
            RepositoryToken::App(app) => Some(app.get(&self.transport).await?.permissions),
        };
        let operation = "read the repository";
        let (headers, bytes) = self
            .send_raw(operation, "", http::Request::builder())
            .await?;
        let response: RepositoryResponse = serde_json::from_slice(&bytes)
            .map_err(|_| GitHubError::unexpected(operation, "not the documented JSON"))?;
        let scopes = headers.get(SCOPES).and_then(|it| it.to_str().ok());
        let scopes = scopes.filter(|text| !text.trim().is_empty());
        let scopes = scopes.map(|text| text.split(',').map(|it| it.trim().to_owned()).collect());
        Ok(RepositoryAccess {
            archived: response.archived,
            private: response.private,
            push: response.permissions.map(|it| it.push),
            scopes,
            granted,
        })
    }

    /// Whether a branch is protected; `None` if there is no such branch.
    pub async fn is_protected(&self, branch: &str) -> Result<Option<bool>, GitHubError> {
        let path = format!("branches/{}", encode_path(branch));
        let found = self.get("read the branch's protection", &path).await;
        let found: Option<BranchResponse> = unless(found, StatusCode::NOT_FOUND, "")?;
        Ok(found.map(|it| it.protected))
    }

    /// The types of the rules that apply to a branch of this name, whether or not it exists; also those from which the
    /// credentials are exempt. `None` if this GitHub has no rules.
    pub async fn rules(&self, branch: &str) -> Result<Option<BTreeSet<String>>, GitHubError> {
        let path = format!("rules/branches/{}?per_page=100", encode_path(branch));
        let found = self.get("read the branch's rules", &path).await;
        let found: Option<Vec<RuleResponse>> = unless(found, StatusCode::NOT_FOUND, "")?;
        Ok(found.map(|rules| rules.into_iter().map(|it| it.kind).collect()))
    }

    /// The repository's webhooks; `None` if the credentials may not see them.
    pub async fn hooks(&self) -> Result<Option<Vec<Hook>>, GitHubError> {
        let found = self
            .get("read the repository's webhooks", "hooks?per_page=100")
            .await;
        let found = match unless(found, StatusCode::FORBIDDEN, "") {
            Ok(found) => found,
            Err(GitHubError::Denied { status: 404, .. }) => None,
            Err(error) => return Err(error),
        };
        let hook = |hook: HookResponse| Hook {
            url: hook.config.url,
            active: hook.active,
            events: hook.events,
            signed: hook.config.secret.is_some(),
            last_status: hook.last_response.and_then(|it| it.code),
        };
        Ok(found.map(|hooks: Vec<HookResponse>| hooks.into_iter().map(hook).collect()))
    }
}
