//! The simulated store. Every call is suspended twice, before it takes effect and before its response arrives,
//! until the scheduler resumes it; or never does.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use codex_miroir::store::{
    Blob, BlobKey, BlobStore, DeleteOutcome, ETag, GetIf, GetOutcome, ListedBlob, Listing, Prefix,
    Put, PutIf, PutOutcome, StoreAnswer, StoreError, StoreResponse, WriteIds,
};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::git::repository::{GitCall, GitHub, GitReply};
use crate::shared::{SharedAnswer, SharedCall, SharedServer};

pub(crate) const RAW: &str = "raw/anna/tasks/";
pub(crate) const STATE: &str = "state/anna/state.json";
pub(crate) const ARTIFACT: &str = "artifacts/anna/timeline.json";

/// The longest a request can be in flight: shorter than tombstones stay, even by the most skewed clock.
const MAX_REQUEST_LIFETIME: Duration = Duration::from_secs(3_500);

/// The container, and every call in flight.
pub(crate) struct World {
    pub(crate) blobs: BTreeMap<String, Blob>,
    /// Each blob's last write, by the storage's clock.
    modified: BTreeMap<String, DateTime<Utc>>,
    pub(crate) calls: Vec<PendingCall>,
    /// Every version of each task file, oldest first.
    pub(crate) history: BTreeMap<String, Vec<FileVersion>>,
    /// Per instance: whether its calls reach the store.
    pub(crate) reachable: Vec<bool>,
    pub(crate) alive: Vec<bool>,
    /// Per instance: the clock offset of the storage server that answers it.
    pub(crate) clock_offsets: Vec<TimeDelta>,
    /// Tombstones that were removed.
    pub(crate) removed_tombstones: u64,
    pub(crate) github: GitHub,
    pub(crate) shared: SharedServer,
    /// Look-ups in the shared cache by their outcome.
    pub(crate) lookups: [u64; 4],
    /// Whether the remaining tasks of a dead instance send no more calls.
    pub(crate) drop_calls_of_dead: bool,
    started: Instant,
    epoch: DateTime<Utc>,
    pub(crate) writes: u64,
    calls_made: u64,
    log: Option<Vec<String>>,
}

/// One version of a task file.
#[derive(Debug, Clone)]
pub(crate) struct FileVersion {
    pub(crate) etag: ETag,
    /// `None`: removed.
    pub(crate) text: Option<String>,
    /// Written by the service, not by an editor.
    pub(crate) by_service: bool,
    /// The number of other contents the file had before: recovery may write the same content again.
    pub(crate) position: usize,
    /// The write's number among all writes.
    pub(crate) order: u64,
    /// When it was written, since the beginning of the run.
    pub(crate) at: Duration,
}

impl FileVersion {
    /// Removed, or a tombstone.
    pub(crate) fn is_absent(&self) -> bool {
        self.text.is_none() || self.is_tombstone()
    }

    pub(crate) fn is_tombstone(&self) -> bool {
        let text = self.text.as_deref();
        text.is_some_and(|text| text.contains("typ: settled"))
    }
}

/// A call in flight.
pub(crate) struct PendingCall {
    pub(crate) id: u64,
    pub(crate) instance: usize,
    pub(crate) call: Call,
    sent_at: Instant,
    /// The response, once the call has taken effect.
    pub(crate) answer: Option<Reply>,
    caller: oneshot::Sender<Result<Reply, StoreError>>,
    /// Whether the scheduler picks it rarely.
    pub(crate) slow: bool,
}

impl PendingCall {
    fn parts(&self) -> (usize, u64, Call) {
        (self.instance, self.id, self.call.clone())
    }

    /// The caller has stopped waiting for the response.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.caller.is_closed()
    }
}

#[derive(Debug, Clone)]
pub(crate) enum Call {
    Get(String, GetIf),
    Put(String, Put, PutIf),
    Delete(String, ETag),
    List(String),
    Contents(String),
    Git(GitCall),
    Shared(SharedCall),
}

