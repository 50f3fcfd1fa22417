//! With the tests' GitHub, and each of its refusals.

use std::process::Command;
use std::time::Duration;

use insta::assert_snapshot;
use serde_json::json;

use crate::support::doctor::{about, doctor};
use crate::support::github::{Fault, GitHub, HookSetting, Setup, app_private_key};
use crate::support::process::codex_miroir;

const PUBLIC: &str = "https://codex.example";
const HOOK: &str = "https://codex.example/github/webhook";
const SECRET: &str = "a-secret-of-the-hook-for-tests";

/// A GitHub, a folder, and the settings that name both.
struct Place {
    github: GitHub,
    folder: tempfile::TempDir,
    settings: Vec<(&'static str, String)>,
}

impl Place {
    fn new() -> Self {
        Self::with(GitHub::start())
    }

    fn with(github: GitHub) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let settings = vec![
            ("CODEX_DATA_DIR", folder.path().display().to_string()),
            ("CODEX_PUBLIC_URL", PUBLIC.to_owned()),
            ("GITHUB_API_URL", github.url().to_owned()),
            ("GITHUB_URL", github.url().to_owned()),
            ("GITHUB_OWNER", github.owner().to_owned()),
            ("GITHUB_REPO", github.repo().to_owned()),
            ("GITHUB_TOKEN", github.personal_token(github.owner())),
            ("GITHUB_WEBHOOK_SECRET", SECRET.to_owned()),
        ];
        Self {
            github,
            folder,
            settings,
        }
    }

    fn set(mut self, name: &'static str, value: &str) -> Self {
        self.settings.retain(|(known, _)| *known != name);
        if !value.is_empty() {
            self.settings.push((name, value.to_owned()));
        }
        self
    }

    /// With the token of somebody else, who is granted access by `grant`.
    fn by_berta(self, grant: impl FnOnce(&GitHub)) -> Self {
        self.github.add_user("berta", 1002);
        grant(&self.github);
        let token = self.github.personal_token("berta");
        self.set("GITHUB_TOKEN", &token)
    }

    /// With a GitHub App in place of the token.
    fn by_app(self) -> Self {
        self.github.add_github_app(7, 70);
        self.set("GITHUB_TOKEN", "")
            .set("GITHUB_APP_ID", "7")
            .set("GITHUB_APP_INSTALLATION_ID", "70")
            .set("GITHUB_APP_PRIVATE_KEY", app_private_key())
    }

    fn doctor(&self) -> String {
        let mut command: Command = codex_miroir();
        command.envs(self.settings.iter().map(|(name, value)| (*name, value)));
        let names = [
            (self.folder.path().to_str().unwrap(), "DATA"),
            (self.github.url(), "http://GITHUB"),
        ];
        let said = doctor(&mut command, &names);
        for (name, value) in &self.settings {
            let is_secret = ["TOKEN", "SECRET", "KEY"]
                .iter()
                .any(|it| name.ends_with(it));
            assert!(!is_secret || !said.contains(value), "{name}: {said}");
        }
        let writes = self.github.requests().into_iter().filter(|it| {
            let is_about_the_app =
                it.path.ends_with("/access_tokens") || it.path.starts_with("/login/");
            it.method != "GET" && !is_about_the_app
        });
        assert_eq!(writes.count(), 0, "nothing is written");
        said
    }

    /// What it says of GitHub.
    fn github(&self) -> String {
        about(&self.doctor(), &["code", "github"])
    }

    /// What it says of the webhook.
    fn webhook(&self) -> String {
        about(&self.doctor(), &["webhook"])
    }
}

