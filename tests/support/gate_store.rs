//! Holds chosen calls back, so that a test decides the order of events.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use codex_miroir::store::{
    BlobKey, BlobStore, DeleteOutcome, ETag, GetIf, GetOutcome, Listing, Prefix, Put, PutIf,
    PutOutcome, StoreAnswer,
};
use tokio::sync::Notify;
use tokio::time::timeout;

/// Longer than any work that may precede a held call.
const PATIENCE: Duration = Duration::from_secs(60);

/// A store with gates in front of it. Clones share them.
#[derive(Clone)]
pub(crate) struct GateStore {
    inner: Arc<dyn BlobStore>,
    gates: Arc<Mutex<Vec<Gate>>>,
}

#[derive(Clone)]
struct Gate {
    operation: &'static str,
    path: String,
    held: Held,
    breaks: bool,
}

/// One call that is held before it reaches the store.
#[derive(Clone, Default)]
pub(crate) struct Held {
    reached: Arc<Notify>,
    released: Arc<Notify>,
}

impl Held {
    /// Waits until the call has arrived at the gate. Fails if it never does.
    pub(crate) async fn reached(&self) {
        let reached = timeout(PATIENCE, self.reached.notified()).await;
        reached.expect("the call that is to be held never came");
    }

    /// Lets the call through, now or on arrival.
    pub(crate) fn release(&self) {
        self.released.notify_one();
    }
}

impl GateStore {
    pub(crate) fn new(inner: Arc<dyn BlobStore>) -> Self {
        Self {
            inner,
            gates: Arc::default(),
        }
    }

    /// Holds the next `operation` on a path that starts with `path`; `got` is the answer to a `get`.
    pub(crate) fn hold_next(&self, operation: &'static str, path: &str) -> Held {
        let held = Held::default();
        let gate = Gate {
            operation,
            path: path.to_owned(),
            held: held.clone(),
            breaks: false,
        };
        self.gates.lock().unwrap().push(gate);
        held
    }

    /// Makes the next `operation` on a path that starts with `path` panic.
    pub(crate) fn break_next(&self, operation: &'static str, path: &str) {
        let gate = Gate {
            operation,
            path: path.to_owned(),
            held: Held::default(),
            breaks: true,
        };
        self.gates.lock().unwrap().push(gate);
    }

    async fn pass(&self, operation: &'static str, path: &str) {
        let gate = {
            let mut gates = self.gates.lock().unwrap();
            let here = gates
                .iter()
                .position(|gate| gate.operation == operation && path.starts_with(&gate.path));
            here.map(|at| gates.remove(at))
        };
        if let Some(gate) = gate {
            assert!(!gate.breaks, "a planted defect");
            gate.held.reached.notify_one();
            gate.held.released.notified().await;
        }
    }
}

#[async_trait]
impl BlobStore for GateStore {
    async fn get(&self, key: &BlobKey, condition: GetIf) -> StoreAnswer<GetOutcome> {
        self.pass("get", key.path()).await;
        let answer = self.inner.get(key, condition).await;
        self.pass("got", key.path()).await;
        answer
    }

    async fn put(&self, key: &BlobKey, blob: Put, condition: PutIf) -> StoreAnswer<PutOutcome> {
        self.pass("put", key.path()).await;
        self.inner.put(key, blob, condition).await
    }

    async fn delete(&self, key: &BlobKey, if_match: &ETag) -> StoreAnswer<DeleteOutcome> {
        self.pass("delete", key.path()).await;
        self.inner.delete(key, if_match).await
    }

    async fn list(&self, prefix: &Prefix) -> StoreAnswer<Listing> {
        self.pass("list", prefix.as_str()).await;
        self.inner.list(prefix).await
    }

    async fn contents(&self, prefix: &Prefix) -> StoreAnswer<Listing> {
        self.pass("list", prefix.as_str()).await;
        self.inner.contents(prefix).await
    }
}
