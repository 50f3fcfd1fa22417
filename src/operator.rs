//! The operator's commands: arguments and output.

#![expect(clippy::print_stdout, reason = "the commands' results")]

mod doctor;

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use clap::Subcommand;
use codex_miroir::admin::{self, AdminError, Deletion, InspectSettings, Storage};
use codex_miroir::codex::{Codex, CodexSettings};
use codex_miroir::config::{Config, ConfigError, StorageChoice};
use codex_miroir::now::Now;
use codex_miroir::shared_cache::{RedisSnapshots, SharedSnapshots};
use codex_miroir::store::BlobStore;
use codex_miroir::store::deadline::Deadline;
use codex_miroir::store::directory::DirectoryStore;
use codex_miroir::user::UserId;

pub(crate) use doctor::doctor;

use crate::wiring::{self, CALL_LIMIT, Failure, StoreName, open_store};

/// The commands on one user's data.
#[derive(Subcommand)]
pub(crate) enum UserCommand {
    /// Write all data that the service holds of a user into a zip.
    Export {
        /// The user, as GitHub spells the login.
        login: String,
        /// The zip to create, which must not exist; {login}-{date}.zip by default.
        #[arg(long, value_name = "FILE")]
        zip: Option<PathBuf>,
    },
    /// Delete all data that the storage holds of a user; without --yes-delete only list it.
    Delete {
        /// The user, as GitHub spells the login.
        login: String,
        /// The login again, as confirmation.
        #[arg(long, value_name = "LOGIN")]
        yes_delete: Option<String>,
        /// Delete even if Git holds files of the user, which the next sync would bring back.
        #[arg(long)]
        despite_git: bool,
    },
    /// Bind a login to another GitHub account.
    Rebind {
        /// The login, as GitHub spells it.
        login: String,
        /// The account's number: id in the response of GET https://api.github.com/users/{login}.
        #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
        account: u64,
        /// Create the owner record if the login has none yet.
        #[arg(long)]
        create: bool,
    },
}

/// Added to the expiry of a write intent, so that another instance has time to recover it.
const RECOVERY_MARGIN: Duration = Duration::from_secs(30);

pub(crate) async fn run(config: &Config, command: UserCommand) -> Result<(), Failure> {
    match command {
        UserCommand::Export { login, zip } => export(config, &UserId::parse(&login)?, zip).await,
        UserCommand::Delete {
            login,
            yes_delete,
            despite_git,
        } => {
            let user = UserId::parse(&login)?;
            match yes_delete {
                None => preview_deletion(config, &user).await,
                Some(again) if again == login => delete(config, user, despite_git).await,
                Some(again) => Err(format!("--yes-delete says {again}, not {login}").into()),
            }
        }
        UserCommand::Rebind {
            login,
            account,
            create,
        } => rebind(config, &UserId::parse(&login)?, account, create).await,
    }
}

/// Opens the store for a command that changes nothing: doesn't create a missing folder.
fn open_to_read(config: &Config) -> Result<(Arc<dyn BlobStore>, StoreName), Failure> {
    let (store, described) = match &config.storage {
        StorageChoice::Directory { variable, path } => {
            let store = DirectoryStore::open_to_read(path, Utc::now).map_err(|error| {
                let allowed = "a folder that the service has used";
                ConfigError::new(variable, format!("can't be read: {error}"), allowed)
            })?;
            let store: Arc<dyn BlobStore> = Arc::new(store);
            (store, StoreName::folder(variable, path))
        }
        _ => open_store(config)?,
    };
    Ok((Deadline::wrap(&store, CALL_LIMIT), described))
}

pub(crate) async fn inspect(config: &Config, user: &str, json: bool) -> Result<(), Failure> {
    let user = UserId::parse(user)?;
    let (store, described) = open_to_read(config)?;
    let codex = wiring::codex(config, Arc::clone(&store))?;
    let settings = InspectSettings {
        artifact_ttl: config.artifact_ttl,
        pending_expiry: config.pending_expiry,
        mirrored_in: codex.git().ok().map(|git| git.mirrored_in().to_owned()),
    };
    let shared = wiring::shared_snapshots(config, &described)?;
    let shared = shared.as_ref().map(|it| it as &dyn SharedSnapshots);
    let report = admin::inspect(&*store, shared, &user, &settings).await;
    match json {
        true => println!("{}", serde_json::to_string_pretty(&report)?),
        false => print!("storage: {described}\n{report}"),
    }
    match () {
        () if !report.is_complete() => Err(AdminError::Incomplete.into()),
        () if !report.is_there() => Err(AdminError::Nothing(user).into()),
        () => Ok(()),
    }
}

