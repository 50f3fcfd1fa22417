//! The process: started, polled until it answers, restarted.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::body::Body;
use http::Request;
use tokio::process::{Child, Command};
use tokio::sync::Notify;

use super::log::{self, Line, Lines};
use super::restarts::{Fate, Restarts};
use super::settings::HostFile;
use super::wire;

/// The interval between readiness polls.
const POLL: Duration = Duration::from_millis(25);

/// A process that hasn't answered after this time has failed.
const INITIALIZATION: Duration = Duration::from_secs(30);

/// The state of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    Starting,
    Ready,
    /// It exited by itself with code 0, which the host takes as intended.
    Ended,
    /// It failed so often that the host has stopped.
    Stopped,
}

/// The process over all its starts.
pub(super) struct Worker {
    root: PathBuf,
    executable: PathBuf,
    arguments: Vec<String>,
    environment: BTreeMap<String, String>,
    port: u16,
    lines: Lines,
    now: Mutex<Now>,
    killed: Notify,
    terminated: Notify,
}

struct Now {
    standing: Standing,
    starts: Vec<Duration>,
}

impl Worker {
    /// A process in the folder `root`, with these app settings.
    pub(super) fn new(
        root: &Path,
        host: &HostFile,
        mut environment: BTreeMap<String, String>,
        port: u16,
    ) -> Arc<Self> {
        let root_path = root.to_str().unwrap();
        for (name, value) in [
            ("FUNCTIONS_CUSTOMHANDLER_PORT", port.to_string().as_str()),
            ("FUNCTIONS_HTTPWORKER_PORT", port.to_string().as_str()),
            ("FUNCTIONS_CUSTOMHANDLER_WORKER_ID", &wire::guid()),
            ("FUNCTIONS_HTTPWORKER_ID", &wire::guid()),
            ("FUNCTIONS_APP_ROOT_PATH", root_path),
        ] {
            environment.insert(name.to_owned(), value.to_owned());
        }
        Arc::new(Self {
            root: root.to_owned(),
            executable: root.join(&host.executable),
            arguments: host.arguments.clone(),
            environment,
            port,
            lines: Lines::default(),
            now: Mutex::new(Now {
                standing: Standing::Starting,
                starts: Vec::new(),
            }),
            killed: Notify::new(),
            terminated: Notify::new(),
        })
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn lines(&self) -> Vec<Line> {
        self.lines.lock().unwrap().clone()
    }

    pub(super) fn standing(&self) -> Standing {
        self.now.lock().unwrap().standing
    }

    pub(super) fn starts(&self) -> Vec<Duration> {
        self.now.lock().unwrap().starts.clone()
    }

    fn set_standing(&self, standing: Standing) {
        self.now.lock().unwrap().standing = standing;
    }

    fn answered_after(&self, took: Duration) {
        let mut now = self.now.lock().unwrap();
        now.starts.push(took);
        now.standing = Standing::Ready;
    }

    /// Sends SIGKILL, asynchronously.
    pub(super) fn kill(&self) {
        // The waiting task kills it: by now its pid could belong to another process.
        self.killed.notify_one();
    }

    /// Sends SIGTERM, asynchronously.
    pub(super) fn terminate(&self) {
        self.terminated.notify_one();
    }

    /// Starts the process, and restarts it as long as the host would.
    pub(super) async fn supervise(self: Arc<Self>) {
        let mut restarts = Restarts::default();
        loop {
            self.set_standing(Standing::Starting);
            let status = self.run().await;
            let fate = restarts.after(status.code(), Instant::now());
            match fate {
                Fate::Restart => {}
                Fate::Rest => return self.set_standing(Standing::Ended),
                Fate::Stop => return self.set_standing(Standing::Stopped),
            }
        }
    }

    /// One start, until the process has ended.
    async fn run(&self) -> ExitStatus {
        let began = Instant::now();
        let mut child = self.spawn();
        let out = log::out(child.stdout.take().unwrap(), Arc::clone(&self.lines));
        let err = log::err(child.stderr.take().unwrap(), Arc::clone(&self.lines));
        let said = tokio::spawn(async { tokio::join!(out, err) });
        let status = self.end(&mut child, began).await;
        said.await.unwrap();
        status
    }

    async fn end(&self, child: &mut Child, began: Instant) -> ExitStatus {
        let mut watch = pin!(self.watch_start(began));
        loop {
            tokio::select! {
                status = child.wait() => return status.unwrap(),
                () = &mut watch => {}
                () = self.killed.notified() => child.start_kill().unwrap(),
                () = self.terminated.notified() => terminate(child),
            }
        }
    }

    fn spawn(&self) -> Child {
        Command::new(&self.executable)
            .args(&self.arguments)
            .current_dir(&self.root)
            .env_clear()
            .envs(&self.environment)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap()
    }

    /// Records when the process answers, and has it killed when it doesn't. Never returns.
    async fn watch_start(&self, began: Instant) {
        if tokio::time::timeout(INITIALIZATION, self.ask())
            .await
            .is_ok()
        {
            self.answered_after(began.elapsed());
        } else {
            self.kill();
        }
        std::future::pending().await
    }

    /// Polls until the process answers with any status.
    async fn ask(&self) {
        loop {
            let question = Request::get("/").header("host", format!("127.0.0.1:{}", self.port));
            let question = question.body(Body::empty()).unwrap();
            if wire::try_once(self.port, question).await.is_ok() {
                return;
            }
            tokio::time::sleep(POLL).await;
        }
    }
}

/// SIGTERM to a process that hasn't been reaped yet.
fn terminate(child: &Child) {
    let pid = child.id().unwrap().to_string();
    let status = std::process::Command::new("kill")
        .args(["-TERM", &pid])
        .status();
    assert!(status.unwrap().success());
}
