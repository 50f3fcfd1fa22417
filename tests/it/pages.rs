//! Links and citations in the repository's pages: each must have a target in the repository.
//!
//! Pages, and only pages, have names in capitals, as in `README.md`. So such a name is a citation wherever it occurs:
//! in a page, a comment or a text that the program prints. A citation is the page's path from the repository root or
//! from the citing file; a heading that follows in quotes must exist on the page.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

/// Names in capitals that aren't pages, without their `.md`, by the file that contains them: files in other
/// repositories and in temporary folders of tests.
const NO_PAGES: &[(&str, &str)] = &[("tests/it/git_sync/hostile.rs", "codex-miroir/README")];

/// Files that other tools generate.
const GENERATED: [&str; 2] = ["Cargo.lock", "tests/package-lock.json"];

/// Every tracked text file, by its path from the repository root.
type Texts = BTreeMap<String, String>;

fn texts() -> Texts {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let listed = Command::new("git")
        .args(["ls-files", "-z"])
        .current_dir(top)
        .output()
        .unwrap();
    assert!(listed.status.success(), "the project is a git repository");
    let names = String::from_utf8(listed.stdout).unwrap();
    let names = names.split('\0').filter(|name| !name.is_empty());
    // Git lists a removed file until the removal is committed; a picture isn't UTF-8.
    let text = |name: &str| String::from_utf8(std::fs::read(top.join(name)).ok()?).ok();
    let texts = names.filter(|name| !GENERATED.contains(name));
    texts
        .filter_map(|name| Some((name.to_owned(), text(name)?)))
        .collect()
}

/// Whether the path is a page's. `NNNN` is a placeholder for a task's number.
fn is_page(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or_default();
    let stem = name.strip_suffix(".md").unwrap_or_default();
    let is_name = stem.bytes().all(|c| c.is_ascii_uppercase() || c == b'_');
    is_name && stem.len() >= 3 && stem != "NNNN"
}

/// A page that a text cites.
#[derive(Debug, PartialEq)]
struct Citation<'a> {
    page: &'a str,
    /// The headings cited with it.
    headings: Vec<String>,
}

fn citations(text: &str) -> Vec<Citation<'_>> {
    let in_path = |c: char| c.is_ascii_alphanumeric() || "_-./".contains(c);
    let mut found = vec![];
    for (at, _) in text.match_indices(".md") {
        let end = at + ".md".len();
        let continues = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
        let start = text[..at].trim_end_matches(in_path).len();
        let page = &text[start..end];
        let is_elsewhere = text[..start].ends_with("https:");
        if !text[end..].starts_with(continues) && is_page(page) && !is_elsewhere {
            let headings = quoted_after(&text[end..]);
            found.push(Citation { page, headings });
        }
    }
    found
}

/// The quoted strings in `, "…", "…"`, joined over the lines of a comment.
fn quoted_after(text: &str) -> Vec<String> {
    let mut rest = text.strip_prefix('`').unwrap_or(text);
    let mut found = vec![];
    while let Some(after) = rest.strip_prefix(',') {
        let after = after.trim_start_matches(|c: char| c.is_whitespace() || "/!#*".contains(c));
        let Some((quoted, behind)) = after.strip_prefix('"').and_then(|it| it.split_once('"'))
        else {
            break;
        };
        let words = quoted.split_whitespace();
        let words = words.filter(|word| !["//!", "///", "//", "#"].contains(word));
        found.push(words.collect::<Vec<_>>().join(" "));
        rest = behind;
    }
    found
}

/// Resolves `path` relative to the file `from`, without `.` and `..`; `None` above the repository root.
fn resolve(from: &str, path: &str) -> Option<String> {
    let folder = from.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut parts: Vec<&str> = folder.split('/').filter(|it| !it.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// The text of the page that a citation in `from` refers to.
fn cited_page<'a>(texts: &'a Texts, from: &str, page: &str) -> Option<&'a str> {
    let paths = [resolve(from, page), resolve("", page)];
    let found = paths.iter().flatten().find_map(|it| texts.get(it));
    found.map(String::as_str)
}

/// A page's lines outside fenced code blocks.
fn prose(page: &str) -> impl Iterator<Item = &str> {
    let mut fenced = false;
    page.lines().filter(move |line| {
        let is_fence = line.trim_start().starts_with("```");
        fenced ^= is_fence;
        !fenced && !is_fence
    })
}

fn headings(page: &str) -> Vec<String> {
    let lines = prose(page).filter_map(|line| {
        let text = line.trim_start_matches('#');
        let level = line.len() - text.len();
        ((1..=6).contains(&level) && text.starts_with(' ')).then(|| text.trim().replace('`', ""))
    });
    lines.collect()
}

