//! Authentication and authorization: tokens, sessions, sign-in, App Service Authentication, cross-origin requests.

mod calendar;
mod easyauth;
mod owners;
mod pages;
mod processes;
mod remembered;
mod sessions;
mod sign_in;
mod sign_out;
mod spellings;
mod tokens;

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Body;
use codex_miroir::config::Config;
use codex_miroir::github::Transport;
use codex_miroir::http::{App, Authenticator, Routes, router};
use codex_miroir::now::Now;
use http::request::Builder;
use http::{HeaderMap, Request};

use crate::support::github::{GitHub, http_client};
use crate::support::http::{Reply, exchange};
use crate::support::scene::{Instance, Scene, settle};

pub(crate) const ORIGIN: &str = "https://codex.example";
const CLIENT: &str = "Iv1.madeup";
const SECRET: &str = "made-up-client-secret";
const SESSION: &str = "__Host-codex_session";
const FLIGHT: &str = "__Host-codex_sign_in";

/// GitHub, a store and a clock. `anna` (account 1001) is in `CODEX_ALLOWED_LOGINS`, `berta` (1002) isn't.
pub(crate) struct Town {
    pub(crate) github: GitHub,
    pub(crate) scene: Scene,
}

/// An instance of the service with its own settings.
pub(crate) struct Service {
    instance: Instance,
    pub(crate) routes: Routes,
}

impl Town {
    pub(crate) fn new() -> Self {
        let github = GitHub::start();
        github.add_user("berta", 1_002);
        let callback = format!("{ORIGIN}/auth/github/callback");
        github.add_oauth_app(CLIENT, SECRET, &callback);
        github.add_oauth_app("Iv1.another", "another-secret", "https://another.example");
        github.sign_in("anna");
        let scene = Scene::new();
        Self { github, scene }
    }

    pub(crate) fn service(&self) -> Service {
        self.service_with(&[])
    }

    /// Of two settings with the same name the last one wins; an empty value counts as unset.
    fn service_with(&self, settings: &[(&str, &str)]) -> Service {
        let url = self.github.url();
        let usual = [
            ("GITHUB_API_URL", url),
            ("GITHUB_URL", url),
            ("CODEX_PUBLIC_URL", ORIGIN),
            ("CODEX_ALLOWED_LOGINS", "anna"),
            ("GITHUB_OAUTH_CLIENT_ID", CLIENT),
            ("GITHUB_OAUTH_CLIENT_SECRET", SECRET),
        ];
        let all: BTreeMap<&str, &str> = usual.iter().chain(settings).copied().collect();
        let lookup = |name: &str| all.get(name).map(|value| (*value).to_owned());
        let config = Config::from_lookup(lookup).unwrap();
        let transport = Arc::new(Transport::new(&config.github.api_url, &config.trust).unwrap());
        let instance = self.scene.instance();
        let owners = instance.codex.owners();
        let authenticator = Authenticator::new(&config, &transport, owners).unwrap();
        let app = App::new(
            instance.codex.clone(),
            authenticator,
            &config,
            Arc::default(),
        );
        let routes = router(app);
        Service { instance, routes }
    }

    /// How many times GitHub was asked for the account of a token.
    fn asked(&self) -> usize {
        self.github.calls("GET", "/user")
    }

    fn owner(&self, user: &str) -> Option<String> {
        let blob = self.scene.store.peek(&format!("state/{user}/owner.json"))?;
        Some(String::from_utf8(blob.bytes.to_vec()).unwrap())
    }
}

impl Service {
    pub(crate) async fn send(&self, town: &Town, request: Builder) -> Reply {
        self.send_at(town.scene.now(), request).await
    }

    async fn send_at(&self, now: Now, request: Builder) -> Reply {
        let reply = self.send_unsettled(now, request).await;
        settle().await;
        reply
    }

    /// Without waiting for the work after the response.
    async fn send_unsettled(&self, now: Now, request: Builder) -> Reply {
        let request = request.extension(now).body(Body::empty()).unwrap();
        exchange(self.routes.clone(), request).await
    }

    /// The status and code of GET `/codex` with this token.
    async fn by_token(&self, town: &Town, token: &str) -> String {
        said(&self.send(town, bearer(get("/codex"), token)).await)
    }

    /// One request of a flood by this token: [`Self::by_token`] without waiting for the work after the response.
    async fn flood(&self, town: &Town, token: &str) -> String {
        let request = bearer(get("/codex"), token);
        said(&self.send_unsettled(town.scene.now(), request).await)
    }

    async fn by_cookie(&self, town: &Town, cookie: &str) -> String {
        said(
            &self
                .send(town, get("/codex").header("cookie", cookie))
                .await,
        )
    }
}

pub(crate) fn request(method: &str, path: &str) -> Builder {
    Request::builder()
        .method(method)
        .uri(path)
        .header("host", "codex.example")
}

pub(crate) fn get(path: &str) -> Builder {
    request("GET", path)
}

fn bearer(request: Builder, token: &str) -> Builder {
    request.header("authorization", format!("Bearer {token}"))
}

/// The response's status and code, as in `401 token_invalid`.
pub(crate) fn said(reply: &Reply) -> String {
    let status = reply.status.as_u16();
    let document: Option<serde_json::Value> = serde_json::from_slice(&reply.body).ok();
    let code = document.and_then(|it| Some(it["code"].as_str()?.to_owned()));
    match code {
        Some(code) => format!("{status} {code}"),
        None => status.to_string(),
    }
}

/// A browser's cookie jar.
#[derive(Debug, Clone, Default)]
pub(crate) struct Jar(BTreeMap<String, String>);

impl Jar {
    pub(crate) fn take(&mut self, headers: &HeaderMap) {
        for cookie in headers.get_all("set-cookie") {
            let cookie = cookie.to_str().unwrap();
            let (pair, attributes) = cookie.split_once(';').unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            if attributes.contains("Max-Age=0;") {
                self.0.remove(name);
            } else {
                self.0.insert(name.to_owned(), value.to_owned());
            }
        }
    }

    pub(crate) fn header(&self) -> String {
        let pairs = self.0.iter();
        let pairs: Vec<String> = pairs
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        pairs.join("; ")
    }

    fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }
}

/// The path and query to which GitHub's page at this address redirects the browser.
pub(crate) async fn at_github(url: &str) -> String {
    let page = http_client().get(url).send().await.unwrap();
    assert_eq!(page.status(), 302);
    let back = page.headers()["location"].to_str().unwrap();
    back.strip_prefix(ORIGIN).unwrap().to_owned()
}

/// Starts a sign-in; returns GitHub's authorization URL and the browser's cookies.
pub(crate) async fn begin(town: &Town, service: &Service, query: &str) -> (String, Jar) {
    let begun = service
        .send(town, get(&format!("/auth/github{query}")))
        .await;
    assert_eq!(begun.status, 302, "{}", begun.text());
    let mut jar = Jar::default();
    jar.take(&begun.headers);
    (begun.header("location").to_owned(), jar)
}

/// Signs in the account that is logged in at GitHub; returns the browser's cookies.
async fn sign_in(town: &Town, service: &Service) -> Jar {
    let (url, mut jar) = begin(town, service, "").await;
    let back = get(&at_github(&url).await).header("cookie", jar.header());
    let landed = service.send(town, back).await;
    assert_eq!(landed.status, 302, "{}", landed.text());
    jar.take(&landed.headers);
    assert_eq!(jar.0.keys().collect::<Vec<_>>(), [SESSION]);
    jar
}
