//! Path normalization. A Functions host matches a function's route in any letter case and with a trailing slash, and
//! forwards the path unchanged; the router matches exactly, so such a path is rewritten to its route first.

use axum::extract::Request;
use http::Uri;
use http::uri::PathAndQuery;

/// The segments of every route's path.
pub(super) struct PathNormalizer(Vec<Vec<RouteSegment>>);

enum RouteSegment {
    Literal(String),
    /// A parameter, such as a task's id.
    Parameter,
}

impl PathNormalizer {
    /// `routes` are the router's path patterns, as in `/api/tasks/{id}`.
    pub(super) fn of<'a>(routes: impl IntoIterator<Item = &'a str>) -> Self {
        let segment = |segment: &str| match segment.starts_with('{') {
            true => RouteSegment::Parameter,
            false => RouteSegment::Literal(segment.to_owned()),
        };
        let segments = |route: &'a str| segments(route).map(segment).collect();
        Self(routes.into_iter().map(segments).collect())
    }

    /// Rewrites the path to the matching route's letter case, without a trailing slash. Parameters stay unchanged, and
    /// so does a path that matches no route.
    pub(super) fn normalize(&self, mut request: Request) -> Request {
        let path = request.uri().path();
        let is_normalized = !path.bytes().any(|c| c.is_ascii_uppercase())
            && (path.len() == 1 || !path.ends_with('/'));
        if !is_normalized
            && let Some(path) = self.matching_route(path)
            && let Some(uri) = with_path(request.uri(), &path)
        {
            *request.uri_mut() = uri;
        }
        request
    }

    fn matching_route(&self, path: &str) -> Option<String> {
        let given: Vec<&str> = segments(path.strip_suffix('/').unwrap_or(path)).collect();
        let matches = |route: &&Vec<RouteSegment>| {
            let mut pairs = route.iter().zip(&given);
            route.len() == given.len()
                && pairs.all(|(segment, given)| match segment {
                    RouteSegment::Literal(literal) => literal.eq_ignore_ascii_case(given),
                    RouteSegment::Parameter => !given.is_empty(),
                })
        };
        let route = self.0.iter().find(matches)?;
        let normalized = route
            .iter()
            .zip(&given)
            .map(|(segment, given)| match segment {
                RouteSegment::Literal(literal) => literal.as_str(),
                RouteSegment::Parameter => given,
            });
        Some(normalized.flat_map(|segment| ["/", segment]).collect())
    }
}

fn segments(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').skip(1)
}

fn with_path(uri: &Uri, path: &str) -> Option<Uri> {
    let whole = match uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(whole).ok()?);
    Uri::from_parts(parts).ok()
}
