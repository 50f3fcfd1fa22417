//! A login is case-insensitive, and a folder of the repository with another spelling than the store's doesn't create a
//! second one: nothing is imported from it, nothing is removed because of it, and the user gets `other_spelling`.

use codex_miroir::git_sync::FetchReport;
use codex_miroir::github::Push;
use codex_miroir::store::{BlobStore, Prefix};
use codex_miroir::user::UserId;
use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::support::github::{Change, GitHub};
use crate::support::losing_store::Loss;
use crate::support::mirror::{Mirror, create, numbered, send, tick};
use crate::support::process::{Service, eventually};
use crate::support::scene::{Instance, Scene, task};

/// Commits these files as another client of the repository; `None` removes one.
fn commit(github: &GitHub, files: &[(&str, Option<&str>)], message: &str) {
    let paths: Vec<String> = files
        .iter()
        .map(|(path, _)| format!("codex-miroir/{path}"))
        .collect();
    let changes = paths.iter().zip(files).map(|(path, (_, text))| {
        let change = text.map_or(Change::Delete, Change::from);
        (path.as_str(), change)
    });
    github.commit("main", &changes.collect::<Vec<_>>(), message);
}

/// Commits the move of all files from one folder of the repository to another.
fn rename(github: &GitHub, from: &str, to: &str) {
    let files = github.files("main").into_iter();
    let changes: Vec<(String, Change)> = files
        .filter_map(|(path, bytes)| {
            let below = path.strip_prefix(&format!("codex-miroir/{from}/"))?;
            let new = format!("codex-miroir/{to}/{below}");
            Some([(new, Change::File(bytes)), (path, Change::Delete)])
        })
        .flatten()
        .collect();
    let changes: Vec<_> = changes.iter().map(|it| (&*it.0, it.1.clone())).collect();
    github.commit("main", &changes, &format!("Rename {from} to {to}"));
}

/// The spelling of each user with a folder in the store.
async fn folders(store: &dyn BlobStore) -> Vec<String> {
    let mut found = std::collections::BTreeSet::new();
    for prefix in [Prefix::all_raw(), Prefix::all_state()] {
        found.extend(store.contents(&prefix).await.unwrap().value.folders);
    }
    found.retain(|it| UserId::parse(it).is_ok());
    found.into_iter().collect()
}

fn codes(problems: &Value) -> Vec<&str> {
    let problems = problems.as_array().unwrap().iter();
    problems.map(|it| it["code"].as_str().unwrap()).collect()
}

/// From `GET /sync`: the codes of `problems`, and the one of `lastError`.
fn sync_problems(service: &Service) -> (Value, Value) {
    let state = service.get("/sync").json();
    (
        json!(codes(&state["problems"])),
        state["lastError"]["code"].clone(),
    )
}

