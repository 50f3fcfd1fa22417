//! Settings, and the error messages for invalid ones.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::Path;

use codex_miroir::config::{
    Allowlist, Auth, Config, ConfigError, OtelConfig, RedisLogin, Secret, StorageChoice,
    TraceSampling, unknown_settings,
};
use insta::assert_snapshot;

fn config(settings: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let settings: HashMap<&str, &str> = settings.iter().copied().collect();
    Config::from_lookup(|name| settings.get(name).map(|value| (*value).to_owned()))
}

fn refusal(settings: &[(&str, &str)]) -> String {
    config(settings)
        .expect_err("these settings can't be used")
        .to_string()
}

#[test]
fn without_any_setting_it_serves_one_local_user_from_a_folder() {
    let config = config(&[]).unwrap();
    let user = config.auth.dev_user().unwrap();
    assert_eq!(
        (user.as_str(), config.port, config.bind.to_string().as_str()),
        ("local", 7071, "127.0.0.1")
    );
    assert_eq!(config.public_url.origin(), "http://127.0.0.1:7071");
    assert_eq!(config.time_zone, chrono_tz::Europe::Berlin);
    let seconds = [
        config.memory_ttl,
        config.artifact_ttl,
        config.revalidate,
        config.pending_expiry,
        config.stale_if_error,
    ];
    assert_eq!(seconds.map(|it| it.as_secs()), [300, 900, 5, 60, 3600]);
    assert_eq!(
        (config.writes_per_minute, config.github.base_path.as_str()),
        (600, "codex-miroir")
    );
    assert!(
        matches!(config.storage, StorageChoice::Directory { path, .. } if path.ends_with("codex-data"))
    );
}

#[test]
fn storage_is_the_first_that_is_named() {
    let chosen = |settings: &[(&str, &str)]| match config(settings).unwrap().storage {
        StorageChoice::ConnectionString { variable, .. }
        | StorageChoice::ManagedIdentity { variable, .. }
        | StorageChoice::Directory { variable, .. } => variable,
    };
    let host = ("AzureWebJobsStorage", "UseDevelopmentStorage=true");
    let folder = ("CODEX_DATA_DIR", "/daten");
    assert_eq!(
        chosen(&[folder, host, ("AZURE_BLOB_CONN__accountName", "konto")]),
        "AZURE_BLOB_CONN__accountName"
    );
    assert_eq!(
        chosen(&[
            ("AZURE_BLOB_CONN", "x"),
            ("AZURE_BLOB_CONN__blobServiceUri", "https://k")
        ]),
        "AZURE_BLOB_CONN"
    );
    assert_eq!(chosen(&[folder, host]), "AzureWebJobsStorage");
    assert_eq!(
        chosen(&[folder, ("AzureWebJobsStorage", "  ")]),
        "CODEX_DATA_DIR"
    );
}

#[test]
fn an_identitys_tokens_come_from_the_platforms_endpoint_or_the_machines() {
    let account = ("AZURE_BLOB_CONN__accountName", "konto");
    let endpoint = ("IDENTITY_ENDPOINT", "http://127.0.0.1:41741/msi/token");
    let header = ("IDENTITY_HEADER", "geheim");
    let identity = |settings: &[(&str, &str)]| match config(settings).unwrap().storage {
        StorageChoice::ManagedIdentity { identity, .. } => identity,
        other => panic!("{other:?}"),
    };
    let platform = identity(&[account, endpoint, header]);
    assert_eq!(platform.endpoint.as_str(), endpoint.1);
    assert_eq!(platform.header, Some(Secret::new("geheim".to_owned())));
    assert_eq!(platform.client_id, None);
    let machine = identity(&[account]);
    assert_eq!(
        (machine.endpoint.as_str(), machine.header),
        (
            "http://169.254.169.254/metadata/identity/oauth2/token",
            None
        )
    );
    assert_snapshot!(refusal(&[account, endpoint]), @"IDENTITY_HEADER is not set; it must be set together with IDENTITY_ENDPOINT, or neither of them");
    assert_snapshot!(refusal(&[account, header]), @"IDENTITY_ENDPOINT is not set; it must be set together with IDENTITY_HEADER, or neither of them");
    let named = ("IDENTITY_ENDPOINT", "http://anna:geheim@127.0.0.1/");
    assert_snapshot!(refusal(&[account, named, header]), @"IDENTITY_ENDPOINT is something else; it must be the http address that the platform sets");
}

/// The export with these settings beside an endpoint.
fn otel(settings: &[(&str, &str)]) -> OtelConfig {
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://otlp.example");
    let settings = [&[endpoint], settings].concat();
    config(&settings).unwrap().otel.unwrap()
}

