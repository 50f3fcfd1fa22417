//! The rules of the protocol that a simulation breaks (src/user_state/README.md, "Broken rules"); it must detect each.

use crate::rules::mutations;

mutations! {
    /// A deliberately broken rule: the numbered ones in order, then the others.
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
        /// 11: a second PUT is sent under one intent, the file having been read again.
        SecondPutUnderMark,
        /// 12: the own snapshot advances to an answered operation before all earlier ones have been answered.
        AdvanceEachOp,
        /// 13: bodies are fetched without `If-Match`.
        BodyOfAnyVersion,
        /// 14: recovery makes only an operation's first file safe.
        SettleFirstFileOnly,
        /// A PUT may name a version that was read after its intent was recorded.
        ReadAfterMark,
        /// A file is removed before the intent is recorded.
        RemoveBeforeMark,
        /// A foreign file that is listed while something is pending gets no version of its own.
        ForeignUnderMark,
        /// A foreign file gets a version of its own only if the instance knows the files of the current version.
        ForeignUnknown,
        /// A snapshot is stamped when it is sent to the shared cache, not before the request that confirmed it.
        SharedStampedLate,
        /// An inexact snapshot is left in the shared cache.
        SharedInexact,
        /// A snapshot from the shared cache answers a client that has seen a later version.
        SharedIgnoresSeen,
        /// How long a snapshot in the shared cache is current is said by its writer's bound, not by its reader's.
        SharedByWritersBound,
        /// The clocks of the shared cache's nodes are taken for the same.
        SharedWithoutSkew,
        /// The age of a snapshot from the shared cache is counted from when its answer arrived.
        SharedAgeFromReceipt,
        /// A snapshot is confirmed although the state document has changed since.
        SharedDespiteChange,
    }
}
