//! A user has one folder, whatever the letter case of the login.

use codex_miroir::admin::{self, AdminError, InspectSettings};
use codex_miroir::user::UserId;
use insta::assert_snapshot;
use std::time::Duration;

use crate::support::scene::task;

use super::{Service, Town, bearer, get, said, sign_in};

/// The login and folder from `/auth/me`, or the status and code of a refusal.
async fn identity(town: &Town, service: &Service, token: &str) -> String {
    let me = service.send(town, bearer(get("/auth/me"), token)).await;
    if me.status != 200 {
        return said(&me);
    }
    let me = me.ok();
    format!(
        "{} in {}",
        me["login"].as_str().unwrap(),
        me["userId"].as_str().unwrap()
    )
}

/// The storage requests since the last call.
fn storage_requests(service: &Service) -> Vec<String> {
    let requests = service.instance.requests.take_requests().into_iter();
    requests
        .map(|it| format!("{} {}", it.operation, it.path))
        .collect()
}

#[tokio::test]
async fn a_login_that_is_respelt_finds_its_folder() {
    let town = Town::new();
    let service = town.service();
    let token = town.github.personal_token("anna");
    assert_eq!(identity(&town, &service, &token).await, "anna in anna");
    let cookie = sign_in(&town, &service).await.header();
    town.github.rename_user("anna", "Anna");
    let token = town.github.personal_token("Anna");
    for service in [&service, &town.service()] {
        assert_eq!(identity(&town, service, &token).await, "Anna in anna");
        assert_eq!(service.by_token(&town, &token).await, "200");
        assert_eq!(service.by_cookie(&town, &cookie).await, "200");
    }
    assert_eq!(
        town.owner("Anna"),
        None,
        "nothing is made under another name"
    );
}

#[tokio::test]
async fn who_has_taken_the_login_in_another_letter_case_finds_nothing() {
    let town = Town::new();
    let first = town.github.personal_token("anna");
    assert_eq!(town.service().by_token(&town, &first).await, "200");
    town.github.reassign_login("anna", 2_001);
    town.github.rename_user("anna", "Anna");
    let token = town.github.personal_token("Anna");
    let service = town.service();
    assert_eq!(
        service.by_token(&town, &token).await,
        "403 login_reassigned"
    );
    storage_requests(&service);
    town.scene.pass_seconds(29);
    assert_eq!(
        service.by_token(&town, &token).await,
        "403 login_reassigned"
    );
    assert_eq!(
        storage_requests(&service).len(),
        0,
        "for half a minute it is remembered"
    );
    assert_eq!(town.owner("Anna"), None);
}

#[tokio::test]
async fn a_folder_of_the_older_service_is_found_in_any_letter_case() {
    let town = Town::new();
    let file = "raw/Berta/tasks/0001-Steuer.md";
    town.scene
        .store
        .foreign_write(file, task("Steuer").as_bytes());
    let service = town.service_with(&[("CODEX_ALLOWED_LOGINS", "*")]);
    let token = town.github.personal_token("berta");
    assert_eq!(identity(&town, &service, &token).await, "berta in Berta");
    let week = service.send(&town, bearer(get("/codex"), &token)).await;
    assert!(week.text().contains("Steuer"), "{}", week.text());
    assert!(town.owner("Berta").unwrap().contains("1002"));
    assert_eq!(town.owner("berta"), None);
}

#[tokio::test]
async fn the_folders_are_listed_once_for_a_login_that_is_respelt() {
    let town = Town::new();
    let first = town.github.personal_token("anna");
    assert_eq!(town.service().by_token(&town, &first).await, "200");
    town.github.rename_user("anna", "Anna");
    let token = town.github.personal_token("Anna");
    let service = town.service();
    assert_eq!(identity(&town, &service, &token).await, "Anna in anna");
    assert_eq!(
        storage_requests(&service),
        [
            "get state/Anna/owner.json",
            "list raw/",
            "list state/",
            "get state/anna/owner.json"
        ]
    );
    assert_eq!(identity(&town, &service, &token).await, "Anna in anna");
    assert_eq!(storage_requests(&service).len(), 0);
    town.scene.pass_seconds(601);
    assert_eq!(identity(&town, &service, &token).await, "Anna in anna");
    assert_eq!(storage_requests(&service), ["get state/anna/owner.json"]);
}

