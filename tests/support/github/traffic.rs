//! Recorded requests, and the faults planned for them.

use std::collections::HashSet;
use std::sync::Mutex;
use std::time::Duration;

use tokio::sync::watch;

/// The fault of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    /// An answer with this status, in GitHub's form: 500, 502, 503.
    Status(u16),
    /// A web page with status 200, as an intermediary might answer.
    Html,
    /// A redirect with 307, as after a rename of the repository.
    Redirect(String),
    /// The connection is reset before the request is carried out.
    Reset,
    /// The request is carried out, and the connection is reset before the answer.
    LoseAnswer,
    /// There is no answer until the hub recovers, and then the connection is reset; the request isn't carried out.
    Hang,
}

/// A received request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    id: u64,
    pub(crate) method: String,
    /// As received, with the query.
    pub(crate) path: String,
    /// `None` while it isn't answered, and for good if the answer never reached the client.
    pub(crate) status: Option<u16>,
    /// The `Authorization` header without its scheme.
    pub(crate) token: Option<String>,
    plain: String,
}

/// A pattern for requests: a method or `*`, and a path prefix of whole segments, in which the part up to the
/// repository's name may be left out.
#[derive(Debug, Clone)]
struct Pattern {
    method: String,
    path: String,
}

struct Rule {
    which: Pattern,
    before: usize,
    once: bool,
    fault: Fault,
}

struct Waiting {
    which: Pattern,
    done_before: bool,
    reached: watch::Sender<bool>,
    released: watch::Receiver<bool>,
}

/// A request that is held, or will be. Dropping this releases it.
pub(crate) struct Hold {
    reached: watch::Receiver<bool>,
    release: watch::Sender<bool>,
}

/// Requests and faults, under a lock of their own.
pub(super) struct Traffic {
    inner: Mutex<Inner>,
    recovered: watch::Sender<u64>,
}

#[derive(Default)]
struct Inner {
    last: u64,
    seen: Vec<Seen>,
    rules: Vec<Rule>,
    waiting: Vec<Waiting>,
    answers_hanging: HashSet<u64>,
    latency: Duration,
}

/// The faults and holds that apply to a request.
pub(super) struct Fate {
    pub(super) id: u64,
    pub(super) latency: Duration,
    pub(super) fault: Option<Fault>,
    hold: Option<(bool, watch::Sender<bool>, watch::Receiver<bool>)>,
}

impl Pattern {
    fn new(method: &str, path: &str) -> Self {
        Self {
            method: method.to_owned(),
            path: path.to_owned(),
        }
    }

    fn fits(&self, method: &str, path: &str) -> bool {
        let wanted = self.path.trim_end_matches('/');
        let begins = |path: &str| {
            path.strip_prefix(wanted)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let below = path.strip_prefix("/repos/").and_then(|rest| {
            let mut slashes = rest.match_indices('/').skip(1);
            slashes.next().map(|(at, _)| &rest[at..])
        });
        (self.method == "*" || self.method == method) && (begins(path) || below.is_some_and(begins))
    }
}

impl Hold {
    /// Waits until the request has arrived; with [`super::GitHub::hold_answer`], it has been carried out by then.
    pub(crate) async fn reached(&self) {
        let mut reached = self.reached.clone();
        reached.wait_for(|reached| *reached).await.unwrap();
    }

    pub(crate) fn release(self) {
        self.release.send_replace(true);
    }
}

impl Fate {
    /// Waits for the release, if the request is held at this point.
    pub(super) async fn held(&mut self, done: bool) {
        if self.hold.as_ref().is_none_or(|(at, ..)| *at != done) {
            return;
        }
        if let Some((_, reached, mut released)) = self.hold.take() {
            reached.send_replace(true);
            // An error means that the hold was dropped.
            let _ = released.wait_for(|released| *released).await;
        }
    }
}

impl Traffic {
    pub(super) fn new() -> Self {
        Self {
            inner: Mutex::default(),
            recovered: watch::Sender::new(0),
        }
    }

    /// Records a request and returns its fate. `plain` is its path, decoded.
    pub(super) fn note(&self, method: &str, path: &str, plain: &str, token: Option<&str>) -> Fate {
        let mut inner = self.inner.lock().unwrap();
        inner.last += 1;
        let id = inner.last;
        inner.seen.push(Seen {
            id,
            method: method.to_owned(),
            path: path.to_owned(),
            status: None,
            token: token.map(str::to_owned),
            plain: plain.to_owned(),
        });
        let at = inner
            .waiting
            .iter()
            .position(|waiting| waiting.which.fits(method, plain));
        let hold = at.map(|at| inner.waiting.remove(at));
        Fate {
            id,
            latency: inner.latency,
            fault: inner.draw(method, plain),
            hold: hold.map(|hold| (hold.done_before, hold.reached, hold.released)),
        }
    }

    /// Records that the client has received this status.
    pub(super) fn answered(&self, id: u64, status: u16) {
        let mut inner = self.inner.lock().unwrap();
        let mut seen = inner.seen.iter_mut().rev();
        if let Some(seen) = seen.find(|seen| seen.id == id) {
            seen.status = Some(status);
        }
    }

    /// Waits for the end of the outage.
    pub(super) async fn recovery(&self, id: u64) {
        let mut recovered = self.recovered.subscribe();
        self.inner.lock().unwrap().answers_hanging.insert(id);
        let _ = recovered.changed().await;
    }

    pub(super) fn hanging(&self) -> usize {
        self.inner.lock().unwrap().answers_hanging.len()
    }

    pub(super) fn rule(&self, method: &str, path: &str, before: usize, once: bool, fault: Fault) {
        self.inner.lock().unwrap().rules.push(Rule {
            which: Pattern::new(method, path),
            before,
            once,
            fault,
        });
    }

    pub(super) fn recover(&self) {
        let mut inner = self.inner.lock().unwrap();
        inner.rules.clear();
        inner.answers_hanging.clear();
        self.recovered.send_modify(|times| *times += 1);
    }

    pub(super) fn set_latency(&self, latency: Duration) {
        self.inner.lock().unwrap().latency = latency;
    }

    pub(super) fn hold(&self, method: &str, path: &str, done_before: bool) -> Hold {
        let (release, released) = watch::channel(false);
        let (reached, watched) = watch::channel(false);
        self.inner.lock().unwrap().waiting.push(Waiting {
            which: Pattern::new(method, path),
            done_before,
            reached,
            released,
        });
        Hold {
            reached: watched,
            release,
        }
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        self.inner.lock().unwrap().seen.clone()
    }

    pub(super) fn clear(&self) {
        self.inner.lock().unwrap().seen.clear();
    }

    /// The requests with this method and path prefix.
    pub(super) fn matching(&self, method: &str, path: &str) -> Vec<Seen> {
        let which = Pattern::new(method, path);
        let mut seen = self.seen();
        seen.retain(|seen| which.fits(&seen.method, &seen.plain));
        seen
    }
}

impl Inner {
    fn draw(&mut self, method: &str, path: &str) -> Option<Fault> {
        let mut due = None;
        self.rules.retain_mut(|rule| {
            if !rule.which.fits(method, path) {
                return true;
            }
            if rule.before > 0 {
                rule.before -= 1;
                return true;
            }
            if due.is_some() {
                return true;
            }
            due = Some(rule.fault.clone());
            !rule.once
        });
        due
    }
}