/// The anchors that GitHub generates for a page's headings.
fn anchors(page: &str) -> BTreeSet<String> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let anchors = headings(page).into_iter().map(|heading| {
        let kept = |c: &char| c.is_alphanumeric() || *c == '-' || *c == '_' || *c == ' ';
        let lower = heading.to_lowercase();
        let anchor: String = lower.chars().filter(kept).collect();
        let anchor = anchor.replace(' ', "-");
        let before = counts.entry(anchor.clone()).or_default();
        *before += 1;
        match *before {
            1 => anchor,
            more => format!("{anchor}-{}", more - 1),
        }
    });
    anchors.collect()
}

/// A line's code spans, and the text outside them.
fn split_code(line: &str) -> (Vec<&str>, Vec<&str>) {
    let (mut code, mut text) = (vec![], vec![]);
    for (at, part) in line.split('`').enumerate() {
        if at % 2 == 1 { &mut code } else { &mut text }.push(part);
    }
    (code, text)
}

/// The targets of a page's links, except those to other sites.
fn links(page: &str) -> Vec<String> {
    let mut found = vec![];
    for line in prose(page) {
        // A link's text may contain code spans.
        let line = split_code(line).1.join("");
        let inline = line.split("](").skip(1);
        let inline = inline.filter_map(|it| it.split([')', ' ']).next());
        let defined = line
            .strip_prefix('[')
            .and_then(|it| Some(it.split_once("]: ")?.1));
        found.extend(inline.chain(defined).map(str::to_owned));
    }
    found.retain(|link| {
        !["https:", "http:", "mailto:"]
            .iter()
            .any(|it| link.starts_with(it))
    });
    found
}

/// What is wrong with a link in `from`, if anything.
fn link_fault(texts: &Texts, from: &str, link: &str) -> Option<&'static str> {
    let (path, anchor) = match link.split_once('#') {
        Some((path, anchor)) => (path, Some(anchor)),
        None => (link, None),
    };
    if path.starts_with('/') {
        return Some("begins at the top of something");
    }
    let Some(target) = resolve(from, path) else {
        return Some("leads out of the repository");
    };
    let target = match path.is_empty() {
        true => from,
        false => &target,
    };
    let folder = format!("{target}/");
    let is_folder = target.is_empty() || texts.keys().any(|it| it.starts_with(&folder));
    let is_there = is_folder || texts.contains_key(target) || is_picture(target);
    match (is_there, anchor, texts.get(target)) {
        (false, ..) => Some("leads nowhere"),
        (true, Some(anchor), Some(page)) if !anchors(page).contains(anchor) => {
            Some("names a heading that isn't there")
        }
        (true, Some(_), None) => Some("names a heading of what is no page"),
        _ => None,
    }
}

/// Whether the path is a picture, which isn't among the texts.
fn is_picture(path: &str) -> bool {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    path.extension().is_some_and(|it| it == "png") && path.is_file()
}

/// The tests that a page cites, with or without their module. Only metrics have names as long, and those begin with
/// `codex_`.
fn tests_named(page: &str) -> Vec<&str> {
    let in_name = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'_';
    let mut found = vec![];
    for line in prose(page) {
        let (code, _) = split_code(line);
        let names = code.into_iter().filter_map(|it| it.rsplit("::").next());
        let names = names.filter(|it| it.bytes().all(in_name) && !it.starts_with("codex_"));
        found.extend(names.filter(|it| it.matches('_').count() >= 4));
    }
    found
}

fn pages(texts: &Texts) -> impl Iterator<Item = (&str, &str)> {
    let pages = texts.iter().filter(|(path, _)| path.ends_with(".md"));
    pages.map(|(path, text)| (path.as_str(), text.as_str()))
}

#[test]
fn every_page_is_called_in_capitals() {
    let texts = texts();
    let others: Vec<&str> = pages(&texts)
        .map(|(path, _)| path)
        .filter(|path| !is_page(path))
        .collect();
    assert!(others.is_empty(), "{others:?}");
}