#[test]
fn an_export_needs_an_endpoint_and_has_the_standards_defaults() {
    let unused = ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc");
    assert_eq!(config(&[unused]).unwrap().otel, None);
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://otlp.example");
    let disabled = config(&[endpoint, ("OTEL_SDK_DISABLED", "TRUE")]);
    assert_eq!(disabled.unwrap().otel, None);
    let seconds = std::time::Duration::from_secs;
    assert_eq!(
        otel(&[("OTEL_SDK_DISABLED", "false")]),
        OtelConfig {
            endpoint: "https://otlp.example".to_owned(),
            headers: http::HeaderMap::new(),
            timeout: seconds(10),
            resource: vec![("service.name".to_owned(), "codex-miroir".to_owned())],
            sampling: TraceSampling {
                ratio: 1.0,
                by_caller: true
            },
            span_delay: seconds(5),
            metric_interval: seconds(60),
        }
    );
}

#[test]
fn an_exports_endpoint_is_a_web_address_and_private_if_headers_are_sent() {
    let endpoint = |url: &str, headers: &str| {
        let settings = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", url),
            ("OTEL_EXPORTER_OTLP_HEADERS", headers),
        ];
        config(&settings).map(|it| it.otel.unwrap().endpoint).ok()
    };
    for (url, without, with) in [
        ("https://otlp.example/", true, true),
        ("https://otlp.example:4318/base/", true, true),
        ("http://127.0.0.1:4318", true, true),
        ("http://localhost:4318", true, true),
        ("http://collector:4318", true, false),
        ("grpc://collector:4317", false, false),
        ("otlp.example", false, false),
        ("https://anna@otlp.example", false, false),
        ("https://otlp.example/?key=1", false, false),
    ] {
        let bare = url.trim_end_matches('/').to_owned();
        assert_eq!(endpoint(url, ""), without.then(|| bare.clone()), "{url}");
        assert_eq!(endpoint(url, "key=1"), with.then_some(bare), "{url}");
    }
}

#[test]
fn an_exports_headers_and_attributes_are_percent_encoded_pairs() {
    let headers = |text: &str| {
        let export = otel(&[("OTEL_EXPORTER_OTLP_HEADERS", text)]);
        assert!(!format!("{export:?}").contains("abc"), "{export:?}");
        let headers = export.headers.iter();
        let line = headers.map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()));
        line.collect::<Vec<_>>().join(", ")
    };
    assert_eq!(headers("Api-Key=abc"), "api-key: abc");
    assert_eq!(
        headers("Authorization=Basic%20abc==, x-scope = a%2Cb ,"),
        "authorization: Basic abc==, x-scope: a,b"
    );
    for wrong in ["abc", "=abc", "a b=abc", "a=abc%0Ax", "a=%FF"] {
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://otlp.example");
        let refused = refusal(&[endpoint, ("OTEL_EXPORTER_OTLP_HEADERS", wrong)]);
        let begin = "OTEL_EXPORTER_OTLP_HEADERS can't be used; it must be NAME=VALUE";
        assert!(refused.starts_with(begin), "{wrong}: {refused}");
    }
    let resource = |name: &str, attributes: &str| {
        let settings = [
            ("OTEL_SERVICE_NAME", name),
            ("OTEL_RESOURCE_ATTRIBUTES", attributes),
        ];
        let pairs = otel(&settings).resource;
        let pairs = pairs.iter().map(|(name, value)| format!("{name}={value}"));
        pairs.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(resource("", ""), "service.name=codex-miroir");
    assert_eq!(
        resource("", "service.name=a,b=c%3Dd"),
        "service.name=a b=c=d"
    );
    assert_eq!(resource("n", "service.name=a,b=c"), "b=c service.name=n");
}

#[test]
fn each_sampler_is_a_share_with_or_without_the_callers_say() {
    let sampling = |name: &str, share: &str| {
        let settings = [
            ("OTEL_TRACES_SAMPLER", name),
            ("OTEL_TRACES_SAMPLER_ARG", share),
        ];
        let TraceSampling { ratio, by_caller } = otel(&settings).sampling;
        (ratio, by_caller)
    };
    for (name, share, expected) in [
        ("", "", (1.0, true)),
        ("always_on", "0.5", (1.0, false)),
        ("always_off", "", (0.0, false)),
        ("traceidratio", "0.25", (0.25, false)),
        ("traceidratio", "", (1.0, false)),
        ("parentbased_always_on", "", (1.0, true)),
        ("parentbased_always_off", "", (0.0, true)),
        ("parentbased_traceidratio", "0", (0.0, true)),
    ] {
        assert_eq!(sampling(name, share), expected, "{name} {share}");
    }
}

