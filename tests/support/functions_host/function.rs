//! The folder's functions and their triggers.

use std::fs;
use std::path::Path;

use http::Method;
use serde_json::Value;

use super::route::Route;
use super::settings::HostFile;

/// A folder with a `function.json`.
#[derive(Debug, Clone)]
pub(crate) struct Function {
    /// The folder's name.
    pub(crate) name: String,
    pub(crate) trigger: Trigger,
}

#[derive(Debug, Clone)]
pub(crate) enum Trigger {
    /// It also answers by HTTP.
    Http {
        route: Route,
        methods: Vec<Method>,
        anonymous: bool,
    },
    Timer {
        /// The name of the trigger's value.
        binding: String,
    },
}

/// Every function, ordered by route precedence.
pub(super) fn read(root: &Path, host: &HostFile) -> Vec<Function> {
    let folders = fs::read_dir(root).unwrap().map(|it| it.unwrap().path());
    let mut found: Vec<Function> = folders
        .filter_map(|folder| {
            let text = fs::read(folder.join("function.json")).ok()?;
            let name = folder.file_name()?.to_str()?.to_owned();
            let file: Value = serde_json::from_slice(&text).unwrap();
            let trigger = Trigger::of(&name, &file["bindings"], host);
            Some(Function { name, trigger })
        })
        .collect();
    found.sort_by_key(|function| match &function.trigger {
        Trigger::Http { route, .. } => (0, Some(route.precedence()), function.name.clone()),
        Trigger::Timer { .. } => (1, None, function.name.clone()),
    });
    found
}

/// The function that matches the route and method of a request.
pub(super) fn of_request<'a>(
    functions: &'a [Function],
    method: &Method,
    path: &str,
) -> Option<&'a Function> {
    functions.iter().find(|function| match &function.trigger {
        Trigger::Http { route, methods, .. } => methods.contains(method) && route.fits(path),
        Trigger::Timer { .. } => false,
    })
}

impl Trigger {
    fn of(name: &str, bindings: &Value, host: &HostFile) -> Self {
        let bindings = bindings.as_array().unwrap();
        let kinds: Vec<&str> = bindings
            .iter()
            .map(|it| it["type"].as_str().unwrap())
            .collect();
        match kinds[..] {
            ["httpTrigger", "http"] => Self::http(name, &bindings[0], host),
            ["timerTrigger"] => Self::timer(name, &bindings[0]),
            _ => panic!("{name}: the process is called in another way for {kinds:?}"),
        }
    }

    fn http(name: &str, trigger: &Value, host: &HostFile) -> Self {
        let methods = trigger["methods"].as_array().unwrap().iter();
        let methods = methods.map(|it| it.as_str().unwrap().to_uppercase().parse().unwrap());
        Self::Http {
            route: Route::parse(
                &host.route_prefix,
                trigger["route"].as_str().unwrap_or(name),
            ),
            methods: methods.collect(),
            anonymous: trigger["authLevel"] == "anonymous",
        }
    }

    fn timer(name: &str, trigger: &Value) -> Self {
        let schedule = trigger["schedule"].as_str().unwrap();
        let fields = schedule.split_whitespace().count();
        assert_eq!(fields, 6, "{name}: the host doesn't take this function");
        Self::Timer {
            binding: trigger["name"].as_str().unwrap().to_owned(),
        }
    }
}
