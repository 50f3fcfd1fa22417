//! Front matter compatibility with the older service (gray-matter with js-yaml): what js-yaml reads gives the same
//! values, and a fault is reported with its line and the text found there.

use codex_miroir::task::{
    FileName, FixedSlot, Parsed, Problem, ProblemCode, Slot, Task, Zeit, parse,
};

fn read(lines: &str) -> Parsed {
    let name: FileName = "0042-x.md".parse().unwrap();
    parse(&name, format!("---\n{lines}\n---\n\nText\n").as_bytes())
}

/// The task with `lines` in its front matter, read with both line endings.
fn task(lines: &str) -> Task {
    let lines = format!("typ: task\nkategorie: arbeit\n{lines}");
    let Parsed::Task(task) = read(&lines) else {
        panic!("{lines:?}: {:?}", read(&lines));
    };
    let windows = read(&lines.replace('\n', "\r\n"));
    assert_eq!(windows, Parsed::Task(task.clone()), "{lines:?} with CRLF");
    task
}

fn problem(lines: &str) -> Problem {
    match read(lines) {
        Parsed::Unreadable(problem) => problem,
        other => panic!("{lines:?}: {other:?}"),
    }
}

/// The expected tags are what both js-yaml 3.15.2 and 4.3.2 read from each text.
#[test]
fn tags_are_what_js_yaml_reads() {
    let cases: &[(&str, &[&str])] = &[
        // Flow lists over several lines, with the items or the closing bracket in column 0.
        ("tags: [\n  'a',\n]", &["a"]),
        ("tags: [\n  'a'\n]\nx: y", &["a"]),
        ("tags: [\n  \"a\",\n  \"b\"\n]\nx: y", &["a", "b"]),
        ("tags: [\n'a',\n'b'\n]", &["a", "b"]),
        ("tags: [\na,\nb\n]", &["a", "b"]),
        ("tags: ['a',\n'b']", &["a", "b"]),
        ("tags: [a,\nb]", &["a", "b"]),
        ("tags: [a\n,b]", &["a", "b"]),
        ("tags:\n  [\n'a'\n]", &["a"]),
        ("tags: [\n]", &[]),
        ("tags: [\n\n\n'a',\n\n]", &["a"]),
        ("tags: [\n  'a',\n ]", &["a"]),
        ("tags: ['a\nb']", &["a b"]),
        ("tags: [\"a\\\nb\",\n'c\n\n d']", &["ab", "c\nd"]),
        // Comments between the items.
        (
            "tags: [ # b ]\n  'a' # one\n  , # two\n# three\n  'b'\n# four\n]",
            &["a", "b"],
        ),
        ("tags: [\n# c\n]", &[]),
        // Flow collections in block lists and in each other, before the tags.
        ("x:\n  - [\n'a'\n]\n  - b\ntags: [c]", &["c"]),
        ("x:\n- [\n'a'\n]\n- b\ntags: [c]", &["c"]),
        ("x:\n  tags: [\n'a',\n]\n  y: z\ntags: [c]", &["c"]),
        (
            "m: {\n  a: [\n'x'\n],\n  b: {\nc: 'd'\n}\n}\ntags: [c]",
            &["c"],
        ),
        ("x: [\n  ['a',\n'b'],\n[\n]\n]\ntags: [c]", &["c"]),
        ("x: [\n{a: b},\n{\n'c': 'd'\n}\n]\ntags: [c]", &["c"]),
        ("x: [a: b,\nc: d]\ntags: [c]", &["c"]),
        // Block list items in column 0.
        ("tags:\n- a\n- 'b'\nx: y", &["a", "b"]),
        ("tags: # c\n- a\n# d\n\n- \"b\"", &["a", "b"]),
        ("tags:\n- a\n  b\n-\n- 'c\nd'", &["a b", "c d"]),
        // Tabs.
        ("tags:\ta", &["a"]),
        ("tags:\t\t'a'\t# c", &["a"]),
        ("tags: \t\"a\"", &["a"]),
        ("tags:\t-1", &["-1"]),
        ("tags:\t[a]", &["a"]),
        ("tags:\t# c", &[]),
        ("tags\t: a", &["a"]),
        ("'tags'\t:\ta", &["a"]),
        ("tags:\n-\ta\n- \tb\t", &["a", "b"]),
        ("tags: [\t'a'\t,\tb\t]", &["a", "b"]),
        ("tags: [\n\t'a',\n\t\"b\"\n]", &["a", "b"]),
        ("tags: [\n\ta,\n \t b\n\t,\n\t]\nx: y", &["a", "b"]),
        ("x:\n  y: [\n\ta\n\t]\n  z: |\n    \tb\ntags: c", &["c"]),
        ("y: [\n\t]\nx:\n\t# c\n  y: z\n\t\ntags: a", &["a"]),
        ("m: {\n\ta:\tb,\n\t'c':\t'd'\n\t}\ntags: c", &["c"]),
        ("tags: 'a\n\tb'", &["a b"]),
        ("tags: a\tb", &["a\tb"]),
        // Quoted scalars that continue in column 0.
        ("x: 'a\nb'\ny: \"c\n\nd\"\ntags: e", &["e"]),
    ];
    for (lines, tags) in cases {
        assert_eq!(task(lines).tags, *tags, "{lines:?}");
    }
}

