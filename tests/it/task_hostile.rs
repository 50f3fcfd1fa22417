//! Adversarial files: none makes the parser panic, recurse without bound, or take more than linear time.

use std::time::{Duration, Instant};

use codex_miroir::task::{FileName, MAX_FILE_BYTES, Parsed, ProblemCode, parse};
use proptest::prelude::*;

fn name() -> FileName {
    "0042-x.md".parse().unwrap()
}

fn read(text: &str) -> Parsed {
    parse(&name(), text.as_bytes())
}

fn front(lines: &str) -> String {
    format!("---\ntyp: task\nkategorie: arbeit\n{lines}\n---\n\nText\n")
}

/// Random sequences of all tokens that are special in YAML, and of a few that aren't.
fn yaml_soup() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "a",
        "b",
        "key",
        "typ: task",
        ": ",
        ":",
        "- ",
        "-",
        "? ",
        "[",
        "]",
        "{",
        "}",
        ",",
        "'",
        "\"",
        "\\",
        "#",
        " # ",
        "&a",
        "*a",
        "!",
        "!!str",
        "|",
        ">",
        "|-",
        ">2",
        "%",
        "%TAG ! x",
        "@",
        "`",
        "\n",
        "\n",
        "\n  ",
        "\n    ",
        "\r\n",
        "\r",
        " ",
        "\t",
        "---",
        "...",
        "~",
        "null",
        "\u{85}",
        "\u{2028}",
        "\u{FEFF}",
        "é",
        "🎉",
        "\0",
        "\\x4",
        "\\u",
        "<<",
    ]);
    prop::collection::vec(pieces, 0..60).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: crate::support::cases(3_000), ..ProptestConfig::default() })]

    #[test]
    fn reading_never_panics(soup in yaml_soup(), before in ".{0,8}", bytes in prop::collection::vec(any::<u8>(), 0..40)) {
        for text in [format!("---\n{soup}\n---\n\n# {before}"), format!("{before}---{soup}"), front(&soup), soup.clone()] {
            if let Parsed::Unreadable(problem) = read(&text) {
                let lines = text.matches('\n').count() + 1;
                prop_assert!(problem.line.is_some_and(|line| (1..=lines).contains(&(line as usize))), "{:?}", problem);
            }
        }
        let _ = parse(&name(), &[b"---\n".as_slice(), &bytes, b"\n---\n"].concat());
    }
}

/// Texts of about `size` bytes each that make a naive parser slow, deeply recursive or memory-hungry.
fn hostile(size: usize) -> Vec<String> {
    let starts = ["", "a: ", "a:\n  ", "tags:\n- ", "a: {b: ", "a:\n  [["];
    let pieces = [
        "[", "{", "- ", "-\n", "\"", "'", "''", "#", " #", "!", "!!a ", "&a ", "&a [", "*a ", "? ",
        ": ", "a: ", "[a,", "{a: b,", ",", "a,", "a ", "a\n", "\n", " ", "|\n", "%", "\\", "\"\\",
        "é", "\"a\" ", "- - \n", "[]: ", "\r", "\n\t", "[\n\t", "\ta\n", "\ta,\n", "]\n\t", "'a\n",
        "{{", "}}\n",
    ];
    let fill = |start: &&str, piece: &&str| {
        format!("---\n{start}{}\n---\n", piece.repeat(size / piece.len()))
    };
    let yaml = starts
        .iter()
        .flat_map(|start| pieces.iter().map(move |piece| fill(start, piece)));
    let markdown = [
        "> ", "- ", "*a ", "[a](", "![", "`", "<a ", "<!--", "&", "[a]: <", "a\n", "*a_ ",
    ];
    let bodies = markdown
        .iter()
        .map(|piece| front("") + &piece.repeat(size / piece.len()) + "\n\n# x");
    yaml.chain(bodies).collect()
}

#[test]
fn deep_nesting_and_alias_bombs_are_refused() {
    let block: String = (0..10_000)
        .map(|depth| format!("{}a:\n", " ".repeat(depth % 100)))
        .collect();
    let steps: String = (0..1_000)
        .map(|depth| format!("{}a:\n", " ".repeat(depth)))
        .collect();
    let bomb: String = (1..30)
        .map(|n| format!("a{n}: &a{n} [*a{0}, *a{0}]\n", n - 1))
        .collect();
    for yaml in [
        block,
        steps,
        "- ".repeat(10_000),
        "[".repeat(10_000),
        "{a: ".repeat(10_000),
        format!("a0: &a0 x\n{bomb}"),
    ] {
        let Parsed::Unreadable(problem) = read(&format!("---\ntyp: task\nx:\n{yaml}\n---\n"))
        else {
            panic!("{} is read", &yaml[..20]);
        };
        assert_eq!(problem.code, ProblemCode::BadYaml);
    }
}

#[test]
fn a_list_that_never_ends_is_given_up_at_the_bound() {
    let Parsed::Unreadable(problem) = read(&front(&format!("x:\n  [{}", "a,".repeat(100_000))))
    else {
        panic!("is read");
    };
    assert!(
        problem.message.contains("more than 2000 values"),
        "{}",
        problem.message
    );
}

#[test]
fn a_hostile_file_takes_no_longer_than_its_length() {
    // A quadratic step takes minutes at this size; a debug build on a slow machine stays far below the limit.
    for text in hostile(MAX_FILE_BYTES / 4) {
        let start = Instant::now();
        let _ = read(&text);
        let short: String = text.chars().take(24).collect();
        assert!(
            start.elapsed() < Duration::from_secs(5),
            "{short:?} took {:?}",
            start.elapsed()
        );
    }
}
