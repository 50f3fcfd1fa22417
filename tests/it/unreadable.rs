//! Requests whose line or headers can't be parsed, sent to the real process: each gets the usual error response.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

use crate::support::process::Service;

/// Sends the bytes, ignoring errors, and reads the response to its end.
fn exchange(service: &Service, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(&service.address).unwrap();
    let patience = Some(Duration::from_secs(20));
    stream.set_read_timeout(patience).unwrap();
    stream.set_write_timeout(patience).unwrap();
    let _ = stream.write_all(request);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8(answer).unwrap()
}

#[test]
fn what_cannot_be_read_is_refused_in_json_with_an_id() {
    let data = tempfile::tempdir().unwrap();
    let service = Service::over(data.path());
    let long = "a".repeat(200 << 10);
    let many: String = (0..200).map(|n| format!("x-{n}: a\r\n")).collect();
    for (request, statuses) in [
        (
            format!("GET /{long} HTTP/1.1\r\nhost: localhost\r\n\r\n"),
            // Depends on how much had arrived when it was parsed.
            &[414, 431][..],
        ),
        (
            format!("GET / HTTP/1.1\r\nhost: localhost\r\nx: {long}\r\n\r\n"),
            &[431],
        ),
        (
            format!("GET / HTTP/1.1\r\nhost: localhost\r\n{many}\r\n"),
            &[431],
        ),
        ("GET / HTTP/1.1\r\nno colon\r\n\r\n".to_owned(), &[400]),
        ("NONSENSE\r\n\r\n".to_owned(), &[400]),
        (
            "GET /healthz HTTP/1.0\r\nhost: localhost\r\nconnection: keep-alive\r\n\r\nNONSENSE\r\n\r\n".to_owned(),
            &[400],
        ),
        // After a response on the same connection.
        (
            "GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\nNONSENSE\r\n\r\n".to_owned(),
            &[400],
        ),
    ] {
        let label = format!("{} …", &request[..request.len().min(60)]);
        let all = exchange(&service, request.as_bytes());
        let answer = &all[all.rfind("HTTP/1.1 ").max(all.rfind("HTTP/1.0 ")).unwrap_or(0)..];
        let (head, body) = answer
            .split_once("\r\n\r\n")
            .unwrap_or_else(|| panic!("{label}: {all}"));
        let status: u16 = head[9..12].parse().unwrap();
        assert!(statuses.contains(&status), "{label}: {head}");
        let code = match status {
            400 => "invalid_request",
            414 => "uri_too_long",
            _ => "headers_too_large",
        };
        let header = |name: &str| {
            let lines = head.lines().filter_map(|line| line.split_once(": "));
            let mut values = lines
                .filter(|it| it.0.eq_ignore_ascii_case(name))
                .map(|it| it.1);
            let value = values
                .next()
                .unwrap_or_else(|| panic!("{label}: {name}: {head}"));
            assert_eq!(values.next(), None, "{label}: {name} twice");
            value
        };
        assert_eq!(header("content-type"), "application/json; charset=utf-8");
        assert_eq!(header("content-length"), body.len().to_string());
        // An HTTP/1.0 client expects the connection to close anyway.
        if head.starts_with("HTTP/1.1") {
            assert_eq!(header("connection"), "close");
        }
        assert_eq!(header("cache-control"), "no-store");
        assert_eq!(header("x-content-type-options"), "nosniff");
        assert!(header("x-request-id").contains('-'));
        let document: Value = serde_json::from_str(body).unwrap();
        assert_eq!(
            (&document["ok"], &document["code"]),
            (&Value::from(false), &Value::from(code))
        );
        assert!(document["error"].as_str().unwrap().ends_with('.'));
    }
}