#[test]
fn redis_is_named_by_a_url_or_as_azures_portal_shows_it() {
    let server = |name: &str, value: &str| config(&[(name, value)]).unwrap().redis.unwrap();
    let password = |user: Option<&str>, password: &str| RedisLogin::Password {
        user: user.map(str::to_owned),
        password: Secret::new(password.to_owned()),
    };
    let (url, azure) = ("CODEX_REDIS_URL", "AZURE_REDIS_CONNECTION_STRING");
    for (name, value, shown, tls, database, login) in [
        (
            url,
            "redis://localhost",
            "localhost:6379",
            false,
            0,
            RedisLogin::None,
        ),
        (
            url,
            "redis://[::1]:7000/",
            "[::1]:7000",
            false,
            0,
            RedisLogin::None,
        ),
        (
            url,
            "rediss://redis.example/3",
            "redis.example:6380",
            true,
            3,
            RedisLogin::None,
        ),
        (
            url,
            "rediss://:ge%2Fhei%3Dm@redis.example:10000",
            "redis.example:10000",
            true,
            0,
            password(None, "ge/hei=m"),
        ),
        (
            url,
            " rediss://an%40na:%C3%A4@10.0.0.4 ",
            "10.0.0.4:6380",
            true,
            0,
            password(Some("an@na"), "ä"),
        ),
        (
            azure,
            "codex.redis.cache.windows.net:6380,password=abc=,ssl=True,abortConnect=False",
            "codex.redis.cache.windows.net:6380",
            true,
            0,
            password(None, "abc="),
        ),
        (
            azure,
            "SSL=true, User = anna ,Password=a b,defaultDatabase=2,connectTimeout=5000,[::1]",
            "[::1]:6380",
            true,
            2,
            password(Some("anna"), "a b"),
        ),
        (
            azure,
            "localhost,ssl=False",
            "localhost:6379",
            false,
            0,
            RedisLogin::None,
        ),
        (
            azure,
            "127.0.0.1:7000,password=",
            "127.0.0.1:7000",
            false,
            0,
            RedisLogin::None,
        ),
    ] {
        let server = server(name, value);
        let line = format!("{shown} ({name})");
        assert_eq!(server.to_string(), line);
        assert_eq!((server.tls, server.database), (tls, database), "{value}");
        assert_eq!(server.login, login, "{value}");
    }
    assert_eq!(config(&[(url, " "), (azure, "")]).unwrap().redis, None);
}

#[test]
fn a_wrong_server_of_redis_is_named_without_its_password() {
    let url = |value: &str| refusal(&[("CODEX_REDIS_URL", value)]);
    assert_snapshot!(url("redis://:geheim@redis.example"), @"CODEX_REDIS_URL can't be used: without TLS the host must be a loopback one; it must be as in rediss://:PASSWORD@HOST:PORT, with everything but letters, digits and - . _ ~ in it percent-encoded");
    for (value, why) in [
        ("geheim", "it is no URL"),
        (
            "https://:geheim@redis.example",
            "it begins neither with redis:// nor with rediss://",
        ),
        ("rediss://:ge/heim@redis.example", "it is no URL"),
        (
            "rediss://:geheim@redis.example?protocol=resp3",
            "it has a query or a fragment",
        ),
        ("rediss://:ge#heim@redis.example", "it is no URL"),
        (
            "rediss://:geheim@redis.example/geheim",
            "its database is no number",
        ),
        (
            "rediss://:geheim@redis.example/1/2",
            "its database is no number",
        ),
        ("rediss://:geheim@", "it is no URL"),
        ("rediss:///1", "its host is no name and no address"),
        (
            "rediss://:geheim@red%20is",
            "its host is no name and no address",
        ),
        (
            "rediss://:%ffgeheim@redis.example",
            "its user or password isn't UTF-8",
        ),
        (
            "rediss://anna@redis.example",
            "it has a user without a password",
        ),
    ] {
        let said = url(value);
        assert!(
            said.contains(&format!("can't be used: {why};")),
            "{value}: {said}"
        );
        assert!(!said.contains("geheim"), "{said}");
    }
    let azure = |value: &str| refusal(&[("AZURE_REDIS_CONNECTION_STRING", value)]);
    assert_snapshot!(azure("redis.example:6380,password=geheim"), @"AZURE_REDIS_CONNECTION_STRING can't be used: without TLS the host must be a loopback one; it must be as Azure's portal shows it, HOST:PORT,password=PASSWORD,ssl=True,abortConnect=False");
    for (value, why) in [
        (
            "password=geheim,ssl=True",
            "its host is no name and no address",
        ),
        (
            "redis.example,other.example,password=geheim,ssl=True",
            "it names more than one host",
        ),
        ("redis.example:geheim,ssl=True", "its port is no number"),
        (
            "redis.example,password=geheim,ssl=geheim",
            "its ssl is neither True nor False",
        ),
        (
            "redis.example,password=a,geheim=b,ssl=True",
            "its part 3 isn't known here",
        ),
        (
            "redis.example,ssl=True,serviceName=geheim",
            "its part 3 isn't known here",
        ),
        (
            "redis.example,ssl=True,defaultDatabase=geheim",
            "its database is no number",
        ),
        (
            "redis.example,ssl=True,user=anna",
            "it has a user without a password",
        ),
    ] {
        let said = azure(value);
        assert!(
            said.contains(&format!("can't be used: {why};")),
            "{value}: {said}"
        );
        assert!(!said.contains("geheim"), "{said}");
    }
    let both = [
        ("CODEX_REDIS_URL", "redis://localhost"),
        ("AZURE_REDIS_CONNECTION_STRING", "localhost"),
    ];
    assert_snapshot!(refusal(&both), @"AZURE_REDIS_CONNECTION_STRING is set, and CODEX_REDIS_URL too; it must be left out where CODEX_REDIS_URL names the server");
}

