//! The web pages of a sign-in.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::TimeDelta;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::exchange::{Answer, Call, Reply, not_found};
use super::people::{Code, Grant};
use super::world::World;

/// A code is valid for ten minutes.
const CODE_LASTS: TimeDelta = TimeDelta::minutes(10);

impl World {
    /// Everything below `/login/oauth`.
    pub(super) fn sign_in(&mut self, call: &Call) -> Answer {
        match (call.method.as_str(), call.path.as_str()) {
            ("GET", "/login/oauth/authorize") => self.authorize(call),
            ("POST", "/login/oauth/access_token") => Ok(self.exchange_code(call)),
            _ => Err(not_found()),
        }
    }

    /// The page on which the user grants access; here without a click.
    fn authorize(&mut self, call: &Call) -> Answer {
        let client = call.query("client_id").unwrap_or("");
        let app = self.people.oauth_apps.get(client).ok_or_else(not_found)?;
        let wanted = call.query("redirect_uri");
        let redirect = wanted.unwrap_or(&app.callback);
        let state = call.query("state").map(|state| ("state", state.to_owned()));
        if !redirect.starts_with(&app.callback) {
            let mut answer = vec![
                ("error", "redirect_uri_mismatch".to_owned()),
                (
                    "error_description",
                    "The redirect_uri is not associated with this application.".to_owned(),
                ),
            ];
            answer.extend(state);
            return Ok(send_to(&app.callback, &answer));
        }
        let Some(user) = self.people.signed_in else {
            let back = [
                ("client_id", client.to_owned()),
                ("return_to", call.path.clone()),
            ];
            return Ok(send_to(&format!("{}/login", self.base), &back));
        };
        if self.people.denies {
            let mut answer = vec![
                ("error", "access_denied".to_owned()),
                (
                    "error_description",
                    "The user has denied your application access.".to_owned(),
                ),
            ];
            answer.extend(state);
            return Ok(send_to(redirect, &answer));
        }
        let scopes = call.query("scope").unwrap_or("");
        let scopes = scopes.split([' ', ',']).filter(|scope| !scope.is_empty());
        let challenge = call.query("code_challenge");
        let sha256 = call.query("code_challenge_method") == Some("S256");
        let code = Code {
            client: client.to_owned(),
            user,
            redirect: wanted.map(str::to_owned),
            challenge: challenge.filter(|_| sha256).map(str::to_owned),
            scopes: scopes.map(str::to_owned).collect(),
            expires: self.now() + CODE_LASTS,
        };
        let redirect = redirect.to_owned();
        let name = self.people.make("");
        self.people.codes.insert(name.clone(), code);
        let mut answer = vec![("code", name)];
        answer.extend(state);
        Ok(send_to(&redirect, &answer))
    }

    /// Exchanges a code for a token, once. Errors are answered with 200, too.
    fn exchange_code(&mut self, call: &Call) -> Reply {
        let form = match call.header("content-type") {
            Some(kind) if kind.contains("json") => {
                let body = call.json().unwrap_or_default();
                let members = body.as_object().cloned().unwrap_or_default();
                let text = |(name, value): (String, serde_json::Value)| {
                    Some((name, value.as_str()?.to_owned()))
                };
                members.into_iter().filter_map(text).collect()
            }
            _ => call.form(),
        };
        let field = |name: &str| {
            let mut fields = form.iter();
            fields
                .find(|(key, _)| key == name)
                .map(|(_, value)| value.clone())
        };
        let given = |name| field(name).unwrap_or_default();
        let basic = call.basic();
        let (client, secret) =
            basic.unwrap_or_else(|| (given("client_id"), given("client_secret")));
        let app = self.people.oauth_apps.get(&client);
        if app.is_none_or(|app| app.secret != secret) {
            return answer_as(
                call,
                &[
                    ("error", "incorrect_client_credentials"),
                    (
                        "error_description",
                        "The client_id and/or client_secret passed are incorrect.",
                    ),
                    (
                        "error_uri",
                        "/apps/managing-oauth-apps/troubleshooting-oauth-app-access-token-request-errors/#incorrect-client-credentials",
                    ),
                ],
            );
        }
        // A code is consumed, whatever the outcome.
        let code = self.people.codes.remove(&given("code"));
        let code = code.filter(|code| code.client == client && code.expires > self.now());
        let proved = code.filter(|code| match &code.challenge {
            None => true,
            Some(challenge) => *challenge == s256(&given("code_verifier")),
        });
        let Some(code) = proved else {
            return answer_as(
                call,
                &[
                    ("error", "bad_verification_code"),
                    (
                        "error_description",
                        "The code passed is incorrect or expired.",
                    ),
                    (
                        "error_uri",
                        "/apps/managing-oauth-apps/troubleshooting-oauth-app-access-token-request-errors/#bad-verification-code",
                    ),
                ],
            );
        };
        if field("redirect_uri").is_some_and(|given| Some(given) != code.redirect) {
            return answer_as(
                call,
                &[
                    ("error", "redirect_uri_mismatch"),
                    (
                        "error_description",
                        "The redirect_uri MUST match the registered callback URL for this application.",
                    ),
                    (
                        "error_uri",
                        "/apps/managing-oauth-apps/troubleshooting-authorization-request-errors/#redirect-uri-mismatch2",
                    ),
                ],
            );
        }
        let scope = code.scopes.join(",");
        let grant = Grant::App {
            user: code.user,
            client,
            scopes: code.scopes,
            at: self.now(),
        };
        let token = self.people.grant("gho_", grant);
        answer_as(
            call,
            &[
                ("access_token", &token),
                ("scope", &scope),
                ("token_type", "bearer"),
            ],
        )
    }
}

/// The PKCE challenge of a verifier.
pub(crate) fn s256(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(verifier))
}

fn send_to(address: &str, query: &[(&'static str, String)]) -> Reply {
    let mut pairs = form_urlencoded::Serializer::new(String::new());
    pairs.extend_pairs(query);
    let mark = if address.contains('?') { '&' } else { '?' };
    Reply::empty(302).with("location", format!("{address}{mark}{}", pairs.finish()))
}

/// JSON if the request accepts it, else a form.
fn answer_as(call: &Call, members: &[(&str, &str)]) -> Reply {
    let wants_json = call
        .header("accept")
        .is_some_and(|accept| accept.contains("json"));
    if wants_json {
        let members = members
            .iter()
            .map(|(name, value)| ((*name).to_owned(), json!(value)));
        return Reply::json(200, members.collect());
    }
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.extend_pairs(members);
    let kind = "application/x-www-form-urlencoded; charset=utf-8";
    Reply::raw(200, kind, form.finish())
}
