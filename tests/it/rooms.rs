//! Allowed imports between the "rooms", the top-level modules of `src`: the dependencies have no cycle. `user` and
//! `now` are plain values that many rooms pass on. The files have no cycle either, and none imports from one above it.
//! Type names are unique in the crate, and each type has its `impl` blocks in two files at most.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, Spacing, TokenStream, TokenTree};

/// Each room with the rooms it may name after `crate::`.
const ALLOWED: &[(&str, &[&str])] = &[
    (
        "admin",
        &[
            "codex",
            "config",
            "git_sync",
            "github",
            "owners",
            "shared_cache",
            "store",
            "task",
            "now",
            "user",
        ],
    ),
    (
        "cache",
        &[
            "context",
            "per_user",
            "rules",
            "shared_cache",
            "spans",
            "store",
            "task",
            "timeline",
            "user_state",
            "view",
            "now",
            "user",
        ],
    ),
    (
        "codex",
        &[
            "cache",
            "git_sync",
            "metrics",
            "owners",
            "revalidated",
            "rules",
            "shared_cache",
            "spans",
            "store",
            "task",
            "timeline",
            "user_state",
            "view",
            "write",
            "now",
            "user",
        ],
    ),
    ("config", &["net", "user"]),
    ("context", &["now", "spans", "user"]),
    ("demo", &["store", "task", "user"]),
    ("functions", &[]),
    (
        "git_sync",
        &[
            "cache",
            "context",
            "github",
            "owners",
            "per_user",
            "rules",
            "spans",
            "store",
            "task",
            "user_state",
            "write",
            "now",
            "user",
        ],
    ),
    (
        "github",
        &["config", "metrics", "net", "spans", "task", "user"],
    ),
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
            "revalidated",
            "spans",
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
    ("owners", &["revalidated", "store", "now", "user"]),
    ("per_user", &["user"]),
    ("revalidated", &["context"]),
    ("rules", &[]),
    (
        "shared_cache",
        &[
            "config",
            "metrics",
            "net",
            "store",
            "user_state",
            "now",
            "user",
        ],
    ),
    ("spans", &[]),
    (
        "store",
        &[
            "config",
            "metrics",
            "net",
            "revalidated",
            "spans",
            "task",
            "user",
        ],
    ),
    ("task", &["config"]),
    (
        "telemetry",
        &["config", "context", "metrics", "net", "spans"],
    ),
    ("timeline", &["task"]),
    ("user", &[]),
    (
        "user_state",
        &[
            "context", "per_user", "rules", "store", "task", "now", "user",
        ],
    ),
    ("view", &["timeline", "task", "user"]),
    ("web", &["view"]),
    (
        "write",
        &[
            "cache",
            "context",
            "per_user",
            "rules",
            "store",
            "task",
            "user_state",
            "now",
            "user",
        ],
    ),
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
    (!["lib", "main", "operator", "serve", "wiring"].contains(&room)).then(|| room.to_owned())
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
        "telemetry/format.rs",
        "src/wiring.rs",
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

/// Every file of `src` by its name there, with its text.
fn texts() -> BTreeMap<String, String> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let name = |file: &Path| {
        let parts = file.strip_prefix(&src).unwrap().iter();
        parts
            .map(|part| part.to_str().unwrap())
            .collect::<Vec<_>>()
            .join("/")
    };
    let files = sources(&src);
    let text = |file: &PathBuf| (name(file), fs::read_to_string(file).unwrap());
    files.iter().map(text).collect()
}

/// The tokens of a text: no comments, and a string is one token.
fn tokens(text: &str) -> Vec<TokenTree> {
    let stream: TokenStream = text.parse().unwrap();
    stream.into_iter().collect()
}

/// A module's path, its crate first: `[lib, cache, read]`.
type ModulePath = Vec<String>;

/// The module of a file of `src`; `main.rs` has declared the modules in `of_main`.
fn module(file: &str, of_main: &[&str]) -> ModulePath {
    let path = file.strip_suffix(".rs").unwrap();
    let mut module: ModulePath = path.split('/').map(str::to_owned).collect();
    module.pop_if(|last| last == "mod");
    if !["lib", "main"].contains(&path) {
        let is_main = of_main.contains(&module[0].as_str());
        module.insert(0, if is_main { "main" } else { "lib" }.to_owned());
    }
    module
}

