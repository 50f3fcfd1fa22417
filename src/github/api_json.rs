//! The JSON of GitHub's REST API, with only the members that are used.

use octocrab::models::repos::CommitAuthor;
use serde::{Deserialize, Serialize};

use super::repository::Comparison;
use crate::task::GitSha;

#[derive(Deserialize)]
pub(super) struct NumberResponse {
    pub(super) number: u64,
}

#[derive(Deserialize)]
pub(super) struct GitCommitResponse {
    pub(super) tree: ShaResponse,
}

#[derive(Deserialize)]
pub(super) struct RefResponse {
    pub(super) object: ShaResponse,
}

#[derive(Deserialize)]
pub(super) struct ShaResponse {
    pub(super) sha: GitSha,
}

#[derive(Deserialize)]
pub(super) struct CompareResponse {
    pub(super) status: Comparison,
}

#[derive(Deserialize)]
pub(super) struct PutFileResponse {
    pub(super) commit: CommitResponse,
}

#[derive(Deserialize)]
pub(super) struct CommitResponse {
    pub(super) sha: GitSha,
    pub(super) html_url: String,
    pub(super) parents: Vec<ShaResponse>,
}

#[derive(Serialize)]
pub(super) struct CreateTreeBody<'a> {
    pub(super) base_tree: GitSha,
    /// Borrows the contents: there may be 4 MiB of them.
    pub(super) tree: Vec<TreeEntryBody<'a>>,
}

#[derive(Serialize)]
pub(super) struct TreeEntryBody<'a> {
    pub(super) path: &'a str,
    pub(super) mode: &'static str,
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) sha: Option<String>,
}

#[derive(Serialize)]
pub(super) struct PutFileBody<'a> {
    pub(super) message: &'a str,
    /// Missing in the body of a removal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) content: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) sha: Option<GitSha>,
    pub(super) branch: &'a str,
    pub(super) committer: CommitAuthor,
    pub(super) author: CommitAuthor,
}

#[derive(Deserialize)]
pub(super) struct PullResponse {
    pub(super) number: u64,
    pub(super) html_url: String,
    pub(super) state: String,
    pub(super) merged_at: Option<String>,
    pub(super) merge_commit_sha: Option<GitSha>,
    pub(super) base: PullBaseResponse,
    pub(super) head: PullHeadResponse,
}

#[derive(Deserialize)]
pub(super) struct PullBaseResponse {
    #[serde(rename = "ref")]
    pub(super) reference: String,
}

#[derive(Deserialize)]
pub(super) struct PullHeadResponse {
    #[serde(rename = "ref")]
    pub(super) reference: String,
    pub(super) sha: GitSha,
}
