//! Packs the web app: concatenates the script, hashes the content into the file names, compresses each file once.

use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

const FOLDER: &str = "src/web";

/// The script's parts in the order of concatenation: top-level code may only use the parts before its own.
const PARTS: &[&str] = &[
    "words",
    "dom",
    "api",
    "slots",
    "move",
    "calendar",
    "checklist",
    "heading",
    "attention",
    "diff",
    "week",
    "attention_view",
    "settle",
    "actions",
    "removal",
    "weeks",
    "task",
    "form",
    "conflict",
    "quick_add",
    "quick_line",
    "samples",
    "search",
    "sync",
    "subscription",
    "keys",
    "move_menu",
    "moving",
    "drag",
    "account",
    "main",
];

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const PNG: &str = "image/png";
const SCRIPT: &str = "text/javascript; charset=utf-8";

/// The texts of the pages, by language.
const WORDS: &str = "src/view/words.json";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={FOLDER}");
    println!("cargo::rerun-if-changed={WORDS}");
    let words = fs::read_to_string(WORDS)?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    let mut pack = Pack {
        out: &out,
        source: String::new(),
    };
    let style = pack.hashed("STYLE", "app.css", CSS, &read("app.css")?)?;
    let script = pack.hashed("SCRIPT", "app.js", SCRIPT, script(&words)?.as_bytes())?;
    let icon = pack.hashed("ICON", "icon.svg", "image/svg+xml", &read("icon.svg")?)?;
    let mut png = |constant, name: &str| {
        let bytes = read(&format!("icons/{name}"))?;
        pack.hashed(constant, name, PNG, &bytes)
    };
    let touch_icon = png("TOUCH_ICON", "touch-180.png")?;
    let icons = json!([
        {"src": icon, "sizes": "any", "type": "image/svg+xml", "purpose": "any"},
        {"src": png("ICON_192", "icon-192.png")?, "sizes": "192x192", "type": PNG, "purpose": "any"},
        {"src": png("ICON_512", "icon-512.png")?, "sizes": "512x512", "type": PNG, "purpose": "any"},
        {"src": png("MASKABLE_512", "maskable-512.png")?, "sizes": "512x512", "type": PNG, "purpose": "maskable"},
    ]);
    let mut cached = vec![
        style.clone(),
        script.clone(),
        icon.clone(),
        touch_icon.clone(),
    ];
    let mut words: Value = serde_json::from_str(&words)?;
    for (page, manifest, language) in [
        ("GERMAN", "MANIFEST_DE", "de"),
        ("ENGLISH", "MANIFEST_EN", "en"),
    ] {
        let texts = &mut words[language];
        let content = manifest_of(language, &icons, &texts["newTask"]).to_string();
        let kind = "application/manifest+json";
        let manifest = pack.hashed(manifest, "manifest.webmanifest", kind, content.as_bytes())?;
        texts["lang"] = language.into();
        texts["style"] = style.as_str().into();
        texts["script"] = script.as_str().into();
        texts["icon"] = icon.as_str().into();
        texts["touchIcon"] = touch_icon.as_str().into();
        texts["manifest"] = manifest.as_str().into();
        pack.file(page, "/", HTML, self::page(texts)?.as_bytes())?;
        cached.push(manifest);
    }
    let worker = format!("const ASSETS = {cached:?};\n{}", read_text("sw.js")?);
    pack.file("WORKER", "/sw.js", SCRIPT, worker.as_bytes())?;
    fs::write(out.join("web.rs"), pack.source)?;
    Ok(())
}

fn read(name: &str) -> io::Result<Vec<u8>> {
    fs::read(Path::new(FOLDER).join(name))
}

fn read_text(name: &str) -> io::Result<String> {
    fs::read_to_string(Path::new(FOLDER).join(name))
}

/// The manifest, by which a device installs the app.
fn manifest_of(language: &str, icons: &Value, new_task: &Value) -> Value {
    json!({
        "id": "/",
        "name": "CodexMiroir",
        "short_name": "Codex",
        "lang": language,
        "start_url": "/",
        "scope": "/",
        "display": "standalone",
        "background_color": "#f6f7fa",
        "theme_color": "#2457c5",
        "icons": icons,
        "shortcuts": [{"name": new_task, "url": "/#/new"}],
    })
}

/// The script without indentation and without lines that are only a comment, which are a fifth of its compressed size.
/// So no text in it may span lines whose beginnings matter.
fn script(words: &str) -> io::Result<String> {
    let mut script = format!("const WORDS = {words};\n");
    for part in PARTS {
        let source = read_text(&format!("script/{part}.js"))?;
        let mut is_comment = false;
        for line in source.lines().map(str::trim) {
            is_comment |= line.starts_with("/*");
            if !is_comment && !line.starts_with("//") && !line.is_empty() {
                script += line;
                script.push('\n');
            }
            is_comment &= !line.ends_with("*/");
        }
    }
    Ok(script)
}

/// The page with the texts in place of their names, as in `{status/offen}`.
fn page(texts: &Value) -> Result<String, Box<dyn Error>> {
    let template = read_text("page.html")?;
    let mut parts = template.split(['{', '}']);
    let mut page = parts.next().unwrap_or_default().to_owned();
    while let (Some(name), Some(rest)) = (parts.next(), parts.next()) {
        let text = texts.pointer(&format!("/{name}")).and_then(Value::as_str);
        page += text.ok_or_else(|| format!("the page has no text {name}"))?;
        page += rest;
    }
    Ok(page)
}

/// Collects the packed files as Rust source.
struct Pack<'a> {
    out: &'a Path,
    source: String,
}

impl Pack<'_> {
    /// Packs a file under a name that contains the hash of its content. Returns its URL path.
    fn hashed(
        &mut self,
        constant: &str,
        name: &str,
        kind: &str,
        content: &[u8],
    ) -> io::Result<String> {
        let (stem, extension) = name.split_once('.').unwrap_or((name, ""));
        let path = format!("/assets/{stem}-{}.{extension}", hash(content));
        self.file(constant, &path, kind, content)?;
        Ok(path)
    }

    fn file(&mut self, constant: &str, path: &str, kind: &str, content: &[u8]) -> io::Result<()> {
        let plain = self.out.join(constant);
        fs::write(&plain, content)?;
        // An image is compressed already.
        let gzip = if kind == PNG {
            "None".to_owned()
        } else {
            let packed = self.out.join(format!("{constant}.gz"));
            let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
            gzip.write_all(content)?;
            fs::write(&packed, gzip.finish()?)?;
            format!("Some(include_bytes!({packed:?}))")
        };
        let etag = format!("\"{}\"", hash(content));
        writeln!(
            self.source,
            "const {constant}: Asset = Asset {{ path: {path:?}, kind: {kind:?}, etag: {etag:?}, plain: include_bytes!({plain:?}), gzip: {gzip} }};"
        )
        .map_err(io::Error::other)
    }
}

/// The first 64 bits of the SHA-256 as 16 hexadecimal digits: enough to distinguish versions of a file.
fn hash(content: &[u8]) -> String {
    let digest = Sha256::digest(content);
    digest[..8]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
