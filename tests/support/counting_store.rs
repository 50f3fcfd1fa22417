//! Counts the storage requests that pass through it, exactly (src/cache/README.md, "Budgets").

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use codex_miroir::store::{
    BlobKey, BlobStore, DeleteOutcome, ETag, GetIf, GetOutcome, Listing, Prefix, Put, PutIf,
    PutOutcome, StoreAnswer,
};

/// A store that counts requests and forwards them. Clones share the count.
#[derive(Clone)]
pub(crate) struct CountingStore {
    inner: Arc<dyn BlobStore>,
    seen: Arc<Mutex<Vec<Request>>>,
}

/// One storage request; a listing counts once per page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) operation: &'static str,
    pub(crate) path: String,
}

/// Numbers of requests. Displayed sorted, as in `1 get artifacts, 2 get state, 1 list raw`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Counts(BTreeMap<(&'static str, String), u32>);

impl CountingStore {
    pub(crate) fn new(inner: Arc<dyn BlobStore>) -> Self {
        Self {
            inner,
            seen: Arc::default(),
        }
    }

    /// Every request since the last take, in the order they were sent.
    pub(crate) fn take_requests(&self) -> Vec<Request> {
        std::mem::take(&mut *self.seen.lock().unwrap())
    }

    /// The counts since the last take, which resets them.
    pub(crate) fn take(&self) -> Counts {
        Counts::of(&self.take_requests())
    }

    /// The counts since the last take, without resetting them.
    pub(crate) fn counts(&self) -> Counts {
        Counts::of(&self.seen.lock().unwrap())
    }

    fn note(&self, operation: &'static str, path: &str) {
        self.seen.lock().unwrap().push(Request::of(operation, path));
    }
}

impl Request {
    pub(crate) fn of(operation: &'static str, path: &str) -> Self {
        let path = path.to_owned();
        Self { operation, path }
    }
}

impl Counts {
    pub(crate) fn of(requests: &[Request]) -> Self {
        let mut counts = Self::default();
        for request in requests {
            let kind = request
                .path
                .split('/')
                .next()
                .unwrap_or_default()
                .to_owned();
            *counts.0.entry((request.operation, kind)).or_default() += 1;
        }
        counts
    }

    /// `operation` (`get`, `put`, `delete`, `list`) on `kind` (`raw`, `state`, `artifacts`).
    pub(crate) fn of_kind(&self, operation: &'static str, kind: &str) -> u32 {
        self.0
            .get(&(operation, kind.to_owned()))
            .copied()
            .unwrap_or_default()
    }

    pub(crate) fn total(&self) -> u32 {
        self.0.values().sum()
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let each: Vec<String> = self
            .0
            .iter()
            .map(|((operation, kind), n)| format!("{n} {operation} {kind}"))
            .collect();
        f.write_str(&each.join(", "))
    }
}

#[async_trait]
impl BlobStore for CountingStore {
    async fn get(&self, key: &BlobKey, condition: GetIf) -> StoreAnswer<GetOutcome> {
        self.note("get", key.path());
        self.inner.get(key, condition).await
    }

    async fn put(&self, key: &BlobKey, blob: Put, condition: PutIf) -> StoreAnswer<PutOutcome> {
        self.note("put", key.path());
        self.inner.put(key, blob, condition).await
    }

    async fn delete(&self, key: &BlobKey, if_match: &ETag) -> StoreAnswer<DeleteOutcome> {
        self.note("delete", key.path());
        self.inner.delete(key, if_match).await
    }

    async fn list(&self, prefix: &Prefix) -> StoreAnswer<Listing> {
        self.note("list", prefix.as_str());
        let answer = self.inner.list(prefix).await?;
        for _ in 1..answer.value.requests {
            self.note("list", prefix.as_str());
        }
        Ok(answer)
    }

    async fn contents(&self, prefix: &Prefix) -> StoreAnswer<Listing> {
        self.note("list", prefix.as_str());
        let answer = self.inner.contents(prefix).await?;
        for _ in 1..answer.value.requests {
            self.note("list", prefix.as_str());
        }
        Ok(answer)
    }
}
