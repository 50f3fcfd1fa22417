//! GitHub as far as a sign-in needs it, for one account, and the service's requests to it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};

use crate::bare::answer;
use crate::client::header;

/// The account's login.
pub(crate) const LOGIN: &str = "anna";

/// A personal access token that GitHub takes for the account's; it takes any.
pub(crate) const TOKEN: &str = "ghp_0123456789abcdefghijklmnopqrstuvwxyz";

/// Starts GitHub; its URL. It ends with this process.
pub(crate) fn start_github() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || serve(stream));
        }
    });
    url
}

/// Answers one request, and closes the connection.
fn serve(stream: TcpStream) {
    let mut stream = BufReader::new(stream);
    let (mut path, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).unwrap();
        let line = line.trim_end().to_ascii_lowercase();
        if line.is_empty() {
            break;
        } else if path.is_empty() {
            path = line.split(' ').nth(1).unwrap().to_owned();
        } else if let Some(value) = line.strip_prefix("content-length: ") {
            length = value.parse().unwrap();
        }
    }
    stream.read_exact(&mut vec![0; length]).unwrap();
    let body = match path.as_str() {
        "/login/oauth/access_token" => {
            serde_json::json!({"access_token": "gho_0123456789", "token_type": "bearer", "scope": ""})
        }
        "/user" => serde_json::json!({"login": LOGIN, "id": 1_001}),
        other => panic!("GitHub has no {other} here"),
    };
    let body = body.to_string();
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    stream
        .into_inner()
        .write_all((head + &body).as_bytes())
        .unwrap();
}

/// Signs in at the service, which is called `host`, as a browser does; the session's cookie.
pub(crate) async fn session(address: &str, host: &str) -> String {
    let get = |path: &str, cookie: &str| {
        format!("GET {path} HTTP/1.1\r\nhost: {host}\r\ncookie: {cookie}\r\n\r\n")
    };
    let (begun, _) = answer(address, &get("/auth/github", "")).await;
    let state = header(&begun, "location").and_then(|it| it.split_once("state="));
    let state = state.unwrap().1.split('&').next().unwrap();
    let back = format!("/auth/github/callback?code=0123456789&state={state}");
    let (landed, _) = answer(address, &get(&back, cookie(&begun, "__Host-codex_sign_in"))).await;
    cookie(&landed, "__Host-codex_session").to_owned()
}

/// A cookie that a response sets, `name=value`.
fn cookie<'a>(head: &'a str, name: &str) -> &'a str {
    let set = head
        .lines()
        .filter_map(|line| line.strip_prefix("set-cookie: "));
    let mut pairs = set.map(|it| it.split(';').next().unwrap());
    let found = pairs.find(|it| {
        it.split_once('=')
            .is_some_and(|(of, value)| of == name && !value.is_empty())
    });
    found.unwrap_or_else(|| panic!("no cookie {name}: {head}"))
}