#[derive(Debug, Clone)]
pub(crate) enum Reply {
    Git(GitReply),
    Shared(SharedAnswer),
    Get(StoreResponse<GetOutcome>),
    Put(StoreResponse<PutOutcome>),
    Delete(StoreResponse<DeleteOutcome>),
    List(StoreResponse<Listing>),
}

impl Call {
    fn name(&self) -> (&'static str, &str) {
        match self {
            Self::Get(path, _) => ("get", path),
            Self::Put(path, ..) => ("put", path),
            Self::Delete(path, _) => ("delete", path),
            Self::List(path) | Self::Contents(path) => ("list", path),
            Self::Git(_) => ("ask GitHub", "for something"),
            Self::Shared(_) => ("ask", "the shared cache"),
        }
    }

    pub(crate) fn path(&self) -> &str {
        self.name().1
    }

    pub(crate) fn writes(&self) -> bool {
        match self {
            Self::Put(..) | Self::Delete(..) => true,
            Self::Git(call) => call.writes(),
            Self::Shared(call) => call.writes(),
            _ => false,
        }
    }
}

impl World {
    pub(crate) fn new(epoch: DateTime<Utc>, traced: bool) -> Self {
        Self {
            blobs: BTreeMap::new(),
            modified: BTreeMap::new(),
            calls: vec![],
            history: BTreeMap::new(),
            reachable: vec![],
            alive: vec![],
            clock_offsets: vec![],
            removed_tombstones: 0,
            github: GitHub::default(),
            shared: SharedServer::default(),
            lookups: [0; 4],
            drop_calls_of_dead: false,
            started: Instant::now(),
            epoch,
            writes: 0,
            calls_made: 0,
            log: traced.then(Vec::new),
        }
    }

    /// The storage's clock, in whole seconds as in Azure's `Date`.
    pub(crate) fn date(&self) -> DateTime<Utc> {
        (self.epoch + self.started.elapsed()).trunc_subsecs(0)
    }

    pub(crate) fn trace(&mut self, line: impl FnOnce() -> String) {
        let at = self.started.elapsed();
        if let Some(log) = &mut self.log {
            log.push(format!("{:>9.3}s  {}", at.as_secs_f64(), line()));
        }
    }

    pub(crate) fn log(&self) -> Vec<String> {
        self.log.clone().unwrap_or_default()
    }

    /// An editor's write: without condition and write ids.
    pub(crate) fn foreign_write(&mut self, name: &str, text: &str) {
        let put = Put {
            bytes: text.as_bytes().to_vec().into(),
            writes: WriteIds::default(),
        };
        self.store(&format!("{RAW}{name}"), put, false);
    }

    /// An editor's removal.
    pub(crate) fn foreign_remove(&mut self, name: &str) {
        if self.blobs.remove(&format!("{RAW}{name}")).is_some() {
            self.writes += 1;
            let etag = ETag::new(&format!("gone-{:X}", self.writes));
            self.record(name, etag, None, false);
        }
    }

    /// The number, among all writes, of the last write of anna's hint.
    pub(crate) fn hint_put(&self) -> Option<u64> {
        let etag = &self.blobs.get("queue/anna")?.etag;
        u64::from_str_radix(etag.as_str().strip_prefix("0x")?, 16).ok()
    }

    fn store(&mut self, path: &str, put: Put, by_service: bool) -> ETag {
        self.writes += 1;
        let etag = ETag::new(&format!("0x{:X}", self.writes));
        if let Some(name) = path.strip_prefix(RAW) {
            let text = String::from_utf8_lossy(&put.bytes).into_owned();
            self.record(name, etag.clone(), Some(text), by_service);
        }
        let blob = Blob {
            bytes: put.bytes,
            etag: etag.clone(),
            writes: put.writes,
        };
        self.blobs.insert(path.to_owned(), blob);
        self.modified.insert(path.to_owned(), self.date());
        etag
    }