#[test]
fn keys_in_braces_over_several_lines_are_what_js_yaml_reads() {
    let slot = Slot {
        datum: "24.12.2026".parse().unwrap(),
        zeit: Zeit::Abends,
    };
    for form in [
        "{\n  'datum': '24.12.2026',\n  'zeit': 'abends',\n}",
        "{\ndatum: 24.12.2026,\nzeit: \"abends\"\n}\nx: y",
        "{\n\"datum\":\"24.12.2026\",\n\"zeit\":\"abends\"\n}",
        "{datum:\n24.12.2026, # }\n\n'zeit':\n  'abends'\n}",
        "{\n\tdatum:\t24.12.2026,\n\tzeit:\tabends\n\t}",
        "[\n{datum: 24.12.2026},\n{\n'zeit': 'abends'\n}\n]",
        "[\ndatum: 24.12.2026,\n'zeit': abends\n]",
        "\n  {\ndatum: 24.12.2026,\nzeit: abends}",
    ] {
        let read = task(&format!("fixedSlot:\t{form}"));
        assert_eq!(read.fixed_slot, FixedSlot::At(slot), "{form:?}");
    }
}

#[test]
fn the_limits_hold_in_brackets_over_several_lines() {
    for (lines, line, words) in [
        ("x: [\n'a',\n*a\n]", 6, "an alias (`*`)"),
        ("x: [\n&a 'a',\n]", 5, "an anchor (`&`)"),
        ("x: {\n'a': !!str b\n}", 5, "a tag (`!`)"),
        ("x: [\n? a\n]", 5, "a complex key"),
        ("x: {\n[a]: b\n}", 5, "a complex key"),
        ("x: {\na: b,\n'a': c\n}", 6, "the key `a` stands twice"),
    ] {
        let problem = problem(&format!("typ: task\nkategorie: arbeit\n{lines}"));
        assert_eq!(problem.line, Some(line), "{lines:?}: {problem:?}");
        assert!(problem.message.contains(words), "{lines:?}: {problem:?}");
    }
    let deep = |depth: usize| format!("x: {}{}", "[\n\t".repeat(depth), "\n]".repeat(depth));
    task(&deep(15));
    let problem = problem(&deep(16));
    assert_eq!(problem.line, Some(17), "{problem:?}");
    assert!(problem.message.contains("16 deep"), "{problem:?}");
}

