//! Packs the web app: concatenates the script, hashes the content into the file names, compresses each file once.

use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;
use sha2::{Digest, Sha256};

const FOLDER: &str = "src/web";

/// The script's parts in the order of concatenation: top-level code may only use the parts before its own.
const PARTS: [&str; 19] = [
    "words",
    "dom",
    "api",
    "attention",
    "diff",
    "week",
    "attention_view",
    "settle",
    "actions",
    "task",
    "form",
    "conflict",
    "quick_add",
    "quick_line",
    "search",
    "sync",
    "keys",
    "account",
    "main",
];

const HTML: &str = "text/html; charset=utf-8";
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
    let style = pack.hashed(
        "STYLE",
        "app",
        "css",
        "text/css; charset=utf-8",
        &read("app.css")?,
    )?;
    let script = pack.hashed("SCRIPT", "app", "js", SCRIPT, &script(&words)?)?;
    let icon = pack.hashed("ICON", "icon", "svg", "image/svg+xml", &read("icon.svg")?)?;
    let manifest = read("manifest.webmanifest")?.replace("{icon}", &icon);
    let kind = "application/manifest+json";
    let manifest = pack.hashed("MANIFEST", "manifest", "webmanifest", kind, &manifest)?;
    let assets = [&style, &script, &icon, &manifest];
    let worker = format!("const ASSETS = {assets:?};\n{}", read("sw.js")?);
    pack.file("WORKER", "/sw.js", SCRIPT, &worker)?;
    let mut words: Value = serde_json::from_str(&words)?;
    for (name, language) in [("GERMAN", "de"), ("ENGLISH", "en")] {
        let texts = &mut words[language];
        texts["lang"] = language.into();
        texts["style"] = style.as_str().into();
        texts["script"] = script.as_str().into();
        texts["icon"] = icon.as_str().into();
        texts["manifest"] = manifest.as_str().into();
        pack.file(name, "/", HTML, &page(texts)?)?;
    }
    fs::write(out.join("web.rs"), pack.source)?;
    Ok(())
}

fn read(name: &str) -> io::Result<String> {
    fs::read_to_string(Path::new(FOLDER).join(name))
}

fn script(words: &str) -> io::Result<String> {
    let parts = PARTS.map(|part| read(&format!("script/{part}.js")));
    let parts = parts.into_iter().collect::<io::Result<String>>()?;
    Ok(format!("const WORDS = {words};\n{parts}"))
}

/// The page with the texts in place of their names, as in `{status/offen}`.
fn page(texts: &Value) -> Result<String, Box<dyn Error>> {
    let template = read("page.html")?;
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
        stem: &str,
        extension: &str,
        kind: &str,
        text: &str,
    ) -> Result<String, Box<dyn Error>> {
        let path = format!("/assets/{stem}-{}.{extension}", hash(text));
        self.file(constant, &path, kind, text)?;
        Ok(path)
    }

    fn file(
        &mut self,
        constant: &str,
        path: &str,
        kind: &str,
        text: &str,
    ) -> Result<(), Box<dyn Error>> {
        let (plain, packed) = (
            self.out.join(constant),
            self.out.join(format!("{constant}.gz")),
        );
        fs::write(&plain, text)?;
        let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
        gzip.write_all(text.as_bytes())?;
        fs::write(&packed, gzip.finish()?)?;
        let etag = format!("\"{}\"", hash(text));
        writeln!(
            self.source,
            "const {constant}: Asset = Asset {{ path: {path:?}, kind: {kind:?}, etag: {etag:?}, plain: include_bytes!({plain:?}), gzip: include_bytes!({packed:?}) }};"
        )?;
        Ok(())
    }
}

/// The first 64 bits of the SHA-256 as 16 hexadecimal digits: enough to distinguish versions of a file.
fn hash(text: &str) -> String {
    let digest = Sha256::digest(text);
    digest[..8]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