    fn apply(&mut self, instance: usize, id: u64, call: &Call) -> Reply {
        let date = self.date() + self.clock_offsets[instance];
        match call {
            Call::Git(call) => Reply::Git(self.github.answer(instance, id, call)),
            Call::Shared(call) => {
                let micros = u64::try_from(self.started.elapsed().as_micros()).unwrap();
                Reply::Shared(self.shared.answer(call, micros, &self.alive))
            }
            Call::Get(path, condition) => {
                let value = match (self.blobs.get(path), condition) {
                    (None, _) => GetOutcome::Absent,
                    (Some(blob), GetIf::Changed(known)) if blob.etag == *known => {
                        GetOutcome::Unchanged
                    }
                    (Some(blob), GetIf::Same(wanted)) if blob.etag != *wanted => {
                        GetOutcome::Changed
                    }
                    (Some(blob), _) => GetOutcome::Blob(blob.clone()),
                };
                Reply::Get(StoreResponse { value, date })
            }
            Call::Put(path, put, condition) => {
                let disposable = path.starts_with("artifacts/") || path.starts_with("queue/");
                let unguarded = *condition == PutIf::Any && !disposable;
                assert!(!unguarded, "a write without a condition to {path}");
                let current = self.blobs.get(path).map(|blob| &blob.etag);
                let holds = match condition {
                    PutIf::Any => true,
                    PutIf::Absent => current.is_none(),
                    PutIf::Same(etag) => current == Some(etag),
                };
                let value = match holds {
                    true => PutOutcome::Done(self.store(path, put.clone(), true)),
                    false => PutOutcome::Refused,
                };
                Reply::Put(StoreResponse { value, date })
            }
            Call::Delete(path, if_match) => {
                let value = match self.blobs.get(path) {
                    None => DeleteOutcome::Absent,
                    Some(blob) if blob.etag != *if_match => DeleteOutcome::Refused,
                    Some(_) => {
                        let name = path.strip_prefix(RAW).unwrap_or_default();
                        let last = self.history.get(name).and_then(|it| it.last());
                        self.removed_tombstones +=
                            u64::from(last.is_some_and(FileVersion::is_tombstone));
                        self.remove(path);
                        DeleteOutcome::Done
                    }
                };
                Reply::Delete(StoreResponse { value, date })
            }
            Call::List(prefix) => {
                let value = Listing {
                    blobs: self.directly_below(prefix),
                    requests: 1,
                    ..Listing::default()
                };
                Reply::List(StoreResponse { value, date })
            }
            Call::Contents(prefix) => {
                let below = self.blobs.keys().filter_map(|it| it.strip_prefix(prefix));
                let folders = below.filter_map(|name| Some(name.split_once('/')?.0.to_owned()));
                let value = Listing {
                    folders: folders.collect(),
                    blobs: self.directly_below(prefix),
                    requests: 1,
                    ..Listing::default()
                };
                Reply::List(StoreResponse { value, date })
            }
        }
    }

    fn directly_below(&self, prefix: &str) -> Vec<ListedBlob> {
        let below = self.blobs.iter().filter_map(|(path, blob)| {
            let name = path.strip_prefix(prefix)?;
            (!name.contains('/')).then(|| ListedBlob {
                name: name.to_owned(),
                etag: blob.etag.clone(),
                size: blob.bytes.len() as u64,
                modified: self.modified.get(path).copied(),
            })
        });
        below.collect()
    }

    fn complete_call(&mut self, at: usize, reply: Reply) {
        let call = &mut self.calls[at];
        call.answer = Some(reply);
        if let Call::Delete(path, _) = call.call.clone()
            && !self.blobs.contains_key(&path)
        {
            let versions = self.history.get(path.strip_prefix(RAW).unwrap_or_default());
            let before = versions.and_then(|it| it.iter().rfind(|it| it.text.is_some()));
            // In place of a tombstone, other instances may have had a create in flight, too.
            let lifetime = match before.is_some_and(FileVersion::is_tombstone) {
                true => MAX_REQUEST_LIFETIME,
                false => Duration::ZERO,
            };
            self.forget_creates(&path, lifetime);
        }
    }

    /// Drops creates that have been in flight for `lifetime`. A duplicate of a create that lands after its file was
    /// removed would recreate the file without a write intent: the one case that the protocol doesn't cover, as
    /// requests don't live that long.
    fn forget_creates(&mut self, path: &str, lifetime: Duration) {
        self.calls.retain(|call| {
            let creates = matches!(&call.call, Call::Put(of, _, PutIf::Absent) if of == path);
            !creates || call.answer.is_some() || call.sent_at.elapsed() < lifetime
        });
    }

