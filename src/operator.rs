//! The commands for an operator: what they take and what they print.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use clap::Subcommand;
use codex_miroir::admin::{self, Deletion, InspectSettings, Storage};
use codex_miroir::codex::{Codex, CodexSettings};
use codex_miroir::config::{Config, ConfigError, StorageChoice};
use codex_miroir::github::Transport;
use codex_miroir::now::Now;
use codex_miroir::store::BlobStore;
use codex_miroir::store::directory::DirectoryStore;
use codex_miroir::user::UserId;

use crate::{Failure, open_store, settings};

/// What is done with a user.
#[derive(Subcommand)]
pub(crate) enum UserCommand {
    /// Write all that the service holds of a user into a zip.
    Export {
        /// The user, as GitHub spells the login.
        login: String,
        /// The zip, which must not be there yet; otherwise {login}-{date}.zip.
        #[arg(long, value_name = "FILE")]
        zip: Option<PathBuf>,
    },
    /// Remove all that the storage holds of a user; without --yes-delete only say what that is.
    Delete {
        /// The user, as GitHub spells the login.
        login: String,
        /// The login once more: it is meant.
        #[arg(long, value_name = "LOGIN")]
        yes_delete: Option<String>,
        /// Also when Git holds files, which a sync takes again.
        #[arg(long)]
        despite_git: bool,
    },
    /// Give a login to another GitHub account.
    Rebind {
        /// The login, as GitHub spells it.
        login: String,
        /// The account's number: GET https://api.github.com/users/{login} says it as id.
        #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
        account: u64,
        /// Also when nobody has signed in by this login yet.
        #[arg(long)]
        create: bool,
    },
}

/// Beyond the time of a mark, so that whoever may settle it does.
const BEYOND_EXPIRY: Duration = Duration::from_secs(30);

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
                None => say_what_would_go(config, &user).await,
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

fn codex_settings(config: &Config) -> Result<CodexSettings, Failure> {
    settings(
        config,
        &Arc::new(Transport::new(&config.github.api_url, &config.trust)?),
    )
}

#[expect(clippy::print_stdout, reason = "the command's result")]
pub(crate) async fn inspect(config: &Config, user: &str, json: bool) -> Result<(), Failure> {
    let user = UserId::parse(user)?;
    let (store, described) = open_store_to_read(config)?;
    let codex = Codex::new(Arc::clone(&store), codex_settings(config)?);
    let settings = InspectSettings {
        artifact_ttl: config.artifact_ttl,
        pending_expiry: config.pending_expiry,
        mirrored_in: codex.mirrored_in(),
    };
    let report = admin::inspect(&*store, &user, &settings).await;
    match json {
        true => println!("{}", serde_json::to_string_pretty(&report)?),
        false => print!("{:<16}{described}\n{report}", "storage"),
    }
    match () {
        () if !report.is_complete() => Err("not everything can be read".into()),
        () if !report.is_there() => Err(nothing_of(&user)),
        () => Ok(()),
    }
}

/// As [`open_store`], for a command that changes nothing: a folder must be there.
fn open_store_to_read(config: &Config) -> Result<(Arc<dyn BlobStore>, String), Failure> {
    let StorageChoice::Directory { variable, path } = &config.storage else {
        return open_store(config);
    };
    let store = DirectoryStore::open_to_read(path, Utc::now).map_err(|error| {
        let allowed = "a folder that the service has used";
        ConfigError::new(variable, format!("can't be read: {error}"), allowed)
    })?;
    let described = format!("folder {} ({variable})", path.display());
    Ok((Arc::new(store), described))
}

fn nothing_of(user: &UserId) -> Failure {
    format!("there is nothing of {user} in the storage; logins are written as GitHub spells them")
        .into()
}

#[expect(clippy::print_stdout, reason = "the command's result")]
async fn export(config: &Config, user: &UserId, zip: Option<PathBuf>) -> Result<(), Failure> {
    let now = Now::read().utc;
    let today = now.with_timezone(&config.time_zone).format("%Y-%m-%d");
    let path = zip.unwrap_or_else(|| PathBuf::from(format!("{user}-{today}.zip")));
    let shown = path.display();
    if path.exists() {
        return Err(format!("{shown} is there already; name another file with --zip").into());
    }
    let (store, _) = open_store_to_read(config)?;
    let export = admin::export(&*store, user, now).await?;
    write_new(&path, &export.zip).map_err(|error| format!("{shown}: {error}"))?;
    println!("{shown}: {export}");
    match export.left_out.join(", ") {
        names if names.is_empty() => Ok(()),
        names => Err(format!(
            "these can't be read and aren't in {shown}: {}",
            names.escape_debug()
        )
        .into()),
    }
}

/// Writes a file that isn't there yet, and that others may not read.
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

#[expect(clippy::print_stdout, reason = "the command's result")]
async fn say_what_would_go(config: &Config, user: &UserId) -> Result<(), Failure> {
    let (store, described) = open_store_to_read(config)?;
    let holdings = admin::holdings(&*store, user).await?;
    if holdings.is_empty() {
        return Err(nothing_of(user));
    }
    print!("storage    {described}\nuser       {user}\n{holdings}");
    println!("\nThat would go. What stays: {}", holdings.in_git(user));
    println!(
        "Nothing was removed. To remove it: codex-miroir user delete {user} --yes-delete {user}"
    );
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the command's result")]
async fn delete(config: &Config, user: UserId, despite_git: bool) -> Result<(), Failure> {
    let (store, described) = open_store(config)?;
    let settings = codex_settings(config)?;
    // Without the mirror: what is removed is nothing to be shared with Git.
    let codex = Codex::new(
        Arc::clone(&store),
        CodexSettings {
            git: None,
            ..settings
        },
    );
    let before = admin::holdings(&*store, &user).await?;
    if before.is_empty() {
        println!("{described}: there is nothing of {user}");
        return Ok(());
    }
    let deletion = Deletion {
        user,
        despite_git,
        patience: config.pending_expiry + BEYOND_EXPIRY,
        now: Now::read(),
    };
    let kept = admin::delete(&*store, &codex, &deletion).await?;
    let storage = match config.storage {
        StorageChoice::Directory { .. } => Storage::Folder,
        _ => Storage::Container,
    };
    let user = &deletion.user;
    println!(
        "{described}: {} blobs of {user} removed. What stays:",
        kept.removed
    );
    for sentence in kept.stays(user, &before, storage) {
        println!("- {sentence}");
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the command's result")]
async fn rebind(config: &Config, user: &UserId, account: u64, create: bool) -> Result<(), Failure> {
    let meaning = admin::meaning(&config.auth)?;
    let (store, described) = open_store(config)?;
    let rebound = admin::rebind(&*store, user, account, create).await?;
    println!("{described}: {user}: {rebound}\n{meaning}");
    Ok(())
}
