//! Access tokens of a GitHub App's installation: requested with a signed JWT, valid for an hour.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use rustls::SignatureScheme;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use rustls::sign::SigningKey;
use serde::Deserialize;
use tokio::sync::Mutex;

use super::error::GitHubError;
use super::transport::Transport;
use crate::config::{ConfigError, Secret};

/// A token is replaced this long before it expires, so that none expires during a request.
const REFRESH_MARGIN: TimeDelta = TimeDelta::minutes(5);

/// Lifetime of the app's JWT; GitHub accepts at most ten minutes.
const JWT_LIFETIME: Duration = Duration::from_secs(9 * 60);

/// How far the JWT's `iat` is dated back to allow for clock drift, as GitHub's documentation recommends.
const CLOCK_SKEW: Duration = Duration::from_secs(60);

/// Requests and caches the installation's token.
pub(super) struct InstallationTokenSource {
    id: String,
    installation: u64,
    key: Arc<dyn SigningKey>,
    token: Mutex<Option<InstallationToken>>,
}

/// A token of the installation.
#[derive(Debug, Clone)]
pub(super) struct InstallationToken {
    pub(super) secret: Secret,
    /// What the installation was granted, as in `contents: write`.
    pub(super) permissions: BTreeMap<String, String>,
    expires_at: DateTime<Utc>,
}

#[derive(Deserialize)]
struct TokenResponse {
    token: String,
    expires_at: DateTime<Utc>,
    #[serde(default)]
    permissions: BTreeMap<String, String>,
}

impl InstallationTokenSource {
    /// Parses the key, PEM with PKCS#1 or PKCS#8.
    pub(super) fn new(
        id: &str,
        private_key: &Secret,
        installation: u64,
    ) -> Result<Self, ConfigError> {
        let der = PrivateKeyDer::from_pem_slice(private_key.reveal().as_bytes()).ok();
        let key = der.and_then(|der| rustls::crypto::ring::sign::any_supported_type(&der).ok());
        let key = key.ok_or_else(|| {
            let allowed =
                "an app's private key, RSA in PEM form; its line breaks may be written \\n";
            ConfigError::new("GITHUB_APP_PRIVATE_KEY", "can't be used", allowed)
        })?;
        Ok(Self {
            id: id.to_owned(),
            installation,
            key,
            token: Mutex::default(),
        })
    }

    /// The cached token, or a new one when it is about to expire. The lock makes concurrent callers share one request.
    pub(super) async fn get(
        &self,
        transport: &Transport,
    ) -> Result<InstallationToken, GitHubError> {
        let operation = "get the installation's token";
        let mut cached = self.token.lock().await;
        let now = Utc::now();
        if let Some(token) = &*cached
            && now < token.expires_at - REFRESH_MARGIN
        {
            return Ok(token.clone());
        }
        let jwt = self.jwt(now)?;
        let route = format!("/app/installations/{}/access_tokens", self.installation);
        let octocrab = transport.for_service(&jwt)?;
        let request = octocrab.post::<(), TokenResponse>(route, None);
        let response = transport.call(operation, request).await?;
        let token = InstallationToken {
            secret: Secret::new(response.token),
            permissions: response.permissions,
            expires_at: response.expires_at,
        };
        *cached = Some(token.clone());
        Ok(token)
    }

    /// Drops the cached token, after GitHub rejected it.
    pub(super) async fn invalidate(&self) {
        *self.token.lock().await = None;
    }

    /// A JSON Web Token (RFC 7519), signed with the app's key by RS256.
    fn jwt(&self, now: DateTime<Utc>) -> Result<Secret, GitHubError> {
        let seconds = u64::try_from(now.timestamp()).unwrap_or(0);
        let claims = serde_json::json!({
            "iat": seconds.saturating_sub(CLOCK_SKEW.as_secs()),
            "exp": seconds + JWT_LIFETIME.as_secs(),
            "iss": self.id,
        });
        let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
        let signed = format!(
            "{}.{}",
            part(r#"{"alg":"RS256","typ":"JWT"}"#),
            part(&claims.to_string())
        );
        let signer = self.key.choose_scheme(&[SignatureScheme::RSA_PKCS1_SHA256]);
        let signature = signer.and_then(|it| it.sign(signed.as_bytes()).ok());
        let signature = signature.ok_or(GitHubError::unexpected(
            "sign for the app",
            "the key can't sign with RS256",
        ))?;
        let signature = URL_SAFE_NO_PAD.encode(signature);
        Ok(Secret::new(format!("{signed}.{signature}")))
    }
}
