//! Loses requests and answers, as a network does.

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use codex_miroir::store::{
    BlobKey, BlobStore, DeleteOutcome, ETag, GetIf, GetOutcome, Listing, Prefix, Put, PutIf,
    PutOutcome, StoreAnswer, StoreError, StoreResponse,
};

/// The fate of one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loss {
    /// It never reaches the store.
    Request,
    /// This blob can't be read; others can.
    Unreadable,
    /// It takes effect, and the caller gets no answer.
    StoreResponse,
    /// It takes effect, and is then sent again, as the SDK does: the caller gets the second answer.
    FirstAnswer,
}

/// A store behind an unreliable connection. Clones share the connection.
#[derive(Clone)]
pub(crate) struct LosingStore {
    inner: Arc<dyn BlobStore>,
    planned: Arc<Mutex<Vec<Plan>>>,
    outage: Arc<AtomicBool>,
    /// Path prefixes to which writes are refused.
    refused: Arc<Mutex<Vec<String>>>,
    /// Names that are missing from the next listing.
    omitted: Arc<Mutex<Vec<String>>>,
}

/// The operation, the path prefix, and the loss.
type Plan = (&'static str, String, Loss);

impl LosingStore {
    pub(crate) fn new(inner: Arc<dyn BlobStore>) -> Self {
        Self {
            inner,
            planned: Arc::default(),
            outage: Arc::default(),
            refused: Arc::default(),
            omitted: Arc::default(),
        }
    }

    /// Applies a loss to the next `operation` on a path that starts with `path`. Plans queue up.
    pub(crate) fn lose_next(&self, operation: &'static str, path: &str, loss: Loss) {
        self.planned
            .lock()
            .unwrap()
            .push((operation, path.to_owned(), loss));
    }

    /// Sets whether the store refuses writes to paths that start with `path`.
    pub(crate) fn refuse_puts(&self, path: &str, on: bool) {
        let mut refused = self.refused.lock().unwrap();
        refused.retain(|it| it != path);
        if on {
            refused.push(path.to_owned());
        }
    }

    /// Omits this name from the next listing, as a listing may that races a rename.
    pub(crate) fn omit_next(&self, name: &str) {
        self.omitted.lock().unwrap().push(name.to_owned());
    }

    /// During an outage no call reaches the store.
    pub(crate) fn set_outage(&self, on: bool) {
        self.outage.store(on, Ordering::SeqCst);
    }

    fn plan(&self, operation: &'static str, path: &str) -> Option<Loss> {
        if self.outage.load(Ordering::SeqCst) {
            return Some(Loss::Request);
        }
        let mut planned = self.planned.lock().unwrap();
        let due = planned
            .iter()
            .position(|(op, start, _)| *op == operation && path.starts_with(start))?;
        Some(planned.remove(due).2)
    }

    async fn send<T, F>(
        &self,
        operation: &'static str,
        path: &str,
        call: impl Fn() -> F + Send,
    ) -> StoreAnswer<T>
    where
        F: Future<Output = StoreAnswer<T>> + Send,
        T: Send,
    {
        let reason = match self.plan(operation, path) {
            None => return call().await,
            Some(Loss::FirstAnswer) => {
                call().await?;
                return call().await;
            }
            Some(Loss::Unreadable) => {
                let (key, reason) = (path.to_owned(), "no permission".to_owned());
                return Err(StoreError::Unreadable { key, reason });
            }
            Some(Loss::StoreResponse) => call().await.map(|_| "answer lost")?,
            Some(Loss::Request) => "request lost",
        };
        Err(StoreError::Unavailable {
            operation,
            key: path.to_owned(),
            reason: reason.to_owned(),
        })
    }
}

#[async_trait]
impl BlobStore for LosingStore {
    async fn get(&self, key: &BlobKey, condition: GetIf) -> StoreAnswer<GetOutcome> {
        self.send("get", key.path(), || self.inner.get(key, condition.clone()))
            .await
    }

    async fn put(&self, key: &BlobKey, blob: Put, condition: PutIf) -> StoreAnswer<PutOutcome> {
        let refused = self.refused.lock().unwrap().clone();
        if refused.iter().any(|it| key.path().starts_with(it)) {
            return Err(StoreError::Denied {
                operation: "put",
                key: key.path().to_owned(),
                reason: "not for us".to_owned(),
            });
        }
        self.send("put", key.path(), || {
            self.inner.put(key, blob.clone(), condition.clone())
        })
        .await
    }

    async fn delete(&self, key: &BlobKey, if_match: &ETag) -> StoreAnswer<DeleteOutcome> {
        self.send("delete", key.path(), || self.inner.delete(key, if_match))
            .await
    }

    async fn list(&self, prefix: &Prefix) -> StoreAnswer<Listing> {
        let mut answer = self
            .send("list", prefix.as_str(), || self.inner.list(prefix))
            .await?;
        let omitted = std::mem::take(&mut *self.omitted.lock().unwrap());
        answer
            .value
            .blobs
            .retain(|blob| !omitted.contains(&blob.name));
        Ok(answer)
    }

    async fn contents(&self, prefix: &Prefix) -> StoreAnswer<Listing> {
        self.send("list", prefix.as_str(), || self.inner.contents(prefix))
            .await
    }
}
