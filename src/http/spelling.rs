//! How paths are spelled. A Functions host finds a function by its route in any letter case, and with a slash at its
//! end, and hands on the path as it came: such a path is answered as the route it means.

use axum::extract::Request;
use http::Uri;
use http::uri::PathAndQuery;

/// Every route's path as the router has it, part by part.
pub(super) struct Spelling(Vec<Vec<Part>>);

enum Part {
    Literal(String),
    /// Whatever a client names, such as a task.
    Named,
}

impl Spelling {
    /// `routes` are the router's paths, as in `/api/tasks/{id}`.
    pub(super) fn of<'a>(routes: impl IntoIterator<Item = &'a str>) -> Self {
        let part = |part: &str| match part.starts_with('{') {
            true => Part::Named,
            false => Part::Literal(part.to_owned()),
        };
        let parts = |route: &'a str| parts(route).map(part).collect();
        Self(routes.into_iter().map(parts).collect())
    }

    /// The request with the path of the route it means. What a client names stays as it is.
    pub(super) fn correct(&self, mut request: Request) -> Request {
        let path = request.uri().path();
        let is_plain = !path.bytes().any(|c| c.is_ascii_uppercase())
            && (path.len() == 1 || !path.ends_with('/'));
        if !is_plain
            && let Some(meant) = self.meant(path)
            && let Some(uri) = with_path(request.uri(), &meant)
        {
            *request.uri_mut() = uri;
        }
        request
    }

    fn meant(&self, path: &str) -> Option<String> {
        let given: Vec<&str> = parts(path.strip_suffix('/').unwrap_or(path)).collect();
        let is_it = |route: &&Vec<Part>| {
            let mut pairs = route.iter().zip(&given);
            route.len() == given.len()
                && pairs.all(|(part, given)| match part {
                    Part::Literal(part) => part.eq_ignore_ascii_case(given),
                    Part::Named => !given.is_empty(),
                })
        };
        let route = self.0.iter().find(is_it)?;
        let spelled = route.iter().zip(&given).map(|(part, given)| match part {
            Part::Literal(part) => part.as_str(),
            Part::Named => given,
        });
        Some(spelled.flat_map(|part| ["/", part]).collect())
    }
}

fn parts(path: &str) -> impl Iterator<Item = &str> {
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
