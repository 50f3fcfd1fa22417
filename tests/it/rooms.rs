//! Allowed imports between the "rooms", the top-level modules of `src`: the dependencies have no cycle. `user` and
//! `now` are plain values that many rooms pass on. Type names are unique in the crate.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Each room with the rooms it may name after `crate::`.
const ALLOWED: &[(&str, &[&str])] = &[
    (
        "admin",
        &[
            "codex", "config", "git_sync", "store", "task", "now", "user",
        ],
    ),
    (
        "cache",
        &[
            "context", "rules", "store", "task", "timeline", "view", "now", "user",
        ],
    ),
    (
        "codex",
        &[
            "cache", "context", "git_sync", "metrics", "rules", "store", "task", "timeline",
            "view", "now", "user",
        ],
    ),
    ("config", &["net", "user"]),
    ("context", &["now", "user"]),
    ("demo", &["store", "task", "user"]),
    ("functions", &[]),
    (
        "git_sync",
        &[
            "cache", "context", "github", "rules", "store", "task", "now", "user",
        ],
    ),
    ("github", &["config", "metrics", "net", "task", "user"]),
    (
        "http",
        &[
            "codex",
            "config",
            "context",
            "functions",
            "git_sync",
            "github",
            "metrics",
            "net",
            "owners",
            "task",
            "view",
            "web",
            "now",
            "user",
        ],
    ),
    ("metrics", &[]),
    ("net", &[]),
    ("now", &[]),
    ("owners", &["context", "store", "now", "user"]),
    ("rules", &[]),
    ("store", &["config", "metrics", "net", "user"]),
    ("task", &["config"]),
    ("telemetry", &["config", "context", "metrics"]),
    ("timeline", &["task"]),
    ("user", &[]),
    ("view", &["timeline", "task", "user"]),
    ("web", &["view"]),
];

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut found = Vec::new();
    for path in entries {
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

/// `src/cache/read.rs` is in the room `cache`; `lib.rs`, `main.rs` and the modules of its commands are in none.
fn room(src: &Path, file: &Path) -> Option<String> {
    let first = file
        .strip_prefix(src)
        .unwrap()
        .iter()
        .next()
        .unwrap()
        .to_str()
        .unwrap();
    let room = first.strip_suffix(".rs").unwrap_or(first);
    (!["lib", "main", "operator", "serve"].contains(&room)).then(|| room.to_owned())
}

/// Every room named in `text` after `crate::`, grouped imports included.
fn imported_rooms(text: &str) -> Vec<String> {
    let word = |text: &str| {
        text.chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_')
            .collect::<String>()
    };
    let mut rooms = Vec::new();
    for after in text.split("crate::").skip(1) {
        match after.strip_prefix('{') {
            Some(group) => rooms.extend(
                group
                    .split('}')
                    .next()
                    .unwrap()
                    .split(',')
                    .map(|item| word(item.trim())),
            ),
            None => rooms.push(word(after)),
        }
    }
    rooms
}

#[test]
fn rooms_import_only_what_the_table_allows() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut seen = 0;
    for file in sources(&src) {
        let Some(room) = room(&src, &file) else {
            continue;
        };
        let allowed = ALLOWED.iter().find(|(name, _)| *name == room);
        let (_, allowed) = allowed.unwrap_or_else(|| panic!("{room} is in no row of the table"));
        for other in imported_rooms(&fs::read_to_string(&file).unwrap()) {
            seen += 1;
            assert!(
                other == room || allowed.contains(&other.as_str()),
                "{} names crate::{other}",
                file.display()
            );
        }
    }
    assert!(seen > 50, "only {seen} imports were found");
}

#[test]
fn the_clock_is_read_at_the_edge_only() {
    // Elapsed waits (`lock`, `transport`) and call durations (`calls`); the dates of JWTs (`app`) and of signatures
    // (`shared_key`); token expiry (`identity`); log timestamps (`format`) and limits on log lines (`connections`).
    const MAY: [&str; 14] = [
        "azure/identity.rs",
        "azure/shared_key.rs",
        "github/app.rs",
        "github/transport.rs",
        "http/extract.rs",
        "main.rs",
        "directory/lock.rs",
        "metrics/calls.rs",
        "src/now.rs",
        "src/operator.rs",
        "src/serve.rs",
        "serve/connections.rs",
        "serve/idle_timer.rs",
        "telemetry/format.rs",
    ];
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for file in sources(&src) {
        let text = fs::read_to_string(&file).unwrap();
        let may = MAY.iter().any(|edge| file.ends_with(edge));
        for clock in [
            "Utc::now()",
            "SystemTime::now()",
            "Instant::now()",
            "Local::now()",
            "DateTime::now_utc()",
            "Now::read",
        ] {
            assert!(
                may || !text.contains(clock),
                "{} reads {clock}",
                file.display()
            );
        }
    }
}

/// The type that a line declares. An unindented or public `type` is an alias; another one is an associated type, whose
/// name a trait fixes.
fn declared_type(line: &str) -> Option<&str> {
    let item = line.trim_start();
    let (is_public, item) = match item.strip_prefix("pub") {
        Some(rest) if rest.starts_with(' ') => (true, rest),
        Some(rest) if rest.starts_with('(') => (true, rest.split_once(')')?.1),
        _ => (false, item),
    };
    let item = item.trim_start();
    let (keyword, rest) = item
        .strip_prefix("unsafe ")
        .unwrap_or(item)
        .split_once(' ')?;
    match keyword {
        "struct" | "enum" | "trait" | "union" => {}
        "type" if is_public || !line.starts_with(' ') => {}
        _ => return None,
    }
    let name = rest
        .split(|c: char| !c.is_alphanumeric() && c != '_')
        .next()?;
    (!name.is_empty()).then_some(name)
}

#[test]
fn no_type_name_is_declared_twice() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut declared: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    for file in sources(&src) {
        let text = fs::read_to_string(&file).unwrap();
        for name in text.lines().filter_map(declared_type) {
            let files = declared.entry(name.to_owned()).or_default();
            files.push(file.strip_prefix(&src).unwrap().to_owned());
        }
    }
    assert!(declared.len() > 200, "only {} types", declared.len());
    declared.retain(|_, files| files.len() > 1);
    assert!(declared.is_empty(), "{declared:#?}");
}