#[test]
fn every_link_of_a_page_leads_to_a_file_and_a_heading() {
    let texts = texts();
    let (mut seen, mut wrong) = (0, vec![]);
    for (path, page) in pages(&texts) {
        for link in links(page) {
            seen += 1;
            if let Some(fault) = link_fault(&texts, path, &link) {
                wrong.push(format!("{path}: {link} {fault}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(seen > 50, "only {seen} links were found");
}

#[test]
fn every_page_is_found_by_links_from_the_first_one() {
    let texts = texts();
    let mut found = BTreeSet::from(["README.md".to_owned()]);
    let mut left: Vec<String> = found.iter().cloned().collect();
    while let Some(path) = left.pop() {
        for link in texts.get(&path).into_iter().flat_map(|page| links(page)) {
            let to = resolve(&path, link.split('#').next().unwrap_or_default());
            let page = to.filter(|it| is_page(it) && found.insert(it.clone()));
            left.extend(page);
        }
    }
    let lost: Vec<&str> = pages(&texts)
        .map(|(path, _)| path)
        .filter(|path| !found.contains(*path))
        .collect();
    assert!(lost.is_empty(), "{lost:?}");
}

#[test]
fn every_citation_names_a_page_and_a_heading_that_are_there() {
    let texts = texts();
    let (mut seen, mut wrong) = (0, vec![]);
    let mut unused: BTreeSet<_> = NO_PAGES.iter().collect();
    for (path, text) in &texts {
        for Citation { page, headings: on } in citations(text) {
            if let Some(it) = NO_PAGES
                .iter()
                .find(|it| **it == (path, &page[..page.len() - 3]))
            {
                unused.remove(it);
                continue;
            }
            seen += 1;
            let Some(found) = cited_page(&texts, path, page) else {
                wrong.push(format!("{path}: {page} isn't in the repository"));
                continue;
            };
            let there = headings(found);
            let missing = on.iter().filter(|it| !there.contains(it));
            wrong.extend(missing.map(|it| format!("{path}: {page} has no heading {it:?}")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(unused.is_empty(), "no longer there: {unused:?}");
    assert!(seen > 50, "only {seen} citations were found");
}

#[test]
fn every_test_that_a_page_names_is_there() {
    let texts = texts();
    let sources = texts.iter().filter(|(path, _)| path.ends_with(".rs"));
    let sources: Vec<&str> = sources.map(|(_, text)| text.as_str()).collect();
    let is_there = |name: &str| {
        let function = format!("fn {name}(");
        let generic = format!("fn {name}<");
        let mut sources = sources.iter();
        sources.any(|it| it.contains(&function) || it.contains(&generic))
    };
    let (mut seen, mut wrong) = (0, vec![]);
    for (path, page) in pages(&texts) {
        for name in tests_named(page) {
            seen += 1;
            if !is_there(name) {
                wrong.push(format!("{path}: {name}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(seen > 30, "only {seen} names were found");
}

#[test]
fn each_licence_that_the_manifest_names_lies_beside_it() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    assert_eq!(env!("CARGO_PKG_LICENSE"), "MIT OR Apache-2.0");
    let text = |name: &str| std::fs::read_to_string(top.join(name)).unwrap();
    let mit = text("LICENSE-MIT");
    assert!(mit.starts_with("Copyright (c) The CodexMiroir contributors\n\nPermission is hereby"));
    let apache = text("LICENSE-APACHE");
    assert!(apache.contains("Apache License") && apache.contains("Version 2.0, January 2004"));
    assert!(apache.contains("END OF TERMS AND CONDITIONS"));
}

/// Tests the helpers: no test above may pass because a helper finds nothing.
#[test]
fn what_leads_nowhere_is_noticed() {
    const MD: &str = ".md";
    let top = format!("README{MD}");
    let page = "# Top\n\n## A `b`, c\n\n```text\n# no heading\n[x](no-link)\n```\n\n## A b c\n";
    let texts = Texts::from([
        (format!("README{MD}"), page.to_owned()),
        (format!("src/a/README{MD}"), "# Of a\n".to_owned()),
        ("src/a/mod.rs".to_owned(), String::new()),
    ]);
    assert_eq!(headings(page), ["Top", "A b, c", "A b c"]);
    assert!(anchors(page).contains("a-b-c") && anchors(page).contains("a-b-c-1"));

    let text =
        format!("//! See (`src/a/README{MD}`, \"Of\n//! a\", \"B\"), README{MD}x and 00-A{MD}.");
    let found = citations(&text);
    let page = format!("src/a/README{MD}");
    let headings = vec!["Of a".to_owned(), "B".to_owned()];
    assert_eq!(
        found,
        [Citation {
            page: &page,
            headings
        }]
    );
    let nowhere = format!("NOWHERE{MD}");
    assert_eq!(citations(&format!("({nowhere} 4)"))[0].page, nowhere);
    assert_eq!(citations(&format!("https://example.com/a/{nowhere}")), []);
    assert_eq!(cited_page(&texts, "src/a/mod.rs", &nowhere), None);
    assert_eq!(
        cited_page(&texts, "src/a/mod.rs", &format!("README{MD}")),
        Some("# Of a\n")
    );
    assert_eq!(cited_page(&texts, "src/b.rs", &page), Some("# Of a\n"));

    let page = "[a](b) `[c](d)` [`e`](f#g \"h\") <x> [i](https://j)\n[k]: l\n";
    assert_eq!(links(page), ["b", "f#g", "l"]);
    let from = format!("src/a/README{MD}");
    let fault = |link: &str| link_fault(&texts, &from, link);
    for right in [
        "mod.rs",
        "..",
        "#of-a",
        "../../{top}#a-b-c-1",
        "../a/{top}#of-a",
    ] {
        assert_eq!(fault(&right.replace("{top}", &top)), None, "{right}");
    }
    for wrong in [
        "read.rs",
        "../../../x",
        "#b",
        "../../{top}#b",
        "/src/a",
        "mod.rs#b",
    ] {
        assert!(fault(&wrong.replace("{top}", &top)).is_some(), "{wrong}");
    }
    let page = "`a_test_with_a_name` `it::a_test_with_another_name` `a_b` `A_TEST_WITH_A_NAME`";
    let named = ["a_test_with_a_name", "a_test_with_another_name"];
    assert_eq!(tests_named(page), named);
}