/// Whether the queue is empty: no user has work left.
fn queue_is_empty(mirror: &Mirror) -> bool {
    let queue = mirror.queue();
    tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(queue)).is_empty()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_in_another_letter_case_makes_no_second_one_and_is_told() {
    let mirror = Mirror::new();
    let service = mirror.service();
    create(&service, "Eins");
    mirror.until_equal(&service).await;
    mirror.github.drop_deliveries();
    let text = task("Fremd");
    commit(
        &mirror.github,
        &[("Anna/tasks/0007-Fremd.md", Some(&text))],
        "Add",
    );
    let outcomes = mirror.deliver(&service).await;
    assert_eq!(folders(&**mirror.store()).await, ["anna"]);
    assert_eq!(mirror.in_store().await.len(), 1);
    let result = &outcomes[0].1["results"][0];
    assert_eq!(
        (&result["userId"], &result["skipped"], &result["changed"]),
        (&json!("anna"), &json!(1), &json!(0)),
        "{outcomes:?}"
    );
    let problem = &result["problems"][0];
    assert_snapshot!(
        format!("{} {}: {}", problem["code"].as_str().unwrap(), problem["file"].as_str().unwrap(), problem["message"].as_str().unwrap()),
        @"other_spelling codex-miroir/Anna/tasks: This login's folder is called anna here: name codex-miroir/Anna so, or move its files to codex-miroir/anna. Until then none of them is taken, and nothing is removed here."
    );
    let is_reported =
        || sync_problems(&service) == (json!(["other_spelling"]), json!("other_spelling"));
    eventually("anna is told", is_reported);
    eventually("nothing is left to do", || queue_is_empty(&mirror));
    // The problem stays reported, and costs no request but the one for the branch.
    mirror.github.clear_requests();
    for _ in 0..2 {
        let said = tick(&service).json();
        let said = said["Logs"][0].as_str().unwrap().to_owned();
        assert!(said.starts_with("0 users brought up to date"), "{said}");
    }
    let asked = mirror.github.requests();
    assert!(asked.iter().all(|it| it.status == Some(304)), "{asked:?}");
    assert!(is_reported());
    let synced = send(&service, "POST", "/sync", "", "").json();
    assert_eq!(codes(&synced["problems"]), ["other_spelling"]);
    let log = service.log().join("\n");
    assert!(log.contains("in another letter case"), "{log}");
    // Files here are still pushed, and changes in the login's own folder are imported.
    create(&service, "Zwei");
    eventually("it is committed", || mirror.in_git().len() == 2);
    mirror.commit(&[("0003-Drei.md", Some(&task("Drei")))], "Add");
    mirror.deliver(&service).await;
    assert_eq!(mirror.in_store().await.len(), 3);
    // The problem ends when the files are moved.
    rename(&mirror.github, "Anna", "anna");
    mirror.taken_in(&service).await;
    assert_eq!(mirror.in_store().await.len(), 4);
    assert_eq!(sync_problems(&service), (json!([]), json!(null)));
    assert_eq!(folders(&**mirror.store()).await, ["anna"]);
}

/// With a complete tree and with one that GitHub truncates; by a delivery, by `POST /sync`, and by the timer.
#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_is_renamed_in_git_takes_nothing_away() {
    for limit in [None, Some(4)] {
        for way in ["delivery", "hand", "timer"] {
            let mirror = Mirror::new();
            let service = mirror.service();
            let files = numbered(3);
            mirror.commit_all(&files, "Begin");
            mirror.taken_in(&service).await;
            let before = mirror.in_store().await;
            if let Some(limit) = limit {
                mirror.github.set_tree_limit(limit);
            }
            rename(&mirror.github, "anna", "Anna");
            match way {
                "delivery" => drop(mirror.deliver(&service).await),
                "timer" => drop(tick(&service).json()),
                _ => drop(send(&service, "POST", "/sync", "", "").json()),
            }
            mirror.github.drop_deliveries();
            let why = format!("{way}, {limit:?}");
            assert_eq!(mirror.in_store().await, before, "{why}");
            let is_reported =
                || sync_problems(&service) == (json!(["other_spelling"]), json!("other_spelling"));
            eventually(&format!("anna is told, {why}"), is_reported);
            // While it is renamed, nothing is pushed to a new folder beside it.
            let edit = json!({"tags": ["neu"]}).to_string();
            service.send_json("PATCH", "/api/tasks/0000", &edit).json();
            create(&service, "Vier");
            tick(&service);
            eventually("nothing is tried again", || queue_is_empty(&mirror));
            tick(&service);
            assert_eq!(mirror.in_store().await.len(), 4, "{why}");
            assert_eq!(mirror.in_git().len(), 0, "{why}");
            assert_eq!(mirror.in_git_of("Anna").len(), 3, "{why}");
            assert_eq!(folders(&**mirror.store()).await, ["anna"], "{why}");
            assert_eq!(sync_problems(&service).1, json!("other_spelling"), "{why}");
            // Renamed back, it is synchronised again.
            rename(&mirror.github, "Anna", "anna");
            mirror.taken_in(&service).await;
            assert_eq!(mirror.in_git().len(), 4, "{why}");
            assert!(mirror.in_git()["0000-Nummer.md"].contains("neu"), "{why}");
            assert_eq!(sync_problems(&service), (json!([]), json!(null)), "{why}");
        }
    }
}

