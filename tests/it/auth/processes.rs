//! Authentication of the real process at log level `trace`.

use std::process::Command;

use serde_json::Value;

use super::{CLIENT, Jar};
use crate::support::github::{Fault, GitHub, http_client};
use crate::support::process::{Answer, Service, begin, codex_miroir};

const SECRET: &str = "secret-of-the-app-that-nobody-may-see";
const KEY: &str = "key-of-sessions-that-nobody-may-see-either";

fn start(github: &GitHub, data: &std::path::Path) -> Service {
    let mut command = settings(github, data);
    Service::start(&mut command)
}

fn settings(github: &GitHub, data: &std::path::Path) -> Command {
    let mut command = codex_miroir();
    command
        .env("CODEX_DATA_DIR", data)
        .env("GITHUB_API_URL", github.url())
        .env("GITHUB_URL", github.url())
        .env("GITHUB_OWNER", "anna")
        .env("GITHUB_OAUTH_CLIENT_ID", CLIENT)
        .env("GITHUB_OAUTH_CLIENT_SECRET", SECRET)
        .env("CODEX_SESSION_KEY", KEY)
        .env("RUST_LOG", "trace");
    command
}

fn send(service: &Service, method: &str, path: &str, headers: &str) -> Answer {
    Answer::read(begin(&service.address, method, path, headers, ""))
}

fn visit(url: &str) -> String {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let page = http_client().get(url).send().await.unwrap();
        page.headers()["location"].to_str().unwrap().to_owned()
    })
}

#[test]
fn no_token_cookie_code_or_secret_is_ever_logged() {
    let github = GitHub::start();
    github.add_oauth_app(CLIENT, SECRET, "http://127.0.0.1");
    github.sign_in("anna");
    let folder = tempfile::tempdir().unwrap();
    let service = start(&github, folder.path());
    let origin = format!("http://{}", service.address);
    let start: Value = serde_json::from_str(&service.log()[0]).unwrap();
    assert_eq!(
        (&start["auth"], &start["who"], &start["public_url"]),
        (&"github".into(), &"anna".into(), &origin.as_str().into()),
        "the port that was bound"
    );

    let mut secrets = vec![SECRET.to_owned(), KEY.to_owned()];
    let begun = send(&service, "GET", "/auth/github?return_to=%2Fauth%2Fme", "");
    let mut jar = Jar::default();
    jar.take(&begun.headers());
    secrets.push(jar.get("codex_sign_in").to_owned());
    let back = visit(begun.header("location"));
    let back = back.strip_prefix(&origin).unwrap();
    secrets.extend(back.split(['=', '&']).skip(1).step_by(2).map(str::to_owned));
    let cookies = format!("cookie: {}\r\n", jar.header());
    let landed = send(&service, "GET", back, &cookies);
    assert_eq!(
        (landed.status, landed.header("location")),
        (302, "/auth/me")
    );
    send(&service, "GET", back, &cookies);
    jar.take(&landed.headers());
    secrets.push(jar.get("codex_session").to_owned());
    let session = format!(
        "cookie: {}; session=gho_of-the-older-service\r\n",
        jar.header()
    );
    secrets.push("gho_of-the-older-service".to_owned());
    assert_eq!(
        send(&service, "GET", "/auth/me", &session).json()["login"],
        "anna"
    );

    let personal = github.personal_token("anna");
    let tokens = [
        personal.clone(),
        "ghp_wrong-token".to_owned(),
        github.app_token(CLIENT, "anna", &[]),
    ];
    for token in &tokens {
        send(
            &service,
            "GET",
            "/codex",
            &format!("authorization: Bearer {token}\r\n"),
        );
        secrets.push(token.clone());
    }
    for fault in [
        Fault::Status(500),
        Fault::Status(403),
        Fault::Status(429),
        Fault::Reset,
    ] {
        github.fail(fault.clone());
        let token = format!("ghp_unknown{}", secrets.len());
        let away = send(
            &service,
            "GET",
            "/codex",
            &format!("authorization: Bearer {token}\r\n"),
        );
        assert_eq!(away.status, 503);
        secrets.push(token);
        github.recover();
        // Callbacks from GitHub's page: the fault hits first the code exchange, then the lookup of the token.
        for (path, calls) in [("/login/oauth/access_token", 0), ("/user", 1)] {
            let begun = send(&service, "GET", "/auth/github", "");
            let mut jar = Jar::default();
            jar.take(&begun.headers());
            secrets.push(jar.get("codex_sign_in").to_owned());
            let back = visit(begun.header("location"));
            let back = back.strip_prefix(&origin).unwrap();
            secrets.extend(back.split(['=', '&']).skip(1).step_by(2).map(str::to_owned));
            github.fail_at("*", path, fault.clone());
            let users = github.calls("GET", "/user");
            let cookies = format!("cookie: {}\r\n", jar.header());
            assert_eq!(send(&service, "GET", back, &cookies).status, 503);
            assert_eq!(github.calls("GET", "/user"), users + calls);
            github.recover();
        }
    }
    let key = "functions-key-of-somebody";
    send(
        &service,
        "GET",
        &format!("/codex?code={key}"),
        &format!("x-functions-key: {key}\r\n"),
    );
    secrets.push(key.to_owned());
    let logout = format!("origin: {origin}\r\n{session}");
    assert_eq!(send(&service, "POST", "/auth/logout", &logout).status, 200);

    // The tokens that the GitHub test double issued are secrets, too.
    secrets.extend(github.requests().into_iter().filter_map(|it| it.token));
    let log = service.log().join("\n");
    assert!(
        log.contains("signed in") && log.contains("GitHub answered"),
        "{log}"
    );
    for secret in secrets {
        assert!(secret.len() > 5, "{secret:?}");
        assert!(!log.contains(&secret), "{secret} is in the log");
    }
}

#[test]
fn a_process_that_nobody_may_enter_doesnt_start() {
    let github = GitHub::start();
    let folder = tempfile::tempdir().unwrap();
    let mut command = settings(&github, folder.path());
    let output = command.env_remove("GITHUB_OWNER").output().unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("CODEX_ALLOWED_LOGINS") && said.lines().count() == 1,
        "{said}"
    );
    let mut command = settings(&github, folder.path());
    command.env("CODEX_AUTH", "easyauth");
    let said = String::from_utf8(command.output().unwrap().stderr).unwrap();
    assert!(
        said.contains("WEBSITE_AUTH_ENABLED") && !said.contains(SECRET),
        "{said}"
    );
}
