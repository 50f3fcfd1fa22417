//! The GitHub for the tests: its API, its sign-in pages and its hook, over a real git repository.
//!
//! It runs on threads of its own, so that a test may block or stop the clock. Its answers come from the repository and
//! from earlier requests; nothing is canned. Statuses, messages and members are GitHub's: `tests/github-contract.mjs`
//! checks them against GitHub's description.

mod accounts;
mod activity;
mod app_key;
mod commit;
mod compare;
mod contents;
mod control;
mod database;
mod deliveries;
mod exchange;
mod exchanges;
mod git;
mod hook;
mod hub;
mod limits;
mod oauth;
mod people;
mod pulls;
mod push;
mod replica;
mod repository;
mod server;
mod settings;
mod shapes;
mod traffic;
mod tree;
mod world;

use std::collections::HashMap;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::runtime::Runtime;

pub(crate) use app_key::app_private_key;
pub(crate) use deliveries::{http_client, sign};
pub(crate) use git::blob_sha;
pub(crate) use oauth::s256;
pub(crate) use pulls::Merge;
pub(crate) use replica::Replica;
pub(crate) use repository::Change;
pub(crate) use settings::HookSetting;
pub(crate) use traffic::{Fault, Hold};

use deliveries::Deliveries;
use git::Git;
use hub::Hub;
use limits::Limits;
use people::People;
use settings::Settings;
use world::World;

/// The initial repository.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    pub(crate) owner: &'static str,
    /// The owner's account number.
    pub(crate) owner_id: u64,
    pub(crate) name: &'static str,
    pub(crate) private: bool,
    pub(crate) default_branch: &'static str,
    /// Without its first commit, which adds a `README.md`.
    pub(crate) empty: bool,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            owner: "anna",
            owner_id: 1_001,
            name: "notes",
            private: true,
            default_branch: "main",
            empty: false,
        }
    }
}

/// A running hub with one repository. It stops on drop.
pub(crate) struct GitHub {
    hub: Arc<Hub>,
    url: String,
    setup: Setup,
    runtime: Option<Runtime>,
    _folder: TempDir,
}

impl GitHub {
    /// The private repository `notes` of `anna`, account 1001, with a commit on `main`.
    pub(crate) fn start() -> Self {
        Self::start_with(Setup::default())
    }

    /// Listens on a free loopback port.
    pub(crate) fn start_with(setup: Setup) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let (listener, url) = listen();
        let folder = TempDir::with_prefix("github-").unwrap();
        let world = begin(&setup, &url, Git::init(folder.path()));
        let deliveries = Deliveries::new(runtime.handle().clone());
        let hub = Arc::new(Hub::new(world, deliveries));
        runtime.spawn(server::serve(Arc::clone(&hub), None, listener));
        let github = Self {
            hub,
            url,
            setup,
            runtime: Some(runtime),
            _folder: folder,
        };
        if !github.setup.empty {
            let branch = github.setup.default_branch;
            github.commit(branch, &[("README.md", "# Notes\n".into())], "Begin");
            github.drop_deliveries();
        }
        github
    }

    /// The base URL of the API and of the web pages.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// A URL below the repository's in the API.
    pub(crate) fn api(&self, below: &str) -> String {
        self.hub.work(|world| world.api(below))
    }

    /// The owner's initial login.
    pub(crate) fn owner(&self) -> &'static str {
        self.setup.owner
    }

    pub(crate) fn repo(&self) -> &'static str {
        self.setup.name
    }

    /// Advances the hub's clock, by which tokens, codes and limits expire and replicas catch up.
    pub(crate) fn advance(&self, by: Duration) {
        self.hub.work(|world| world.ahead += by);
    }
}

impl Drop for GitHub {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // A test's own runtime must not block here.
            runtime.shutdown_background();
        }
    }
}

/// A free loopback port, and its address.
fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    (listener, url)
}

fn begin(setup: &Setup, url: &str, git: Git) -> World {
    let mut people = People::default();
    let owner = setup.owner_id;
    people.users.insert(
        owner,
        people::User {
            id: owner,
            login: setup.owner.to_owned(),
        },
    );
    World {
        base: url.to_owned(),
        owner,
        name: setup.name.to_owned(),
        private: setup.private,
        default_branch: setup.default_branch.to_owned(),
        git,
        people,
        pulls: Vec::new(),
        test_merges: HashMap::new(),
        activities: Vec::new(),
        shown_activities: None,
        revisions: Vec::new(),
        pull_changes: Vec::new(),
        sealed_pulls: Vec::new(),
        replicas: Vec::new(),
        limits: Limits::default(),
        settings: Settings::default(),
        pushes: Vec::new(),
        tree_limit: 100_000,
        filled: false,
        installation_life: Duration::from_secs(3_600),
        begun: Instant::now(),
        ahead: Duration::ZERO,
    }
}
