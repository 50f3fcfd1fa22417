//! One file, as it is put into a table.

use super::super::content::Parsed;
use super::super::file_name::FileName;
use super::super::parse::parse;
use super::super::sha::{GitSha, git_sha};

/// One file, as input for a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileRecord {
    /// The file name with `.md`: a valid [`FileName`], unless `content` is a problem with the name.
    pub name: String,
    /// The store's ETag; opaque here.
    pub etag: String,
    /// The Git blob SHA-1; `None` if the bytes were never read.
    pub sha: Option<GitSha>,
    /// The parsed content.
    pub content: Parsed,
}

impl FileRecord {
    /// Parses `bytes` into a record.
    pub fn of(name: &FileName, etag: &str, bytes: &[u8]) -> Self {
        Self {
            name: name.to_string(),
            etag: etag.to_owned(),
            sha: Some(git_sha(bytes)),
            content: parse(name, bytes),
        }
    }
}
