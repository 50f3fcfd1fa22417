//! Spans of OpenTelemetry: a request, and what it makes the service do.
//!
//! A span is made only while traces are exported, and only of what is named here: no attribute holds a path, which may
//! have a task's title in it, nor anything else of a request's content. The current span is the context's of the
//! `opentelemetry` crate; [`within`] and [`in_current`] carry it into futures.

use std::borrow::Cow;
use std::pin::Pin;
use std::sync::OnceLock;
use std::task::{Context as TaskContext, Poll};

use http::{HeaderMap, Method};
use opentelemetry::propagation::{Extractor, TextMapPropagator};
use opentelemetry::trace::{SpanKind, Status, TraceContextExt, Tracer};
use opentelemetry::{Context, ContextGuard, KeyValue};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracer;
use pin_project_lite::pin_project;

static TRACER: OnceLock<SdkTracer> = OnceLock::new();

/// Makes spans from now on, by the process's one tracer.
pub fn install(tracer: SdkTracer) {
    // A process has one exporter, so a second call can't conflict.
    let _ = TRACER.set(tracer);
}

/// Whether spans are made.
pub fn are_on() -> bool {
    TRACER.get().is_some()
}

/// A span in progress. It ends when it is dropped.
#[derive(Debug)]
pub struct ActiveSpan(Context);

impl ActiveSpan {
    /// Adds an attribute.
    pub fn set(&self, name: &'static str, value: impl Into<opentelemetry::Value>) {
        self.0.span().set_attribute(KeyValue::new(name, value));
    }

    /// Marks the span as failed, by a class of errors: the attribute `error.type`.
    pub fn fail(&self, class: impl Into<Cow<'static, str>>) {
        self.set("error.type", class.into());
        self.0.span().set_status(Status::error(""));
    }

    /// Makes it the current span of the thread until the guard is dropped.
    pub fn enter(&self) -> ContextGuard {
        self.0.clone().attach()
    }
}

impl Drop for ActiveSpan {
    fn drop(&mut self) {
        // Work that goes on after it keeps the context, as its parent.
        self.0.span().end();
    }
}

/// The span of a request to `route`, as in `/api/tasks/{id}`: a child of the span that the header `traceparent` names,
/// whose flag `sampled` may decide whether it is recorded. `None` without export.
pub fn request(method: &Method, route: Option<&str>, headers: &HeaderMap) -> Option<ActiveSpan> {
    let tracer = TRACER.get()?;
    let parent =
        TraceContextPropagator::new().extract_with_context(&Context::new(), &TraceHeaders(headers));
    let (known, shown) = known_method(method);
    let mut attributes = vec![KeyValue::new("http.request.method", known)];
    let name = match route {
        Some(route) => {
            attributes.push(KeyValue::new("http.route", route.to_owned()));
            format!("{shown} {route}").into()
        }
        None => Cow::Borrowed(shown),
    };
    Some(start(tracer, SpanKind::Server, name, attributes, &parent))
}

/// The span of a request to another service, `storage` or `github`. `None` without export.
pub fn client(service: &'static str, operation: &'static str) -> Option<ActiveSpan> {
    let tracer = TRACER.get()?;
    let attributes = vec![
        KeyValue::new("peer.service", service),
        KeyValue::new("codex.operation", operation),
    ];
    let name = format!("{service} {operation}").into();
    let parent = Context::current();
    Some(start(tracer, SpanKind::Client, name, attributes, &parent))
}

/// The span of a part of the work, or of work that no request asked for. `None` without export.
pub fn internal(name: &'static str) -> Option<ActiveSpan> {
    let (tracer, parent) = (TRACER.get()?, Context::current());
    Some(start(
        tracer,
        SpanKind::Internal,
        name.into(),
        vec![],
        &parent,
    ))
}

fn start(
    tracer: &SdkTracer,
    kind: SpanKind,
    name: Cow<'static, str>,
    attributes: Vec<KeyValue>,
    parent: &Context,
) -> ActiveSpan {
    let span = tracer.span_builder(name).with_kind(kind);
    let span = span.with_attributes(attributes);
    ActiveSpan(parent.with_span(span.start_with_context(tracer, parent)))
}

/// The method as the attribute's value and as it begins the span's name. A client can send any other word, so there is
/// one name for all of them (OpenTelemetry's semantic conventions for HTTP spans).
fn known_method(method: &Method) -> (&'static str, &'static str) {
    match *method {
        Method::GET => ("GET", "GET"),
        Method::HEAD => ("HEAD", "HEAD"),
        Method::POST => ("POST", "POST"),
        Method::PUT => ("PUT", "PUT"),
        Method::PATCH => ("PATCH", "PATCH"),
        Method::DELETE => ("DELETE", "DELETE"),
        Method::OPTIONS => ("OPTIONS", "OPTIONS"),
        _ => ("_OTHER", "HTTP"),
    }
}

/// The headers of a request, for what reads `traceparent` in them.
struct TraceHeaders<'a>(&'a HeaderMap);

impl Extractor for TraceHeaders<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(http::HeaderName::as_str).collect()
    }
}

/// Runs `work` with `span` as the current one, if there is one.
pub fn within<F: Future>(span: Option<&ActiveSpan>, work: F) -> InSpan<F> {
    let context = span.map(|span| span.0.clone());
    InSpan { work, context }
}

/// Runs `work`, wherever it is polled, with the span that is current now.
pub fn in_current<F: Future>(work: F) -> InSpan<F> {
    let context = TRACER.get().map(|_| Context::current());
    InSpan { work, context }
}

pin_project! {
    /// The future of [`within`] and [`in_current`].
    pub struct InSpan<F> {
        #[pin]
        work: F,
        context: Option<Context>,
    }
}

impl<F: Future> Future for InSpan<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let _entered = this.context.clone().map(Context::attach);
        this.work.poll(task)
    }
}