/// A push before any instance has seen the rename recreates the folder; files that it lacks don't count as removed.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_made_after_the_rename_removes_nothing_either() {
    let mirror = Mirror::new();
    let service = mirror.service();
    let files = numbered(3);
    mirror.commit_all(&files, "Begin");
    mirror.taken_in(&service).await;
    rename(&mirror.github, "anna", "Anna");
    mirror.github.drop_deliveries();
    create(&service, "Vier");
    eventually("it is committed", || mirror.in_git().len() == 1);
    for _ in 0..2 {
        tick(&service);
        send(&service, "POST", "/sync?clean=true&confirm=3", "", "").json();
    }
    assert_eq!(mirror.in_store().await.len(), 4);
    assert_eq!(
        sync_problems(&service),
        (json!(["other_spelling"]), json!("other_spelling"))
    );
    // Once the other folder is gone, files that aren't in Git count as removed.
    let gone: Vec<String> = files
        .iter()
        .map(|(name, _)| format!("Anna/tasks/{name}"))
        .collect();
    let gone: Vec<_> = gone.iter().map(|path| (&**path, None)).collect();
    commit(&mirror.github, &gone, "Remove");
    mirror.taken_in(&service).await;
    assert_eq!(mirror.in_store().await.len(), 1);
    assert_eq!(sync_problems(&service), (json!([]), json!(null)));
}

