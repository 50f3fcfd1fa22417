//! The command line: settings in, the service wired and running.

mod operator;
mod serve;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use clap::{Parser, Subcommand};
use codex_miroir::cache::CacheSettings;
use codex_miroir::codex::{Codex, CodexSettings, Freshness, GitSettings, Want};
use codex_miroir::config::{self, Config, ConfigError, Flags, StorageChoice};
use codex_miroir::demo::{self, Folder};
use codex_miroir::functions::package::{self, Order};
use codex_miroir::github::{GitHubRepository, Transport};
use codex_miroir::now::Now;
use codex_miroir::store::BlobStore;
use codex_miroir::store::azure::{AzureConnection, AzureStore};
use codex_miroir::store::directory::DirectoryStore;
use codex_miroir::user::UserId;
use codex_miroir::{admin, telemetry};
use serve::{bind, serve, serve_on};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Where the settings are said, for whoever asks for help.
const SETTINGS: &str =
    "Settings are environment variables; src/config/README.md in the source has all of them.";

/// Plans a week from numbered markdown files and serves the timeline.
#[derive(Parser)]
#[command(name = "codex-miroir", version, after_help = SETTINGS)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Serve the timeline (what happens without a command, too).
    #[command(after_help = SETTINGS)]
    Serve {
        /// Where to listen, in place of PORT: 0 to 65535; 0 takes a free one.
        #[arg(long)]
        port: Option<u16>,
        /// Where the files are, in place of CODEX_DATA_DIR; not with a storage account.
        #[arg(long)]
        folder: Option<PathBuf>,
    },
    /// Fill an empty folder with a sample person's week and serve it.
    #[command(after_help = SETTINGS)]
    Demo {
        /// Where to listen, in place of PORT: 0 to 65535; 0 takes a free one.
        #[arg(long)]
        port: Option<u16>,
        /// A new or empty folder, or an earlier demo's, in place of CODEX_DATA_DIR; ./codex-demo without both.
        #[arg(long)]
        folder: Option<PathBuf>,
    },
    /// Copy the task files of a data folder into the configured storage, replacing nothing there.
    Import {
        /// The data folder: it holds raw/{user}/tasks.
        folder: PathBuf,
        /// Whose files; without sign-in the local user's.
        #[arg(long)]
        user: Option<String>,
    },
    /// Write a complete Azure Functions app folder.
    Package {
        /// A new or empty folder, or an earlier package, whose files are replaced.
        folder: PathBuf,
        /// Another build of this program to put in.
        #[arg(long, value_name = "FILE")]
        executable: Option<PathBuf>,
        /// Also write an archive for zip deploy.
        #[arg(long, value_name = "FILE")]
        zip: Option<PathBuf>,
        /// When gitPush runs, in six NCRONTAB fields; every minute without it.
        #[arg(long, value_name = "SCHEDULE")]
        push_schedule: Option<String>,
    },
    /// Say why a user sees what they see: all there is of them in storage. Changes nothing.
    Inspect {
        /// The user, as GitHub spells the login.
        user: String,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Hand out or remove all there is of a user, or say whose the login is.
    #[command(subcommand)]
    User(operator::UserCommand),
}

/// Why the process ends, in one line.
type Failure = Box<dyn std::error::Error>;

/// A read gives up after this, and takes its storage requests back.
const READ_DEADLINE: Duration = Duration::from_secs(30);

/// A Functions host takes exit code 0 for an intended end and doesn't start the process again. After this code it
/// does, without counting an error.
const START_AGAIN: u8 = 200;