    pub(crate) fn remove(&mut self, path: &str) {
        self.blobs.remove(path);
        if let Some(name) = path.strip_prefix(RAW) {
            self.writes += 1;
            let etag = ETag::new(&format!("gone-{:X}", self.writes));
            self.record(name, etag, None, true);
        }
    }

    fn record(&mut self, name: &str, etag: ETag, text: Option<String>, by_service: bool) {
        let versions = self.history.entry(name.to_owned()).or_default();
        let last = versions.last();
        let same = last.is_some_and(|last| last.text == text);
        let position = last.map_or(0, |last| last.position + usize::from(!same));
        let by_service = match last {
            Some(last) if same => last.by_service,
            _ => by_service,
        };
        versions.push(FileVersion {
            etag,
            text,
            by_service,
            position,
            order: self.writes,
            at: self.started.elapsed(),
        });
    }

    /// The call takes effect; its response is in flight.
    pub(crate) fn perform(&mut self, at: usize) {
        let (instance, id, call) = self.calls[at].parts();
        let reply = self.apply(instance, id, &call);
        self.trace_call(at, "happens", &reply);
        self.complete_call(at, reply);
    }

    /// The call takes effect, its response is lost, and the client retries it: the second response is in flight.
    pub(crate) fn perform_twice(&mut self, at: usize) {
        let (instance, id, call) = self.calls[at].parts();
        self.apply(instance, id, &call);
        let reply = self.apply(instance, id, &call);
        self.trace_call(at, "happens twice", &reply);
        self.complete_call(at, reply);
    }

    /// The response arrives, if the caller still waits for it.
    pub(crate) fn deliver(&mut self, at: usize) {
        let pending = self.calls.swap_remove(at);
        if self.alive[pending.instance]
            && let Some(reply) = pending.answer
        {
            let _ = pending.caller.send(Ok(reply));
        }
    }

    /// The caller gets an error. Whether the call has taken effect doesn't change.
    pub(crate) fn fail(&mut self, at: usize) {
        let pending = self.calls.swap_remove(at);
        let (operation, path) = pending.call.name();
        let (instance, done) = (pending.instance, pending.answer.is_some());
        let error = StoreError::Unavailable {
            operation,
            key: path.to_owned(),
            reason: "no answer".to_owned(),
        };
        self.trace(|| format!("i{instance} {:?} fails, done: {done}", pending.call.name()));
        if self.alive[instance] {
            let _ = pending.caller.send(Err(error));
        }
    }

    /// GitHub's rate limit rejects the call. Returns whether it is a call to GitHub that hasn't taken effect.
    pub(crate) fn answer_rate_limited(&mut self, at: usize) -> bool {
        let call = &mut self.calls[at];
        let asks_github = matches!(call.call, Call::Git(_)) && call.answer.is_none();
        if asks_github {
            call.answer = Some(Reply::Git(GitReply::Limited));
        }
        asks_github
    }

    /// ` @7` for a task file whose last version is at position 7 of its history.
    fn position(&self, name: &str) -> String {
        let versions = self.history.get(name).and_then(|it| it.last());
        versions.map_or_else(String::new, |last| format!(" @{}", last.position))
    }

