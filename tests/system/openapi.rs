//! The API's OpenAPI document against the running service: schemathesis, which exercises everything that the document
//! promises, and clients generated from it.

mod clients;

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::mirror::{HOOK_SECRET, Mirror};
use crate::support::process::Service;
use crate::support::programs::installed;

fn tests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
}

/// A service between a folder and a GitHub, whose owner authenticates by a token.
struct Setting {
    service: Service,
    mirror: Mirror,
    token: String,
}

impl Setting {
    fn new() -> Self {
        let mirror = Mirror::new();
        let github = &mirror.github;
        let (owner, url) = (github.owner(), github.url().to_owned());
        github.add_oauth_app(
            "Iv1.of-the-tests",
            "a-client-secret",
            "http://127.0.0.1:7071/auth/github/callback",
        );
        let token = github.personal_token(owner);
        let mirror = mirror
            .with("CODEX_AUTH", "github")
            .with("GITHUB_URL", &url)
            .with("GITHUB_OAUTH_CLIENT_ID", "Iv1.of-the-tests")
            .with("GITHUB_OAUTH_CLIENT_SECRET", "a-client-secret")
            .with("CODEX_METRICS_TOKEN", &token)
            .with("CODEX_WRITES_PER_MINUTE", "1000000")
            .with("CODEX_REBUILDS_PER_MINUTE", "1000000")
            .without("CODEX_DEV_USER");
        Self {
            service: mirror.service(),
            mirror,
            token,
        }
    }
}

/// All checks and all phases, with the same requests in every run.
#[tokio::test(flavor = "multi_thread")]
async fn schemathesis_finds_nothing() {
    let program = installed(".venv/bin/schemathesis");
    let Setting { service, token, .. } = &Setting::new();
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(program)
        .arg("--config-file")
        .arg(tests().join("schemathesis.toml"))
        .arg("run")
        .arg(format!("http://{}/openapi.json", service.address))
        .arg("--no-color")
        .env("CODEX_TOKEN", token)
        .env("HOOK_SECRET", HOOK_SECRET)
        .env("PYTHONPATH", tests())
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .current_dir(folder.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let log = service.log().into_iter();
    let log: Vec<_> = log.filter(|line| !line.contains("\"INFO\"")).collect();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{error}\n{log:#?}");
    // "  4,321 generated, 4,321 passed"
    let counted = said.lines().find(|line| line.contains(" generated,"));
    let counted = counted.unwrap().trim();
    let number = counted.split(" generated,").next().unwrap();
    let number = number.rsplit(' ').next().unwrap().replace(',', "");
    let cases: u32 = number.parse().expect(counted);
    println!("schemathesis: {counted}");
    assert!(cases > 1_000, "{counted}");
}