#[test]
fn a_repository_a_webhook_and_an_oauth_app_that_belong_together_are_fine() {
    let place = Place::new();
    let callback = format!("{PUBLIC}/auth/github/callback");
    place
        .github
        .add_oauth_app("Iv1.app", "oauth-secret", &callback);
    place.github.add_hook(HookSetting::to(HOOK));
    let place = place
        .set("GITHUB_OAUTH_CLIENT_ID", "Iv1.app")
        .set("GITHUB_OAUTH_CLIENT_SECRET", "oauth-secret");
    assert_snapshot!(place.doctor(), @"
    exit code 0
    ok       settings    the service starts with them
    ok       leftovers   no misspelled setting, and none of the older service
    ok       storage     folder DATA (CODEX_DATA_DIR): can be read and written; the service hasn't used it yet
    ok       conditions  hold for PUT (If-None-Match, If-Match) and DELETE (If-Match)
    -        clock       nothing to compare: a folder's clock is this machine's
    -        container   a folder is as private as its permissions
    ok       github      anna/notes: commits go to main; the token may write
    ok       webhook     https://codex.example/github/webhook for push; a secret is set
    ok       sign-in     by an OAuth app, for anna; its callback must be https://codex.example/auth/github/callback
    -        redis       off: CODEX_REDIS_URL isn't set
    warning  executable  needs this system's LINKER
                         -> fine where it was built; for Azure Functions build it for x86_64-unknown-linux-musl
    ");
}

#[test]
fn each_refusal_of_github_is_told_with_what_to_do() {
    let revoked = Place::new();
    revoked.github.revoke(&revoked.settings[6].1);
    let forbidden = Place::new();
    forbidden
        .github
        .fail_at("GET", "/branches", Fault::Status(403));
    let hidden = Place::new().set("GITHUB_REPO", "nots");
    let limited = Place::new();
    limited.github.exhaust_rate_limit(Duration::from_secs(1800));
    let unreachable = Place::new();
    unreachable.github.fail(Fault::Reset);
    let failing = Place::new();
    failing.github.fail(Fault::Status(502));
    let page = Place::new();
    page.github.fail(Fault::Html);
    // The clock goes on meanwhile.
    let limited = (1740..1800).fold(limited.github(), |said, left| {
        said.replace(&format!("{left} s"), "1800 s")
    });
    let all = [
        ("a token that was revoked", revoked.github()),
        (
            "a token that may read the repository, and not its contents",
            forbidden.github(),
        ),
        ("another repository", hidden.github()),
        ("an exhausted rate limit", limited),
        ("a connection that breaks", unreachable.github()),
        ("an outage", failing.github()),
        ("a page in place of an API", page.github()),
    ];
    let all = all.map(|(case, said)| format!("# {case}\n{said}"));
    assert_snapshot!(all.join("\n"), @"
    # a token that was revoked
    exit code 1
    broken   github      anna/notes: GitHub refuses read the repository with 401
                         -> make a new token and put it into GITHUB_TOKEN: this one has ended or was revoked
    # a token that may read the repository, and not its contents
    exit code 1
    broken   github      anna/notes: GitHub refuses read the branch's protection with 403
                         -> give the token Contents: read and write, and have the organization approve it
    # another repository
    exit code 1
    broken   github      anna/nots: GitHub refuses read the repository with 404
                         -> correct GITHUB_OWNER and GITHUB_REPO, or let the token see anna/nots: GitHub hides what it may not
    # an exhausted rate limit
    exit code 1
    broken   github      anna/notes: GitHub grants no more requests for 1800 s
                         -> wait; if it happens often, give the service credentials that nothing else uses
    # a connection that breaks
    exit code 1
    broken   github      anna/notes: GitHub can't be reached for read the repository: the connection broke
                         -> let this machine reach GITHUB_API_URL, and look at githubstatus.com
    # an outage
    exit code 1
    broken   github      anna/notes: GitHub can't be reached for read the repository: it answers 502
                         -> let this machine reach GITHUB_API_URL, and look at githubstatus.com
    # a page in place of an API
    exit code 1
    broken   github      anna/notes: GitHub's answer to read the repository can't be used: not the documented JSON
                         -> correct GITHUB_API_URL; of an Enterprise server it ends in /api/v3
    ");
}

#[test]
fn credentials_that_may_read_and_not_write_are_broken() {
    let reader = Place::new().by_berta(|github| github.add_reader("berta"));
    let public = Setup {
        private: false,
        ..Setup::default()
    };
    let narrow = Place::with(GitHub::start_with(public));
    narrow.github.add_oauth_app("other", "s", PUBLIC);
    let token = narrow.github.app_token("other", "anna", &["user"]);
    let narrow = narrow.set("GITHUB_TOKEN", &token);
    let archived = Place::new();
    archived.github.archive();
    let app = Place::new().by_app();
    app.github
        .grant_installation(json!({"contents": "read", "metadata": "read"}));
    let no_pulls = Place::new().by_app().set("CREATE_VIA_PR", "true");
    let granted = json!({"contents": "write", "metadata": "read"});
    no_pulls.github.grant_installation(granted);
    let all = [
        ("an account without push permission", reader.github()),
        ("a token without the scope", narrow.github()),
        ("an archived repository", archived.github()),
        ("an app that may only read", app.github()),
        ("an app without pull requests", no_pulls.github()),
        (
            "an app of another installation",
            Place::new()
                .by_app()
                .set("GITHUB_APP_INSTALLATION_ID", "71")
                .github(),
        ),
        (
            "another app",
            Place::new().by_app().set("GITHUB_APP_ID", "8").github(),
        ),
    ];
    let all = all.map(|(case, said)| format!("# {case}\n{said}"));
    assert_snapshot!(all.join("\n"), @"
    # an account without push permission
    exit code 1
    broken   github      anna/notes: the token's account may read it, and not write
                         -> give the account write access to the repository, or use another account's token
    # a token without the scope
    exit code 1
    broken   github      anna/notes: the token lacks the scope for writing
                         -> make a classic token with the scope repo, or a fine-grained one with Contents: read and write
    # an archived repository
    exit code 1
    broken   github      anna/notes: it is archived, so nobody can write to it
                         -> unarchive it in its settings
    # an app that may only read
    exit code 1
    broken   github      anna/notes: the app may not write to it
                         -> give the app Contents: read and write, and accept that in the installation
    # an app without pull requests
    exit code 1
    broken   github      anna/notes: the app may not open pull requests
                         -> give the app Pull requests: read and write, and accept that in the installation
    # an app of another installation
    exit code 1
    broken   github      anna/notes: GitHub refuses get the installation's token with 404
                         -> install the app in anna/notes, and put its id and the installation's number into GITHUB_APP_ID and GITHUB_APP_INSTALLATION_ID
    # another app
    exit code 1
    broken   github      anna/notes: GitHub refuses get the installation's token with 404
                         -> install the app in anna/notes, and put its id and the installation's number into GITHUB_APP_ID and GITHUB_APP_INSTALLATION_ID
    ");
}

#[test]
fn a_branch_that_may_refuse_commits_is_a_warning_unless_pull_requests_go_to_it() {
    let direct = Place::new();
    direct.github.protect("main");
    let rules = Place::new().by_app();
    for rule in [
        "deletion",
        "non_fast_forward",
        "pull_request",
        "required_signatures",
    ] {
        rules.github.add_rule("main", rule);
    }
    let harmless = Place::new().by_berta(|github| github.add_collaborator("berta"));
    harmless.github.add_rule("main", "creation");
    harmless.github.add_rule("main", "deletion");
    let proposes = Place::new().set("CREATE_VIA_PR", "true");
    proposes.github.protect("main");
    proposes.github.add_rule("main", "pull_request");
    let creation = Place::new().set("CREATE_VIA_PR", "true");
    creation.github.add_rule("codex", "creation");
    let empty = || {
        Place::with(GitHub::start_with(Setup {
            empty: true,
            ..Setup::default()
        }))
    };
    let all = [
        ("a protected branch", direct.github()),
        ("rules", rules.github()),
        (
            "rules that no commit of the service breaks",
            harmless.github(),
        ),
        ("pull requests to a protected branch", proposes.github()),
        (
            "pull requests whose branches can't be made",
            creation.github(),
        ),
        (
            "no such branch",
            Place::new().set("GITHUB_BRANCH", "week").github(),
        ),
        ("no commit yet", empty().github()),
        (
            "no commit to propose a change to",
            empty().set("CREATE_VIA_PR", "true").github(),
        ),
    ];
    let all = all.map(|(case, said)| format!("# {case}\n{said}"));
    assert_snapshot!(all.join("\n"), @"
    # a protected branch
    exit code 0
    warning  github      anna/notes: commits go to main, which is protected
                         -> set CREATE_VIA_PR=true, or let the token's account bypass the protection
    # rules
    exit code 0
    warning  github      anna/notes: commits go to main, which is protected (rules: pull_request, required_signatures)
                         -> set CREATE_VIA_PR=true, or let the app bypass the protection
    # rules that no commit of the service breaks
    exit code 0
    ok       github      anna/notes: commits go to main; the token may write
    # pull requests to a protected branch
    exit code 0
    ok       github      anna/notes: pull requests from codex/tasks/… go to main; the token may write
    # pull requests whose branches can't be made
    exit code 0
    warning  github      anna/notes: branches codex/tasks/… are protected (rules: creation)
                         -> let the token's account bypass the rules, or exempt these branches from them
    # no such branch
    exit code 1
    broken   github      anna/notes: there is no branch week
                         -> create it, or name another one in GITHUB_DEFAULT_BRANCH
    # no commit yet
    exit code 0
    ok       github      anna/notes: commits go to main; the token may write
    # no commit to propose a change to
    exit code 1
    broken   github      anna/notes: it has no commit, so there is nothing to propose a change to
                         -> make a first commit on main
    ");
}

#[test]
fn the_webhook_is_compared_with_the_settings() {
    let hooked = |change: fn(&mut HookSetting)| {
        let place = Place::new();
        let mut hook = HookSetting::to(HOOK);
        change(&mut hook);
        place.github.add_hook(hook);
        place
    };
    let elsewhere = Place::new();
    elsewhere.github.add_hook(HookSetting::to(
        "https://chat.example/hooks/T0/geheim?code=geheim",
    ));
    let said = elsewhere.doctor();
    assert!(!said.contains("geheim"), "{said}");
    let unseen = || Place::new().by_berta(|github| github.add_collaborator("berta"));
    let all = [
        ("none", Place::new().webhook()),
        ("another service's", elsewhere.webhook()),
        ("switched off", hooked(|it| it.active = false).webhook()),
        (
            "without pushes",
            hooked(|it| it.events = vec!["issues", "ping"]).webhook(),
        ),
        ("all events", hooked(|it| it.events = vec!["*"]).webhook()),
        ("unsigned", hooked(|it| it.secret = false).webhook()),
        ("refused", hooked(|it| it.last = Some(401)).webhook()),
        ("taken", hooked(|it| it.last = Some(200)).webhook()),
        (
            "no secret here",
            hooked(|_| {}).set("GITHUB_WEBHOOK_SECRET", "").webhook(),
        ),
        ("unseen", unseen().webhook()),
        (
            "unseen, no secret here",
            unseen().set("GITHUB_WEBHOOK_SECRET", "").webhook(),
        ),
        (
            "this machine",
            Place::new()
                .set("CODEX_PUBLIC_URL", "http://127.0.0.1:7071")
                .webhook(),
        ),
    ];
    let all = all.map(|(case, said)| format!("# {case}\n{said}"));
    assert_snapshot!(all.join("\n"), @"
    # none
    warning  webhook     none has https://codex.example/github/webhook
                         -> in the repository's settings add https://codex.example/github/webhook, application/json, the secret of GITHUB_WEBHOOK_SECRET, the event push
    # another service's
    warning  webhook     none has https://codex.example/github/webhook; there are https://chat.example/… for push
                         -> in the repository's settings add https://codex.example/github/webhook, application/json, the secret of GITHUB_WEBHOOK_SECRET, the event push
    # switched off
    warning  webhook     https://codex.example/github/webhook for push; it is switched off
                         -> activate it in the repository's settings
    # without pushes
    warning  webhook     https://codex.example/github/webhook for issues, ping; pushes aren't delivered
                         -> add the event push in the repository's settings
    # all events
    ok       webhook     https://codex.example/github/webhook for *; a secret is set
    # unsigned
    warning  webhook     https://codex.example/github/webhook for push; no secret is set at GitHub
                         -> enter GITHUB_WEBHOOK_SECRET in the webhook: without a signature each delivery is refused
    # refused
    warning  webhook     https://codex.example/github/webhook for push; the last delivery was answered with 401
                         -> look at the webhook's recent deliveries; 401 means that the secrets differ
    # taken
    ok       webhook     https://codex.example/github/webhook for push; a secret is set
    # no secret here
    warning  webhook     https://codex.example/github/webhook for push; no secret is set here
                         -> set GITHUB_WEBHOOK_SECRET, here and in the webhook: without it each delivery is refused
    # unseen
    -        webhook     a secret is set; the credentials may not see the repository's webhooks, which must have https://codex.example/github/webhook with the event push
    # unseen, no secret here
    warning  webhook     no secret is set; the credentials may not see the repository's webhooks
                         -> set GITHUB_WEBHOOK_SECRET, here and in the webhook: without it each delivery is refused
    # this machine
    -        webhook     GitHub can't reach this machine; the timer finds what is pushed
    ");
}

#[test]
fn an_oauth_app_is_tried_on_a_code_that_does_not_exist() {
    let place = |secret: &str, public: &str| {
        let place = Place::new();
        place
            .github
            .add_oauth_app("Iv1.app", "oauth-secret", public);
        place
            .set("GITHUB_OAUTH_CLIENT_ID", "Iv1.app")
            .set("GITHUB_OAUTH_CLIENT_SECRET", secret)
            .set("CODEX_PUBLIC_URL", public)
    };
    let sign_in = |place: Place| about(&place.doctor(), &["sign-in"]);
    let away = place("oauth-secret", PUBLIC);
    away.github.fail(Fault::Reset);
    let all = [
        ("fine", sign_in(place("oauth-secret", PUBLIC))),
        (
            "another app's secret",
            sign_in(place("another-apps-secret", PUBLIC)),
        ),
        (
            "only on this machine",
            sign_in(place("oauth-secret", "http://127.0.0.1:7071")),
        ),
        ("GitHub is away", sign_in(away)),
        ("no app", sign_in(Place::new())),
    ];
    let all = all.map(|(case, said)| format!("# {case}\n{said}"));
    assert_snapshot!(all.join("\n"), @"
    # fine
    ok       sign-in     by an OAuth app, for anna; its callback must be https://codex.example/auth/github/callback
    # another app's secret
    broken   sign-in     GITHUB_OAUTH_CLIENT_SECRET isn't the app's
                         -> copy the client id and a secret from the OAuth app's page, whose callback must be https://codex.example/auth/github/callback
    # only on this machine
    warning  sign-in     by an OAuth app, for anna, and only on this machine: browsers return to http://127.0.0.1:7071/auth/github/callback
                         -> set CODEX_PUBLIC_URL to where people reach the service
    # GitHub is away
    broken   sign-in     GitHub can't be reached for a sign-in's code: the connection broke
                         -> let this machine reach GITHUB_URL, and look at githubstatus.com
    # no app
    warning  sign-in     by personal tokens only, for anna
                         -> for browsers set GITHUB_OAUTH_CLIENT_ID and GITHUB_OAUTH_CLIENT_SECRET of an OAuth app
    ");
}