#[test]
fn redis_by_identity_takes_the_storages_and_no_password() {
    let server = ("CODEX_REDIS_URL", "rediss://redis.example:10000");
    let entra = ("CODEX_REDIS_ENTRA", "true");
    let id = "1f7a0c2e-0000-0000-0000-000000000000";
    for (names, expected) in [
        (&[][..], None),
        (&["AZURE_BLOB_CONN__clientId"], Some(id)),
        (&["AzureWebJobsStorage__clientId"], Some(id)),
    ] {
        let mut settings = vec![server, entra];
        settings.extend(names.iter().map(|name| (*name, id)));
        match config(&settings).unwrap().redis.unwrap().login {
            RedisLogin::ManagedIdentity(identity) => {
                assert_eq!(identity.client_id.as_deref(), expected);
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(
        config(&[server, ("CODEX_REDIS_ENTRA", "false")])
            .unwrap()
            .redis
            .unwrap()
            .login,
        RedisLogin::None
    );
    assert_snapshot!(refusal(&[("CODEX_REDIS_URL", "rediss://:geheim@redis.example"), entra]), @r#"CODEX_REDIS_ENTRA is "true" while CODEX_REDIS_URL has a user or a password; it must be false, or the only way to sign in"#);
    assert_snapshot!(refusal(&[("AZURE_REDIS_CONNECTION_STRING", "r.example,ssl=True,user=a"), entra]), @r#"CODEX_REDIS_ENTRA is "true" while AZURE_REDIS_CONNECTION_STRING has a user or a password; it must be false, or the only way to sign in"#);
    assert_snapshot!(refusal(&[entra]), @r#"CODEX_REDIS_ENTRA is "true"; it must be left out where neither CODEX_REDIS_URL nor AZURE_REDIS_CONNECTION_STRING names a server"#);
    assert_snapshot!(refusal(&[server, ("CODEX_REDIS_ENTRA", "yes")]), @r#"CODEX_REDIS_ENTRA is "yes"; it must be true or false"#);
}

#[test]
fn the_hosts_port_comes_before_the_general_one() {
    assert_eq!(config(&[("PORT", "81")]).unwrap().port, 81);
    let hosted = [
        ("PORT", "81"),
        ("FUNCTIONS_CUSTOMHANDLER_PORT", "82"),
        ("CODEX_AUTH", "dev"),
        ("CODEX_DATA_DIR", "d"),
    ];
    assert_eq!(config(&hosted).unwrap().port, 82);
}

#[test]
fn a_wrong_value_is_one_line_with_the_variable_and_what_it_may_be() {
    assert_snapshot!(refusal(&[("CODEX_TIME_ZONE", "Berlin")]), @r#"CODEX_TIME_ZONE is "Berlin"; it must be a zone as in Europe/Berlin"#);
    assert_snapshot!(refusal(&[("CODEX_BIND", "localhost")]), @r#"CODEX_BIND is "localhost"; it must be an IP address"#);
    assert_snapshot!(refusal(&[("PORT", "70000")]), @r#"PORT is "70000"; it must be a port, 0 to 65535"#);
    assert_snapshot!(refusal(&[("CODEX_REVALIDATE_SECONDS", "-1")]), @r#"CODEX_REVALIDATE_SECONDS is "-1"; it must be a whole number of seconds, at most a year"#);
    assert_snapshot!(refusal(&[("CODEX_MEMORY_TTL_SECONDS", "99999999999")]), @r#"CODEX_MEMORY_TTL_SECONDS is "99999999999"; it must be a whole number of seconds, at most a year"#);
    assert_snapshot!(refusal(&[("AZURE_BLOB_CONTAINER", "Codex_Cache")]), @r#"AZURE_BLOB_CONTAINER is "Codex_Cache"; it must be 3 to 63 of a-z, 0-9 and single '-', as Azure wants container names"#);
    assert_snapshot!(refusal(&[("CODEX_DEV_USER", "../etc")]), @r#"CODEX_DEV_USER is "../etc"; it must be 1 to 64 of A-Z, a-z, 0-9, '-' and '_'"#);
    assert_snapshot!(refusal(&[("CODEX_PENDING_EXPIRY_SECONDS", "0")]), @r#"CODEX_PENDING_EXPIRY_SECONDS is "0"; it must be at least 1 second"#);
    assert_snapshot!(refusal(&[("CODEX_WRITES_PER_MINUTE", "viele")]), @r#"CODEX_WRITES_PER_MINUTE is "viele"; it must be a whole number"#);
    assert_snapshot!(refusal(&[("GITHUB_BASE_PATH", "a/../b")]), @r#"GITHUB_BASE_PATH is "a/../b"; it must be a folder in the repository, as in codex-miroir or notes/codex"#);
    assert_snapshot!(refusal(&[("CODEX_AUTH", "gitlab")]), @r#"CODEX_AUTH is "gitlab"; it must be github, easyauth or dev"#);
}

#[test]
fn the_repositorys_folder_may_have_several_segments() {
    let path = |value: &str| {
        config(&[("GITHUB_BASE_PATH", value)])
            .unwrap()
            .github
            .base_path
    };
    assert_eq!(path("/notes/codex/"), "notes/codex");
}

/// The site name and the storage that every configuration on Azure needs.
const AZURE: [(&str, &str); 2] = [("WEBSITE_SITE_NAME", "app"), ("CODEX_DATA_DIR", "d")];

fn azure<'a>(more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    AZURE.iter().chain(more).copied().collect()
}

#[test]
fn an_open_door_is_a_start_error() {
    assert_snapshot!(refusal(&[("CODEX_BIND", "0.0.0.0")]), @"CODEX_AUTH is not set while others may reach the service; it must be github, easyauth, or dev if every local caller may act as the one user");
    assert_snapshot!(refusal(&[("FUNCTIONS_CUSTOMHANDLER_PORT", "1"), ("CODEX_DATA_DIR", "d")]), @"CODEX_AUTH is not set while others may reach the service; it must be github, easyauth, or dev if every local caller may act as the one user");
    assert_snapshot!(refusal(&[("FUNCTIONS_CUSTOMHANDLER_PORT", "1"), ("CODEX_AUTH", "dev")]), @"CODEX_DATA_DIR is not set, nor is AZURE_BLOB_CONN or AzureWebJobsStorage; it must be named explicitly where a Functions host starts the service: a folder that outlives it, or better a storage account in AZURE_BLOB_CONN");
    assert_snapshot!(refusal(&azure(&[("CODEX_AUTH", "dev")])), @"CODEX_AUTH is dev while WEBSITE_SITE_NAME is set; it must be github or easyauth on Azure, where strangers reach the service");
    assert_snapshot!(refusal(&azure(&[])), @"CODEX_ALLOWED_LOGINS is not set, nor is GITHUB_OWNER; it must be logins separated by commas, as in anna,ben, or * for everyone");
    assert_snapshot!(refusal(&azure(&[("CODEX_AUTH", "easyauth"), ("CODEX_ALLOWED_LOGINS", "*")])), @"CODEX_AUTH is easyauth while WEBSITE_AUTH_ENABLED isn't true; it must be github as long as the platform's authentication is off: anybody could say who they are");
    assert_snapshot!(refusal(&azure(&[("WEBSITE_AUTH_ENABLED", "True"), ("CODEX_AUTH", "easyauth")])), @"CODEX_ALLOWED_LOGINS is not set, nor is GITHUB_OWNER; it must be logins separated by commas, as in anna,ben, or * for everyone");
    assert_snapshot!(refusal(&[("WEBSITE_AUTH_ENABLED", "True"), ("CODEX_AUTH", "easyauth"), ("CODEX_ALLOWED_LOGINS", "*")]), @"CODEX_AUTH is easyauth while WEBSITE_SITE_NAME isn't set; it must be github or dev outside Azure: nobody takes off a header there that says who somebody is");
    let public = ("CODEX_PUBLIC_URL", "https://codex.example");
    assert_snapshot!(refusal(&[public]), @"CODEX_AUTH is not set while CODEX_PUBLIC_URL is another address than this machine's; it must be github or easyauth");
    assert_snapshot!(refusal(&[public, ("CODEX_AUTH", "dev")]), @"CODEX_AUTH is dev while CODEX_PUBLIC_URL is another address than this machine's; it must be github or easyauth where others reach the service");
    for here in [
        "http://localhost:7071",
        "https://127.0.0.1",
        "http://[::1]:81",
    ] {
        let config = config(&[("CODEX_PUBLIC_URL", here)]).unwrap();
        assert_eq!(config.auth.as_str(), "dev", "{here}");
    }
}

#[test]
fn half_a_configuration_of_github_is_no_open_door_either() {
    for name in [
        "GITHUB_REPO",
        "GITHUB_TOKEN",
        "GITHUB_APP_ID",
        "GITHUB_APP_PRIVATE_KEY",
        "GITHUB_APP_INSTALLATION_ID",
        "GITHUB_WEBHOOK_SECRET",
        "GITHUB_OAUTH_CLIENT_ID",
        "GITHUB_OAUTH_CLIENT_SECRET",
        "GITHUB_OAUTH_REDIRECT_URI",
        "CODEX_SESSION_KEY",
        "CODEX_EASYAUTH_IDP",
    ] {
        let refused = refusal(&[(name, "0123456789abcdef0123456789abcdef")]);
        let named = refused.contains("CODEX_ALLOWED_LOGINS") || refused.contains("GITHUB_OAUTH");
        assert!(named, "{name}: {refused}");
    }
    let owner = config(&[("GITHUB_OWNER", "anna")]).unwrap();
    assert_eq!(owner.auth.as_str(), "github");
}

#[test]
fn the_mode_of_sign_in_follows_from_what_is_configured() {
    let mode = |settings: &[(&str, &str)]| config(settings).unwrap().auth.as_str();
    let owner = ("GITHUB_OWNER", "anna");
    let host = ("FUNCTIONS_CUSTOMHANDLER_PORT", "1");
    let folder = ("CODEX_DATA_DIR", "d");
    let dev = ("CODEX_AUTH", "dev");
    assert_eq!(mode(&[]), "dev");
    assert_eq!(mode(&[dev, owner, host, folder]), "dev", "said explicitly");
    assert_eq!(mode(&azure(&[owner])), "github");
    let oauth = [
        ("GITHUB_OAUTH_CLIENT_ID", "id"),
        ("GITHUB_OAUTH_CLIENT_SECRET", "s"),
        ("CODEX_ALLOWED_LOGINS", "anna"),
    ];
    assert_eq!(mode(&oauth), "github");
    assert_eq!(mode(&[("CODEX_AUTH", " github "), owner]), "github");
    let enabled = ("WEBSITE_AUTH_ENABLED", "True");
    let easyauth = ("CODEX_AUTH", "easyauth");
    let provider = |name| -> Result<String, ConfigError> {
        let settings = azure(&[easyauth, enabled, owner, ("CODEX_EASYAUTH_IDP", name)]);
        match config(&settings)?.auth {
            Auth::EasyAuth { provider, .. } => Ok(provider),
            other => panic!("{other:?}"),
        }
    };
    let names = ["GitHub", " aad ", "my-Own_1"].map(|name| provider(name).unwrap());
    assert_eq!(names, ["github", "aad", "my-own_1"]);
    assert_snapshot!(provider("a/../b").unwrap_err(), @r#"CODEX_EASYAUTH_IDP is "a/../b"; it must be a provider's name of letters, digits, '-' and '_', as in github or aad"#);
    let easy = config(&azure(&[easyauth, enabled, owner])).unwrap();
    assert_eq!(
        easy.auth,
        Auth::EasyAuth {
            provider: "github".to_owned(),
            allowed: Allowlist::Logins(vec!["anna".to_owned()]),
        }
    );
}

#[test]
fn who_may_enter_is_said_in_any_letter_case() {
    let allowed = |logins: &str| {
        let auth = config(&[("CODEX_AUTH", "github"), ("CODEX_ALLOWED_LOGINS", logins)]);
        match auth.unwrap().auth {
            Auth::GitHub { allowed, .. } => allowed,
            other => panic!("{other:?}"),
        }
    };
    let two = allowed(" Anna, ben ,");
    assert_eq!(
        ["anna", "BEN", "carl", ""].map(|login| two.allows(login)),
        [true, true, false, false]
    );
    assert!(allowed("anna,*").allows("carl"));
    assert_eq!(two.to_string(), "Anna, ben");
    let none = [("CODEX_AUTH", "github"), ("CODEX_ALLOWED_LOGINS", " , ")];
    assert_snapshot!(refusal(&none), @"CODEX_ALLOWED_LOGINS names nobody; it must be logins separated by commas, as in anna,ben, or * for everyone");
    let odd = [
        ("CODEX_AUTH", "github"),
        ("CODEX_ALLOWED_LOGINS", "anna ben"),
    ];
    assert_snapshot!(refusal(&odd), @r#"CODEX_ALLOWED_LOGINS holds "anna ben"; it must be logins separated by commas, as in anna,ben, or * for everyone"#);
}

#[test]
fn what_signing_in_needs_is_checked_at_the_start() {
    const KEY: &str = "0123456789abcdef0123456789abcdef";
    let owner = ("GITHUB_OWNER", "anna");
    let id = ("GITHUB_OAUTH_CLIENT_ID", "id");
    let secret = ("GITHUB_OAUTH_CLIENT_SECRET", "geheim");
    assert_snapshot!(refusal(&[owner, id]), @"GITHUB_OAUTH_CLIENT_SECRET is not set; it must be set together with GITHUB_OAUTH_CLIENT_ID, or neither of them");
    assert_snapshot!(refusal(&[owner, secret]), @"GITHUB_OAUTH_CLIENT_ID is not set; it must be set together with GITHUB_OAUTH_CLIENT_SECRET, or neither of them");
    assert_snapshot!(refusal(&[owner, ("CODEX_SESSION_KEY", "kurz")]), @"CODEX_SESSION_KEY holds a shorter key; it must be random text of at least 32 characters; several, separated by commas, to change it");
    assert_snapshot!(refusal(&[owner, ("CODEX_SESSION_KEY", &format!("{KEY},kurz"))]), @"CODEX_SESSION_KEY holds a shorter key; it must be random text of at least 32 characters; several, separated by commas, to change it");
    assert_snapshot!(refusal(&[owner, ("CODEX_PUBLIC_URL", "http://codex.example")]), @r#"CODEX_PUBLIC_URL is "http://codex.example"; it must be an https address without a path, as in https://codex.example; http only for this machine"#);
    assert_snapshot!(refusal(&[owner, ("CODEX_PUBLIC_URL", "https://codex.example/app")]), @r#"CODEX_PUBLIC_URL is "https://codex.example/app"; it must be an https address without a path, as in https://codex.example; http only for this machine"#);
    assert_snapshot!(refusal(&[owner, ("CODEX_ALLOWED_ORIGINS", "https://a.example, *")]), @r#"CODEX_ALLOWED_ORIGINS holds "*"; it must be origins separated by commas, as in https://app.example"#);
    let elsewhere = (
        "GITHUB_OAUTH_REDIRECT_URI",
        "https://other.example/auth/github/callback",
    );
    let public = ("CODEX_PUBLIC_URL", "https://codex.example");
    assert_snapshot!(refusal(&[owner, id, secret, public, elsewhere]), @r#"GITHUB_OAUTH_REDIRECT_URI is "https://other.example/auth/github/callback"; it must be https://codex.example/auth/github/callback, which is where CODEX_PUBLIC_URL or its default says people reach the service"#);

    let page = ("GITHUB_OAUTH_REDIRECT_URI", "https://codex.example/login");
    assert_snapshot!(refusal(&[owner, id, secret, public, page]), @r#"GITHUB_OAUTH_REDIRECT_URI is "https://codex.example/login"; it must be https://codex.example/auth/github/callback, which is where CODEX_PUBLIC_URL or its default says people reach the service"#);
    assert!(
        config(&[id, secret, page, ("CODEX_AUTH", "dev")]).is_ok(),
        "nobody is sent there"
    );

    let keys = |settings: &[(&str, &str)]| match config(settings).unwrap().auth {
        Auth::GitHub { session_keys, .. } => session_keys,
        other => panic!("{other:?}"),
    };
    let of = |text: &str| Secret::new(text.to_owned());
    assert_eq!(keys(&[owner, id, secret]), [of("geheim")]);
    let two = format!("{KEY}, {KEY}2");
    let set = ("CODEX_SESSION_KEY", two.as_str());
    assert_eq!(
        keys(&[owner, id, secret, set]),
        [of(KEY), of(&format!("{KEY}2"))]
    );
}

#[test]
fn the_public_address_is_the_named_one_the_platforms_or_this_machine() {
    let url = |settings: &[(&str, &str)]| {
        let auth = [("CODEX_ALLOWED_LOGINS", "anna")];
        let settings: Vec<_> = settings.iter().chain(&auth).copied().collect();
        config(&settings).unwrap().public_url
    };
    let named = ("CODEX_PUBLIC_URL", "HTTPS://Codex.Example:443/");
    let platform = ("WEBSITE_HOSTNAME", "app.azurewebsites.net");
    assert_eq!(url(&[named, platform]).origin(), "https://codex.example");
    assert_eq!(url(&[platform]).origin(), "https://app.azurewebsites.net");
    assert_eq!(
        url(&[("WEBSITE_HOSTNAME", "localhost:7071")]).origin(),
        "http://localhost:7071",
        "the Functions host on a developer's machine"
    );
    let free = url(&[("PORT", "0"), ("CODEX_BIND", "::1")]);
    assert_eq!(free.on_port(4711).origin(), "http://[::1]:4711");
    assert_eq!(
        url(&[named]).on_port(4711).origin(),
        "https://codex.example"
    );
    let origins = config(&[(
        "CODEX_ALLOWED_ORIGINS",
        "https://a.example/, http://b.example:81",
    )]);
    assert_eq!(
        origins.unwrap().allowed_origins,
        ["https://a.example", "http://b.example:81"]
    );
}

/// The reference's text would be the secret otherwise, and whoever knows the vault's name could sign deliveries with it.
#[test]
fn a_secret_that_the_platform_did_not_fetch_is_a_start_error() {
    let reference = "@Microsoft.KeyVault(VaultName=codex;SecretName=geheim)";
    let owner = ("GITHUB_OWNER", "anna");
    assert_snapshot!(refusal(&[owner, ("GITHUB_WEBHOOK_SECRET", reference)]), @"GITHUB_WEBHOOK_SECRET is a Key Vault reference that the platform didn't resolve; it must be a reference to a secret that exists and that the app's identity may read");
    for name in [
        "AZURE_REDIS_CONNECTION_STRING",
        "CODEX_METRICS_TOKEN",
        "CODEX_REDIS_URL",
        "CODEX_SESSION_KEY",
        "GITHUB_APP_PRIVATE_KEY",
        "GITHUB_OAUTH_CLIENT_SECRET",
        "GITHUB_TOKEN",
    ] {
        let refused = refusal(&[owner, ("GITHUB_REPO", "codex"), (name, reference)]);
        let expected = format!("{name} is a Key Vault reference that the platform didn't resolve;");
        assert!(refused.starts_with(&expected), "{name}: {refused}");
    }
    assert!(config(&[owner, ("GITHUB_WEBHOOK_SECRET", "@Microsoft")]).is_ok());
}

#[test]
fn no_secret_is_printed() {
    let settings = [
        ("AZURE_BLOB_CONN", "AccountName=a;AccountKey=geheim"),
        ("CODEX_REDIS_URL", "rediss://anna:geheim@redis.example"),
        ("GITHUB_OWNER", "anna"),
        ("GITHUB_OAUTH_CLIENT_ID", "id"),
        ("GITHUB_OAUTH_CLIENT_SECRET", "geheim"),
        (
            "CODEX_SESSION_KEY",
            "geheim0123456789abcdef0123456789abcdef",
        ),
    ];
    let printed = format!("{:?}", config(&settings).unwrap());
    assert!(
        !printed.contains("geheim") && printed.contains("(secret)"),
        "{printed}"
    );
}

/// The modules of `src/config` that read settings.
const READERS: [&str; 7] = [
    "auth",
    "github",
    "lookup",
    "public_url",
    "redis",
    "settings",
    "storage",
];

fn source(name: &str) -> String {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    fs::read_to_string(top.join(name)).unwrap()
}

/// The variables in these sources: the string literals of capitals, digits and underscores.
fn variables(sources: &[String]) -> BTreeSet<&str> {
    let is_variable = |it: &&str| {
        let capitals = |c: u8| c.is_ascii_uppercase() || c.is_ascii_digit() || c == b'_';
        (it.contains('_') || *it == "PORT") && it.bytes().all(capitals)
    };
    let texts = sources.iter().flat_map(|it| it.split('"'));
    let variables: BTreeSet<&str> = texts.filter(is_variable).collect();
    assert!(variables.len() > 40, "{variables:?}");
    variables
}

#[test]
fn the_page_of_settings_names_every_variable() {
    let page = source("src/config/README.md");
    let sources = READERS.map(|it| source(&format!("src/config/{it}.rs")));
    let named = |it: &str| page.contains(&format!("`{it}`"));
    let unnamed: Vec<_> = variables(&sources)
        .into_iter()
        .filter(|it| !named(it))
        .collect();
    assert!(unnamed.is_empty(), "{unnamed:?}");
}

/// A setting is known if it is looked up when nothing is set: one that is looked up only beside another setting would
/// be reported as unknown.
#[test]
fn every_setting_of_this_service_alone_is_known_to_exist() {
    let sources = READERS.map(|it| source(&format!("src/config/{it}.rs")));
    let ours = variables(&sources).into_iter().map(str::to_owned);
    let ours: Vec<String> = ours.filter(|it| it.starts_with("CODEX_")).collect();
    assert!(ours.len() > 20, "{ours:?}");
    assert_eq!(unknown_settings(ours), []);
}

#[test]
fn the_nearest_setting_is_told_where_one_is_near() {
    let nearest = |variable: &str| {
        let mut unknown = unknown_settings([variable.to_owned()]);
        assert_eq!(unknown.len(), 1, "{variable}");
        unknown.remove(0).nearest
    };
    for (variable, meant) in [
        ("CODEX_DATADIR", "CODEX_DATA_DIR"),
        ("CODEX_AUHT", "CODEX_AUTH"),
        ("CODEX_CODEX_BIND", "CODEX_BIND"),
        ("CODEX_REVALIDATE", "CODEX_REVALIDATE_SECONDS"),
        ("CODEX_WRITES_PER_MINUTES", "CODEX_WRITES_PER_MINUTE"),
        ("CODEX_PORT", "PORT"),
        ("CODEX_GITHUB_TOKEN", "GITHUB_TOKEN"),
    ] {
        assert_eq!(nearest(variable).as_deref(), Some(meant), "{variable}");
    }
    let long = format!("CODEX_{}", "DATA_DIR".repeat(10_000));
    for variable in ["CODEX_", "CODEX_HOME", "CODEX_PATH", "CODEX_ÄÖÜ", &long] {
        assert_eq!(nearest(variable), None);
    }
    let others = [
        "PATH",
        "CODE_DATA_DIR",
        "codex_data_dir",
        "MY_CODEX_DATA_DIR",
    ];
    assert_eq!(unknown_settings(others.map(str::to_owned)), []);
}
