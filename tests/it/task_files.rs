//! Generators of texts and task files for the property tests of writing.

use proptest::prelude::*;
use proptest::sample::select;

/// Any Unicode text, biased towards characters and words that are special in YAML or Markdown.
pub(crate) fn any_text() -> impl Strategy<Value = String> {
    let hard = select(
        " -:#,[]{}&*!|>'\"%@`?=~.\\_/+0x9aäyn\u{85}\u{a0}\u{2028}\u{2029}\u{FEFF}\u{300}\u{200d}🎉\u{e000}\t\r\n\u{0}\u{1b}\u{9f}\u{FFFE}\u{FDD0}"
            .chars()
            .collect::<Vec<_>>(),
    );
    let word = select(vec![
        "yes",
        "null",
        "---",
        "...",
        "2026-01-01",
        "12:30:45",
        "- ",
        ": ",
        " #",
        "typ: task",
        "# ",
    ]);
    let piece = prop_oneof![6 => hard.prop_map(String::from), 1 => word.prop_map(String::from), 2 => any::<char>().prop_map(String::from)];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

/// [`any_text`] without the characters that are refused, so that long texts are accepted, too.
pub(crate) fn good_text() -> impl Strategy<Value = String> {
    any_text().prop_map(|text| text.chars().filter(|c| is_storable(*c)).collect())
}

pub(crate) fn is_storable(c: char) -> bool {
    let control = matches!(c, '\0'..='\x1f' | '\x7f'..='\u{84}' | '\u{86}'..='\u{9f}');
    let noncharacter = matches!(c, '\u{fdd0}'..='\u{fdef}') || (c as u32) % 0x10000 >= 0xfffe;
    !control && !noncharacter
}

/// The lines of one key as a person might write them. In the forms below, `@` is a place for a comment and `K` the key;
/// [`file`] chooses the line endings.
#[derive(Debug, Clone)]
pub(crate) struct Lines {
    pub(crate) key: &'static str,
    pub(crate) text: String,
}

const KATEGORIE: &[&str] = &[
    "kategorie: arbeit@\n",
    "kategorie:   'arbeit'@\n",
    "kategorie:\n  privat@\n",
    "\"kategorie\": privat@\n",
];
const STATUS: &[&str] = &[
    "",
    "status: offen@\n",
    "status: \"abgebrochen\"@\n",
    "status:@\n",
    "status: null@\n",
    "status: ''@\n",
    "status: >-@\n  offen\n",
    "status:\toffen@\n",
];
const DEADLINE: &[&str] = &[
    "",
    "deadline: 01.02.2026@\n",
    "deadline: '01.02.2026'@\n",
    "deadline: ''@\n",
    "deadline:@\n",
    "deadline: ~@\n",
    "deadline:@\n  01.02.2026@\n",
    "deadline:@\n# own\n  \"01.02.2026\"@\n",
    "deadline :  01.02.2026@\n",
    "deadline:\t'01.02.2026'\t@\n",
];
const TAGS: &[&str] = &[
    "",
    "tags: []@\n",
    "tags: [a, 'b c', \"d\"]@\n",
    "tags: [ a ,b, ]@\n",
    "tags: [@\n  a,@\n  b@\n  ]@\n",
    "tags: a@\n",
    "tags: 'a'@\n",
    "tags:@\n",
    "tags: null@\n",
    "tags:@\n  - a@\n  - 'b'@\n  # own\n  - \"c\"@\n",
    "tags:@\n- a@\n\n- b@\n",
    "tags:\n  - a@\n  -@\n  - ''@\n",
    "tags:\n  -@\n    a@\n  - b\n",
    "tags:\n  - x\n  - a\n    b\n  - y@\n",
    "tags:\n  - |-\n    a\n  - b@\n",
    "tags:\n   -   a@\n   -\tb@\n",
    "tags:\ta@\n",
    "tags: [@\n'a',@\n  \"b\"@\n]@\n",
    "tags:\t[@\n\ta,@\n\t'b'@\n\t]@\n",
];
const SLOT: &[&str] = &[
    "",
    "K: null@\n",
    "K:@\n",
    "K: ''@\n",
    "K:@\n  datum: 24.12.2026@\n  zeit: morgens@\n",
    "K:\n    zeit: 'ABENDS'@\n    # own\n    datum: \"24.12.2026\"@\n",
    "K: {datum: 24.12.2026, zeit: morgens}@\n",
    "K: {  zeit:  'morgens' ,@\n  datum: \"24.12.2026\"@\n }@\n",
    "K:@\n  - datum: 24.12.2026@\n  - zeit: abends@\n",
    "K:\n- zeit: abends@\n- datum: '24.12.2026'@\n",
    "K: [{datum: 24.12.2026}, {zeit: morgens}]@\n",
    "K: {@\n'datum': '24.12.2026',@\n'zeit': 'morgens'@\n}@\n",
    "K:\t{\n\tort:\tda,@\n\tzeit:\tabends@\n\t}@\n",
    "K: [datum: 24.12.2026, zeit: morgens]@\n",
    "K: {}@\n",
    "K: []@\n",
    "K:@\n  datum: 31.02.2026@\n  zeit: morgens\n",
    "K:\n  datum: 24.12.2026@\n",
    "K:\n  datum:@\n  zeit: abends@\n",
    "K:\n  ort: da@\n",
    "K: {datum: , ort: 'x, y'}@\n",
    "K:\n  - datum: 24.12.2026@\n",
    "K: irgendwann@\n",
    "K:\n  datum: 24.12.2026\n  zeit: >-@\n    abends\n",
];
const OTHER: &[&str] = &[
    "# a line of its own\n",
    "\n",
    " # indented\n",
    "x1: y@\n",
    "'x2': \"# no comment\"@\n",
    "x3: |\n  # no comment\n  tags: no\n\n  end\n",
    "x4: >-@\n  folded\n  text\n",
    "x5:\n- a@\n- deadline: no\n",
    "x6: {fixedSlot: [a, {b: c}]}@\n",
    "x7: several\n  lines\n",
    "x8:@\n",
    "X9: 'it''s\n\n  two'@\n",
    "status_: offen@\n",
    "x10: [\n'y',@\n\t{a: 'b'}\n]@\n",
    "x11: 'no\ntags: \"no\"'@\n",
];

fn lines(key: &'static str, forms: &'static [&'static str]) -> impl Strategy<Value = Lines> {
    (select(forms), prop::collection::vec(any::<bool>(), 6)).prop_map(move |(form, commented)| {
        let mut commented = commented.into_iter().cycle();
        let mut pieces = form.split('@');
        let mut text = pieces.next().unwrap_or_default().replace('K', key);
        for (n, piece) in pieces.enumerate() {
            if commented.next() == Some(true) {
                text += &format!(" # {key}-{n} '[{{ \" : -");
            }
            text += piece;
        }
        Lines { key, text }
    })
}

/// A file as its pieces, in order.
#[derive(Debug, Clone)]
pub(crate) struct File {
    pub(crate) head: String,
    pub(crate) lines: Vec<Lines>,
    pub(crate) tail: String,
}

impl File {
    pub(crate) fn text(&self) -> String {
        self.head.clone()
            + &self
                .lines
                .iter()
                .map(|lines| lines.text.as_str())
                .collect::<String>()
            + &self.tail
    }

    /// The text before and after the lines of `key`, or before and after the end of the front matter if it has none.
    pub(crate) fn around(&self, key: &str) -> (String, String) {
        let at = self
            .lines
            .iter()
            .position(|lines| lines.key == key && !lines.text.is_empty());
        let at = at.unwrap_or(self.lines.len());
        let join = |lines: &[Lines]| {
            lines
                .iter()
                .map(|lines| lines.text.as_str())
                .collect::<String>()
        };
        let after = self.lines.get(at + 1..).unwrap_or_default();
        (
            self.head.clone() + &join(&self.lines[..at]),
            join(after) + &self.tail,
        )
    }

    pub(crate) fn comments(&self) -> Vec<String> {
        let all: String = self
            .lines
            .iter()
            .filter(|lines| !lines.key.is_empty())
            .map(|lines| lines.text.clone())
            .collect();
        all.lines()
            .filter_map(|line| {
                line.split_once('#')
                    .map(|(_, comment)| format!("#{comment}"))
            })
            .collect()
    }
}

pub(crate) fn file() -> impl Strategy<Value = File> {
    let typ = Just(Lines {
        key: "typ",
        text: "typ: task\n".into(),
    });
    let fields = (
        typ,
        lines("kategorie", KATEGORIE),
        lines("status", STATUS),
        lines("tags", TAGS),
        lines("deadline", DEADLINE),
        lines("fixedSlot", SLOT),
        lines("abgeschlossen_am", SLOT),
    );
    let fields = fields.prop_map(|(a, b, c, d, e, f, g)| vec![a, b, c, d, e, f, g]);
    let others = prop::sample::subsequence(OTHER, 0..6).prop_flat_map(|forms| {
        forms
            .into_iter()
            .map(|form| {
                lines(
                    "",
                    std::slice::from_ref(OTHER.iter().find(|other| **other == form).unwrap()),
                )
            })
            .collect::<Vec<_>>()
    });
    let all = (fields, others)
        .prop_map(|(a, b)| [a, b].concat())
        .prop_shuffle();
    let tail = select(vec![
        "---\n\n# Kopf\n\nText\n",
        "---\nText ohne Zeile",
        "---  \n\nText",
        "---",
        "---\n",
        "---\n\n\n---\n\u{a0}\n",
        "---\n\n\ttyp: task\r\n",
    ]);
    let format = (
        any::<bool>(),
        any::<bool>(),
        select(vec!["---\n", "---  \n"]),
    );
    (all, tail, format).prop_map(|(lines, tail, (bom, windows, head))| {
        let ends = |text: &str| {
            if windows {
                text.replace("\r\n", "\n").replace('\n', "\r\n")
            } else {
                text.to_owned()
            }
        };
        let lines = lines
            .into_iter()
            .map(|lines| Lines {
                text: ends(&lines.text),
                ..lines
            })
            .collect();
        File {
            head: format!("{}{}", if bom { "\u{FEFF}" } else { "" }, ends(head)),
            lines,
            tail: ends(tail),
        }
    })
}
