//! Deliberate defects, one for each rule of the protocol (src/cache/README.md, "Broken rules"). The simulation
//! switches them on at run time and must find each. Without the feature `mutations` every check for one is a
//! constant, and nothing of them is left in the binary.

use super::Inner;

/// A rule that is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutation {
    /// 1: an op sets no mark.
    NoMark,
    /// 2: the mark is set after the file was written.
    MarkAfterWrite,
    /// 3: artifacts are written and trusted while something is pending.
    ArtifactWhilePending,
    /// 4: artifacts are trusted without comparing versions.
    ArtifactOfAnyVersion,
    /// 5: `lo` is the version read, although something is pending.
    LoDespiteMarks,
    /// 6: the state isn't read again after the listing.
    NoSecondLook,
    /// 7: a running rebuild is joined by its state's ETag while something is pending.
    JoinWhilePending,
    /// 7, too: a running rebuild is joined by its state's version.
    JoinByVersion,
    /// 8: old marks are removed without settling their files.
    RemoveUnsettled,
    /// 9: a lost answer is taken for a conflict.
    LostAnswerIsConflict,
    /// 10: a state blob is made again at version 0.
    StateFromZero,
    /// 11: a file is put a second time under one mark, after reading the state again.
    SecondPutUnderMark,
    /// 12: the owner's entry goes on with each op of a shared swap.
    AdvanceEachOp,
    /// 13: bodies are fetched without `If-Match`.
    BodyOfAnyVersion,
    /// 14: only an op's first file is settled.
    SettleFirstFileOnly,
    /// A file is written that may have been read only after its mark was set.
    ReadAfterMark,
    /// An editor's file that is listed while something is pending gets no version of its own.
    ForeignUnderMark,
    /// An editor's file gets a version of its own only where the files of the present version are known.
    ForeignUnknown,
}

impl Mutation {
    /// All of them: those with a number by it, then those without.
    #[cfg(feature = "mutations")]
    pub const ALL: [Self; 18] = [
        Self::NoMark,
        Self::MarkAfterWrite,
        Self::ArtifactWhilePending,
        Self::ArtifactOfAnyVersion,
        Self::LoDespiteMarks,
        Self::NoSecondLook,
        Self::JoinWhilePending,
        Self::JoinByVersion,
        Self::RemoveUnsettled,
        Self::LostAnswerIsConflict,
        Self::StateFromZero,
        Self::SecondPutUnderMark,
        Self::AdvanceEachOp,
        Self::BodyOfAnyVersion,
        Self::SettleFirstFileOnly,
        Self::ReadAfterMark,
        Self::ForeignUnderMark,
        Self::ForeignUnknown,
    ];
}

impl Inner {
    /// Whether this rule is broken on purpose.
    #[cfg(feature = "mutations")]
    pub(super) fn breaks(&self, mutation: Mutation) -> bool {
        self.mutation.get() == Some(&mutation)
    }

    #[cfg(not(feature = "mutations"))]
    pub(super) const fn breaks(&self, _: Mutation) -> bool {
        false
    }
}

/// Ways to write that break a rule.
#[cfg(feature = "mutations")]
mod broken_writes {
    use std::sync::Arc;

    use super::super::WriteError;
    use super::super::state::{ChangeKind, StateFound, Version};
    use super::super::write::{ChangeError, Decide, Decision, FileChanged, Mark, Op, Outcome};
    use crate::store::{GetIf, Put, PutIf, WriteId};
    use crate::task::FileName;

    impl Op {
        /// [`Mutation::MarkAfterWrite`](super::Mutation).
        pub(in super::super) async fn write_then_mark<T, E>(
            &mut self,
            name: &FileName,
            decide: &Decide<T, E>,
        ) -> Result<FileChanged<T>, ChangeError<E>> {
            let write_id = self.write_id();
            let blob = self.get(name).await?.ok_or(ChangeError::Gone(Version(0)))?;
            let (bytes, value) = match decide(&blob.bytes) {
                Ok(Decision::Write(bytes, value)) => (bytes, value),
                Ok(Decision::Keep(value)) => return Ok(self.changed(Version(0), value, false)),
                Err(refusal) => return Err(ChangeError::Refused(refusal, Version(0))),
            };
            let put = Put {
                bytes,
                writes: blob.writes.followed_by(write_id),
            };
            match self
                .send(name, put, PutIf::Same(blob.etag), write_id, false)
                .await
            {
                Outcome::Landed(_) => {}
                _ => return Err(WriteError::OutcomeUnknown(Version(0)).into()),
            }
            let files = vec![(name.clone(), write_id, ChangeKind::Update)];
            let mark = self.mark(files, None).await?;
            let version = self.acknowledge(&mark, None).await?;
            self.finish(mark);
            Ok(self.changed(version, value, true))
        }

        /// [`Mutation::SecondPutUnderMark`](super::Mutation).
        pub(in super::super) async fn put_again<T, E>(
            &mut self,
            mark: &Mark,
            name: &FileName,
            decide: &Decide<T, E>,
            write_id: WriteId,
        ) -> Option<(Version, T)> {
            let inner = Arc::clone(&self.inner);
            let seen = inner
                .read_state(&self.user, GetIf::Any, &self.now, &mut self.requests)
                .await
                .ok()?;
            let Some(StateFound::Present(seen)) = seen.found else {
                return None;
            };
            seen.state.pending.get(&mark.op)?;
            let blob = self.get(name).await.ok()??;
            let Ok(Decision::Write(bytes, value)) = decide(&blob.bytes) else {
                return None;
            };
            let put = Put {
                bytes,
                writes: blob.writes.followed_by(write_id),
            };
            match self
                .send(name, put, PutIf::Same(blob.etag), write_id, false)
                .await
            {
                Outcome::Landed(_) => {}
                _ => return None,
            }
            self.finish(mark.clone());
            Some((mark.version, value))
        }
    }
}
