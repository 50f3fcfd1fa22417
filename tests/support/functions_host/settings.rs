//! `host.json` and `local.settings.json`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;

use super::Form;

/// The part of `host.json` that concerns a custom handler.
#[derive(Debug, Clone)]
pub(super) struct HostFile {
    /// Relative to the app root.
    pub(super) executable: String,
    pub(super) arguments: Vec<String>,
    /// The prefix of every route, `api` by default.
    pub(super) route_prefix: String,
    proxying: bool,
    forwarding: bool,
}

impl HostFile {
    pub(super) fn read(root: &Path) -> Self {
        let file: Value =
            serde_json::from_slice(&fs::read(root.join("host.json")).unwrap()).unwrap();
        assert_eq!(file["version"], "2.0");
        let handler = &file["customHandler"];
        let description = &handler["description"];
        let arguments = description["arguments"].as_array().into_iter().flatten();
        let prefix = &file["extensions"]["http"]["routePrefix"];
        Self {
            executable: description["defaultExecutablePath"]
                .as_str()
                .unwrap()
                .to_owned(),
            arguments: arguments
                .map(|it| it.as_str().unwrap().to_owned())
                .collect(),
            route_prefix: prefix.as_str().unwrap_or("api").to_owned(),
            proxying: handler["enableProxyingHttpRequest"] == true,
            forwarding: handler["enableForwardingHttpRequest"] == true,
        }
    }
}

impl HostFile {
    /// The form in which a host forwards requests if `newest` is the newest form that it knows.
    pub(super) fn form(&self, newest: Form) -> Form {
        match newest {
            Form::Proxied if self.proxying => Form::Proxied,
            _ if self.forwarding => Form::Legacy,
            _ => panic!("host.json asks for the JSON form, which no handler here understands"),
        }
    }
}

/// A folder's app settings; a folder that was unpacked from an archive has none.
pub(super) fn of_app(root: &Path) -> BTreeMap<String, String> {
    let Ok(bytes) = fs::read(root.join("local.settings.json")) else {
        return BTreeMap::new();
    };
    let file: Value = serde_json::from_slice(&bytes).unwrap();
    let values = file["Values"].as_object().unwrap().iter();
    let values = values.map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned()));
    values.collect()
}
