//! One connection to the server: TCP, TLS, sign-in.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, ErrorKind, ProtocolVersion, RedisConnectionInfo, RedisError};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::login::{CredentialSource, NoCredentials, SignIn, UserAndPassword};
use crate::config::RedisConfig;
use crate::net::{self, CONNECT_TIMEOUT, TrustStore};
use crate::store::azure::BadConnection;

/// The timeout of a command: waiting longer costs more than asking storage.
const COMMAND_TIMEOUT: Duration = Duration::from_millis(100);

/// Opens connections to one server.
pub(super) struct Connector {
    server: RedisConfig,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    credentials: CredentialSource,
}

/// An open connection. Dropping it closes it, whoever has a clone of `commands`.
pub(super) struct OpenConnection {
    pub(super) commands: MultiplexedConnection,
    /// Carries the commands and their answers; ends when the line is lost.
    driver: JoinSet<()>,
    sign_in: SignIn,
}

/// Why the client of Redis can't be built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the client of Redis can't be set up: {0}")]
pub struct BadRedisClient(String);

/// Why a command has no usable answer, or there is no connection. Contains no secret.
#[derive(Debug, thiserror::Error)]
pub(super) enum RedisCallError {
    #[error("no answer within {} ms", .0.as_millis())]
    Timeout(Duration),
    #[error("{}", redis_reason(.0))]
    Redis(#[from] RedisError),
    #[error("{}", io_reason(.0))]
    Connect(#[from] io::Error),
    #[error(transparent)]
    Credentials(#[from] NoCredentials),
    #[error("its answer isn't understood")]
    Misunderstood,
}

impl Connector {
    pub(super) fn new(server: RedisConfig, trust: &TrustStore) -> Result<Self, BadRedisClient> {
        let bad = |error: &dyn ToString| BadRedisClient(error.to_string());
        let tls = match server.tls {
            true => {
                let config = trust.tls().map_err(|error| bad(&error))?;
                let name = ServerName::try_from(server.host.clone());
                let name = name.map_err(|error| bad(&error))?;
                Some((TlsConnector::from(Arc::new(config)), name))
            }
            false => None,
        };
        let credentials = CredentialSource::new(server.login.clone(), trust);
        Ok(Self {
            credentials: credentials.map_err(|error: BadConnection| bad(&error))?,
            server,
            tls,
        })
    }

    /// Connects and signs in.
    pub(super) async fn open(
        &self,
        config: AsyncConnectionConfig,
    ) -> Result<OpenConnection, RedisCallError> {
        let sign_in = self.credentials.current().await?;
        let setup = self.set_up(sign_in.credentials.as_ref(), config);
        let opened = match timeout(CONNECT_TIMEOUT, setup).await {
            Ok(opened) => opened,
            Err(_) => Err(RedisCallError::Timeout(CONNECT_TIMEOUT)),
        };
        if is_refused(&opened) {
            self.credentials.reject(&sign_in);
        }
        let (commands, driver) = opened?;
        Ok(OpenConnection {
            commands,
            driver,
            sign_in,
        })
    }

    async fn set_up(
        &self,
        credentials: Option<&UserAndPassword>,
        config: AsyncConnectionConfig,
    ) -> Result<(MultiplexedConnection, JoinSet<()>), RedisCallError> {
        let stream = TcpStream::connect((&*self.server.host, self.server.port)).await?;
        stream.set_nodelay(true)?;
        // Each call has a timeout of its own, see `in_time`.
        let config = config.set_response_timeout(None);
        let info = connection_info(self.server.database, credentials);
        match &self.tls {
            None => drive(&info, stream, config).await,
            Some((tls, name)) => {
                let stream = tls.connect(name.clone(), stream).await?;
                drive(&info, stream, config).await
            }
        }
    }

    /// Signs in again, if there are other credentials by now.
    pub(super) async fn sign_in_again(
        &self,
        open: &mut OpenConnection,
    ) -> Result<(), RedisCallError> {
        let Some(renewed) = self.credentials.renewed(&open.sign_in).await else {
            return Ok(());
        };
        if let Some(UserAndPassword { user, password }) = &renewed.credentials {
            let mut auth = redis::cmd("AUTH");
            auth.arg(user.as_deref()).arg(password.reveal());
            let answer = in_time(auth.query_async::<()>(&mut open.commands)).await;
            if is_refused(&answer) {
                self.credentials.reject(&renewed);
            }
            answer?;
        }
        open.sign_in = renewed;
        Ok(())
    }
}

impl OpenConnection {
    /// Completes when the line is lost.
    pub(super) async fn lost(&mut self) {
        self.driver.join_next().await;
    }
}

fn connection_info(database: u32, credentials: Option<&UserAndPassword>) -> RedisConnectionInfo {
    let info = RedisConnectionInfo::default()
        .set_protocol(ProtocolVersion::RESP3)
        .set_lib_name(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"))
        .set_db(i64::from(database));
    let Some(UserAndPassword { user, password }) = credentials else {
        return info;
    };
    let info = info.set_password(password.reveal());
    match user {
        Some(user) => info.set_username(user),
        None => info,
    }
}

async fn drive<C>(
    info: &RedisConnectionInfo,
    stream: C,
    config: AsyncConnectionConfig,
) -> Result<(MultiplexedConnection, JoinSet<()>), RedisCallError>
where
    C: Unpin + AsyncRead + AsyncWrite + Send + 'static,
{
    let (commands, carry) = MultiplexedConnection::new_with_config(info, stream, config).await?;
    let mut driver = JoinSet::new();
    driver.spawn(carry);
    Ok((commands, driver))
}

/// Waits for a command's answer, at most a tenth of a second.
pub(super) async fn in_time<T>(
    call: impl Future<Output = Result<T, RedisError>>,
) -> Result<T, RedisCallError> {
    within(COMMAND_TIMEOUT, call).await
}

/// Waits for a command's answer, at most so long.
pub(super) async fn within<T>(
    limit: Duration,
    call: impl Future<Output = Result<T, RedisError>>,
) -> Result<T, RedisCallError> {
    match timeout(limit, call).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(RedisCallError::Timeout(limit)),
    }
}

/// Whether the server has answered, with an error.
pub(super) fn is_refused<T>(answer: &Result<T, RedisCallError>) -> bool {
    matches!(answer, Err(RedisCallError::Redis(error)) if error.code().is_some())
}

/// The server's own words, as in `READONLY You can't write against a read only replica`; without what an unknown command
/// was given, which may be a password.
fn redis_reason(error: &RedisError) -> String {
    let mut text = match (error.code(), error.detail()) {
        (Some(code), Some(detail)) => format!("it answers {code} {detail}"),
        _ if error.kind() == ErrorKind::Parse => RedisCallError::Misunderstood.to_string(),
        _ => error.to_string(),
    };
    if let Some(at) = text.find(", with args") {
        text.truncate(at);
    }
    text
}

fn io_reason(error: &io::Error) -> String {
    net::certificate_error(error).unwrap_or_else(|| error.to_string())
}
