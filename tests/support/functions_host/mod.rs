//! The Functions host for the tests: it starts a packaged folder's executable and calls it as the real one does
//! (`src/functions/README.md`).
//!
//! No answers are canned: the host's own answers are those that the real host gives without a handler (404, 401, and
//! 502 or 500 when the process is gone); all others come from the process.

mod app_folder;
mod front;
mod function;
mod headers;
mod legacy;
mod log;
mod proxied;
mod restarts;
mod route;
mod settings;
mod timer;
mod wire;
mod worker;

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use axum::extract::Request;
use axum::response::Response;
use tokio::runtime::Runtime;

pub(crate) use app_folder::packaged;
pub(crate) use function::{Function, Trigger};
pub(crate) use log::{Level, Line};
pub(crate) use timer::{Failure, Said};
pub(crate) use worker::Standing;

use super::process::{Answer, begin, eventually};
use settings::HostFile;
use worker::Worker;

/// How the host forwards to the process a request whose function has only an HTTP trigger and output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// The form of hosts that know `enableProxyingHttpRequest`.
    Proxied,
    /// The form of older hosts, which know only `enableForwardingHttpRequest`.
    Legacy,
}

/// Both forms.
pub(crate) const FORMS: [Form; 2] = [Form::Proxied, Form::Legacy];

/// State shared by the host's tasks.
struct Shared {
    form: Form,
    functions: Vec<Function>,
    /// Whether `/` belongs to a function instead of the host's own page.
    homepage_disabled: bool,
    worker: Arc<Worker>,
}

/// A running host. It stops on drop, along with the process.
pub(crate) struct FunctionsHost {
    shared: Arc<Shared>,
    runtime: Option<Runtime>,
    /// The address on which it listens.
    pub(crate) address: String,
}

impl FunctionsHost {
    /// Starts over the packaged folder, with these app settings on top of those of `local.settings.json`; `{host}` in a
    /// value is replaced by the host's address. Returns once the process has started or failed to.
    pub(crate) fn start(form: Form, settings: &[(&str, &str)]) -> Self {
        Self::start_in(packaged(), form, settings)
    }

    /// Starts over another folder.
    pub(crate) fn start_in(root: &Path, form: Form, settings: &[(&str, &str)]) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let mut environment = settings::of_app(root);
        let own = settings.iter().map(|(name, value)| {
            let value = value.replace("{host}", &address);
            ((*name).to_owned(), value)
        });
        environment.extend(own);
        let host_file = HostFile::read(root);
        let shared = Arc::new(Shared {
            form: host_file.form(form),
            functions: function::read(root, &host_file),
            homepage_disabled: is_true(&environment, "AzureWebJobsDisableHomepage"),
            worker: Worker::new(root, &host_file, environment, free_port()),
        });
        let host = Self::serve(shared, listener, address);
        let worker = &host.shared.worker;
        eventually("the process is ready, or has ended for good", || {
            worker.standing() != Standing::Starting
        });
        host
    }

    fn serve(shared: Arc<Shared>, listener: TcpListener, address: String) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        runtime.spawn(Arc::clone(&shared.worker).supervise());
        runtime.spawn(front::serve(Arc::clone(&shared), listener));
        Self {
            shared,
            runtime: Some(runtime),
            address,
        }
    }

    /// Sends a request from outside. `headers` are whole lines.
    pub(crate) fn send(&self, method: &str, path: &str, headers: &str, body: &str) -> Answer {
        Answer::read(begin(&self.address, method, path, headers, body))
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.send("GET", path, "", "")
    }

    pub(crate) fn send_json(&self, method: &str, path: &str, body: &str) -> Answer {
        self.send(method, path, "content-type: application/json\r\n", body)
    }

    /// Fires a timer.
    pub(crate) fn fire(&self, function: &str) -> Result<Said, Failure> {
        let known = self.shared.functions.iter();
        let function = known.clone().find(|it| it.name == function);
        let Some((function, Trigger::Timer { binding })) = function.map(|it| (it, &it.trigger))
        else {
            panic!("no timer is called so");
        };
        let runtime = self.runtime.as_ref().unwrap();
        runtime.block_on(timer::fire(&self.shared.worker, &function.name, binding))
    }

    /// The function that a request from outside reaches.
    pub(crate) fn function_of(&self, method: &str, path: &str) -> Option<&str> {
        let path = path.split('?').next().unwrap();
        let method = method.parse().unwrap();
        let found = function::of_request(&self.shared.functions, &method, path)?;
        Some(&found.name)
    }

    pub(crate) fn functions(&self) -> &[Function] {
        &self.shared.functions
    }

    /// The process's own address, which bypasses the host.
    pub(crate) fn past(&self) -> String {
        format!("127.0.0.1:{}", self.shared.worker.port())
    }

    /// The process's output, over all its starts.
    pub(crate) fn lines(&self) -> Vec<Line> {
        self.shared.worker.lines()
    }

    /// Sends SIGKILL to the process, asynchronously.
    pub(crate) fn kill(&self) {
        self.shared.worker.kill();
    }

    /// Sends SIGTERM to the process, asynchronously, as the container does.
    pub(crate) fn terminate(&self) {
        self.shared.worker.terminate();
    }

    pub(crate) fn standing(&self) -> Standing {
        self.shared.worker.standing()
    }

    /// How long each start took until the first answer; a start without an answer is missing.
    pub(crate) fn starts(&self) -> Vec<Duration> {
        self.shared.worker.starts()
    }
}

impl Drop for FunctionsHost {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Dropping its task kills the process.
            runtime.shutdown_timeout(Duration::from_secs(5));
        }
    }
}

/// Forwards a request from `from` to the process that listens on `port`.
pub(crate) async fn hand_on(form: Form, port: u16, from: SocketAddr, request: Request) -> Response {
    match form {
        Form::Proxied => proxied::call(port, from, request).await,
        Form::Legacy => legacy::call(port, request).await,
    }
}

fn is_true(settings: &BTreeMap<String, String>, name: &str) -> bool {
    let value = settings.get(name);
    value.is_some_and(|value| value.eq_ignore_ascii_case("true"))
}

/// A port that stays free while a process restarts: below the system's ephemeral range.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = 10_000 + (std::process::id() % 100) as u16 * 200;
    loop {
        let port = first + NEXT.fetch_add(1, Ordering::Relaxed) % 200;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
