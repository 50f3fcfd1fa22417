//! The store of a simulated run. Every call stands still twice, before it takes effect and before its
//! answer arrives, until the scheduler lets it go on; or doesn't.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use codex_miroir::store::{
    Answer, Blob, BlobStore, Contents, Deleted, ETag, GetIf, Got, Key, Listed, Listing, Prefix,
    Put, PutIf, StoreError, WriteIds, Written,
};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::git::repository::{GitCall, GitHub, GitReply};

pub(crate) const RAW: &str = "raw/anna/tasks/";
pub(crate) const STATE: &str = "state/anna/state.json";
pub(crate) const ARTIFACT: &str = "artifacts/anna/timeline.json";

/// No request is on its way for longer: shorter than settled files stay, by the most wrong clock.
const LIVES: Duration = Duration::from_secs(3_500);

/// The container, and every call under way to it.
pub(crate) struct World {
    pub(crate) blobs: BTreeMap<String, Blob>,
    /// When each was written last, by the storage's clock.
    modified: BTreeMap<String, DateTime<Utc>>,
    pub(crate) calls: Vec<PendingCall>,
    /// Every version a task file has had, oldest first.
    pub(crate) history: BTreeMap<String, Vec<FileVersion>>,
    /// Whether each instance's calls get through.
    pub(crate) reachable: Vec<bool>,
    pub(crate) alive: Vec<bool>,
    /// How far the clock of the storage's server that answers each instance is ahead.
    pub(crate) ahead: Vec<TimeDelta>,
    /// Settled files that were removed.
    pub(crate) freed: u64,
    pub(crate) github: GitHub,
    /// What is left of a dead instance sends nothing any more.
    pub(crate) dead_is_silent: bool,
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
    /// `None`: it was removed.
    pub(crate) text: Option<String>,
    /// By the service, not by an editor.
    pub(crate) own: bool,
    /// How many other contents the file had before: settling writes the same once more.
    pub(crate) position: usize,
    /// When it was written, among all writes.
    pub(crate) order: u64,
}

impl FileVersion {
    /// Removed, or settled.
    pub(crate) fn is_absent(&self) -> bool {
        self.text.is_none() || self.is_settled()
    }

    pub(crate) fn is_settled(&self) -> bool {
        let text = self.text.as_deref();
        text.is_some_and(|text| text.contains("typ: settled"))
    }
}

/// A call on its way.
pub(crate) struct PendingCall {
    pub(crate) id: u64,
    pub(crate) instance: usize,
    pub(crate) call: Call,
    begun: Instant,
    /// It has taken effect, and this is its answer.
    pub(crate) answer: Option<Reply>,
    caller: oneshot::Sender<Result<Reply, StoreError>>,
    /// How readily the scheduler picks it.
    pub(crate) slow: bool,
}

impl PendingCall {
    fn parts(&self) -> (usize, u64, Call) {
        (self.instance, self.id, self.call.clone())
    }

    /// Nobody waits for the answer any more.
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
}

#[derive(Debug, Clone)]
pub(crate) enum Reply {
    Git(GitReply),
    Got(Answer<Got>),
    Written(Answer<Written>),
    Deleted(Answer<Deleted>),
    Listed(Answer<Listing>),
    Contents(Answer<Contents>),
}

impl Call {
    fn name(&self) -> (&'static str, &str) {
        match self {
            Self::Get(path, _) => ("get", path),
            Self::Put(path, ..) => ("put", path),
            Self::Delete(path, _) => ("delete", path),
            Self::List(path) | Self::Contents(path) => ("list", path),
            Self::Git(_) => ("ask GitHub", "for something"),
        }
    }

    pub(crate) fn path(&self) -> &str {
        self.name().1
    }

    pub(crate) fn writes(&self) -> bool {
        match self {
            Self::Put(..) | Self::Delete(..) => true,
            Self::Git(call) => call.writes(),
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
            ahead: vec![],
            freed: 0,
            github: GitHub::default(),
            dead_is_silent: false,
            started: Instant::now(),
            epoch,
            writes: 0,
            calls_made: 0,
            log: traced.then(Vec::new),
        }
    }

