//! Titles, and the file names derived from them (`src/task/README.md`, "Names", "Front matter").

use codex_miroir::task::{FileName, slug, title_of, without_title};
use proptest::prelude::*;

use crate::support::cases;

fn name() -> FileName {
    "0042-Steuer-machen.md".parse().unwrap()
}

#[test]
fn the_title_is_the_first_heading_with_text() {
    for (body, title) in [
        ("# A", "A"),
        ("Text\n\n## *B* & `c` ##\n# D", "*B* & `c`"),
        ("# A #", "A"),
        ("# A ###  \r\n", "A"),
        ("# A#", "A#"),
        ("# A \\#", "A \\#"),
        ("# A # #", "A #"),
        ("   ###   E-Mail \t\r\n", "E-Mail"),
        ("```\n# no\n```\n\n    # no\n\n<!--\n# no\n-->\n\n# F", "F"),
        ("#\n\n##   \n\n# G", "G"),
        ("#no\n\n####### no\n\n# H", "H"),
        ("I >\n===\n", "I >"),
        ("J\nK\n---\n", "J K"),
        ("> L\n> M\n> ===\n", "L M"),
        ("- # N\n", "N"),
        ("# ##", "Steuer machen"),
        ("# ## #", "##"),
        ("# # O", "# O"),
        ("#nr\n===", "#nr"),
        ("# \u{a0}P\u{85}Q", "\u{a0}P\u{85}Q"),
        ("no heading", "Steuer machen"),
        ("a\n\n---\n\nb", "Steuer machen"),
    ] {
        assert_eq!(title_of(&name(), body), title, "{body:?}");
    }
}

#[test]
fn without_a_heading_the_title_comes_from_the_file_name() {
    for (file, title) in [
        ("0007.md", "0007"),
        ("0007-.md", "0007"),
        ("0007---.md", "0007"),
        ("0007-E-Mail_x.md", "E Mail_x"),
    ] {
        assert_eq!(title_of(&file.parse().unwrap(), ""), title, "{file}");
    }
}

#[test]
fn a_body_is_shown_without_the_heading_it_begins_with() {
    for (body, rest) in [
        ("# A\nb", "\nb"),
        ("\n\n# A\n\nb\n", "\n\nb\n"),
        ("A\n===\nb", "\nb"),
        ("# A", ""),
        // Here the heading isn't what the text begins with.
        ("b\n# A\n", "b\n# A\n"),
        ("- # A\n- b", "- # A\n- b"),
        ("#\n# A\nb", "#\n# A\nb"),
        ("b", "b"),
        ("", ""),
    ] {
        assert_eq!(without_title(body), rest, "{body:?}");
    }
}

#[test]
fn a_slug_keeps_letters_marks_and_digits() {
    for (text, expected) in [
        ("# E-Mail & Co", "E-Mail-Co"),
        ("  Übung -- 2 ", "Übung-2"),
        ("U\u{308}bung", "Übung"),
        ("日本語 テスト", "日本語-テスト"),
        ("हिन्दी", "हिन्दी"),
        ("a_b.c/d\\e", "a-b-c-d-e"),
        ("x² ½ Ⅷ ٣", "x-٣"),
        ("", "untitled"),
        ("🎉 !", "untitled"),
        ("../../etc", "etc"),
    ] {
        assert_eq!(slug(text), expected, "{text:?}");
    }
    assert_eq!(slug(&"ä".repeat(60)), "ä".repeat(50));
    assert_eq!(slug(&format!("{} b", "a".repeat(49))), "a".repeat(49));
    assert_eq!(
        slug(&format!("{} b", "a".repeat(48))),
        format!("{}-b", "a".repeat(48))
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases(256)))]

    #[test]
    fn nothing_but_the_heading_is_left_out(body in "[#=\\-> a\n]{0,20}") {
        let rest = without_title(&body);
        prop_assert!(body.ends_with(rest));
        let left_out = &body[..body.len() - rest.len()];
        prop_assert!(left_out.is_empty() || title_of(&name(), left_out) == title_of(&name(), &body));
    }

    #[test]
    fn a_slug_is_fit_for_a_file_name(text in ".{0,80}") {
        let made = slug(&text);
        prop_assert!((1..=50).contains(&made.chars().count()));
        prop_assert!(!made.starts_with('-') && !made.ends_with('-') && !made.contains("--"));
        prop_assert!(["0001-", &made, ".md"].concat().parse::<FileName>().is_ok());
        prop_assert_eq!(slug(&made), made);
    }
}
