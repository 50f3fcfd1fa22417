//! Route templates, and which of several matches takes precedence. PURE.

use percent_encoding::percent_decode_str;

/// A route such as `api/tasks/{id}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Route(Vec<Part>);

/// Ordered by precedence.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Literal(String),
    Parameter,
    Rest,
}

impl Route {
    /// A template below a prefix, which may be empty.
    pub(crate) fn parse(prefix: &str, template: &str) -> Self {
        let parts = [prefix, template].into_iter().flat_map(|it| it.split('/'));
        Self(parts.filter(|it| !it.is_empty()).map(Part::parse).collect())
    }

    /// Segment by segment: a literal takes precedence over a parameter, and that over a catch-all.
    pub(crate) fn precedence(&self) -> impl Ord + use<> {
        let kinds = self.0.iter().map(|part| match part {
            Part::Literal(_) => 1_u8,
            Part::Parameter => 3,
            Part::Rest => 5,
        });
        kinds.collect::<Vec<_>>()
    }

    /// Whether the path matches. Letter case and a trailing `/` make no difference.
    pub(crate) fn fits(&self, path: &str) -> bool {
        let path = segments(path);
        let mut left = path.iter();
        for part in &self.0 {
            let fits = match (part, left.next()) {
                (Part::Rest, _) => return true,
                (Part::Literal(text), Some(segment)) => text.eq_ignore_ascii_case(segment),
                (Part::Parameter, Some(segment)) => !segment.is_empty(),
                (_, None) => false,
            };
            if !fits {
                return false;
            }
        }
        left.next().is_none()
    }
}

impl Part {
    fn parse(text: &str) -> Self {
        match text.strip_prefix('{').and_then(|it| it.strip_suffix('}')) {
            Some(name) if name.starts_with('*') => Self::Rest,
            Some(name) => {
                let plain = name.chars().all(char::is_alphanumeric);
                assert!(plain, "no constraints are known here: {text}");
                Self::Parameter
            }
            None => Self::Literal(text.to_owned()),
        }
    }
}

/// The segments, decoded except for `/`, with `.` and `..` resolved, as the host's server does before it matches
/// routes.
fn segments(path: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for segment in path.strip_prefix('/').unwrap_or(path).split('/') {
        let whole = segment.replace("%2F", "%252F").replace("%2f", "%252f");
        match &*percent_decode_str(&whole).decode_utf8_lossy() {
            "." => {}
            ".." => {
                found.pop();
            }
            segment => found.push(segment.to_owned()),
        }
    }
    if found.last().is_some_and(String::is_empty) {
        found.pop();
    }
    found
}
