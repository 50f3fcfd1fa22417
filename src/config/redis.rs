//! The cache that instances share (`src/config/README.md`, "Redis").

use std::borrow::Cow;
use std::net::IpAddr;

use percent_encoding::percent_decode_str;
use url::Url;

use super::lookup::{ConfigError, Lookup, Secret};
use super::storage::{self, ManagedIdentityConfig};
use crate::net::is_loopback;

const URL: &str = "CODEX_REDIS_URL";
const CONNECTION_STRING: &str = "AZURE_REDIS_CONNECTION_STRING";
const ENTRA: &str = "CODEX_REDIS_ENTRA";

/// The ports of a server without and with TLS, by Azure's convention.
const PORTS: [u16; 2] = [6379, 6380];

/// A Redis server. Shown for the startup log, without who signs in.
#[derive(Debug, Clone, PartialEq, Eq, derive_more::Display)]
#[display("{} ({variable})", self.address())]
pub struct RedisConfig {
    /// The variable that names the server.
    pub variable: &'static str,
    /// A host name, or an IP address without brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Whether it speaks TLS.
    pub tls: bool,
    /// The number of the database.
    pub database: u32,
    /// As whom to sign in.
    pub login: RedisLogin,
}

/// How the service signs in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RedisLogin {
    /// It doesn't.
    None,
    /// By password.
    Password {
        /// The server's default user without a name.
        user: Option<String>,
        /// Its password.
        password: Secret,
    },
    /// By the tokens of a managed identity.
    ManagedIdentity(ManagedIdentityConfig),
}

impl RedisConfig {
    /// `HOST:PORT`, with an IPv6 address in brackets.
    pub fn address(&self) -> String {
        let Self { host, port, .. } = self;
        match host.contains(':') {
            true => format!("[{host}]:{port}"),
            false => format!("{host}:{port}"),
        }
    }
}

/// What a setting says of the server.
#[derive(Debug, Default)]
struct RedisText {
    host: String,
    port: Option<u16>,
    tls: bool,
    database: u32,
    user: Option<String>,
    password: Option<Secret>,
}

/// The server, if one is named.
pub(super) fn redis(settings: &Lookup<'_>) -> Result<Option<RedisConfig>, ConfigError> {
    let by_identity = settings.read(ENTRA, "true or false", |text| match text {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    })?;
    let by_identity = by_identity.unwrap_or(false);
    let (variable, said, form) = match (settings.trimmed(URL), settings.trimmed(CONNECTION_STRING))
    {
        (Some(_), Some(_)) => {
            let was = "is set, and CODEX_REDIS_URL too";
            let allowed = "left out where CODEX_REDIS_URL names the server";
            return Err(ConfigError::new(CONNECTION_STRING, was, allowed));
        }
        (Some(url), None) => (
            URL,
            parse_url(&url),
            "as in rediss://:PASSWORD@HOST:PORT, with everything but letters, digits and - . _ ~ in it percent-encoded",
        ),
        (None, Some(text)) => (
            CONNECTION_STRING,
            parse_connection_string(&text),
            "as Azure's portal shows it, HOST:PORT,password=PASSWORD,ssl=True,abortConnect=False",
        ),
        (None, None) if by_identity => {
            let allowed =
                format!("left out where neither {URL} nor {CONNECTION_STRING} names a server");
            return Err(ConfigError::new(ENTRA, "is \"true\"", allowed));
        }
        (None, None) => return Ok(None),
    };
    let unusable =
        |why: Cow<'static, str>| ConfigError::new(variable, format!("can't be used: {why}"), form);
    let said = said.and_then(RedisText::checked).map_err(unusable)?;
    let port = said.port.unwrap_or(PORTS[usize::from(said.tls)]);
    let login = match (by_identity, said.password) {
        (true, None) if said.user.is_none() => RedisLogin::ManagedIdentity(identity(settings)?),
        (true, _) => {
            let was = format!("is \"true\" while {variable} has a user or a password");
            let allowed = "false, or the only way to sign in";
            return Err(ConfigError::new(ENTRA, was, allowed));
        }
        (false, Some(password)) => RedisLogin::Password {
            user: said.user,
            password,
        },
        (false, None) if said.user.is_none() => RedisLogin::None,
        (false, None) => return Err(unusable("it has a user without a password".into())),
    };
    Ok(Some(RedisConfig {
        variable,
        host: said.host,
        port,
        tls: said.tls,
        database: said.database,
        login,
    }))
}

