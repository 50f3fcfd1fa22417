//! Names and texts that try to be markup.

use std::fs;

use super::play;
use crate::support::process::Service;

/// Would run if any view took it for markup.
const IMG: &str = "<img src=x onerror=\"globalThis.ran='img'\">";

fn file(front: &str, body: &str) -> String {
    format!("---\ntyp: task\n{front}\n---\n\n{body}")
}

#[test]
fn nothing_in_a_file_or_its_name_runs_or_becomes_markup() {
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().join("raw/local/tasks");
    fs::create_dir_all(&folder).unwrap();
    let slot = "fixedSlot:\n  datum: 31.12.2099\n  zeit: abends";
    let tags = "tags: ['<svg onload=\"globalThis.ran=1\">', '\"><script>globalThis.ran=2</script>', \"' onclick='globalThis.ran=3\"]";
    let body = format!(
        "# Titel {IMG} </script><script>globalThis.ran='title'</script>\n\n{IMG}\n\n<iframe src=\"javascript:parent.ran='frame'\"></iframe><svg onload=\"globalThis.ran='svg'\"></svg>\n\n[böse](javascript:globalThis.ran='link') [data](data:text/html,<script>1</script>) <a href=\"java&#10;script:globalThis.ran=4\">x</a>\n\n<style>body {{ display: none }}</style><form action=\"https://evil.example\"><button>Senden</button></form>\n\n<math><mtext><table><mglyph><style><img src=x onerror=\"globalThis.ran='math'\">\n\n![Bild](https://evil.example/pixel.png)\n"
    );
    let long = "Langer Titel ".repeat(800);
    let name = |number: u32, rest: &str| format!("{number:04}-{rest}.md");
    let files = [
        (
            name(1, "a"),
            file(&format!("kategorie: arbeit\n{tags}"), &body),
        ),
        // Without a title in the text, the file name is the title.
        (
            name(2, "<img src=x onerror=globalThis.ran='name'>"),
            file("kategorie: privat", "kein Titel\n"),
        ),
        (
            name(3, "\"><script>globalThis.ran='taken'<"),
            file(&format!("kategorie: arbeit\n{slot}"), "# Später\n"),
        ),
        (
            name(4, "<b onmouseover=globalThis.ran='bad'>"),
            file(
                "kategorie: <script>globalThis.ran='kategorie'</script>",
                &body,
            ),
        ),
        (
            "<img src=x onerror=globalThis.ran='odd'>.md".to_owned(),
            file("kategorie: arbeit", "# Falscher Name\n"),
        ),
        (
            name(6, "b"),
            file("kategorie: privat", "# \u{202e}rückwärts\u{200b} <u>\n"),
        ),
        (
            name(7, "c"),
            file("kategorie: privat", &format!("# {long}\n")),
        ),
    ];
    for (name, text) in files {
        fs::write(folder.join(name), text).unwrap();
    }
    let service = Service::over(data.path());
    play("hostile", &[&service.address]);
}
