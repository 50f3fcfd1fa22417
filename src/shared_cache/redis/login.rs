//! As whom a connection signs in: by password, or by a managed identity's token.

use std::sync::Arc;

use azure_core::credentials::AccessToken;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::config::{RedisLogin, Secret};
use crate::net::TrustStore;
use crate::store::azure::{BadConnection, NoToken, TokenSource};

/// The OAuth resource of Azure's Redis services.
const RESOURCE: &str = "https://redis.azure.com";

/// Where a connection's credentials come from.
#[derive(Debug)]
pub(super) enum CredentialSource {
    /// None are needed.
    Open,
    /// They don't change.
    Password(UserAndPassword),
    /// Tokens of an identity.
    Identity(Arc<TokenSource>),
}

/// What `AUTH` is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct UserAndPassword {
    /// Without it the server's default user is meant.
    pub(super) user: Option<String>,
    pub(super) password: Secret,
}

/// The credentials of one sign-in.
#[derive(Debug, Default)]
pub(super) struct SignIn {
    pub(super) credentials: Option<UserAndPassword>,
    /// The token that they hold.
    token: Option<AccessToken>,
}

/// Why there are no credentials.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoCredentials {
    #[error(transparent)]
    Token(#[from] NoToken),
    #[error("the identity's token doesn't say whose it is")]
    NoObjectId,
}

impl CredentialSource {
    pub(super) fn new(login: RedisLogin, trust: &TrustStore) -> Result<Self, BadConnection> {
        Ok(match login {
            RedisLogin::None => Self::Open,
            RedisLogin::Password { user, password } => {
                Self::Password(UserAndPassword { user, password })
            }
            RedisLogin::ManagedIdentity(identity) => {
                let tokens = TokenSource::new(&identity, RESOURCE, trust)?;
                Self::Identity(Arc::new(tokens))
            }
        })
    }

    /// The current credentials.
    pub(super) async fn current(&self) -> Result<SignIn, NoCredentials> {
        let tokens = match self {
            Self::Open => return Ok(SignIn::default()),
            Self::Password(credentials) => {
                return Ok(SignIn {
                    credentials: Some(credentials.clone()),
                    token: None,
                });
            }
            Self::Identity(tokens) => tokens,
        };
        let token = tokens.token().await?;
        let user = object_id(token.token.secret()).ok_or(NoCredentials::NoObjectId)?;
        Ok(SignIn {
            credentials: Some(UserAndPassword {
                user: Some(user),
                password: Secret::new(token.token.secret().to_owned()),
            }),
            token: Some(token),
        })
    }

    /// The server has refused these credentials.
    pub(super) fn reject(&self, refused: &SignIn) {
        if let (Self::Identity(tokens), Some(token)) = (self, &refused.token) {
            tokens.reject(token);
        }
    }

    /// Other credentials in place of `used`, once there are any: a token's successor, minutes before it ends. Without a
    /// new one the connection goes on until the server ends it.
    pub(super) async fn renewed(&self, used: &SignIn) -> Option<SignIn> {
        match self {
            Self::Open | Self::Password(_) => None,
            Self::Identity(_) => {
                let current = self.current().await.ok()?;
                (current.credentials != used.credentials).then_some(current)
            }
        }
    }
}

/// The object id of the identity that a token is for (its claim `oid`), which is the identity's user name in Redis. The
/// signature is for the server to verify.
pub fn object_id(token: &str) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Claims {
        oid: String,
    }
    let claims = token.split('.').nth(1)?;
    let claims = URL_SAFE_NO_PAD.decode(claims.trim_end_matches('=')).ok()?;
    let Claims { oid } = serde_json::from_slice(&claims).ok()?;
    (!oid.is_empty()).then_some(oid)
}