/// YAML counts only spaces as the indentation of keys and items, not tabs. js-yaml 3 counted a tab as a space and read
/// a different tree than the author meant; js-yaml 4 refuses it.
#[test]
fn a_tab_that_indents_is_refused_with_its_line() {
    for (lines, line) in [
        ("typ: task\ntags:\n\t- a", 4),
        ("typ: task\nx:\n\ty: z", 4),
        ("typ: task\nx: a\n\tb", 4),
        ("typ: task\nx: |\n\ta", 4),
        ("typ: task\ntags: [\n\ta\n]\nx:\n\ty: z", 7),
        ("x: |\n  [\n\ta\n  ]\ntyp: task", 4),
    ] {
        let problem = problem(lines);
        assert_eq!(problem.line, Some(line), "{lines:?}: {problem:?}");
        assert!(problem.message.contains("a tab"), "{lines:?}: {problem:?}");
    }
}

#[test]
fn a_fault_is_told_with_its_line_and_what_stands_there() {
    let cases = [
        // A missing colon: reported in its own line, not in the next.
        ("typ task\nkategorie: arbeit", 2, "no `: `"),
        ("typ:task\nkategorie: arbeit", 2, "no `: `"),
        ("typ: task\nkategorie arbeit\nx: y", 3, "no `: `"),
        ("typ: task\nx:\n  foo\n  bar: baz", 4, "no `: `"),
        ("typ: task\nkategorie arbeit", 3, "no `: `"),
        ("typ: task\ntags:\n-a\n-b", 4, "no `: `"),
        ("typ: task\n'x':y", 3, "no `: `"),
        ("'typ':task", 2, "a space is missing after the `:`"),
        // Git conflict markers.
        (
            "typ: task\n<<<<<<< HEAD\nx: y\n=======\nx: z\n>>>>>>> b",
            3,
            "Git left a conflict here (`<<<<<<<`)",
        ),
        (
            "typ: task\n||||||| 1234567\nx: y",
            3,
            "Git left a conflict here (`|||||||`)",
        ),
        (
            "typ: task\nx: y\n=======\nx: z",
            4,
            "Git left a conflict here (`=======`)",
        ),
        (
            "typ: task\nx: y\n>>>>>>> b",
            4,
            "Git left a conflict here (`>>>>>>>`)",
        ),
        (
            "typ: task\ntags: [\n<<<<<<< HEAD\n  a,\n=======\n  b,\n>>>>>>> b\n]",
            4,
            "Git left a conflict here (`<<<<<<<`)",
        ),
        // An unclosed bracket: reported where it opens.
        (
            "typ: task\ntags: [a, b\nx: y",
            3,
            "`[` that opens here is not closed",
        ),
        (
            "typ: task\ntags: [\n'a',\n'b'\n\nx: 'y'",
            3,
            "`[` that opens here is not closed",
        ),
        (
            "typ: task\nm: {a: b\nx: y\nz: w",
            3,
            "`{` that opens here is not closed",
        ),
        (
            "typ: task\ntags: [a,\n- b\nx: [c]",
            3,
            "`[` that opens here is not closed",
        ),
        (
            "typ: task\ntags: [a\nx: y\nz: '[w]'\nv: [[u]]",
            3,
            "`[` that opens here is not closed",
        ),
        (
            "typ: task\nx: y\ntags: [[a, b]",
            4,
            "`[` that opens here is not closed",
        ),
        (
            "typ: task\ntags: [\n\ta\nx: y",
            3,
            "`[` that opens here is not closed",
        ),
        (
            "typ: task\ntags: [a}\nx: y",
            3,
            "`[` that opens here is closed by a `}`",
        ),
        ("typ: task\ntags: [a]]\nx: y", 3, "this `]`"),
        // A fault inside closed brackets: reported where it is.
        ("typ: task\ntags: [\n'a'\n'b'\n]", 5, "a comma is missing"),
        (
            "typ: task\nm: {\n'a': 'b'\n'c': 'd'\n}",
            5,
            "a comma is missing",
        ),
        ("typ: task\ntags: [\n- a\n]", 4, "a `-` begins no item"),
        ("typ: task\ntags: [a,\n,'[']", 4, "this comma has no value"),
        // Faults in quoted scalars, by the kind of quote.
        (
            "typ: task\nx: 'a\ny: z",
            3,
            "`'` that opens here is not closed",
        ),
        (
            "typ: task\nx: \"a\ny: z",
            3,
            "`\"` that opens here is not closed",
        ),
        (
            "typ: task\nx: 'a\ny: 'z'",
            3,
            "`'` that opens here is not closed",
        ),
        (
            "typ: task\ntags: [\"a, b]\nx: y\nz: \"w\"",
            3,
            "`\"` that opens here is not closed",
        ),
        ("typ: task\nx: 'it's'", 3, "the closing `'`"),
        ("typ: task\nx: \"a\"b", 3, "the closing `\"`"),
        (
            "typ: task\nx: \"a\n  b\\q\"",
            4,
            "`\\q` means nothing in double quotes",
        ),
        ("typ: task\nx: \"C:\\Users\"", 3, "`\\U`"),
        // Placeholders of templates.
        (
            "typ: task\ndatum: {{date}}",
            3,
            "`{{date}}` is a placeholder",
        ),
        (
            "typ: task\nx: y\ndatum: {{ date:YYYY }} x",
            4,
            "`{{ date:YYYY }}` is a placeholder",
        ),
        (
            "typ: task\ntags: [a, {{tag}}]",
            3,
            "`{{tag}}` is a placeholder",
        ),
        (
            "typ: task\ntags:\n  - {{tag}}",
            4,
            "`{{tag}}` is a placeholder",
        ),
        ("{{date}}", 2, "`{{date}}` is a placeholder"),
        (
            "typ: task\nx: {% if y %}",
            3,
            "`{% if y %}` is a placeholder",
        ),
        ("typ: task\nx: '{{a}}' b", 3, "the closing `'`"),
        ("typ: task\nx: {[a]: b}", 3, "a complex key"),
        // Other invalid beginnings and ends of values.
        ("typ: task\nx: a: b", 3, "a second `: `"),
        ("typ: task\nx: y\n  z: w", 4, "indented as if it went on"),
        (
            "typ: task\nx:\n  y: z\n w: v",
            5,
            "belongs to nothing above it",
        ),
        ("typ: task\n- a", 3, "a list's `-`"),
        (
            "typ: task\ntags: - a",
            3,
            "a list can't begin in its key's line",
        ),
        (
            "typ: task\nx: [a] b",
            3,
            "more text follows the end of the value",
        ),
        ("typ: task\nx: *bold*", 3, "an alias (`*`)"),
        ("typ: task\nx: @a", 3, "can't begin with `@`"),
        (
            "typ: task\nx: > b",
            3,
            "after `>` a text begins in the next line",
        ),
        (
            "typ: task\nx: 'a'#b",
            3,
            "a space is missing before the `#`",
        ),
        ("typ: task\n%YAML 1.2", 3, "a directive (`%`)"),
        (
            "typ: task\nx: a\u{1b}b",
            3,
            "an unprintable character (U+001B)",
        ),
        (
            "typ: task\nx: |\n  a\n  b\n  c\u{1b}d",
            6,
            "an unprintable character (U+001B)",
        ),
        (
            "typ: task\nx: a\n  b\u{1b}",
            4,
            "an unprintable character (U+001B)",
        ),
        (
            "typ: task\nx: \u{FEFF}a",
            3,
            "an invisible character (U+FEFF)",
        ),
        ("typ: task\n--- x", 3, "a second YAML document"),
    ];
    for (lines, line, words) in cases {
        for lines in [lines.to_owned(), lines.replace('\n', "\r\n")] {
            let problem = problem(&lines);
            assert_eq!(problem.code, ProblemCode::BadYaml, "{lines:?}: {problem:?}");
            assert_eq!(problem.line, Some(line), "{lines:?}: {problem:?}");
            assert!(problem.message.contains(words), "{lines:?}: {problem:?}");
        }
    }
}
