//! The tests' own GitHub behaves as GitHub documents itself. Everything that leans on it rests on this,
//! and `github-contract.mjs` holds what is said here against GitHub's description.

mod activity;
mod compare;
mod contents;
mod database;
mod faults;
mod hook;
mod limits;
mod pulls;
mod replicas;
mod sign_in;

use http::{HeaderMap, Method};
use serde_json::Value;

use crate::support::github::{GitHub, Replica, http_client};

/// Asks the hub, with a token or without.
struct Client {
    http: reqwest::Client,
    api: String,
    root: String,
    authorization: Option<String>,
}

/// An answer, read whole.
#[derive(Debug)]
struct Heard {
    status: u16,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Client {
    /// The owner, with a token that may do everything.
    fn owner(github: &GitHub) -> Self {
        Self::with(github, &github.personal_token(github.owner()))
    }

    fn with(github: &GitHub, token: &str) -> Self {
        Self {
            authorization: Some(format!("Bearer {token}")),
            ..Self::nobody(github)
        }
    }

    /// The owner, at a replica's address.
    fn at(github: &GitHub, replica: &Replica) -> Self {
        let owner = Self::owner(github);
        Self {
            api: owner.api.replace(github.url(), replica.url()),
            root: format!("{}/", replica.url()),
            ..owner
        }
    }

    fn nobody(github: &GitHub) -> Self {
        Self {
            http: http_client(),
            api: github.api(""),
            root: format!("{}/", github.url()),
            authorization: None,
        }
    }

    /// A path below the repository, or with a slash before it below the root.
    fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let address = match path.strip_prefix('/') {
            Some(path) => format!("{}{path}", self.root),
            None => format!("{}{path}", self.api),
        };
        let request = self.http.request(method, address.trim_end_matches('/'));
        let request = request.header("user-agent", "test");
        match &self.authorization {
            Some(value) => request.header("authorization", value),
            None => request,
        }
    }

    async fn get(&self, path: &str) -> Heard {
        hear(self.request(Method::GET, path)).await
    }

    /// A GET on the condition that it isn't what this tag names.
    async fn get_unless(&self, path: &str, tag: &str) -> Heard {
        hear(self.request(Method::GET, path).header("if-none-match", tag)).await
    }

    async fn send(&self, method: Method, path: &str, body: Value) -> Heard {
        hear(self.request(method, path).body(body.to_string())).await
    }

    async fn post(&self, path: &str, body: Value) -> Heard {
        self.send(Method::POST, path, body).await
    }

    async fn patch(&self, path: &str, body: Value) -> Heard {
        self.send(Method::PATCH, path, body).await
    }

    async fn put(&self, path: &str, body: Value) -> Heard {
        self.send(Method::PUT, path, body).await
    }
}

async fn hear(request: reqwest::RequestBuilder) -> Heard {
    try_hear(request).await.unwrap()
}

async fn try_hear(request: reqwest::RequestBuilder) -> reqwest::Result<Heard> {
    let answer = request.send().await?;
    Ok(Heard {
        status: answer.status().as_u16(),
        headers: answer.headers().clone(),
        body: answer.bytes().await?.to_vec(),
    })
}

impl Heard {
    fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value.map_or("", |value| value.to_str().unwrap())
    }

    fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    /// The body of an answer with this status.
    #[track_caller]
    fn json(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text());
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The message of a refusal with this status.
    #[track_caller]
    fn message(&self, status: u16) -> String {
        self.json(status)["message"].as_str().unwrap().to_owned()
    }
}

/// A text member.
#[track_caller]
fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}