    /// The storage's clock, in whole seconds as Azure gives it.
    pub(crate) fn date(&self) -> DateTime<Utc> {
        (self.epoch + self.started.elapsed()).trunc_subsecs(0)
    }

    pub(crate) fn note(&mut self, line: impl FnOnce() -> String) {
        let at = self.started.elapsed();
        if let Some(log) = &mut self.log {
            log.push(format!("{:>9.3}s  {}", at.as_secs_f64(), line()));
        }
    }

    pub(crate) fn log(&self) -> Vec<String> {
        self.log.clone().unwrap_or_default()
    }

    /// What an editor does: no condition, no write ids.
    pub(crate) fn foreign_write(&mut self, name: &str, text: &str) {
        let put = Put {
            bytes: text.as_bytes().to_vec().into(),
            writes: WriteIds::default(),
        };
        self.store(&format!("{RAW}{name}"), put, false);
    }

    /// What an editor removes.
    pub(crate) fn foreign_remove(&mut self, name: &str) {
        if self.blobs.remove(&format!("{RAW}{name}")).is_some() {
            self.writes += 1;
            let etag = ETag::new(&format!("gone-{:X}", self.writes));
            self.record(name, etag, None, false);
        }
    }

    /// When anna's hint was put, among all writes.
    pub(crate) fn hint_put(&self) -> Option<u64> {
        let etag = &self.blobs.get("queue/anna")?.etag;
        u64::from_str_radix(etag.as_str().strip_prefix("0x")?, 16).ok()
    }

    fn store(&mut self, path: &str, put: Put, own: bool) -> ETag {
        self.writes += 1;
        let etag = ETag::new(&format!("0x{:X}", self.writes));
        if let Some(name) = path.strip_prefix(RAW) {
            let text = String::from_utf8_lossy(&put.bytes).into_owned();
            self.record(name, etag.clone(), Some(text), own);
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
        let date = self.date() + self.ahead[instance];
        match call {
            Call::Git(call) => Reply::Git(self.github.answer(instance, id, call)),
            Call::Get(path, condition) => {
                let value = match (self.blobs.get(path), condition) {
                    (None, _) => Got::Absent,
                    (Some(blob), GetIf::Changed(known)) if blob.etag == *known => Got::Unchanged,
                    (Some(blob), GetIf::Same(wanted)) if blob.etag != *wanted => Got::Changed,
                    (Some(blob), _) => Got::Blob(blob.clone()),
                };
                Reply::Got(Answer { value, date })
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
                    true => Written::Done(self.store(path, put.clone(), true)),
                    false => Written::Refused,
                };
                Reply::Written(Answer { value, date })
            }
            Call::Delete(path, if_match) => {
                let value = match self.blobs.get(path) {
                    None => Deleted::Absent,
                    Some(blob) if blob.etag != *if_match => Deleted::Refused,
                    Some(_) => {
                        let name = path.strip_prefix(RAW).unwrap_or_default();
                        let last = self.history.get(name).and_then(|it| it.last());
                        self.freed += u64::from(last.is_some_and(FileVersion::is_settled));
                        self.remove(path);
                        Deleted::Done
                    }
                };
                Reply::Deleted(Answer { value, date })
            }
            Call::List(prefix) => {
                let value = Listing {
                    blobs: self.directly_below(prefix),
                    others: vec![],
                    requests: 1,
                };
                Reply::Listed(Answer { value, date })
            }
            Call::Contents(prefix) => {
                let below = self.blobs.keys().filter_map(|it| it.strip_prefix(prefix));
                let folders = below.filter_map(|name| Some(name.split_once('/')?.0.to_owned()));
                let value = Contents {
                    folders: folders.collect(),
                    blobs: self.directly_below(prefix),
                    requests: 1,
                };
                Reply::Contents(Answer { value, date })
            }
        }
    }

