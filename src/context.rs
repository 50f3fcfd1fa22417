//! The current request: its id for log lines, its arrival time and its user.
//!
//! The context is task-local. [`in_request_context`] carries it into spawned tasks. Nothing is formatted until a line
//! is logged, since most requests log none.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, OnceLock};

use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};

use crate::now::Now;
use crate::spans;
use crate::user::UserId;

/// The Functions host's invocation id.
const INVOCATION_ID: HeaderName = HeaderName::from_static("x-azure-functions-invocationid");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

tokio::task_local! {
    /// The current request.
    pub static CURRENT: Arc<RequestContext>;
}

/// Identifies this process among the service's instances: eight hexadecimal digits, random per start.
pub fn instance() -> &'static str {
    static INSTANCE: LazyLock<String> = LazyLock::new(|| {
        use std::hash::{BuildHasher, RandomState};
        let random = RandomState::new().hash_one(std::process::id());
        format!("{:08x}", random as u32)
    });
    &INSTANCE
}

/// A request id: the instance id, a dash and a hexadecimal counter.
#[derive(Debug, Clone, Copy)]
pub struct RequestId {
    text: [u8; 8 + 1 + 16],
    length: usize,
}

impl RequestId {
    /// The next id, unique within this instance. Every request takes one, so it is written without allocation and
    /// without `fmt`, which would take ten times as long.
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

    /// The id as ASCII text.
    pub fn as_bytes(&self) -> &[u8] {
        &self.text[..self.length]
    }
}

/// Formats a path for the log, without what must not be logged.
pub type ShowPath = fn(&str, &mut fmt::Formatter<'_>) -> fmt::Result;

/// What is known about a request.
#[derive(Debug)]
pub struct RequestContext {
    id: RequestId,
    /// The arrival time.
    pub arrived: Now,
    method: Method,
    uri: Uri,
    show_path: ShowPath,
    invocation: Option<HeaderValue>,
    traceparent: Option<HeaderValue>,
    user: OnceLock<UserId>,
}

impl RequestContext {
    /// The context of a request that arrived at `arrived`; `show_path` formats its path for the log.
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
        };
        // Requests have few headers, so one pass is cheaper than two lookups.
        for (name, value) in headers {
            if *name == TRACEPARENT {
                new.traceparent = Some(value.clone());
            } else if *name == INVOCATION_ID {
                new.invocation = Some(value.clone());
            }
        }
        new
    }

    /// The request id, as sent in the response.
    pub fn id(&self) -> &str {
        std::str::from_utf8(self.id.as_bytes()).unwrap_or_default()
    }

    /// The request id as a header.
    pub fn id_header(&self) -> Option<HeaderValue> {
        HeaderValue::from_bytes(self.id.as_bytes()).ok()
    }

    /// Method and path, formatted for the log.
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

    /// The user whose files the request concerns, once known.
    pub fn user(&self) -> Option<&UserId> {
        self.user.get()
    }

    /// The Functions host's invocation id. The header isn't authenticated, so only a well-formed value is returned.
    pub fn invocation_id(&self) -> Option<&str> {
        let id = self.invocation.as_ref()?.to_str().ok()?;
        let fits = |c: u8| c.is_ascii_hexdigit() || c == b'-';
        (id.len() <= 36 && id.bytes().all(fits)).then_some(id)
    }

    /// The trace id and the caller's span id (W3C Trace Context, `traceparent`).
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

/// Runs `work` with the caller's current request and span, if any. For futures that are spawned as tasks of their own.
pub fn in_request_context<F: Future>(work: F) -> impl Future<Output = F::Output> {
    let request = CURRENT.try_with(Arc::clone).ok();
    let work = spans::in_current(work);
    async move {
        match request {
            Some(request) => CURRENT.scope(request, work).await,
            None => work.await,
        }
    }
}

/// Records the user whose files the current request concerns.
pub fn set_user(user: &UserId) {
    // A no-op outside a request. A request concerns one user, so a second call can't conflict.
    let _ = CURRENT.try_with(|request| request.user.set(user.clone()));
}

/// The arrival time of the current request; `None` outside a request.
pub fn arrived() -> Option<Now> {
    CURRENT.try_with(|request| request.arrived).ok()
}

/// The id of the current request as a header; `None` outside a request.
pub fn request_id() -> Option<HeaderValue> {
    CURRENT.try_with(|request| request.id_header()).ok()?
}

/// Calls `look` with the current request, if any.
pub fn with_request(look: impl FnOnce(&RequestContext)) {
    let _ = CURRENT.try_with(|request| look(request));
}