async fn export(config: &Config, user: &UserId, zip: Option<PathBuf>) -> Result<(), Failure> {
    let now = Now::read().utc;
    let today = now.with_timezone(&config.time_zone).format("%Y-%m-%d");
    let path = zip.unwrap_or_else(|| PathBuf::from(format!("{user}-{today}.zip")));
    let shown = path.display();
    if path.exists() {
        return Err(format!("{shown} exists already; name another file with --zip").into());
    }
    let (store, _) = open_to_read(config)?;
    let export = admin::export(&*store, user, now).await?;
    write_new(&path, &export.zip).map_err(|error| format!("{shown}: {error}"))?;
    println!("{shown}: {export}");
    if export.left_out.is_empty() {
        return Ok(());
    }
    let (zip, names) = (shown.to_string(), export.left_out.join(", "));
    Err(AdminError::LeftOut { zip, names }.into())
}

/// Creates a file that only its owner can read. Fails if it exists; on an error removes it again.
fn write_new(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    if written.is_err() {
        let _ = std::fs::remove_file(path);
    }
    written
}

async fn preview_deletion(config: &Config, user: &UserId) -> Result<(), Failure> {
    let (store, described) = open_to_read(config)?;
    let held = admin::holdings(&*store, user).await?;
    if held.is_empty() {
        return Err(AdminError::Nothing(user.clone()).into());
    }
    let in_git = held.in_git(user);
    print!("storage    {described}\nuser       {user}\n{held}");
    if let Some(server) = &config.redis {
        let server = server.address();
        println!("redis      what {server} has of the user, if anything");
    }
    println!("\nThis would be deleted. What remains: {in_git}");
    println!(
        "Nothing was removed. To remove it: codex-miroir user delete {user} --yes-delete {user}"
    );
    Ok(())
}

async fn delete(config: &Config, user: UserId, despite_git: bool) -> Result<(), Failure> {
    let (store, described) = open_store(config)?;
    // Without Git sync, so that the deletion isn't pushed to the repository.
    let settings = CodexSettings {
        git: None,
        ..wiring::settings(config, &wiring::transport(config)?)?
    };
    let codex = Codex::new(Arc::clone(&store), settings);
    let store = Deadline::wrap(&store, CALL_LIMIT);
    let shared = wiring::shared_snapshots(config, &described)?;
    let before = admin::holdings(&*store, &user).await?;
    if before.is_empty() {
        println!("{described}: nothing is stored for {user}");
        return delete_shared(shared, &user).await;
    }
    let deletion = Deletion {
        user,
        despite_git,
        pending_timeout: config.pending_expiry + RECOVERY_MARGIN,
        now: Now::read(),
    };
    let report = admin::delete(&*store, &codex, &deletion).await?;
    let storage = match config.storage {
        StorageChoice::Directory { .. } => Storage::Folder,
        _ => Storage::Container,
    };
    let (user, removed) = (&deletion.user, report.removed);
    println!("{described}: {removed} blobs of {user} removed. What remains:");
    for sentence in report.describe_remaining(user, &before, storage) {
        println!("- {sentence}");
    }
    delete_shared(shared, user).await
}

/// The last step: also where an earlier run has removed everything else.
async fn delete_shared(shared: Option<RedisSnapshots>, user: &UserId) -> Result<(), Failure> {
    if let Some(shared) = shared {
        println!("{}", admin::delete_shared(&shared, user).await?);
    }
    Ok(())
}

async fn rebind(config: &Config, user: &UserId, account: u64, create: bool) -> Result<(), Failure> {
    let owner_file_effect = admin::owner_file_effect(&config.auth)?;
    let (store, described) = open_store(config)?;
    let store = Deadline::wrap(&store, CALL_LIMIT);
    let rebound = admin::rebind(&*store, user, account, create).await?;
    println!("{described}: {user}: {rebound}\n{owner_file_effect}");
    Ok(())
}
