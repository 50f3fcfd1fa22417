//! An op's mark: set before its files change, acknowledged after, taken away after the answer.

use std::sync::Arc;
use std::time::Instant;

use super::{ATTEMPTS, Op};
use crate::cache::amend::{Amended, Amendment, FilesMark};
use crate::cache::ledger::{AnsweredFile, AnsweredOp, Committed, OpenLedger, timely};
use crate::cache::state::{ChangeKind, LegacyNextId, SeenState, StateFound, Version};
use crate::cache::{Inner, ReadError, Requests, WriteError};
use crate::context::carried;
use crate::now::Now;
use crate::store::{Answer, GetIf, Key, Prefix, Put, PutIf, StoreError, WriteId, Written};
use crate::task::{FileName, GitSha, UsedIds};
use crate::user::UserId;

/// A mark this op has set.
#[derive(Debug, Clone)]
pub(in crate::cache) struct Mark {
    pub(in crate::cache) op: String,
    pub(in crate::cache) version: Version,
    /// The moment before its swap was sent.
    pub(in crate::cache) sent: Instant,
}

/// How an op ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// What it was for has happened.
    Done,
    /// It wrote nothing, and won't: no `Idempotency-Key` stands for it.
    Undone,
}

/// How far ahead the older service's counter is written, so that it is written seldom.
const LEGACY_AHEAD: u32 = 100;

impl Op {
    pub(in crate::cache) async fn mark(
        &mut self,
        files: Vec<(FileName, WriteId, ChangeKind)>,
        replaces: Option<&Mark>,
    ) -> Result<Mark, WriteError> {
        self.mark_merged(files, vec![], replaces).await
    }

    /// A mark on files of which some become what `merged` says.
    pub(super) async fn mark_merged(
        &mut self,
        files: Vec<(FileName, WriteId, ChangeKind)>,
        merged: Vec<(FileName, GitSha, Vec<String>)>,
        replaces: Option<&Mark>,
    ) -> Result<Mark, WriteError> {
        let op = self.op_id();
        let mark = FilesMark {
            op: op.clone(),
            files,
            merged,
            replaces: replaces.map(|mark| mark.op.clone()),
        };
        let committed = self.amend_unblocked(Amendment::Mark(mark)).await?;
        match committed.amended {
            Amended::Marked(version) => Ok(Mark {
                op,
                version,
                sent: committed.sent,
            }),
            _ => Err(ReadError::Broken.into()),
        }
    }

    /// The store refused to write under this mark, which stays: until it is settled, no other is set there.
    pub(super) async fn refuse(&mut self, mark: &Mark) {
        let op = mark.op.clone();
        if let Err(error) = self.amend(Amendment::Refuse { op }).await {
            tracing::warn!(user = %self.user, %error, "a refused write can't be noted");
        }
    }

    /// Sets a mark. Where others stand whose writes were refused, they are settled first; while that can't be done, the
    /// store's refusal is the answer to this write, too.
    pub(super) async fn amend_unblocked(
        &mut self,
        amendment: Amendment,
    ) -> Result<Committed, WriteError> {
        let committed = self.amend(amendment.clone()).await?;
        if committed.amended != Amended::Blocked {
            return Ok(committed);
        }
        if let Some(date) = self.inner.clock.at(self.now.later().mono) {
            let (inner, now) = (Arc::clone(&self.inner), self.now);
            let settling = inner.settle(&self.user, &committed.seen, date, &now);
            if let Some((_, requests)) = settling.await {
                self.requests += requests;
                let committed = self.amend(amendment).await?;
                if committed.amended != Amended::Blocked {
                    return Ok(committed);
                }
            }
        }
        let denied = StoreError::Denied {
            operation: "put",
            key: Prefix::raw(&self.user).as_str().to_owned(),
            reason: "an earlier write was refused and can't be settled yet".to_owned(),
        };
        Err(ReadError::from(denied).into())
    }

    /// Whether somebody may be settling this mark already, or soon.
    pub(super) fn is_stale(&self, mark: &Mark) -> bool {
        let expiry = self.inner.settings.pending_expiry;
        let passed = self.now.later().mono.saturating_duration_since(mark.sent);
        passed >= expiry - expiry / 8
    }

    /// The change is in the files: from here on it must not be forgotten. The version to tell; of a
    /// mark that has become old meanwhile, the state's own, since others may have settled it. `files` are
    /// for this instance's entry; without them it doesn't go on.
    pub(in crate::cache) async fn acknowledge(
        &mut self,
        mark: &Mark,
        files: Option<Vec<AnsweredFile>>,
    ) -> Result<Version, WriteError> {
        let mut version = mark.version;
        if self.is_stale(mark) {
            let inner = Arc::clone(&self.inner);
            let (now, requests) = (self.now, &mut self.requests);
            let seen = timely(inner.read_state(&self.user, GetIf::Any, &now, requests)).await;
            version = match seen.map(|seen| seen.found) {
                Ok(Some(StateFound::Present(seen))) => version.max(seen.state.version),
                _ => return Err(WriteError::OutcomeUnknown(version)),
            };
        }
        self.inner.acknowledged.note(&self.user, version);
        if let Some(files) = files {
            self.answered(mark, files);
        }
        Ok(version)
    }

