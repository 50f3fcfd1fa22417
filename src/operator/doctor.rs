//! `doctor`: finds the parts of the deployment by the settings, and has them asked.

use std::fs::File;
use std::pin::pin;

use chrono::{DateTime, Utc};
use codex_miroir::admin::AdminError;
use codex_miroir::admin::doctor::facts::{
    CredentialKind, Facts, GitFacts, Part, RedisFacts, SettingsFacts, SignInFacts, StoreFacts,
    StoreKind,
};
use codex_miroir::admin::doctor::{
    self, Linkage, StorageTrial, linkage, look_at_account, look_at_folder, look_at_repository,
    look_at_sign_in,
};
use codex_miroir::config::{self, Config};
use codex_miroir::github::GitHubRepository;
use codex_miroir::store::azure::{AnonymousReader, Credential};

use crate::serve::shutdown_signal;
use crate::wiring::{self, CALL_LIMIT, Failure, OpenAccount, OpenStorage, StoreName};

/// Asks every part that the settings in `variable` name, and prints what was found; `set` are the names of all variables.
/// An interrupt lets the trial of the storage end first, which removes what it has written.
pub(crate) async fn doctor(
    variable: fn(&str) -> Option<String>,
    set: Vec<String>,
    clock: fn() -> DateTime<Utc>,
) -> Result<(), Failure> {
    let mut facts = Facts {
        settings: SettingsFacts {
            wrong: vec![],
            unknown: config::unknown_settings(set.clone()),
            older: config::older_settings(set),
            worker_runtime: variable("FUNCTIONS_WORKER_RUNTIME"),
        },
        store: Part::Unchecked,
        git: Part::Unchecked,
        sign_in: Part::Unchecked,
        redis: Part::Unchecked,
        linkage: own_linkage(),
    };
    let mut interrupted = pin!(shutdown_signal()?);
    match Config::from_lookup(variable) {
        Err(error) => facts.settings.wrong.push(error.to_string()),
        Ok(config) => {
            let wrong = &mut facts.settings.wrong;
            let mut name = None;
            match wiring::open_storage(&config) {
                Err(error) => wrong.push(error.to_string()),
                Ok(storage) => {
                    let mut asking = pin!(store_facts(storage, &config, clock));
                    let store = tokio::select! {
                        store = &mut asking => store?,
                        () = &mut interrupted => {
                            let _ = tokio::time::timeout(2 * CALL_LIMIT, asking).await;
                            return Err("interrupted".into());
                        }
                    };
                    name = Some(store.1);
                    facts.store = Part::Found(store.0);
                }
            }
            let others = async {
                let (git, sign_in) = ask_github(&config, wrong).await?;
                let redis = ask_redis(&config, name.as_ref(), wrong).await;
                Ok::<_, Failure>((git, sign_in, redis))
            };
            (facts.git, facts.sign_in, facts.redis) = tokio::select! {
                others = others => others?,
                () = &mut interrupted => return Err("interrupted".into()),
            };
        }
    }
    let diagnosis = doctor::judge(&facts);
    print!("{diagnosis}");
    match diagnosis.broken() {
        0 => Ok(()),
        broken => Err(AdminError::Broken(broken).into()),
    }
}

fn own_linkage() -> Linkage {
    let file = std::env::current_exe().and_then(File::open);
    match file {
        Ok(mut file) => linkage(&mut file),
        Err(error) => Linkage::Unreadable(error.to_string()),
    }
}

async fn store_facts(
    storage: OpenStorage<'_>,
    config: &Config,
    clock: fn() -> DateTime<Utc>,
) -> Result<(StoreFacts, StoreName), Failure> {
    let trial = StorageTrial {
        id: wiring::random_id(),
        clock,
        limit: CALL_LIMIT,
    };
    match storage {
        OpenStorage::Folder(variable, path) => {
            let name = StoreName::folder(variable, path);
            Ok((look_at_folder(path, name.to_string(), trial).await, name))
        }
        OpenStorage::Account(account) => {
            let OpenAccount {
                store,
                connection,
                name,
            } = *account;
            let strangers = AnonymousReader::new(&connection, &config.container, &config.trust)?;
            let kind = StoreKind::Account {
                variable: name.variable.clone(),
                credential: match connection.credential {
                    Credential::AccountKey(_) => CredentialKind::Key,
                    Credential::Sas(_) => CredentialKind::Sas,
                    Credential::ManagedIdentity(_) => CredentialKind::Identity,
                },
            };
            let named = (name.to_string(), kind);
            let facts = look_at_account(store, &strangers, named, trial).await;
            Ok((facts, name))
        }
    }
}

async fn ask_github(
    config: &Config,
    wrong: &mut Vec<String>,
) -> Result<(Part<GitFacts>, Part<SignInFacts>), Failure> {
    let transport = wiring::transport(config)?;
    let git = match GitHubRepository::new(&config.github, &transport) {
        Ok(None) => Part::Off,
        Ok(Some(repository)) => Part::Found(look_at_repository(&repository, config).await),
        Err(error) => {
            wrong.push(error.to_string());
            Part::Unchecked
        }
    };
    let sign_in = look_at_sign_in(config, &transport).await;
    Ok((git, Part::Found(sign_in)))
}

/// Without the name of the store, the names of its keys aren't known.
async fn ask_redis(
    config: &Config,
    store: Option<&StoreName>,
    wrong: &mut Vec<String>,
) -> Part<RedisFacts> {
    let (Some(server), Some(store)) = (&config.redis, store) else {
        return match &config.redis {
            None => Part::Off,
            Some(_) => Part::Unchecked,
        };
    };
    match wiring::shared_snapshots(config, store) {
        Ok(None) => Part::Off,
        Ok(Some(snapshots)) => Part::Found(RedisFacts {
            server: server.to_string(),
            refused: snapshots.try_commands().await,
        }),
        Err(error) => {
            wrong.push(error.to_string());
            Part::Unchecked
        }
    }
}