    fn directly_below(&self, prefix: &str) -> Vec<Listed> {
        let below = self.blobs.iter().filter_map(|(path, blob)| {
            let name = path.strip_prefix(prefix)?;
            (!name.contains('/')).then(|| Listed {
                name: name.to_owned(),
                etag: blob.etag.clone(),
                size: blob.bytes.len() as u64,
                modified: self.modified.get(path).copied(),
            })
        });
        below.collect()
    }

    fn answered(&mut self, at: usize, reply: Reply) {
        let call = &mut self.calls[at];
        call.answer = Some(reply);
        if let Call::Delete(path, _) = call.call.clone()
            && !self.blobs.contains_key(&path)
        {
            let versions = self.history.get(path.strip_prefix(RAW).unwrap_or_default());
            let before = versions.and_then(|it| it.iter().rfind(|it| it.text.is_some()));
            // In the place of a settled file others may have been about to write something, too.
            let lives = match before.is_some_and(FileVersion::is_settled) {
                true => LIVES,
                false => Duration::ZERO,
            };
            self.forget_creates(&path, lives);
        }
    }

    /// A copy of a create that is still on its way when its file is removed would make it again, and no
    /// mark tells of it: the one thing the protocol doesn't cover. Requests don't live that long.
    fn forget_creates(&mut self, path: &str, lives: Duration) {
        self.calls.retain(|call| {
            let creates = matches!(&call.call, Call::Put(of, _, PutIf::Absent) if of == path);
            !creates || call.answer.is_some() || call.begun.elapsed() < lives
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

    fn record(&mut self, name: &str, etag: ETag, text: Option<String>, own: bool) {
        let versions = self.history.entry(name.to_owned()).or_default();
        let last = versions.last();
        let same = last.is_some_and(|last| last.text == text);
        let position = last.map_or(0, |last| last.position + usize::from(!same));
        let own = match last {
            Some(last) if same => last.own,
            _ => own,
        };
        versions.push(FileVersion {
            etag,
            text,
            own,
            position,
            order: self.writes,
        });
    }

    /// The call takes effect; its answer is on its way.
    pub(crate) fn perform(&mut self, at: usize) {
        let (instance, id, call) = self.calls[at].parts();
        let reply = self.apply(instance, id, &call);
        self.note_call(at, "happens", &reply);
        self.answered(at, reply);
    }

    /// It takes effect, the answer is lost, and the client sends it once more: the second answer is on
    /// its way.
    pub(crate) fn perform_twice(&mut self, at: usize) {
        let (instance, id, call) = self.calls[at].parts();
        self.apply(instance, id, &call);
        let reply = self.apply(instance, id, &call);
        self.note_call(at, "happens twice", &reply);
        self.answered(at, reply);
    }

    /// The answer arrives, if somebody still waits for it.
    pub(crate) fn deliver(&mut self, at: usize) {
        let pending = self.calls.swap_remove(at);
        if self.alive[pending.instance]
            && let Some(reply) = pending.answer
        {
            let _ = pending.caller.send(Ok(reply));
        }
    }

    /// The caller hears that there is no answer. Whether the call takes effect stays as it is.
    pub(crate) fn fail(&mut self, at: usize) {
        let pending = self.calls.swap_remove(at);
        let (operation, path) = pending.call.name();
        let (instance, done) = (pending.instance, pending.answer.is_some());
        let error = StoreError::Unavailable {
            operation,
            key: path.to_owned(),
            reason: "no answer".to_owned(),
        };
        self.note(|| format!("i{instance} {:?} fails, done: {done}", pending.call.name()));
        if self.alive[instance] {
            let _ = pending.caller.send(Err(error));
        }
    }

    /// GitHub grants no more requests; nothing happens. Whether this is one of those.
    pub(crate) fn limit(&mut self, at: usize) -> bool {
        let call = &mut self.calls[at];
        let asks_github = matches!(call.call, Call::Git(_)) && call.answer.is_none();
        if asks_github {
            call.answer = Some(Reply::Git(GitReply::Limited));
        }
        asks_github
    }

    /// ` @7` for a task file that is at the position 7 of its history.
    fn position(&self, name: &str) -> String {
        let versions = self.history.get(name).and_then(|it| it.last());
        versions.map_or_else(String::new, |last| format!(" @{}", last.position))
    }

    fn note_call(&mut self, at: usize, what: &str, reply: &Reply) {
        if self.log.is_none() {
            return;
        }
        let PendingCall {
            id, instance, call, ..
        } = &self.calls[at];
        if let Call::Git(call) = call {
            let line = format!("i{instance} #{id} {call:?} {what}: {reply:?}");
            return self.note(|| line.chars().take(600).collect());
        }
        let (operation, path) = call.name();
        let short = path.trim_start_matches("raw/anna/tasks/");
        let detail = match (call, reply) {
            (Call::Put(_, put, _), Reply::Written(answer)) => format!(
                "{:?}{} writes [{}] {:?}",
                answer.value,
                self.position(short),
                put.writes,
                String::from_utf8_lossy(&put.bytes)
                    .replace("  ", "")
                    .replace('\n', " ")
            ),
            (_, Reply::Got(answer)) => match &answer.value {
                Got::Blob(blob) => format!("{:?}{}", blob.etag, self.position(short)),
                other => format!("{other:?}"),
            },
            (_, Reply::Listed(answer)) => format!(
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
        self.note(|| line);
    }
}

/// One instance's way to the world.
#[derive(Clone)]
pub(crate) struct SimStore {
    pub(crate) world: Arc<Mutex<World>>,
    pub(crate) instance: usize,
    /// One in so many calls is slow.
    pub(crate) slow_one_in: u64,
}

impl World {
    /// Sends a call of an instance's on its way.
    pub(crate) async fn call(
        world: &Mutex<Self>,
        instance: usize,
        slow_one_in: u64,
        call: Call,
    ) -> Result<Reply, StoreError> {
        let (caller, answered) = oneshot::channel();
        let begin = |world: &mut Self| {
            if world.dead_is_silent && !world.alive[instance] {
                return;
            }
            world.calls_made += 1;
            let id = world.calls_made;
            // A cheap hash, so that which calls are slow is the seed's doing.
            let slow = (id.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32).is_multiple_of(slow_one_in);
            world.calls.push(PendingCall {
                id,
                instance,
                call,
                begun: Instant::now(),
                answer: None,
                caller,
                slow,
            });
        };
        begin(&mut world.lock().unwrap());
        match answered.await {
            Ok(result) => result,
            // The instance is dead: nothing goes on here.
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
    async fn get(&self, key: &Key, condition: GetIf) -> Result<Answer<Got>, StoreError> {
        reply!(
            self.call(Call::Get(key.path().to_owned(), condition))
                .await?,
            Got
        )
    }

    async fn put(
        &self,
        key: &Key,
        blob: Put,
        condition: PutIf,
    ) -> Result<Answer<Written>, StoreError> {
        reply!(
            self.call(Call::Put(key.path().to_owned(), blob, condition))
                .await?,
            Written
        )
    }

    async fn delete(&self, key: &Key, if_match: &ETag) -> Result<Answer<Deleted>, StoreError> {
        reply!(
            self.call(Call::Delete(key.path().to_owned(), if_match.clone()))
                .await?,
            Deleted
        )
    }

    async fn list(&self, prefix: &Prefix) -> Result<Answer<Listing>, StoreError> {
        reply!(
            self.call(Call::List(prefix.as_str().to_owned())).await?,
            Listed
        )
    }

    async fn contents(&self, prefix: &Prefix) -> Result<Answer<Contents>, StoreError> {
        reply!(
            self.call(Call::Contents(prefix.as_str().to_owned()))
                .await?,
            Contents
        )
    }
}