fn main() -> ExitCode {
    let command = Arguments::parse().command.unwrap_or(Command::Serve {
        port: None,
        folder: None,
    });
    let hosted = matches!(command, Command::Serve { .. })
        && variable("FUNCTIONS_CUSTOMHANDLER_PORT").is_some();
    let result = tokio::runtime::Runtime::new()
        .map_err(Failure::from)
        .and_then(|runtime| {
            let result = runtime.block_on(run(command));
            // A hung file system must not keep the process.
            runtime.shutdown_timeout(Duration::from_secs(1));
            result
        });
    match result {
        Ok(()) if hosted => ExitCode::from(START_AGAIN),
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) if hosted => {
            telemetry::tell_failure(&failure);
            ExitCode::FAILURE
        }
        Err(failure) => {
            eprintln!("codex-miroir: {failure}");
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Serve { port, folder } => {
            serve(&configured_to_serve(Flags { port, folder })?).await
        }
        Command::Demo { port, folder } => {
            // Its folder is in the place of whatever storage is configured, an account's too.
            let flags = Flags { port, folder: None };
            serve_demo(configured_to_serve(flags)?, folder).await
        }
        Command::Import { folder, user } => import(&configured()?, &folder, user.as_deref()).await,
        Command::Package {
            folder,
            executable,
            zip,
            push_schedule,
        } => package(Order {
            folder,
            executable: executable.map_or_else(std::env::current_exe, Ok)?,
            zip,
            push: push_schedule.map(|it| it.parse()).transpose()?,
        }),
        Command::Inspect { user, json } => operator::inspect(&configured()?, &user, json).await,
        Command::User(command) => operator::run(&configured()?, command).await,
    }
}

/// The settings, with logging as they say.
fn configured() -> Result<Config, Failure> {
    telemetry::init(variable("RUST_LOG").as_deref())?;
    Ok(Config::from_lookup(variable)?)
}

/// The same for a service, after its flags. Whoever misspelled a setting is told so first: without the setting the
/// others may not be enough.
fn configured_to_serve(flags: Flags) -> Result<Config, Failure> {
    telemetry::init(variable("RUST_LOG").as_deref())?;
    let set = std::env::vars_os().filter(|(_, value)| !value.to_string_lossy().trim().is_empty());
    for unknown in config::unknown(set.map(|(name, _)| name.to_string_lossy().into_owned())) {
        let (variable, nearest) = (unknown.variable, unknown.nearest);
        tracing::warn!(variable, nearest, "there is no such setting");
    }
    Ok(Config::from_flags(flags, variable)?)
}

/// A blank value counts as not set.
fn variable(name: &str) -> Option<String> {
    std::env::var(name)
        .ok()
        .filter(|value| !value.trim().is_empty())
}

/// From the operating system. Without it ids could come twice, and one instance could take another's
/// write for its own.
#[expect(
    clippy::expect_used,
    reason = "a machine without randomness can't serve"
)]
fn random_id() -> u64 {
    getrandom::u64().expect("the operating system gives random numbers")
}

fn settings(config: &Config, github: &Arc<Transport>) -> Result<CodexSettings, Failure> {
    let git = GitHubRepository::new(&config.github, github)?.map(|repository| GitSettings {
        repository,
        base_path: config.github.base_path.clone(),
        clock: Now::read,
    });
    Ok(CodexSettings {
        cache: CacheSettings {
            memory_ttl: config.memory_ttl,
            artifact_ttl: config.artifact_ttl,
            revalidate: config.revalidate,
            stale_if_error: config.stale_if_error,
            memory_max_bytes: config.memory_max_bytes,
            deadline: READ_DEADLINE,
            pending_expiry: config.pending_expiry,
            zone: config.time_zone,
            ids: random_id,
        },
        rebuilds_per_minute: config.rebuilds_per_minute,
        writes_per_minute: config.writes_per_minute,
        git,
    })
}

/// The configured store, and how the start line calls it.
fn open_store(config: &Config) -> Result<(Arc<dyn BlobStore>, String), Failure> {
    let azure = |variable: &str,
                 connection: AzureConnection|
     -> Result<(Arc<dyn BlobStore>, String), Failure> {
        let store = AzureStore::new(connection, &config.container, &config.trust)?;
        let described = format!("{store} ({variable})");
        Ok((Arc::new(store), described))
    };
    match &config.storage {
        StorageChoice::ConnectionString { variable, value } => {
            let connection = AzureConnection::parse(value.reveal()).map_err(|error| {
                ConfigError::new(
                    variable,
                    format!("can't be used: {error}"),
                    "an Azure Storage connection string",
                )
            })?;
            azure(variable, connection)
        }
        StorageChoice::ManagedIdentity {
            variable,
            account,
            identity,
        } => {
            let connection =
                AzureConnection::managed_identity(account, identity.clone()).map_err(|error| {
                    ConfigError::new(
                        variable,
                        format!("can't be used: {error}"),
                        "an account name or https URL",
                    )
                })?;
            azure(variable, connection)
        }
        StorageChoice::Directory { variable, path } => {
            let store = DirectoryStore::open(path, Utc::now).map_err(|error| {
                let allowed = "a folder that the service may make and write to";
                ConfigError::new(variable, format!("can't be used: {error}"), allowed)
            })?;
            Ok((
                Arc::new(store),
                format!("folder {} ({variable})", path.display()),
            ))
        }
    }
}