/// The paths of the use trees in `tokens`, which commas part: `a::{b, c::*}` is `a::b` and `a::c`.
fn use_paths(tokens: &[TokenTree], before: &[String], paths: &mut Vec<ModulePath>) {
    for tree in tokens.split(|token| token.to_string() == ",") {
        let mut path = before.to_vec();
        let mut is_group = false;
        for token in tree {
            match token {
                TokenTree::Ident(word) if word == "as" => break,
                TokenTree::Ident(word) => path.push(word.to_string()),
                TokenTree::Punct(mark) if mark.as_char() == '*' => path.push("*".to_owned()),
                TokenTree::Group(group) => {
                    is_group = true;
                    let inner: Vec<TokenTree> = group.stream().into_iter().collect();
                    use_paths(&inner, &path, paths);
                }
                _ => {}
            }
        }
        if !is_group && !tree.is_empty() {
            paths.push(path);
        }
    }
}

/// The words of the path that `tokens` begins with.
fn leading_path(tokens: &[TokenTree]) -> ModulePath {
    let mut path = Vec::new();
    let mut rest = tokens;
    while let [TokenTree::Ident(word), after @ ..] = rest {
        path.push(word.to_string());
        rest = match after {
            [TokenTree::Punct(one), TokenTree::Punct(two), rest @ ..]
                if one.as_char() == ':'
                    && one.spacing() == Spacing::Joint
                    && two.as_char() == ':' =>
            {
                rest
            }
            _ => break,
        };
    }
    path
}

/// The paths from the crate's root that code in the module `here` names, each with the way it is written.
fn named_paths(tokens: &[TokenTree], here: &[String], found: &mut Vec<(ModulePath, String)>) {
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        let rest = &tokens[at + 1..];
        at += 1;
        let mut written = Vec::new();
        match (token, rest) {
            (TokenTree::Ident(word), [TokenTree::Ident(name), body, ..]) if word == "mod" => {
                let inner = [here, &[name.to_string()]].concat();
                if let TokenTree::Group(body) = body {
                    let body: Vec<TokenTree> = body.stream().into_iter().collect();
                    named_paths(&body, &inner, found);
                } else {
                    found.push((inner, format!("mod {name}")));
                }
                at += 2;
            }
            // Who may see an item, which may name a module: `pub(in crate::cache)`.
            (TokenTree::Ident(word), [TokenTree::Group(seen_by), ..])
                if word == "pub" && seen_by.delimiter() == Delimiter::Parenthesis =>
            {
                at += 1;
            }
            (TokenTree::Ident(word), [TokenTree::Ident(_), ..]) if word == "use" => {
                let end = rest.iter().position(|token| token.to_string() == ";");
                let tree = &rest[..end.unwrap_or(0)];
                use_paths(tree, &[], &mut written);
                at += tree.len();
            }
            (TokenTree::Ident(_), _) => {
                let path = leading_path(&tokens[at - 1..]);
                // The path's words and the two colons between each.
                at += (path.len() - 1) * 3;
                written.push(path);
            }
            (TokenTree::Group(group), _) => {
                let inner: Vec<TokenTree> = group.stream().into_iter().collect();
                named_paths(&inner, here, found);
            }
            _ => {}
        }
        for path in written {
            let ups = path.iter().take_while(|word| *word == "super").count();
            let (start, skipped) = match path.first().map(String::as_str) {
                Some("crate") => (1, 1),
                Some("self") => (here.len(), 1),
                Some("super") => (here.len() - ups, ups),
                _ => continue,
            };
            let from_root = [&here[..start], &path[skipped..]].concat();
            if path.len() > 1 {
                found.push((from_root, path.join("::")));
            }
        }
    }
}

/// For each file, the files that it names or declares, with the ways that is written.
type FileGraph = BTreeMap<String, BTreeMap<String, BTreeSet<String>>>;

