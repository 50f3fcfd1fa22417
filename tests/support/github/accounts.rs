//! The identity behind a token, and the routes of apps.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use serde_json::{Value, json};

use super::exchange::{Answer, Call, Reply, not_found, refuse, text};
use super::people::{GitHubApp, Grant};
use super::shapes::time;
use super::world::{Caller, World};

impl World {
    /// `GET /user`.
    pub(super) fn get_user(&self, caller: &Caller) -> Answer {
        match caller {
            Caller::User { id, scopes } => {
                let private = scopes
                    .as_ref()
                    .is_none_or(|scopes| scopes.iter().any(|scope| scope == "user"));
                let reply = Reply::json(200, self.whole_user(*id, private));
                let scopes = scopes
                    .as_ref()
                    .map_or("repo, user".to_owned(), |s| s.join(", "));
                Ok(reply.with("x-oauth-scopes", scopes))
            }
            Caller::Installation { .. } => {
                Err(refuse(403, "Resource not accessible by integration"))
            }
            _ => Err(refuse(401, "Requires authentication")),
        }
    }

    /// `POST /applications/{client_id}/token`.
    pub(super) fn check_token(&self, call: &Call, client: &str, caller: &Caller) -> Answer {
        let app = self.people.oauth_apps.get(client).ok_or_else(not_found)?;
        let known = matches!(caller, Caller::Basic(name, secret)
            if name == client && *secret == app.secret);
        if !known {
            return Err(not_found());
        }
        let token = text(&call.json()?, "access_token")?;
        let grant = self.people.tokens.get(&token);
        let Some(Grant::App {
            user,
            client: of,
            scopes,
            at,
        }) = grant
        else {
            return Err(not_found());
        };
        if of != client {
            return Err(not_found());
        }
        let answer = json!({
            "id": 1,
            "url": format!("{}/authorizations/1", self.base),
            "scopes": scopes,
            "token": token,
            "token_last_eight": &token[token.len() - 8..],
            "hashed_token": "0".repeat(64),
            "app": {
                "client_id": app.named,
                "name": "codex-miroir",
                "url": format!("{}/apps/codex-miroir", self.base),
            },
            "note": null, "note_url": null, "fingerprint": null, "expires_at": null,
            "created_at": time(*at), "updated_at": time(*at),
            "user": self.simple_user(*user),
        });
        Ok(Reply::json(200, answer))
    }

    /// `POST /app/installations/{installation_id}/access_tokens`.
    pub(super) fn installation_token(&mut self, installation: &str, caller: &Caller) -> Answer {
        let Caller::Claim(claim) = caller else {
            return Err(refuse(401, "A JSON web token could not be decoded"));
        };
        let app = self.claimed_app(claim)?;
        if app.installation.to_string() != installation {
            return Err(not_found());
        }
        let id = app.installation;
        let expires = self.now() + self.installation_life;
        let token = self
            .people
            .grant("ghs_", Grant::Installation { id, expires });
        let answer = json!({
            "token": token,
            "expires_at": time(expires),
            "permissions": self.installation_permissions(),
            "repository_selection": "selected",
        });
        Ok(Reply::json(201, answer))
    }

    /// The app that signed a claim: RS256, valid for ten minutes at most.
    fn claimed_app(&self, claim: &str) -> Result<GitHubApp, Box<Reply>> {
        let undecodable = || refuse(401, "A JSON web token could not be decoded");
        let (signed, signature) = claim.rsplit_once('.').ok_or_else(undecodable)?;
        let (head, claims) = signed.split_once('.').ok_or_else(undecodable)?;
        let part = |text: &str| -> Option<Value> {
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).ok()?).ok()
        };
        let (head, claims) = (part(head), part(claims));
        let (head, claims) = head.zip(claims).ok_or_else(undecodable)?;
        if head["alg"] != "RS256" {
            return Err(undecodable());
        }
        self.check_times(&claims)?;
        // GitHub accepts the id as a number or as a string.
        let issuer = match &claims["iss"] {
            Value::String(text) => text.parse().ok(),
            other => other.as_u64(),
        };
        let app = issuer.and_then(|id: u64| self.people.apps.get(&id));
        let app = app.ok_or_else(|| refuse(404, "Integration not found"))?;
        let signature = URL_SAFE_NO_PAD
            .decode(signature)
            .map_err(|_| undecodable())?;
        UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &app.public_key)
            .verify(signed.as_bytes(), &signature)
            .map_err(|_| undecodable())?;
        Ok(app.clone())
    }

    fn check_times(&self, claims: &Value) -> Result<(), Box<Reply>> {
        let now = self.now().timestamp();
        let issued = claims["iat"].as_i64();
        if issued.is_none_or(|issued| issued > now + 60) {
            return Err(refuse(
                401,
                "'Issued at' claim ('iat') must be an Integer representing the time that the \
                 assertion was issued",
            ));
        }
        match claims["exp"].as_i64() {
            Some(expires) if expires <= now => Err(refuse(
                401,
                "'Expiration time' claim ('exp') must be a numeric value representing the future \
                 time at which the assertion expires",
            )),
            Some(expires) if expires > now + 600 => Err(refuse(
                401,
                "'Expiration time' claim ('exp') is too far in the future",
            )),
            Some(_) => Ok(()),
            None => Err(refuse(
                401,
                "Missing 'expiration' claim ('exp') in assertion",
            )),
        }
    }
}
