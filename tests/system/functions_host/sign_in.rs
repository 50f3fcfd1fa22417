//! A sign-in through GitHub's pages, behind the host.

use super::over;
use crate::support::functions_host::{Form, FunctionsHost};
use crate::support::github::{GitHub, http_client};
use crate::support::process::Answer;

/// The cookies that an answer sets, as a browser sends them back.
fn cookies(answer: &Answer) -> String {
    let headers = answer.headers();
    let set = headers.get_all("set-cookie").iter();
    let pairs = set.map(|it| it.to_str().unwrap().split(';').next().unwrap());
    let pairs: Vec<&str> = pairs.collect();
    format!("cookie: {}\r\n", pairs.join("; "))
}

#[test]
fn a_person_signs_in_through_the_host() {
    let (data, github) = (tempfile::tempdir().unwrap(), GitHub::start());
    github.add_oauth_app("the-app", "a-secret-of-the-app", "http://127.0.0.1");
    github.sign_in("anna");
    let mut settings = over(&data);
    settings.extend([
        ("CODEX_AUTH", "github"),
        ("CODEX_PUBLIC_URL", "http://{host}"),
        ("GITHUB_API_URL", github.url()),
        ("GITHUB_URL", github.url()),
        ("GITHUB_OWNER", "anna"),
        ("GITHUB_OAUTH_CLIENT_ID", "the-app"),
        ("GITHUB_OAUTH_CLIENT_SECRET", "a-secret-of-the-app"),
    ]);
    let host = FunctionsHost::start(Form::Proxied, &settings);
    assert_eq!(host.get("/codex").status, 401);
    let begun = host.get("/auth/github?return_to=%2Fcodex");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let back = runtime.block_on(async {
        let page = http_client()
            .get(begun.header("location"))
            .send()
            .await
            .unwrap();
        page.headers()["location"].to_str().unwrap().to_owned()
    });
    let own = format!("http://{}", host.address);
    let landed = host.send(
        "GET",
        back.strip_prefix(&own).unwrap(),
        &cookies(&begun),
        "",
    );
    assert_eq!((landed.status, landed.header("location")), (302, "/codex"));
    let session = cookies(&landed);
    let me = host.send("GET", "/auth/me", &session, "").json();
    assert_eq!(
        (&me["login"], &me["auth"]),
        (&"anna".into(), &"github".into())
    );
    assert_eq!(host.send("GET", "/codex", &session, "").status, 200);
}
