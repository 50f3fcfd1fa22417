//! The command line: parses arguments and settings, and runs the command.

mod operator;
mod serve;
mod wiring;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use chrono::Utc;
use clap::{Parser, Subcommand};
use codex_miroir::codex::{Consistency, ReadRequest};
use codex_miroir::config::{self, Config, ConfigError, Flags, StorageChoice};
use codex_miroir::demo::{self, DemoFolder};
use codex_miroir::functions::package::{self, PackageRequest};
use codex_miroir::now::Now;
use codex_miroir::store::directory::DirectoryStore;
use codex_miroir::user::UserId;
use codex_miroir::{admin, telemetry};
use serve::{bind, serve, serve_on};
use wiring::{Failure, open_store};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Pages of the normal size only. The allocator's heap of each thread that waits for the disk would touch large ones of
/// its own, 2 MiB each, that stay resident after the thread has ended (benches/README.md, "Memory after a burst").
fn disable_large_pages() {
    // Without the flag the process takes more memory, and is correct.
    #[cfg(target_os = "linux")]
    let _ = rustix::thread::disable_transparent_huge_pages(true);
}

/// The end of the help texts.
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
    /// Serve the timeline; the default without a command.
    #[command(after_help = SETTINGS)]
    Serve {
        /// The port to listen on, in place of PORT: 0 to 65535; 0 takes a free one.
        #[arg(long)]
        port: Option<u16>,
        /// The data folder, in place of CODEX_DATA_DIR; not with a storage account.
        #[arg(long)]
        folder: Option<PathBuf>,
    },
    /// Fill an empty folder with a sample person's week and serve it.
    #[command(after_help = SETTINGS)]
    Demo {
        /// The port to listen on, in place of PORT: 0 to 65535; 0 takes a free one.
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
        /// The user whose files to copy; without sign-in the local user.
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
        /// Also write what deploys it, into a repository of yours: Bicep for Azure's resources, azure.yaml, a workflow. A
        /// file that is there stays.
        #[arg(long, value_name = "FOLDER")]
        deploy: Option<PathBuf>,
        /// When gitPush runs, in six NCRONTAB fields; every minute without it.
        #[arg(long, value_name = "SCHEDULE")]
        push_schedule: Option<String>,
    },
    /// Report everything that the storage holds of a user, to explain what they see. Changes nothing.
    Inspect {
        /// The user, as GitHub spells the login.
        user: String,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Check the settings and everything they name, and say what to do about what is wrong. Changes nothing that stays.
    Doctor,
    /// Export or delete all data of a user, or rebind the login to another account.
    #[command(subcommand)]
    User(operator::UserCommand),
}

/// Exit code under a Functions host. It doesn't restart the process after 0, an intended exit; after this code it does,
/// without counting an error.
const RESTART_EXIT_CODE: u8 = 200;

fn main() -> ExitCode {
    disable_large_pages();
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
            // Don't wait for blocking tasks on a hung file system.
            runtime.shutdown_timeout(Duration::from_secs(1));
            result
        });
    match result {
        Ok(()) if hosted => ExitCode::from(RESTART_EXIT_CODE),
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) if hosted => {
            telemetry::log_failure(&failure);
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
        Command::Serve { port, folder } => serve(&load_serve_config(Flags { port, folder })?).await,
        Command::Demo { port, folder } => {
            // The demo's folder replaces any configured storage, so a storage account isn't an error here.
            let flags = Flags { port, folder: None };
            serve_demo(load_serve_config(flags)?, folder).await
        }
        Command::Import { folder, user } => import(&load_config()?, &folder, user.as_deref()).await,
        Command::Package {
            folder,
            executable,
            zip,
            deploy,
            push_schedule,
        } => package(PackageRequest {
            folder,
            executable: executable.map_or_else(std::env::current_exe, Ok)?,
            zip,
            deploy,
            push_schedule: push_schedule.map(|it| it.parse()).transpose()?,
        }),
        Command::Inspect { user, json } => operator::inspect(&load_config()?, &user, json).await,
        Command::Doctor => {
            telemetry::init(variable("RUST_LOG").as_deref())?;
            operator::doctor(variable, set_variables(), Utc::now).await
        }
        Command::User(command) => operator::run(&load_config()?, command).await,
    }
}