/// Serves a sample week from a folder of its own, whatever storage is configured otherwise.
#[expect(
    clippy::print_stdout,
    reason = "says what to open to the person who started it"
)]
async fn serve_demo(mut config: Config, folder: Option<PathBuf>) -> Result<(), Failure> {
    let folder = folder.unwrap_or_else(|| {
        variable("CODEX_DATA_DIR").map_or_else(|| "./codex-demo".into(), PathBuf::from)
    });
    let listener = bind(&config).await?;
    let user = config.auth.dev_user().ok_or_else(|| {
        ConfigError::new(
            "CODEX_AUTH",
            format!("is {}", config.auth.as_str()),
            "dev for the demo",
        )
    })?;
    let said = fill_demo(&folder, user, &config).await?;
    let port = listener.local_addr()?.port();
    let host = format!("http://localhost:{port}");
    println!("{said}\n\nOpen   {host}/\nor     curl {host}/codex\nCtrl-C ends it.\n");
    // Samples are nobody's tasks, so no repository gets them.
    config.github.repository = None;
    config.storage = StorageChoice::Directory {
        variable: "demo".to_owned(),
        path: folder,
    };
    serve_on(listener, &config).await
}

/// Fills the folder where that is to be done, and says what is in it now.
async fn fill_demo(folder: &Path, user: &UserId, config: &Config) -> Result<String, Failure> {
    let shown = folder.display();
    let other = "name an empty or new folder by --folder or CODEX_DATA_DIR";
    let here = |error: std::io::Error| format!("{shown} can't be used: {error}; {other}");
    match demo::inspect(folder).map_err(here)? {
        Folder::Foreign => {
            Err(format!("{shown} holds something else and is left alone; {other}").into())
        }
        Folder::Filled => Ok(format!(
            "The sample week in {shown} is from an earlier start; delete the folder for a new one."
        )),
        Folder::Empty | Folder::Unfinished => {
            demo::begin(folder).map_err(here)?;
            let store = DirectoryStore::open(folder, Utc::now)?;
            let today = Utc::now().with_timezone(&config.time_zone).date_naive();
            let files = demo::fill(&store, user, today).await?;
            demo::finish(folder).map_err(here)?;
            Ok(format!(
                "{files} task files are in {shown}/raw/{user}/tasks; edit them with any editor."
            ))
        }
    }
}

#[expect(clippy::print_stdout, reason = "the command's result")]
async fn import(config: &Config, folder: &Path, user: Option<&str>) -> Result<(), Failure> {
    if !folder.join("raw").is_dir() {
        return Err(format!(
            "{} is no data folder: it has no folder raw",
            folder.display()
        )
        .into());
    }
    let user = match user {
        Some(name) => UserId::parse(name)?,
        None => {
            let local = config.auth.dev_user().cloned();
            local.ok_or("where people sign in, say whose files: import FOLDER --user LOGIN")?
        }
    };
    let from = DirectoryStore::open(folder, Utc::now)?;
    let (store, described) = open_store(config)?;
    let github = Arc::new(Transport::new(&config.github.api_url, &config.trust)?);
    let to = Codex::new(store, settings(config, &github)?);
    let want = Want {
        user,
        seen: None,
        known: None,
        freshness: Freshness::Bounded,
        now: Now::read(),
    };
    let imported = admin::import(&from, &to, &want).await?;
    to.finish_writes().await;
    let admin::Imported {
        copied,
        present,
        skipped,
    } = imported;
    println!(
        "{described}: {copied} files copied, {present} were there already, {skipped} aren't called as task files are"
    );
    Ok(())
}

/// The settings in force here play no part: the app has its own.
#[expect(clippy::print_stdout, reason = "the command's result")]
fn package(order: Order) -> Result<(), Failure> {
    println!("{}", package::write(&order)?);
    Ok(())
}