/// The identity that also opens the storage, if a variable names one.
fn identity(settings: &Lookup<'_>) -> Result<ManagedIdentityConfig, ConfigError> {
    let names = ["AZURE_BLOB_CONN__clientId", "AzureWebJobsStorage__clientId"];
    let set = names.into_iter().find(|name| settings.is_set(name));
    storage::identity(settings, set.unwrap_or(names[0]))
}

impl RedisText {
    fn checked(self) -> Result<Self, Cow<'static, str>> {
        let allowed = |c: u8| c.is_ascii_alphanumeric() || b".-_".contains(&c);
        let is_name = !self.host.is_empty() && self.host.bytes().all(allowed);
        if !is_name && self.host.parse::<IpAddr>().is_err() {
            return Err("its host is no name and no address".into());
        }
        match self.tls || is_loopback(&self.host) {
            true => Ok(self),
            // The password and everybody's tasks would be on the network as they are.
            false => Err("without TLS the host must be a loopback one".into()),
        }
    }
}

fn parse_url(text: &str) -> Result<RedisText, Cow<'static, str>> {
    let url = Url::parse(text).map_err(|_| "it is no URL")?;
    let tls = match url.scheme() {
        "redis" => false,
        "rediss" => true,
        _ => return Err("it begins neither with redis:// nor with rediss://".into()),
    };
    if url.query().is_some() || url.fragment().is_some() {
        return Err("it has a query or a fragment".into());
    }
    let database = match url.path().trim_start_matches('/') {
        "" => 0,
        number => parse_database(number)?,
    };
    let decoded = |part: &str| {
        let text = percent_decode_str(part).decode_utf8();
        text.map(Cow::into_owned)
            .map_err(|_| "its user or password isn't UTF-8")
    };
    let user = Some(url.username()).filter(|user| !user.is_empty());
    let password = url.password().filter(|password| !password.is_empty());
    Ok(RedisText {
        host: bare_host(url.host_str().unwrap_or_default()),
        port: url.port(),
        tls,
        database,
        user: user.map(decoded).transpose()?,
        password: password.map(decoded).transpose()?.map(Secret::new),
    })
}

/// Settings of the client for which the form was made, StackExchange.Redis, that have no meaning here.
const IGNORED: [&str; 17] = [
    "abortconnect",
    "allowadmin",
    "asynctimeout",
    "channelprefix",
    "checkcertificaterevocation",
    "configchannel",
    "configcheckseconds",
    "connectretry",
    "connecttimeout",
    "keepalive",
    "name",
    "protocol",
    "resolvedns",
    "setlib",
    "sslprotocols",
    "synctimeout",
    "version",
];

/// Parts between commas: the server, and settings `name=value` with names in any letter case. No message repeats a part,
/// which may belong to a password that was written wrongly.
fn parse_connection_string(text: &str) -> Result<RedisText, Cow<'static, str>> {
    let mut said = RedisText::default();
    for (at, part) in text.split(',').enumerate() {
        let Some((name, value)) = part.split_once('=') else {
            if !said.host.is_empty() {
                return Err("it names more than one host".into());
            }
            (said.host, said.port) = parse_server(part.trim())?;
            continue;
        };
        let value = value.trim();
        match name.trim().to_ascii_lowercase().as_str() {
            "password" => said.password = Some(Secret::new(value.to_owned())),
            "user" => said.user = Some(value.to_owned()),
            "ssl" => said.tls = parse_flag(value)?,
            "defaultdatabase" => said.database = parse_database(value)?,
            name if IGNORED.contains(&name) => {}
            _ => return Err(format!("its part {} isn't known here", at + 1).into()),
        }
    }
    said.user = said.user.filter(|user| !user.is_empty());
    said.password = said.password.filter(|it| !it.reveal().is_empty());
    Ok(said)
}

fn parse_server(text: &str) -> Result<(String, Option<u16>), &'static str> {
    match text.rsplit_once(':') {
        // An IPv6 address without a port ends with its bracket.
        Some((host, port)) if !port.ends_with(']') => {
            let port = port.parse().map_err(|_| "its port is no number")?;
            Ok((bare_host(host), Some(port)))
        }
        _ => Ok((bare_host(text), None)),
    }
}

fn bare_host(host: &str) -> String {
    let bare = host.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
    bare.unwrap_or(host).to_owned()
}

fn parse_flag(value: &str) -> Result<bool, &'static str> {
    match value.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" => Ok(true),
        "false" | "no" | "off" => Ok(false),
        _ => Err("its ssl is neither True nor False"),
    }
}

fn parse_database(text: &str) -> Result<u32, &'static str> {
    let digits = text.bytes().all(|c| c.is_ascii_digit());
    let number = text.parse().ok().filter(|_| digits);
    number.ok_or("its database is no number")
}