#[tokio::test]
async fn where_there_are_two_folders_each_login_has_its_own_and_inspect_says_so() {
    let town = Town::new();
    let owner = |user: &str, number: u64| {
        let record = format!(r#"{{"format":"1.0","githubId":{number}}}"#);
        let path = format!("state/{user}/owner.json");
        town.scene.store.foreign_write(&path, record.as_bytes());
    };
    owner("anna", 1_001);
    owner("Anna", 1_001);
    let service = town.service();
    let token = town.github.personal_token("anna");
    assert_eq!(identity(&town, &service, &token).await, "anna in anna");
    town.github.rename_user("anna", "Anna");
    let token = town.github.personal_token("Anna");
    assert_eq!(identity(&town, &service, &token).await, "Anna in Anna");
    // With a third spelling, the first of the account's own folders is used.
    town.github.rename_user("Anna", "ANNA");
    let token = town.github.personal_token("ANNA");
    assert_eq!(identity(&town, &service, &token).await, "ANNA in Anna");

    owner("Anna", 2_001);
    let settings = InspectSettings {
        artifact_ttl: Duration::from_secs(3_600),
        pending_expiry: Duration::from_secs(30),
        mirrored_in: None,
    };
    let anna = crate::support::scene::anna();
    let report = admin::inspect(&town.scene.store, None, &anna, &settings).await;
    let text = report.to_string();
    let told: Vec<&str> = text
        .lines()
        .skip_while(|it| !it.starts_with("owner"))
        .take(7)
        .collect();
    assert_snapshot!(told.join("\n"), @"
    owner: present
      githubId: 1001
    spellings: present
      folders:
        userId: Anna
          owner: present
            githubId: 2001
    ");
}

#[tokio::test]
async fn a_login_is_rebound_in_the_folder_it_has() {
    let town = Town::new();
    let token = town.github.personal_token("anna");
    assert_eq!(town.service().by_token(&town, &token).await, "200");
    let respelt = UserId::parse("Anna").unwrap();
    let refused = admin::rebind(&town.scene.store, &respelt, 2_001, true).await;
    assert!(matches!(&refused, Err(AdminError::Spelling(it)) if it.as_str() == "anna"));
    assert_snapshot!(refused.unwrap_err().to_string(), @"this login's folder is spelled anna: use that spelling");
    assert_eq!(town.owner("Anna"), None);
}

#[tokio::test]
async fn a_folder_that_is_there_is_rebound_beside_another_spelling() {
    let town = Town::new();
    let other = br#"{"format":"1.0","githubId":2001}"#;
    town.scene
        .store
        .foreign_write("state/Anna/owner.json", other);
    town.scene
        .store
        .foreign_write("raw/anna/tasks/0000-Eins.md", task("Eins").as_bytes());
    let token = town.github.personal_token("anna");
    assert_eq!(
        town.service().by_token(&town, &token).await,
        "403 login_reassigned"
    );
    let anna = crate::support::scene::anna();
    let bound = admin::rebind(&town.scene.store, &anna, 1_001, true).await;
    assert!(bound.unwrap().written);
    assert_eq!(town.service().by_token(&town, &token).await, "200");
}

#[tokio::test]
async fn a_damaged_owner_of_another_spelling_shuts_nobody_out_of_their_own() {
    let town = Town::new();
    town.scene
        .store
        .foreign_write("state/ANNA/owner.json", b"{");
    let owner = br#"{"format":"1.0","githubId":1001}"#;
    town.scene
        .store
        .foreign_write("state/anna/owner.json", owner);
    town.github.rename_user("anna", "Anna");
    let token = town.github.personal_token("Anna");
    assert_eq!(
        identity(&town, &town.service(), &token).await,
        "Anna in anna"
    );
    town.scene.store.foreign_delete("state/anna/owner.json");
    assert_eq!(
        identity(&town, &town.service(), &token).await,
        "503 owner_unreadable"
    );
}
