//! Mutation testing: deliberate defects, one for each rule of the protocol (src/cache/README.md, "Broken rules"). The
//! simulation turns them on at run time and must detect each. Without the feature `mutations` every check is a
//! constant, and none of them is compiled into the binary.

use super::CacheInner;

/// A deliberately broken rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutation {
    /// 1: an operation records no write intent.
    NoMark,
    /// 2: the intent is recorded after the file was written.
    MarkAfterWrite,
    /// 3: artifacts are written and trusted while something is pending.
    ArtifactWhilePending,
    /// 4: artifacts are trusted without comparing versions.
    ArtifactOfAnyVersion,
    /// 5: `lo` is the version read, although something is pending.
    LoDespiteMarks,
    /// 6: the state document isn't read again after the LIST.
    NoSecondLook,
    /// 7: a rebuild in flight is joined by its state's ETag while something is pending.
    JoinWhilePending,
    /// 7, too: a rebuild in flight is joined by its state's version.
    JoinByVersion,
    /// 8: overdue intents are removed without making their files safe.
    RemoveUnsettled,
    /// 9: a lost response is treated as a conflict.
    LostAnswerIsConflict,
    /// 10: a lost state document is recreated at version 0.
    StateFromZero,
    /// 11: a second PUT is sent under one intent, after reading the state again.
    SecondPutUnderMark,
    /// 12: the own snapshot advances to an answered operation before all earlier ones have been answered.
    AdvanceEachOp,
    /// 13: bodies are fetched without `If-Match`.
    BodyOfAnyVersion,
    /// 14: recovery makes only an operation's first file safe.
    SettleFirstFileOnly,
    /// A PUT may name a version that was read after its intent was recorded.
    ReadAfterMark,
    /// A foreign file that is listed while something is pending gets no version of its own.
    ForeignUnderMark,
    /// A foreign file gets a version of its own only if the instance knows the files of the current version.
    ForeignUnknown,
}

impl Mutation {
    /// All of them: the numbered ones in order, then the others.
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

impl CacheInner {
    /// Whether this mutation is on.
    #[cfg(feature = "mutations")]
    pub(super) fn breaks(&self, mutation: Mutation) -> bool {
        self.mutation.get() == Some(&mutation)
    }

    #[cfg(not(feature = "mutations"))]
    pub(super) const fn breaks(&self, _: Mutation) -> bool {
        false
    }
}

/// The write paths of two mutations.
#[cfg(feature = "mutations")]
mod broken_writes {
    use std::sync::Arc;

    use super::super::WriteError;
    use super::super::state::{ChangeKind, StatePresence, Version};
    use super::super::write::{
        ChangeDecision, ChangeError, ChangeFn, ChangeOutcome, WriteIntent, WriteOp, WriteOutcome,
    };
    use crate::store::{GetIf, Put, PutIf, WriteId};
    use crate::task::FileName;

    impl WriteOp {
        /// [`Mutation::MarkAfterWrite`](super::Mutation): puts the file, then records the intent.
        pub(in super::super) async fn write_before_intent<T, E>(
            &mut self,
            name: &FileName,
            decide: &ChangeFn<T, E>,
        ) -> Result<ChangeOutcome<T>, ChangeError<E>> {
            let write_id = self.write_id();
            let blob = self.get(name).await?.ok_or(ChangeError::Gone(Version(0)))?;
            let (bytes, value) = match decide(&blob.bytes) {
                Ok(ChangeDecision::Write(bytes, value)) => (bytes, value),
                Ok(ChangeDecision::Keep(value)) => {
                    return Ok(self.changed(Version(0), value, false));
                }
                Err(refusal) => return Err(ChangeError::Refused(refusal, Version(0))),
            };
            let put = Put {
                bytes,
                writes: blob.writes.with_newest(write_id),
            };
            match self
                .send(name, put, PutIf::Same(blob.etag), write_id, false)
                .await
            {
                WriteOutcome::Landed(_) => {}
                _ => return Err(WriteError::OutcomeUnknown(Version(0)).into()),
            }
            let files = vec![(name.clone(), write_id, ChangeKind::Update)];
            let intent = self.intent(files, None).await?;
            let version = self.acknowledge(&intent, None).await?;
            self.finish(intent);
            Ok(self.changed(version, value, true))
        }

        /// [`Mutation::SecondPutUnderMark`](super::Mutation): puts the file again under the same intent.
        pub(in super::super) async fn put_again<T, E>(
            &mut self,
            intent: &WriteIntent,
            name: &FileName,
            decide: &ChangeFn<T, E>,
            write_id: WriteId,
        ) -> Option<(Version, T)> {
            let inner = Arc::clone(&self.inner);
            let seen = inner
                .read_state(&self.user, GetIf::Any, &self.now, &mut self.requests)
                .await
                .ok()?;
            let Some(StatePresence::Present(seen)) = seen.found else {
                return None;
            };
            seen.state.pending.get(&intent.op)?;
            let blob = self.get(name).await.ok()??;
            let Ok(ChangeDecision::Write(bytes, value)) = decide(&blob.bytes) else {
                return None;
            };
            let put = Put {
                bytes,
                writes: blob.writes.with_newest(write_id),
            };
            match self
                .send(name, put, PutIf::Same(blob.etag), write_id, false)
                .await
            {
                WriteOutcome::Landed(_) => {}
                _ => return None,
            }
            self.finish(intent.clone());
            Some((intent.version, value))
        }
    }
}