    fn trace_call(&mut self, at: usize, what: &str, reply: &Reply) {
        if self.log.is_none() {
            return;
        }
        let PendingCall {
            id, instance, call, ..
        } = &self.calls[at];
        if let Call::Git(call) = call {
            let line = format!("i{instance} #{id} {call:?} {what}: {reply:?}");
            return self.trace(|| line.chars().take(600).collect());
        }
        if let Call::Shared(call) = call {
            let line = match (call, reply) {
                (SharedCall::Get, Reply::Shared(SharedAnswer::Found(entry, time))) => {
                    let stamp = entry.as_ref().map(|entry| &entry.stamp);
                    format!("get {what}: {stamp:?} at {time:?}")
                }
                (SharedCall::Publish(stamp, body), Reply::Shared(answer)) => {
                    format!("publish {stamp:?}, {} {what}: {answer:?}", body.is_some())
                }
                (call, _) => format!("{call:?} {what}"),
            };
            let line = format!("i{instance} #{id} shared: {line}");
            return self.trace(|| line);
        }
        let (operation, path) = call.name();
        let short = path.trim_start_matches("raw/anna/tasks/");
        let detail = match (call, reply) {
            (Call::Put(_, put, _), Reply::Put(answer)) => format!(
                "{:?}{} writes [{}] {:?}",
                answer.value,
                self.position(short),
                put.writes,
                String::from_utf8_lossy(&put.bytes)
                    .replace("  ", "")
                    .replace('\n', " ")
            ),
            (_, Reply::Get(answer)) => match &answer.value {
                GetOutcome::Blob(blob) => format!("{:?}{}", blob.etag, self.position(short)),
                other => format!("{other:?}"),
            },
            (_, Reply::List(answer)) => format!(
                "{:?}",
                answer
                    .value
                    .blobs
                    .iter()
                    .map(|it| (&*it.name, &it.etag))
                    .collect::<Vec<_>>()
            ),
            (_, reply) => format!("{reply:?}"),
        };
        let line = format!("i{instance} #{id} {operation} {short} {what}: {detail}");
        self.trace(|| line);
    }
}

/// One instance's connection to the world.
#[derive(Clone)]
pub(crate) struct SimStore {
    pub(crate) world: Arc<Mutex<World>>,
    pub(crate) instance: usize,
    /// One in so many calls is slow.
    pub(crate) slow_one_in: u64,
}

impl World {
    /// Sends an instance's call, and waits for its result.
    pub(crate) async fn call(
        world: &Mutex<Self>,
        instance: usize,
        slow_one_in: u64,
        call: Call,
    ) -> Result<Reply, StoreError> {
        let (caller, complete_call) = oneshot::channel();
        let begin = |world: &mut Self| {
            if world.drop_calls_of_dead && !world.alive[instance] {
                return;
            }
            world.calls_made += 1;
            let id = world.calls_made;
            // A cheap hash, so that the choice of slow calls is deterministic.
            let slow = (id.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32).is_multiple_of(slow_one_in);
            world.calls.push(PendingCall {
                id,
                instance,
                call,
                sent_at: Instant::now(),
                answer: None,
                caller,
                slow,
            });
        };
        begin(&mut world.lock().unwrap());
        match complete_call.await {
            Ok(result) => result,
            // The instance is dead: this task never resumes.
            Err(_) => std::future::pending().await,
        }
    }
}

impl SimStore {
    async fn call(&self, call: Call) -> Result<Reply, StoreError> {
        World::call(&self.world, self.instance, self.slow_one_in, call).await
    }
}

macro_rules! reply {
    ($reply:expr, $variant:ident) => {
        match $reply {
            Reply::$variant(answer) => Ok(answer),
            other => unreachable!("{other:?}"),
        }
    };
}

#[async_trait]
impl BlobStore for SimStore {
    async fn get(&self, key: &BlobKey, condition: GetIf) -> StoreAnswer<GetOutcome> {
        reply!(
            self.call(Call::Get(key.path().to_owned(), condition))
                .await?,
            Get
        )
    }

    async fn put(&self, key: &BlobKey, blob: Put, condition: PutIf) -> StoreAnswer<PutOutcome> {
        reply!(
            self.call(Call::Put(key.path().to_owned(), blob, condition))
                .await?,
            Put
        )
    }

    async fn delete(&self, key: &BlobKey, if_match: &ETag) -> StoreAnswer<DeleteOutcome> {
        reply!(
            self.call(Call::Delete(key.path().to_owned(), if_match.clone()))
                .await?,
            Delete
        )
    }

    async fn list(&self, prefix: &Prefix) -> StoreAnswer<Listing> {
        reply!(
            self.call(Call::List(prefix.as_str().to_owned())).await?,
            List
        )
    }

    async fn contents(&self, prefix: &Prefix) -> StoreAnswer<Listing> {
        reply!(
            self.call(Call::Contents(prefix.as_str().to_owned()))
                .await?,
            List
        )
    }
}
