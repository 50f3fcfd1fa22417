//! Records examples of requests and answers in a file, which `tests/github-contract.mjs` checks against GitHub's own
//! description of its API.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};

use super::exchange::{Call, Content, Reply};

/// The number of recorded examples of a kind.
const MOST_ALIKE: usize = 20;

/// A longer line is recorded only as the first of its kind.
const LONG: usize = 100_000;

/// The file, created with its first line. The tokens in it are made up.
pub(super) struct Exchanges(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    file: Option<File>,
    alike: HashMap<String, usize>,
    known: HashSet<String>,
}

impl Exchanges {
    pub(super) fn new() -> Self {
        Self(Mutex::default())
    }

    /// Records a request to the API and its answer.
    pub(super) fn note(&self, call: &Call, reply: &Reply) {
        let request: Value = serde_json::from_slice(&call.body).unwrap_or_default();
        let answer = match &reply.content {
            Content::Json(body) => body.clone(),
            _ => Value::Null,
        };
        let route: Vec<&str> = call.segments.iter().map(String::as_str).collect();
        let route = match route.as_slice() {
            ["repos", _, _, "git", part, ..] => format!("git/{part}"),
            ["repos", _, _, part, below @ ..] => format!("{part}/{}", !below.is_empty()),
            _ => call.path.clone(),
        };
        let kind = format!(
            "{} {route} {} {:?} {:?}",
            call.method,
            reply.status,
            members(&request),
            members(&answer)
        );
        let line = json!({
            "method": call.method,
            "path": call.path,
            "query": call.query,
            "request": request,
            "status": reply.status,
            "json": matches!(reply.content, Content::Json(_)),
            "answer": answer,
        });
        self.keep(kind, &line);
    }

    /// Records the payload of a push.
    pub(super) fn delivery(&self, payload: &Value) {
        let kind = format!(
            "push {} {} {} {}",
            payload["created"],
            payload["deleted"],
            payload["forced"],
            payload["commits"] == json!([]),
        );
        self.keep(kind, &json!({ "event": "push", "payload": payload }));
    }

    fn keep(&self, kind: String, line: &Value) {
        let mut inner = self.0.lock().unwrap();
        let alike = inner.alike.entry(kind).or_default();
        if *alike >= MOST_ALIKE {
            return;
        }
        let first = *alike == 0;
        let line = line.to_string();
        if !first && line.len() > LONG {
            return;
        }
        *alike += 1;
        if inner.known.insert(line.clone()) {
            let file = inner.file.get_or_insert_with(open);
            file.write_all(format!("{line}\n").as_bytes()).unwrap();
        }
    }
}

fn open() -> File {
    static LAST: AtomicU32 = AtomicU32::new(0);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("github-exchanges");
    fs::create_dir_all(&folder).unwrap();
    let number = LAST.fetch_add(1, Ordering::Relaxed);
    let name = format!("{}-{number}.jsonl", std::process::id());
    let file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(folder.join(name));
    file.unwrap()
}

fn members(value: &Value) -> Vec<&String> {
    match value {
        Value::Object(members) => members.keys().collect(),
        Value::Array(items) => items.first().map(members).unwrap_or_default(),
        _ => Vec::new(),
    }
}