#[tokio::test(flavor = "multi_thread")]
async fn with_pull_requests_nothing_is_proposed_beside_it() {
    let mirror = Mirror::new().with("CREATE_VIA_PR", "true");
    let service = mirror.service();
    mirror.commit(&[("0000-Eins.md", Some(&task("Eins")))], "Begin");
    mirror.deliver(&service).await;
    rename(&mirror.github, "anna", "Anna");
    mirror.deliver(&service).await;
    create(&service, "Zwei");
    tick(&service);
    tick(&service);
    assert_eq!(mirror.github.pulls().len(), 0);
    assert_eq!(mirror.in_store().await.len(), 2);
    rename(&mirror.github, "Anna", "anna");
    mirror.deliver(&service).await;
    eventually("it is proposed", || mirror.github.pulls().len() == 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_folders_of_the_store_go_on_each_by_itself() {
    let mirror = Mirror::new();
    let service = mirror.service();
    for user in ["anna", "Anna"] {
        let path = format!("raw/{user}/tasks/0000-Eins.md");
        let key = codex_miroir::store::BlobKey::raw(&UserId::parse(user).unwrap(), "0000-Eins.md");
        let put = codex_miroir::store::Put {
            bytes: task(&path).into(),
            ..codex_miroir::store::Put::default()
        };
        let condition = codex_miroir::store::PutIf::Absent;
        mirror
            .store()
            .put(&key.unwrap(), put, condition)
            .await
            .unwrap();
    }
    // With both folders in the store, the files of one in the repository don't block the other.
    let text = task("Zwei");
    commit(
        &mirror.github,
        &[("Anna/tasks/0001-Zwei.md", Some(&text))],
        "Add",
    );
    mirror.deliver(&service).await;
    assert_eq!(mirror.in_store_of("Anna").await.len(), 2);
    send(&service, "POST", "/sync", "", "").json();
    mirror.until_equal(&service).await;
    assert_eq!(sync_problems(&service), (json!([]), json!(null)));
    eventually("the other's is committed, too", || {
        tick(&service);
        mirror.in_git_of("Anna").len() == 2
    });
    assert_eq!(mirror.in_git().len(), 1);
    // A removal in Git is applied here.
    commit(
        &mirror.github,
        &[("anna/tasks/0000-Eins.md", None)],
        "Remove",
    );
    mirror.deliver(&service).await;
    assert_eq!(mirror.in_store().await.len(), 0);
    assert_eq!(mirror.in_store_of("Anna").await, mirror.in_git_of("Anna"));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_spellings_that_nobody_has_here_the_first_is_taken_in() {
    for limit in [None, Some(3)] {
        let mirror = Mirror::new();
        if let Some(limit) = limit {
            mirror.github.set_tree_limit(limit);
        }
        let services = [mirror.service(), mirror.service()];
        let text = task("Eins");
        commit(
            &mirror.github,
            &[
                ("berta/tasks/0000-Eins.md", Some(&text)),
                ("Berta/tasks/0001-Zwei.md", Some(&text)),
                ("carla/tasks/0000-Eins.md", Some(&text)),
            ],
            "Add",
        );
        let delivery = mirror.github.pending().pop().unwrap();
        let urls = services
            .each_ref()
            .map(|it| format!("http://{}/github/webhook", it.address));
        let (one, other) = tokio::join!(
            mirror.github.deliver(&delivery, &urls[0]),
            mirror.github.deliver(&delivery, &urls[1])
        );
        mirror.github.drop_deliveries();
        assert_eq!((one.status, other.status), (Some(200), Some(200)));
        for service in &services {
            tick(service);
        }
        let there = folders(&**mirror.store()).await;
        assert_eq!(there, ["Berta", "carla"], "{limit:?}");
        assert_eq!(mirror.in_store_of("Berta").await, mirror.in_git_of("Berta"));
        for answer in [one.body, other.body] {
            let answer: Value = serde_json::from_str(&answer).unwrap();
            let results = answer["results"].as_array().unwrap().iter();
            let of_berta = results.filter(|it| it["userId"] == "Berta");
            let told: Vec<Vec<&str>> = of_berta.map(|it| codes(&it["problems"])).collect();
            assert!(told.is_empty() || told == [["other_spelling"]], "{answer}");
        }
        let book = mirror.book_of("Berta").await;
        assert_eq!(book["lastError"]["code"], "other_spelling", "{book}");
    }
}

/// Handles a delivery at an instance in this process.
async fn deliver_push(scene: &Scene, instance: &Instance) -> FetchReport {
    let push = Push {
        repository: String::new(),
        reference: String::new(),
        before: None,
        after: None,
        forced: false,
        at: None,
    };
    instance.git().fetch_all(&push, scene.now()).await.unwrap()
}

/// The lists of all users' folders since the last call.
fn folder_lists(instance: &Instance) -> Vec<String> {
    let requests = instance.requests.take_requests().into_iter();
    let lists = requests.filter(|it| it.operation == "list");
    lists
        .map(|it| it.path)
        .filter(|it| it == "raw/" || it == "state/")
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn folders_are_listed_only_for_somebody_who_has_none() {
    let github = GitHub::start();
    let scene = Scene::with_tasks(1);
    let a = scene.instance_mirrored(&github);
    scene.read(&a).await;
    let text = task("Neu");
    commit(&github, &[("anna/tasks/0001-Neu.md", Some(&text))], "Add");
    folder_lists(&a);
    deliver_push(&scene, &a).await;
    assert!(
        folder_lists(&a).is_empty(),
        "the state tells that there is one"
    );
    // Two new users cost one pair of lists.
    commit(
        &github,
        &[
            ("berta/tasks/0000-Neu.md", Some(&text)),
            ("carla/tasks/0000-Neu.md", Some(&text)),
        ],
        "Add",
    );
    deliver_push(&scene, &a).await;
    assert_eq!(folder_lists(&a), ["raw/", "state/"]);
    commit(&github, &[("berta/tasks/0001-Neu.md", Some(&text))], "Add");
    deliver_push(&scene, &a).await;
    assert!(folder_lists(&a).is_empty());
    // A skipped folder costs nothing until the next commit.
    commit(&github, &[("Anna/tasks/0002-Neu.md", Some(&text))], "Add");
    deliver_push(&scene, &a).await;
    assert!(!folder_lists(&a).is_empty());
    a.git().tick(scene.now()).await.unwrap();
    assert_eq!(a.git().tick(scene.now()).await.unwrap().left, 0);
    folder_lists(&a);
    a.git().tick(scene.now()).await.unwrap();
    assert!(folder_lists(&a).is_empty());
    // The next commit, whatever it changes, checks it again.
    commit(&github, &[("berta/tasks/0002-Neu.md", Some(&text))], "Add");
    deliver_push(&scene, &a).await;
    a.git().tick(scene.now()).await.unwrap();
    assert_eq!(folder_lists(&a), ["raw/", "state/"]);
    assert_eq!(folders(&scene.store).await, ["anna", "berta", "carla"]);
}

/// With a folder in another letter case in the repository.
#[tokio::test(flavor = "multi_thread")]
async fn folders_are_listed_no_more_often_when_more_is_proposed() {
    let mut costs = vec![];
    for files in [1, 2, 6] {
        let github = GitHub::start();
        let scene = Scene::with_tasks(files);
        let a = scene.instance_proposing(&github);
        let text = task("Da");
        commit(
            &github,
            &[
                ("anna/tasks/9000-Da.md", Some(&text)),
                ("Anna/tasks/9001-Fremd.md", Some(&text)),
            ],
            "Begin",
        );
        // Twice, so that the timer has nothing left to check.
        deliver_push(&scene, &a).await;
        deliver_push(&scene, &a).await;
        assert_eq!(folders(&scene.store).await, ["anna"]);
        folder_lists(&a);
        github.clear_requests();
        a.git().tick(scene.now()).await.unwrap();
        assert_eq!(github.pulls().len(), files);
        costs.push((folder_lists(&a).len(), github.requests().len()));
    }
    let [one, two, six] = costs[..] else {
        panic!("{costs:?}");
    };
    assert_eq!((two.0, six.0), (one.0, one.0), "{costs:?}");
    // The requests to GitHub grow linearly with the pull requests.
    let each = two.1 - one.1;
    assert_eq!(six.1, one.1 + 5 * each, "{costs:?}");
}

/// Runs the binary's `user delete`.
fn delete(mirror: &Mirror, user: &str) {
    let mut command = mirror.command();
    let deleted = command.args([
        "user",
        "delete",
        user,
        "--yes-delete",
        user,
        "--despite-git",
    ]);
    let deleted = deleted.output().unwrap();
    assert!(deleted.status.success(), "{deleted:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_removed_here_stays_away_and_is_in_nobodys_way() {
    let mirror = Mirror::new();
    let service = mirror.service();
    let text = task("Eins");
    commit(
        &mirror.github,
        &[("Berta/tasks/0000-Eins.md", Some(&text))],
        "Add",
    );
    mirror.deliver(&service).await;
    eventually("nothing is left to do", || queue_is_empty(&mirror));
    assert_eq!(folders(&**mirror.store()).await, ["Berta"]);
    delete(&mirror, "Berta");
    commit(
        &mirror.github,
        &[("berta/tasks/0001-Zwei.md", Some(&text))],
        "Add",
    );
    mirror.deliver(&service).await;
    assert_eq!(folders(&**mirror.store()).await, ["berta"]);
    // Changing the folder or moving all its files doesn't bring the deleted user back either.
    commit(
        &mirror.github,
        &[("Berta/tasks/0002-Drei.md", Some(&text))],
        "Add",
    );
    mirror.deliver(&service).await;
    eventually("nothing is left to do", || queue_is_empty(&mirror));
    assert_eq!(folders(&**mirror.store()).await, ["berta"]);
    rename(&mirror.github, "Berta", "berta");
    mirror.deliver(&service).await;
    eventually("nothing is left to do", || queue_is_empty(&mirror));
    assert_eq!(folders(&**mirror.store()).await, ["berta"]);
    assert_eq!(mirror.in_store_of("berta").await, mirror.in_git_of("berta"));
}

/// The folder here is deleted, so the other spelling in the repository can be imported.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_put_right_here_is_noticed_with_the_next_commit() {
    let mirror = Mirror::new();
    let service = mirror.service();
    create(&service, "Eins");
    mirror.until_equal(&service).await;
    commit(
        &mirror.github,
        &[("anna/tasks/0000-Eins.md", None)],
        "Remove",
    );
    mirror.deliver(&service).await;
    let text = task("Zwei");
    commit(
        &mirror.github,
        &[("Anna/tasks/0001-Zwei.md", Some(&text))],
        "Add",
    );
    mirror.deliver(&service).await;
    eventually("nothing is left to do", || queue_is_empty(&mirror));
    assert_eq!(folders(&**mirror.store()).await, ["anna"]);
    delete(&mirror, "anna");
    commit(
        &mirror.github,
        &[("carla/tasks/0000-Drei.md", Some(&text))],
        "Add",
    );
    mirror.deliver(&service).await;
    assert_eq!(folders(&**mirror.store()).await, ["Anna", "carla"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_whose_state_cant_be_read_keeps_nobody_waiting() {
    let mirror = Mirror::new();
    let service = mirror.service();
    let state = mirror.data().join("state/berta/state.json");
    std::fs::create_dir_all(state.join("is a folder")).unwrap();
    let text = task("Eins");
    commit(
        &mirror.github,
        &[
            ("anna/tasks/0000-Eins.md", Some(&text)),
            ("berta/tasks/0000-Eins.md", Some(&text)),
        ],
        "Add",
    );
    mirror.deliver(&service).await;
    assert_eq!(mirror.in_store().await.len(), 1);
}

/// What makes an instance in this process check a folder that it hasn't seen.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Way {
    Delivery,
    Timer,
    /// A hint that is in the queue for it.
    Hint,
}

/// A failed GET of a state document doesn't show that the user has no folder.
#[tokio::test(flavor = "multi_thread")]
async fn one_failed_look_for_a_state_makes_no_second_folder() {
    for way in [Way::Delivery, Way::Timer, Way::Hint] {
        for loss in [Loss::Request, Loss::Unreadable] {
            let why = format!("{way:?}, {loss:?}");
            let github = GitHub::start();
            let scene = Scene::with_tasks(1);
            let a = scene.instance_mirrored(&github);
            scene.read(&a).await;
            let text = task("Neu");
            commit(
                &github,
                &[
                    ("Anna/tasks/0001-Neu.md", Some(&text)),
                    ("berta/tasks/0000-Neu.md", Some(&text)),
                ],
                "Add",
            );
            let lose = || a.line.lose_next("get", "state/Anna/state.json", loss);
            lose();
            match way {
                Way::Delivery => {
                    let report = deliver_push(&scene, &a).await;
                    let mut users = report.users.iter();
                    let respelt = users.find(|it| it.0.as_str() == "Anna").unwrap();
                    assert!(respelt.1.unfinished, "{why}: {report:?}");
                }
                Way::Timer => drop(a.git().tick(scene.now()).await.unwrap()),
                Way::Hint => {
                    scene.store.foreign_write("queue/Anna", b"");
                    // A second loss, for the check that the timer makes first.
                    lose();
                    let report = a.git().tick(scene.now()).await.unwrap();
                    assert_eq!(report.left, 1, "{why}: {report:?}");
                }
            }
            assert_eq!(folders(&scene.store).await, ["anna", "berta"], "{why}");
            // The next timer repeats the check that failed.
            a.git().tick(scene.now()).await.unwrap();
            assert_eq!(a.git().tick(scene.now()).await.unwrap().left, 0, "{why}");
            assert_eq!(folders(&scene.store).await, ["anna", "berta"], "{why}");
            let book = scene.store.peek("state/anna/git.json").unwrap();
            let book: Value = serde_json::from_slice(&book.bytes).unwrap();
            assert_eq!(book["respelt"], json!(["Anna"]), "{why}: {book}");
        }
    }
}
