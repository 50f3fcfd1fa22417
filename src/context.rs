//! Which request the present work is for, so that each log line of that work can say so; when it arrived, and the
//! cookie that its answer is to set.
//!
//! It travels with the task that answers the request, and with whatever that task leaves running:
//! [`carried`] takes it along. Nothing is formatted before a line is written, since most requests write
//! none.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, OnceLock};

use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};

use crate::now::Now;
use crate::user::UserId;

/// The Functions host's name for a call.
const INVOCATION_ID: HeaderName = HeaderName::from_static("x-azure-functions-invocationid");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

tokio::task_local! {
    static CURRENT: Arc<RequestContext>;
}

/// Names this process among the service's instances: eight hexadecimal digits, new at each start.
pub fn instance() -> &'static str {
    static INSTANCE: LazyLock<String> = LazyLock::new(|| {
        use std::hash::{BuildHasher, RandomState};
        let random = RandomState::new().hash_one(std::process::id());
        format!("{:08x}", random as u32)
    });
    &INSTANCE
}

/// What a request is called: the instance's name, a dash and a count in hexadecimal digits.
#[derive(Debug, Clone, Copy)]
pub struct RequestId {
    text: [u8; 8 + 1 + 16],
    length: usize,
}

impl RequestId {
    /// One that no other request of this instance has. Every request takes one, so it is written without
    /// the formatter, which would cost ten times as much, and without an allocation.
    pub fn next() -> Self {
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        let count = COUNTER.fetch_add(1, Ordering::Relaxed);
        let digits = (u64::BITS - (count | 1).leading_zeros()).div_ceil(4);
        let mut id = Self {
            text: [b'-'; 25],
            length: 9,
        };
        id.text[..8].copy_from_slice(&instance().as_bytes()[..8]);
        for place in (0..digits).rev() {
            let digit = (count >> (4 * place)) as usize & 0xf;
            id.text[id.length] = b"0123456789abcdef"[digit];
            id.length += 1;
        }
        id
    }

    /// Its text, in ASCII.
    pub fn as_bytes(&self) -> &[u8] {
        &self.text[..self.length]
    }
}

/// How a path may be logged.
pub type ShowPath = fn(&str, &mut fmt::Formatter<'_>) -> fmt::Result;

/// What is known of a request.
#[derive(Debug)]
pub struct RequestContext {
    id: RequestId,
    arrived: Now,
    method: Method,
    uri: Uri,
    show_path: ShowPath,
    invocation: Option<HeaderValue>,
    traceparent: Option<HeaderValue>,
    user: OnceLock<UserId>,
    cookie: OnceLock<Cookie>,
}

/// A cookie that the answer sets, unless its session has ended by the time the answer is sent.
struct Cookie {
    value: HeaderValue,
    counts: Box<dyn Fn() -> bool + Send + Sync>,
}

impl fmt::Debug for Cookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cookie")
    }
}

impl RequestContext {
    /// Of a request that arrived at this moment, and whose path is logged as `show_path` does it.
    pub fn new(
        arrived: Now,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
        show_path: ShowPath,
    ) -> Self {
        let mut new = Self {
            id: RequestId::next(),
            arrived,
            method: method.clone(),
            uri: uri.clone(),
            show_path,
            invocation: None,
            traceparent: None,
            user: OnceLock::new(),
            cookie: OnceLock::new(),
        };
        // Requests have few headers: one walk over them is less than two look-ups.
        for (name, value) in headers {
            if *name == TRACEPARENT {
                new.traceparent = Some(value.clone());
            } else if *name == INVOCATION_ID {
                new.invocation = Some(value.clone());
            }
        }
        new
    }

    /// What the answer calls the request.
    pub fn id(&self) -> &str {
        std::str::from_utf8(self.id.as_bytes()).unwrap_or_default()
    }

    /// When it arrived.
    pub fn arrived(&self) -> Now {
        self.arrived
    }

    /// Method and path, as they may be logged.
    pub fn route(&self) -> impl fmt::Display {
        struct Route<'a>(&'a RequestContext);
        impl fmt::Display for Route<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{} ", self.0.method)?;
                (self.0.show_path)(self.0.uri.path(), f)
            }
        }
        Route(self)
    }

    /// Whose files it is about, once that is known.
    pub fn user(&self) -> Option<&UserId> {
        self.user.get()
    }

    /// The cookie that the answer is to set, if there is one that counts now.
    pub fn cookie(&self) -> Option<&HeaderValue> {
        let cookie = self.cookie.get().filter(|cookie| (cookie.counts)())?;
        Some(&cookie.value)
    }

    /// The Functions host's name for the call. Anybody may send the header, so only what looks like one.
    pub fn invocation_id(&self) -> Option<&str> {
        let id = self.invocation.as_ref()?.to_str().ok()?;
        let fits = |c: u8| c.is_ascii_hexdigit() || c == b'-';
        (id.len() <= 36 && id.bytes().all(fits)).then_some(id)
    }

    /// The trace and the caller's span in it (W3C Trace Context, `traceparent`).
    pub fn trace(&self) -> Option<(&str, &str)> {
        let header = self.traceparent.as_ref()?.to_str().ok()?;
        let mut parts = header.split('-').skip(1);
        let (trace, span) = (parts.next()?, parts.next()?);
        let hex = |text: &str, length: usize| {
            text.len() == length && text.bytes().all(|c| c.is_ascii_hexdigit())
        };
        (hex(trace, 32) && hex(span, 16)).then_some((trace, span))
    }
}

/// The work of answering one request; see [`of_request`].
pub type OfRequest<F> = tokio::task::futures::TaskLocalFuture<Arc<RequestContext>, F>;

/// `work`, whose log lines are about this request.
pub fn of_request<F: Future>(request: Arc<RequestContext>, work: F) -> OfRequest<F> {
    CURRENT.scope(request, work)
}

/// `work`, whose log lines are about the present request also when it becomes a task of its own.
pub fn carried<F: Future>(work: F) -> impl Future<Output = F::Output> {
    let request = CURRENT.try_with(Arc::clone).ok();
    async move {
        match request {
            Some(request) => of_request(request, work).await,
            None => work.await,
        }
    }
}

/// Lets `tell` write lines about this request, outside its work.
pub fn about(request: &Arc<RequestContext>, tell: impl FnOnce()) {
    CURRENT.sync_scope(Arc::clone(request), tell);
}

/// The present request is about this user's files.
pub fn note_user(user: &UserId) {
    // Outside a request there is nobody to tell; a second user of one request there isn't.
    let _ = CURRENT.try_with(|request| request.user.set(user.clone()));
}

/// The answer to the present request is to set this cookie, if `counts` says so when it is given: a session may be
/// ended while its request is under way. The first one that is said stays.
pub fn set_cookie(value: HeaderValue, counts: impl Fn() -> bool + Send + Sync + 'static) {
    let counts = Box::new(counts);
    let _ = CURRENT.try_with(|request| request.cookie.set(Cookie { value, counts }));
}

/// When the present request arrived; `None` outside of requests.
pub fn arrived() -> Option<Now> {
    CURRENT.try_with(|request| request.arrived).ok()
}

/// Shows the present request to `look`, if there is one.
pub fn with_request(look: impl FnOnce(&RequestContext)) {
    let _ = CURRENT.try_with(|request| look(request));
}
