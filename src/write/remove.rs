//! Removing one file: record the intent, then DELETE with `If-Match` (src/user_state/README.md, "A write").

use super::advance::AcknowledgedFile;
use super::operation::{ATTEMPTS, FileWrite, WriteIntent, WriteOp};
use super::request::{ChangeError, ChangeOutcome, TargetFile, WriteError};
use crate::store::{ETag, WriteId};
use crate::task::{FileName, GitSha, git_sha};
use crate::user_state::{ChangeKind, FilesIntent, Mutation, Version};

pub(super) struct FileRemoval {
    op: WriteOp,
    name: FileName,
    /// Whether the removal is recorded until Git lacks the file, too.
    is_mirrored: bool,
}

impl FileRemoval {
    pub(super) fn new(op: WriteOp, name: FileName) -> Self {
        Self {
            // In GitHub mode a write leaves a hint.
            is_mirrored: op.context.hint.is_some(),
            op,
            name,
        }
    }

    /// Removes the version `target`, which was read before; after a refused DELETE the version that is there then, if
    /// `decide` agrees. As with a PUT, each DELETE has an intent of its own, recorded after the file was read.
    pub(super) async fn run<E>(
        mut self,
        mut target: TargetFile,
        decide: &(impl Fn(&[u8]) -> Result<(), E> + Sync),
    ) -> Result<ChangeOutcome<()>, ChangeError<E>> {
        let mut previous: Option<WriteIntent> = None;
        for _ in 0..ATTEMPTS {
            if let Some(intent) = &previous {
                target = self.read_again(intent, decide).await?;
            }
            let (write_id, etag) = (self.op.write_id(), &target.etag);
            if self.op.writer.rules().breaks(Mutation::RemoveBeforeMark) {
                self.op.files.delete(&self.name, etag, write_id).await;
            }
            let intent = self.record(write_id, target.sha, previous.take()).await?;
            let deleted = self.op.delete(&intent, &self.name, etag, write_id).await;
            let old = Some(etag.clone());
            match self.op.settle(&intent, deleted, &self.name, old).await? {
                FileWrite::Landed(file) => {
                    let files = file.map(|file| vec![file]);
                    let version = self.op.acknowledge(&intent, files).await?;
                    self.op.finish(intent);
                    return Ok(self.removed(version));
                }
                FileWrite::Conflict => previous = Some(intent),
            }
        }
        let version = previous.as_ref().map(|intent| intent.version);
        self.op.discard(previous);
        Err(WriteError::Conflict(version.unwrap_or_default()).into())
    }

    /// The version of the file that is there now, after the DELETE under `intent` was refused.
    async fn read_again<E>(
        &mut self,
        intent: &WriteIntent,
        decide: &(impl Fn(&[u8]) -> Result<(), E> + Sync),
    ) -> Result<TargetFile, ChangeError<E>> {
        match self.op.files.get(&self.name).await {
            Ok(Some(blob)) => match decide(&blob.bytes) {
                Ok(()) => Ok(TargetFile {
                    sha: Some(git_sha(&blob.bytes)),
                    etag: blob.etag,
                }),
                Err(refusal) => {
                    self.op.cancel(intent, vec![self.unchanged(blob.etag)]);
                    Err(ChangeError::Refused(refusal, intent.version))
                }
            },
            Ok(None) => {
                // Its removal, by whomever, stays recorded.
                self.op.finish(intent.clone());
                Err(ChangeError::Gone(intent.version))
            }
            Err(error) => {
                self.op.discard(Some(intent.clone()));
                Err(WriteError::from(error).into())
            }
        }
    }

    async fn record(
        &mut self,
        write_id: WriteId,
        sha: Option<GitSha>,
        replaces: Option<WriteIntent>,
    ) -> Result<WriteIntent, WriteError> {
        let removed = self.is_mirrored.then(|| (self.name.clone(), sha));
        let intent = FilesIntent {
            op: self.op.write_id().to_string(),
            files: vec![(self.name.clone(), write_id, ChangeKind::Delete)],
            merged: vec![],
            removed: removed.into_iter().collect(),
            replaces: replaces.as_ref().map(|intent| intent.op.clone()),
        };
        let recorded = self.op.record(intent).await;
        if recorded.is_err() {
            self.op.discard(replaces);
        }
        recorded
    }

    /// The file, which was read and left as it is.
    fn unchanged(&self, etag: ETag) -> AcknowledgedFile {
        AcknowledgedFile {
            name: self.name.clone(),
            old: Some(etag),
            new: None,
        }
    }

    fn removed(&self, version: Version) -> ChangeOutcome<()> {
        ChangeOutcome {
            name: self.name.clone(),
            version,
            value: (),
            written: true,
            requests: self.op.files.requests,
        }
    }
}
