//! How long the service takes to answer, by method, route and class of the status.

use std::sync::OnceLock;
use std::time::Duration;

use http::Method;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;

/// Upper bounds of the histogram buckets, in seconds: from a read from memory to a batch of writes.
const BUCKETS: [f64; 13] = [
    0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 10.0,
];

/// Classes of HTTP status codes.
pub(super) const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// The methods that have a label of their own.
const METHODS: [&str; 7] = ["get", "head", "post", "put", "patch", "delete", "other"];

/// The histograms of all routes, each with the labels `method`, `route` and `class`.
pub(super) type ResponseFamily = Family<[(&'static str, String); 3], Histogram, fn() -> Histogram>;

pub(super) fn family() -> ResponseFamily {
    Family::new_with_constructor(|| Histogram::new(BUCKETS))
}

/// The times of the responses of a router. A histogram that exists is found without a lookup.
pub struct ResponseTimes {
    family: ResponseFamily,
    routes: Vec<String>,
    /// By [`ResponseKind`].
    times: Vec<[OnceLock<Histogram>; CLASSES.len()]>,
}

/// The method and the route of a request, for its metrics.
#[derive(Debug, Clone, Copy)]
pub struct ResponseKind(usize);

impl ResponseTimes {
    /// For a router of these routes, as in `/api/tasks/{id}`.
    pub(super) fn new(family: ResponseFamily, routes: Vec<String>) -> Self {
        let kinds = METHODS.len() * (routes.len() + 1);
        Self {
            family,
            routes,
            times: (0..kinds).map(|_| Default::default()).collect(),
        }
    }

    /// The kind of a request to the route at this position; `None` for a path that no route has.
    pub fn kind(&self, method: &Method, route: Option<usize>) -> ResponseKind {
        let method = match *method {
            Method::GET => 0,
            Method::HEAD => 1,
            Method::POST => 2,
            Method::PUT => 3,
            Method::PATCH => 4,
            Method::DELETE => 5,
            _ => 6,
        };
        ResponseKind(METHODS.len() * route.unwrap_or(self.routes.len()) + method)
    }

    /// Counts a response, which took this long from the request's arrival to its head.
    pub fn record(&self, kind: ResponseKind, status: u16, took: Duration) {
        let class = usize::from(status / 100).wrapping_sub(1);
        let histogram = self.times.get(kind.0).and_then(|it| it.get(class));
        if let Some(histogram) = histogram {
            histogram
                .get_or_init(|| self.histogram(kind, class))
                .observe(took.as_secs_f64());
        }
    }

    fn histogram(&self, ResponseKind(kind): ResponseKind, class: usize) -> Histogram {
        let route = self.routes.get(kind / METHODS.len());
        self.family.get_or_create_owned(&[
            ("method", METHODS[kind % METHODS.len()].to_owned()),
            (
                "route",
                route.map_or_else(|| "other".to_owned(), String::clone),
            ),
            ("class", CLASSES[class].to_owned()),
        ])
    }
}
