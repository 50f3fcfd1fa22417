//! The token of a GitHub App's installation: got with a key, good for an hour.

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

use super::transport::{GitHubError, Transport};
use crate::config::{ConfigError, Secret};

/// A token is replaced this long before its end, so that none ends under way.
const EARLY: TimeDelta = TimeDelta::minutes(5);

/// How long the app's own proof is good; GitHub takes at most ten minutes.
const PROOF: Duration = Duration::from_secs(9 * 60);

/// How far the proof is dated back, for clocks that differ: GitHub's advice.
const BACK: Duration = Duration::from_secs(60);

/// Where an installation's token comes from.
pub(super) struct AppToken {
    id: String,
    installation: u64,
    key: Arc<dyn SigningKey>,
    token: Mutex<Option<(Secret, DateTime<Utc>)>>,
}

#[derive(Deserialize)]
struct TokenAnswer {
    token: String,
    expires_at: DateTime<Utc>,
}

impl AppToken {
    /// Reads the key, PEM in either of the two forms there are.
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

    /// The token, a new one when the last is about to end. Who comes meanwhile waits for it.
    pub(super) async fn get(&self, transport: &Transport) -> Result<Secret, GitHubError> {
        let operation = "get the installation's token";
        let mut kept = self.token.lock().await;
        let now = Utc::now();
        if let Some((token, ends)) = &*kept
            && now < *ends - EARLY
        {
            return Ok(token.clone());
        }
        let proof = self.proof(now)?;
        let route = format!("/app/installations/{}/access_tokens", self.installation);
        let octocrab = transport.for_service(&proof)?;
        let answer = octocrab.post::<(), TokenAnswer>(route, None);
        let answer = transport.call(operation, answer).await?;
        let token = Secret::new(answer.token);
        *kept = Some((token.clone(), answer.expires_at));
        Ok(token)
    }

    /// Forgets the token: it isn't good any more.
    pub(super) async fn forget(&self) {
        *self.token.lock().await = None;
    }

    /// A JSON Web Token (RFC 7519), signed by the app's key.
    fn proof(&self, now: DateTime<Utc>) -> Result<Secret, GitHubError> {
        let seconds = u64::try_from(now.timestamp()).unwrap_or(0);
        let claims = serde_json::json!({
            "iat": seconds.saturating_sub(BACK.as_secs()),
            "exp": seconds + PROOF.as_secs(),
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
        let signature = signature.ok_or(GitHubError::Unexpected {
            operation: "sign for the app",
            reason: "the key can't sign with RS256",
        })?;
        let signature = URL_SAFE_NO_PAD.encode(signature);
        Ok(Secret::new(format!("{signed}.{signature}")))
    }
}