/// A file's path leads to the last module in it. So an item is looked for where the importing file says it is, and
/// not where that module has it from: an import of what `mod.rs` re-exports goes to `mod.rs`.
fn file_graph(texts: &BTreeMap<String, String>) -> FileGraph {
    let main = texts.get("main.rs").map_or("", String::as_str);
    let of_main: Vec<&str> = main
        .lines()
        .filter_map(|line| line.strip_prefix("mod ")?.strip_suffix(';'))
        .collect();
    let files: BTreeMap<ModulePath, &String> = texts
        .keys()
        .map(|name| (module(name, &of_main), name))
        .collect();
    let mut graph = FileGraph::new();
    for (here, name) in &files {
        let mut found = Vec::new();
        named_paths(&tokens(&texts[*name]), here, &mut found);
        let named = graph.entry((*name).clone()).or_default();
        for (path, written) in found {
            let mut prefixes = (1..=path.len()).rev();
            let other = prefixes
                .find_map(|words| files.get(&path[..words]))
                .unwrap();
            if other != name {
                named.entry((*other).clone()).or_default().insert(written);
            }
        }
    }
    graph
}

/// The groups of files of which each reaches each other, with the imports inside them, a line each.
fn circles(graph: &FileGraph) -> BTreeMap<BTreeSet<&String>, String> {
    let reached = |from: &String| {
        let mut reached: BTreeSet<&String> = BTreeSet::new();
        let mut next: Vec<&String> = graph[from].keys().collect();
        while let Some(file) = next.pop() {
            if reached.insert(file) {
                next.extend(graph[file].keys());
            }
        }
        reached
    };
    let reached: BTreeMap<&String, BTreeSet<&String>> =
        graph.keys().map(|file| (file, reached(file))).collect();
    let mut circles = BTreeMap::new();
    for (file, others) in &reached {
        let circle: BTreeSet<&String> = others
            .iter()
            .copied()
            .filter(|other| reached[other].contains(file))
            .collect();
        let mut imports = String::new();
        for file in &circle {
            for (other, written) in &graph[*file] {
                if circle.contains(other) {
                    writeln!(imports, "  {file} names {other}: {written:?}").unwrap();
                }
            }
        }
        circles.insert(circle, imports);
    }
    circles.remove(&BTreeSet::new());
    circles
}

#[test]
fn no_file_imports_back_up() {
    let graph = file_graph(&texts());
    let imports: usize = graph.values().map(BTreeMap::len).sum();
    assert!(imports > 500, "only {imports} imports were found");
    let circles = circles(&graph);
    let report: Vec<&str> = circles.values().map(String::as_str).collect();
    assert!(circles.is_empty(), "circles:\n{}", report.join("\n"));
}

#[test]
fn an_import_is_found_in_each_form() {
    let imports = |text: &str| {
        let mut texts: BTreeMap<String, String> =
            ["a/b.rs", "a/c.rs", "a/c/d.rs", "a/mod.rs", "e.rs", "lib.rs"]
                .map(|name| (name.to_owned(), String::new()))
                .into();
        texts.insert("a/c/d.rs".to_owned(), text.to_owned());
        let graph = file_graph(&texts);
        graph["a/c/d.rs"]
            .keys()
            .cloned()
            .collect::<Vec<_>>()
            .join(" ")
    };
    for (text, files) in [
        ("use super::super::b::Thing;", "a/b.rs"),
        ("use super::Thing as Other;", "a/c.rs"),
        ("use super::*;", "a/c.rs"),
        (
            "pub(super) use crate::{\n    a::{\n        self, b,\n    },\n    e::{Thing, other::*},\n};",
            "a/b.rs a/mod.rs e.rs",
        ),
        (
            "fn f(x: &crate::e::Thing) -> u8 { super::CONST }",
            "a/c.rs e.rs",
        ),
        (
            "fn f() { g::<crate::e::Thing>(|| vec![super::super::b::f()]) }",
            "a/b.rs e.rs",
        ),
        ("macro_rules! m { () => { $crate::e::f() } }", "e.rs"),
        (
            "#[cfg(feature = \"x\")] mod inner { use super::Thing; fn f() { super::super::f() } }",
            "a/c.rs",
        ),
        ("use crate::Thing;", "lib.rs"),
        (
            "//! See [`crate::e`].\n/* crate::e */ pub(in crate::a) fn f() -> &str { self.x; \"crate::e::f()\" }",
            "",
        ),
        ("use std::e; use self::Thing; use e::Other;", ""),
    ] {
        assert_eq!(imports(text), files, "{text}");
    }
}