    fn answered(&self, mark: &Mark, files: Vec<AnsweredFile>) {
        let op = AnsweredOp {
            files,
            sent: mark.sent,
            answered: self.now.later().utc,
        };
        self.inner.answered(&self.ledger, mark.version, op);
    }

    /// Nothing was sent under this mark, and nothing will be: it goes, after the answer. `files` were
    /// looked at.
    pub(super) fn give_up(&self, mark: &Mark, files: Vec<AnsweredFile>) {
        self.answered(mark, files);
        self.end(mark.clone(), End::Undone);
    }

    /// The same for a mark whose write was refused, or whose file has gone. Something has happened there
    /// that this instance's entry doesn't know, so the entry doesn't go on to it.
    pub(super) fn abandon(&self, mark: Option<Mark>) {
        if let Some(mark) = mark {
            self.end(mark, End::Undone);
        }
    }

    /// The same at once, because something waits for it.
    pub(super) async fn withdraw(&mut self, mark: Option<Mark>) -> Result<(), WriteError> {
        let Some(mark) = mark else { return Ok(()) };
        let amendment = Amendment::Finish {
            op: mark.op,
            undone: true,
            legacy: None,
        };
        self.amend(amendment).await.map(drop)
    }

    /// Takes the mark away, after the answer.
    pub(in crate::cache) fn finish(&self, mark: Mark) {
        self.end(mark, End::Done);
    }

    fn end(&self, mark: Mark, end: End) {
        let (inner, ledger, now) = (Arc::clone(&self.inner), self.ledger.clone(), self.now);
        tokio::spawn(carried(async move {
            inner.take_away(&ledger, mark, end, &now).await
        }));
    }
}

impl Inner {
    /// Takes an op's mark away. When that leaves nothing pending, and this instance knows the files exactly,
    /// the artifact is written: once for all ops that share the swap.
    async fn take_away(self: &Arc<Self>, ledger: &OpenLedger, mark: Mark, end: End, now: &Now) {
        let user = ledger.user();
        let mut legacy = None;
        if ledger.may_count() {
            legacy = self.keep_legacy_ahead(ledger, now).await.unwrap_or_else(|error| {
                tracing::warn!(%user, %error, "the older service's nextId.txt can't be written");
                None
            });
            ledger.has_counted();
        }
        let amendment = Amendment::Finish {
            op: mark.op,
            undone: end == End::Undone,
            legacy,
        };
        match self.amend(ledger, amendment, now).await {
            Ok(committed) => {
                let state = &committed.seen.state;
                let entry = self.memory.get(user).filter(|entry| {
                    let known = &entry.knowledge;
                    committed.closes && known.exact && state.is_settled_at(known.hi)
                });
                if let Some(entry) = entry {
                    self.write_artifact(&entry).await;
                }
            }
            Err(error) => {
                tracing::warn!(%user, %error, "a mark is left to be settled; until then reads cost a listing");
            }
        }
    }

    /// Where the older service's counter exists, it stays at or above the next number.
    async fn keep_legacy_ahead(
        &self,
        ledger: &OpenLedger,
        now: &Now,
    ) -> Result<Option<LegacyNextId>, ReadError> {
        let Some(seen) = self.newest_state(ledger) else {
            return Ok(None);
        };
        let Some(mut legacy) = seen.state.legacy_next_id.clone() else {
            return Ok(None);
        };
        let key = Key::legacy_next_id(ledger.user());
        for _ in 0..ATTEMPTS {
            // Others, who leave the writing to this op, may have taken numbers meanwhile.
            let newest = self.newest_state(ledger);
            let next_id = newest.map_or(0, |newest| newest.state.next_id);
            if legacy.number >= next_id.min(UsedIds::ALL) {
                break;
            }
            let number = (next_id + LEGACY_AHEAD).min(UsedIds::ALL);
            let put = Put {
                bytes: number.to_string().into(),
                ..Put::default()
            };
            let put = self.store.put(&key, put, PutIf::Same(legacy.etag.clone()));
            let Answer { value, date } = timely(async { Ok(put.await?) }).await?;
            self.clock.heard(date, now.later().mono);
            legacy = match value {
                Written::Done(etag) => LegacyNextId {
                    number,
                    etag,
                    ..legacy
                },
                Written::Refused => {
                    let user = ledger.user();
                    match self.legacy_next_id(user, &mut Requests::default()).await? {
                        Some(newest) => LegacyNextId {
                            unknown: legacy.unknown,
                            ..newest
                        },
                        None => return Ok(None),
                    }
                }
            };
        }
        Ok((Some(&legacy) != seen.state.legacy_next_id.as_ref()).then_some(legacy))
    }

    /// The user's entry goes with the newest state blob known, which the next write starts from.
    pub(in crate::cache) fn note_state(&self, user: &UserId, seen: &Arc<SeenState>) {
        let Some(entry) = self.memory.get(user) else {
            return;
        };
        let known = entry.knowledge.state.as_ref();
        if known.is_none_or(|known| seen.is_newer_than(known)) {
            let beside = entry.beside(Arc::clone(seen), self.settings.zone);
            self.memory.replace(&entry, &Arc::new(beside));
        }
    }
}
