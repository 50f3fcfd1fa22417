//! Real Redis servers, each a process of its own with nothing in it.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use codex_miroir::config::{RedisConfig, RedisLogin, Secret};
use redis::{FromRedisValue, RedisResult};
use tempfile::TempDir;

use super::tls::authority;

/// Longer than a start takes; reached only when something hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs the server until standard input closes, which happens when the test process ends, however it does; sends it the
/// signals that standard input names. An interrupt from the keyboard reaches the whole process group and must not end
/// the watcher first.
const WATCHER: &str = r#"trap '' INT HUP; "$@" & while read -r signal; do kill -"$signal" $!; done; kill -9 $!; wait $!"#;

/// A server, or one that was killed and may be started again on the same port.
pub(crate) struct RedisServer {
    folder: TempDir,
    port: u16,
    tls: bool,
    password: Option<&'static str>,
    settings: Vec<String>,
    watcher: Option<Child>,
}

impl RedisServer {
    /// Starts a server that lets everyone in, with these settings, as in `["--maxmemory", "2mb"]`.
    pub(crate) fn start(settings: &[&str]) -> Self {
        Self::on_free_port(settings, None, false)
    }

    /// One that asks for a password.
    pub(crate) fn with_password(password: &'static str) -> Self {
        Self::on_free_port(&["--requirepass", password], Some(password), false)
    }

    /// One that speaks TLS, with a certificate of [`authority`].
    pub(crate) fn with_tls() -> Self {
        Self::on_free_port(&[], None, true)
    }

    /// A server can't choose a port by itself, and another process may take the one that was free a moment ago.
    fn on_free_port(settings: &[&str], password: Option<&'static str>, tls: bool) -> Self {
        let installed = Command::new("redis-server").arg("--version").output();
        assert!(
            installed.is_ok(),
            "redis-server isn't installed: tests/run installs it"
        );
        let mut server = Self {
            folder: tempfile::tempdir().unwrap(),
            port: 0,
            tls,
            password,
            settings: settings.iter().map(|it| (*it).to_owned()).collect(),
            watcher: None,
        };
        loop {
            let free = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
            server.port = free.local_addr().unwrap().port();
            drop(free);
            if server.try_start() {
                return server;
            }
        }
    }

    /// Whether it got its port.
    fn try_start(&mut self) -> bool {
        self.spawn();
        let began = Instant::now();
        loop {
            let said = self.log();
            if said.contains("Ready to accept connections") {
                return true;
            }
            if said.contains("Failed listening on port") {
                self.kill();
                return false;
            }
            assert!(began.elapsed() < PATIENCE, "it never listened: {said}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn spawn(&mut self) {
        let folder = self.folder.path();
        let log = folder.join("log");
        let _ = fs::remove_file(&log);
        let mut command = Command::new("sh");
        command
            .args(["-c", WATCHER, "sh", "redis-server"])
            .args(["--bind", "127.0.0.1", "--save", "", "--dir"])
            .args([folder, Path::new("--logfile"), &log])
            .args(&self.settings);
        let port = self.port.to_string();
        if self.tls {
            let [certificate, key] = authority().write_server_files(folder);
            command.args(["--port", "0", "--tls-port", &port]);
            command.args(["--tls-cert-file", &certificate, "--tls-key-file", &key]);
            command.args(["--tls-ca-cert-file", &certificate]);
            command.args(["--tls-auth-clients", "no"]);
        } else {
            command.args(["--port", &port]);
        }
        let watcher = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn();
        self.watcher = Some(watcher.expect("sh is there"));
    }

    /// What it has logged since its start.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        if let Some(mut watcher) = self.watcher.take() {
            drop(watcher.stdin.take());
            watcher.wait().unwrap();
        }
    }

    /// Starts it again on its port, with what its folder holds.
    pub(crate) fn restart(&mut self) {
        self.kill();
        let began = Instant::now();
        while !self.try_start() {
            assert!(began.elapsed() < PATIENCE, "its port is taken");
        }
    }

    /// The same without waiting until it has read that, and with other settings.
    pub(crate) fn begin_restart(&mut self, settings: &[&str]) {
        self.kill();
        self.settings = settings.iter().map(|it| (*it).to_owned()).collect();
        self.spawn();
    }

    /// SIGSTOP, and with `CONT` SIGCONT.
    pub(crate) fn signal(&mut self, name: &str) {
        let watcher = self.watcher.as_mut().expect("it runs");
        let mut input = watcher.stdin.as_ref().unwrap();
        writeln!(input, "{name}").unwrap();
    }

    /// Runs a command past the client. Not over TLS.
    pub(crate) fn run<T: FromRedisValue>(&self, command: &[&str]) -> RedisResult<T> {
        let login = self.password.map_or(String::new(), |it| format!(":{it}@"));
        let client = redis::Client::open(format!("redis://{login}127.0.0.1:{}", self.port))?;
        let mut words = redis::cmd(command[0]);
        words
            .arg(&command[1..])
            .query(&mut client.get_connection()?)
    }

    /// Puts a hash with these fields and one more in place of what is there.
    pub(crate) fn set_hash(&self, key: &str, fields: &[(String, Vec<u8>)], more: (&str, &str)) {
        let client = redis::Client::open(format!("redis://127.0.0.1:{}", self.port)).unwrap();
        let mut connection = client.get_connection().unwrap();
        let mut set = redis::cmd("HSET");
        set.arg(key).arg(more.0).arg(more.1);
        for (field, value) in fields {
            set.arg(field).arg(value);
        }
        let mut replace = redis::pipe();
        replace.atomic().del(key).add_command(set);
        replace.query::<()>(&mut connection).unwrap();
    }

    /// The settings of a client.
    pub(crate) fn config(&self) -> RedisConfig {
        let login = match self.password {
            Some(password) => RedisLogin::Password {
                user: None,
                password: Secret::new(password.to_owned()),
            },
            None => RedisLogin::None,
        };
        RedisConfig {
            variable: "CODEX_REDIS_URL",
            host: "127.0.0.1".to_owned(),
            port: self.port,
            tls: self.tls,
            database: 0,
            login,
        }
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
    }
}