/// Starts logging and reads the settings.
fn load_config() -> Result<Config, Failure> {
    telemetry::init(variable("RUST_LOG").as_deref())?;
    Ok(Config::from_lookup(variable)?)
}

/// Like [`load_config`], for a command that serves, with its flags. Warns of misspelled settings first, since a missing
/// one may make the others invalid.
fn load_serve_config(flags: Flags) -> Result<Config, Failure> {
    telemetry::init(variable("RUST_LOG").as_deref())?;
    for unknown in config::unknown_settings(set_variables()) {
        let (variable, nearest) = (unknown.variable, unknown.nearest);
        tracing::warn!(variable, nearest, "unknown setting");
    }
    Ok(Config::from_flags(flags, variable)?)
}

/// The names of the environment variables that aren't blank.
fn set_variables() -> Vec<String> {
    let set = std::env::vars_os().filter(|(_, value)| !value.to_string_lossy().trim().is_empty());
    set.map(|(name, _)| name.to_string_lossy().into_owned())
        .collect()
}

/// Reads an environment variable. A blank value counts as not set.
fn variable(name: &str) -> Option<String> {
    std::env::var(name)
        .ok()
        .filter(|value| !value.trim().is_empty())
}

/// Serves a sample week from its own folder, ignoring any configured storage.
#[expect(clippy::print_stdout, reason = "the command's result")]
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
    let summary = fill_demo(&folder, user, &config).await?;
    let port = listener.local_addr()?.port();
    let host = format!("http://localhost:{port}");
    println!("{summary}\n\nOpen   {host}/\nor     curl {host}/codex\nCtrl-C ends it.\n");
    // Don't push sample tasks to a repository.
    config.github.repository = None;
    config.storage = StorageChoice::Directory {
        variable: "demo".to_owned(),
        path: folder,
    };
    serve_on(listener, &config).await
}

/// Fills the folder if it is empty or only partly filled. Returns a summary for the user.
async fn fill_demo(folder: &Path, user: &UserId, config: &Config) -> Result<String, Failure> {
    let shown = folder.display();
    let advice = "name an empty or new folder by --folder or CODEX_DATA_DIR";
    let unusable = |error: std::io::Error| format!("{shown} can't be used: {error}; {advice}");
    match demo::inspect(folder).map_err(unusable)? {
        DemoFolder::Foreign => {
            Err(format!("{shown} holds something else and is left alone; {advice}").into())
        }
        DemoFolder::Filled => Ok(format!(
            "The sample week in {shown} is from an earlier start; delete the folder for a new one."
        )),
        DemoFolder::Empty | DemoFolder::Unfinished => {
            demo::mark(folder, demo::UNFINISHED).map_err(unusable)?;
            let store = DirectoryStore::open(folder, Utc::now)?;
            let today = Utc::now().with_timezone(&config.time_zone).date_naive();
            let files = demo::fill(&store, user, today).await?;
            demo::mark(folder, demo::FINISHED).map_err(unusable)?;
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
            local.ok_or("with sign-in the user must be named: import FOLDER --user LOGIN")?
        }
    };
    let from = DirectoryStore::open(folder, Utc::now)?;
    let (store, described) = open_store(config)?;
    let to = wiring::codex(config, store)?;
    let read_request = ReadRequest::new(user, Consistency::Bounded, Now::read());
    let imported = admin::import(&from, &to, &read_request).await?;
    to.finish_writes().await;
    let (copied, present, skipped) = (imported.copied, imported.present, imported.skipped);
    println!(
        "{described}: {copied} files copied, {present} existed already, {skipped} skipped: not named as task files"
    );
    Ok(())
}

/// Writes the app's folder. Reads no settings: the deployed app has its own.
#[expect(clippy::print_stdout, reason = "the command's result")]
fn package(request: PackageRequest) -> Result<(), Failure> {
    println!("{}", package::write(&request)?);
    Ok(())
}
