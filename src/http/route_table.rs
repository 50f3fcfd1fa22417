//! PURE. The paths of the routes, by which a request's path is normalized and shown in the log.
//!
//! A Functions host matches a function's route in any letter case and with a trailing slash, and forwards the path
//! unchanged; the router matches exactly, so such a path is rewritten to its route first. In the log a path that isn't a
//! route's can hold anything, and a task's stem its title.

use std::fmt;

use axum::extract::Request;
use http::Uri;
use http::uri::PathAndQuery;

/// Every route's path.
#[derive(Debug)]
pub struct RouteTable(Vec<RoutePattern>);

#[derive(Debug)]
struct RoutePattern {
    /// As in `/api/tasks/{id}`.
    text: String,
    segments: Vec<RouteSegment>,
}

#[derive(Debug)]
enum RouteSegment {
    Literal(String),
    /// A task's id or stem.
    Task,
    /// Another parameter.
    Parameter,
}

impl RouteTable {
    /// `routes` are the router's path patterns, as in `/api/tasks/{id}`.
    pub fn of<'a>(routes: impl IntoIterator<Item = &'a str>) -> Self {
        let segment = |segment: &str| match segment {
            "{id}" => RouteSegment::Task,
            parameter if parameter.starts_with('{') => RouteSegment::Parameter,
            literal => RouteSegment::Literal(literal.to_owned()),
        };
        let route = |route: &'a str| RoutePattern {
            text: route.to_owned(),
            segments: segments(route).map(segment).collect(),
        };
        Self(routes.into_iter().map(route).collect())
    }

    /// The path patterns, as in `/api/tasks/{id}`.
    pub fn patterns(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|route| &*route.text)
    }

    /// The path pattern at this position; `None` for a path that no route has.
    pub fn pattern(&self, position: Option<usize>) -> Option<&str> {
        Some(&self.0.get(position?)?.text)
    }

    /// The position, in [`Self::patterns`], of the route of a normalized path.
    pub fn position(&self, path: &str) -> Option<usize> {
        // Most paths have no parameter; comparing them whole is cheaper than by segments.
        let literal = self.0.iter().position(|route| route.text == path);
        let fits = |route: &RoutePattern| route.fits(path, str::eq);
        literal.or_else(|| self.0.iter().position(fits))
    }

    /// Rewrites the path to the matching route's letter case, without a trailing slash. Parameters stay unchanged, and
    /// so does a path that matches no route.
    pub fn normalize(&self, mut request: Request) -> Request {
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
        let path = path.strip_suffix('/').unwrap_or(path);
        let matches = |route: &&RoutePattern| route.fits(path, str::eq_ignore_ascii_case);
        let route = self.0.iter().find(matches)?;
        let normalized = route
            .segments
            .iter()
            .zip(segments(path))
            .map(|(segment, given)| match segment {
                RouteSegment::Literal(literal) => literal.as_str(),
                RouteSegment::Task | RouteSegment::Parameter => given,
            });
        Some(normalized.flat_map(|segment| ["/", segment]).collect())
    }

    /// Writes a path without personal data, for the log: `…` unless it is a route's, of a task's stem only the number, and
    /// `…` for another parameter, such as the address of a calendar, which is a credential.
    pub fn write_loggable(&self, path: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_shown = |route: &&RoutePattern| {
            let mut given = segments(path);
            route
                .segments
                .iter()
                .all(|segment| match (segment, given.next()) {
                    (RouteSegment::Literal(literal), Some(given)) => literal == given,
                    (RouteSegment::Task, Some(given)) => task_number(given).is_some(),
                    (RouteSegment::Parameter, Some(_)) => true,
                    (_, None) => false,
                })
                && given.next().is_none()
        };
        let Some(route) = self.0.iter().find(is_shown) else {
            return f.write_str("…");
        };
        route
            .segments
            .iter()
            .zip(segments(path))
            .try_for_each(|(segment, given)| match (segment, task_number(given)) {
                (RouteSegment::Task, Some((number, ""))) => write!(f, "/{number}"),
                (RouteSegment::Task, Some((number, _))) => write!(f, "/{number}…"),
                (RouteSegment::Parameter, _) => f.write_str("/…"),
                (RouteSegment::Literal(_) | RouteSegment::Task, _) => write!(f, "/{given}"),
            })
    }
}

impl RoutePattern {
    /// Whether the path is this route's, its literals compared by `eq`.
    fn fits(&self, path: &str, eq: impl Fn(&str, &str) -> bool) -> bool {
        let mut given = segments(path);
        let fits = |segment: &RouteSegment| match (segment, given.next()) {
            (RouteSegment::Literal(literal), Some(given)) => eq(literal, given),
            (RouteSegment::Task | RouteSegment::Parameter, Some(given)) => !given.is_empty(),
            (_, None) => false,
        };
        self.segments.iter().all(fits) && given.next().is_none()
    }
}

/// A stem's number and the rest, which begins with a dash.
fn task_number(stem: &str) -> Option<(&str, &str)> {
    stem.split_at_checked(4).filter(|(number, title)| {
        number.bytes().all(|b| b.is_ascii_digit()) && (title.is_empty() || title.starts_with('-'))
    })
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