#[test]
fn a_circle_is_named_with_its_imports() {
    let texts: BTreeMap<String, String> = [
        ("lib.rs", "mod a; mod b; mod c;"),
        ("a.rs", "use crate::b::B;"),
        ("b.rs", "mod d; use crate::c;"),
        ("b/d.rs", "use super::B; use crate::c::C;"),
        ("c.rs", ""),
    ]
    .map(|(name, text)| (name.to_owned(), text.to_owned()))
    .into();
    let graph = file_graph(&texts);
    let circles: Vec<String> = circles(&graph).into_values().collect();
    let expected = "  b.rs names b/d.rs: {\"mod d\"}\n  b/d.rs names b.rs: {\"super::B\"}\n";
    assert_eq!(circles, [expected]);
}

/// The types of the `impl` blocks in `tokens`: of each path the last word outside `<…>`.
fn implemented_types(tokens: &[TokenTree], found: &mut BTreeSet<String>) {
    let mut header = None;
    // No item yet: in an argument's type, `impl` follows other tokens.
    let mut begins = true;
    let mut depth = 0;
    let mut is_arrow = false;
    for token in tokens {
        match token {
            TokenTree::Group(group) => {
                let inner: Vec<TokenTree> = group.stream().into_iter().collect();
                implemented_types(&inner, found);
                if group.delimiter() == Delimiter::Brace {
                    found.extend(header.take().flatten());
                }
            }
            TokenTree::Ident(word) if begins && word == "impl" => {
                header = Some(None);
                depth = 0;
            }
            TokenTree::Ident(word) if depth == 0 && word == "where" => depth = i32::MAX / 2,
            TokenTree::Ident(word) if depth == 0 => {
                let name = (word != "for").then(|| word.to_string());
                header = header.map(|_| name);
            }
            TokenTree::Punct(mark) if mark.as_char() == '<' => depth += 1,
            TokenTree::Punct(mark) if mark.as_char() == '>' && !is_arrow => depth -= 1,
            _ => {}
        }
        begins = match token {
            TokenTree::Group(group) => group.delimiter() != Delimiter::Parenthesis,
            TokenTree::Punct(mark) => mark.as_char() == ';',
            TokenTree::Ident(word) => word == "unsafe",
            TokenTree::Literal(_) => false,
        };
        is_arrow = matches!(token, TokenTree::Punct(mark) if mark.as_char() == '-');
    }
}

#[test]
fn no_type_has_impl_blocks_in_more_than_two_files() {
    let texts = texts();
    let lines = texts.values().flat_map(|text| text.lines());
    let declared: BTreeSet<&str> = lines.filter_map(declared_type).collect();
    let mut files: BTreeMap<String, BTreeSet<&String>> = BTreeMap::new();
    for (name, text) in &texts {
        let mut found = BTreeSet::new();
        implemented_types(&tokens(text), &mut found);
        for of_type in found {
            files.entry(of_type).or_default().insert(name);
        }
    }
    files.retain(|of_type, _| declared.contains(of_type.as_str()));
    assert!(files.len() > 200, "only {} types", files.len());
    files.retain(|_, files| files.len() > 2);
    assert!(files.is_empty(), "{files:#?}");
}

#[test]
fn an_impl_block_is_found_in_each_form() {
    let types = |text: &str| {
        let mut found = BTreeSet::new();
        implemented_types(&tokens(text), &mut found);
        found.into_iter().collect::<Vec<_>>().join(" ")
    };
    for (text, names) in [
        ("impl Thing {}", "Thing"),
        (
            "#[allow(x)]\nimpl<'a, F: Fn() -> u8> Trait<F> for &'a m::Thing<'a, F> where F: Sized {}",
            "Thing",
        ),
        (
            "struct A; unsafe impl Send for A {} impl From<A> for B { fn f(x: impl C) -> impl D {} }",
            "A B",
        ),
        (
            "mod inner { impl Thing { } } fn f() { impl Other for dyn Trait {} }",
            "Thing Trait",
        ),
        ("fn f(x: impl Thing) -> Vec<impl Other> { }", ""),
    ] {
        assert_eq!(types(text), names, "{text}");
    }
}
