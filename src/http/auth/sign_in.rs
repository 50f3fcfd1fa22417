//! A browser's way to GitHub's pages and back.

use http::{HeaderMap, HeaderValue};

use super::by_github::ByGitHub;
use super::{Denial, Flight, Gate, Mode, ReturnTo, cookies, flight};
use crate::codex::Codex;
use crate::github::{Exchanged, OAuth};
use crate::now::Now;

/// What a browser has brought back.
#[derive(Debug)]
pub(in crate::http) struct Resumed {
    pub(in crate::http) flight: Result<Flight, Denial>,
    /// Whether the cookie has had its use. One of another sign-in hasn't, which may be under way in
    /// another of the browser's windows.
    pub(in crate::http) is_over: bool,
}

impl Resumed {
    fn of_nothing(denial: Denial) -> Self {
        let (flight, is_over) = (Err(denial), false);
        Self { flight, is_over }
    }
}

impl Gate {
    /// Begins a sign-in: where the browser goes, and the cookie that it comes back with.
    pub(in crate::http) fn begin(
        &self,
        return_to: ReturnTo,
        now: Now,
    ) -> Result<(String, HeaderValue), Denial> {
        let (gate, oauth) = self.by_browser()?;
        let begun = oauth.begin();
        let flight = Flight::new(&begun, return_to, now);
        let sealed = gate.seals.seal(self.cookies.flight, &flight.to_text());
        let cookie = sealed.and_then(|it| self.cookies.set(self.cookies.flight, &it, flight::LIFE));
        let cookie = cookie.ok_or(Denial::NoBrowserSignIn)?;
        Ok((begun.url, cookie))
    }

    /// The sign-in that this browser has begun, with the state that came back; only once.
    pub(in crate::http) fn resume(&self, headers: &HeaderMap, state: &str, now: Now) -> Resumed {
        let gate = match self.by_browser() {
            Ok((gate, _)) => gate,
            Err(denial) => return Resumed::of_nothing(denial),
        };
        let sealed = || cookies::named(headers, self.cookies.flight);
        let opened = sealed().find_map(|it| gate.seals.open(self.cookies.flight, it));
        let Some(flight) = opened.and_then(|text| Flight::parse(&text)) else {
            return Resumed {
                flight: Err(Denial::NoSignIn),
                is_over: sealed().next().is_some(),
            };
        };
        if !flight.has_state(state) {
            return Resumed::of_nothing(Denial::NoSignIn);
        }
        let usable = !flight.is_late(now) && gate.used.first_use(state);
        Resumed {
            flight: usable.then_some(flight).ok_or(Denial::NoSignIn),
            is_over: true,
        }
    }

    /// Ends a sign-in: turns in the code, sees who it is and drops the token. Gives the session's cookie.
    pub(in crate::http) async fn land(
        &self,
        codex: &Codex,
        flight: &Flight,
        code: &str,
        now: Now,
    ) -> Result<HeaderValue, Denial> {
        let (gate, oauth) = self.by_browser()?;
        if code.is_empty() {
            return Err(Denial::CodeRefused);
        }
        let turn = gate.tokens.turn().await?;
        let exchanged = oauth.exchange(&gate.transport, code, flight.verifier());
        let token = match exchanged.await? {
            Exchanged::Token(token) => token,
            Exchanged::Refused => return Err(Denial::CodeRefused),
        };
        let account = gate.transport.account(&token).await?;
        drop(turn);
        let account = account.ok_or(Denial::TokenInvalid)?;
        gate.begin_session(codex, &self.cookies, account, now).await
    }

    fn by_browser(&self) -> Result<(&ByGitHub, &OAuth), Denial> {
        match &self.mode {
            Mode::GitHub(gate) => match &gate.oauth {
                Some(oauth) => Ok((gate, oauth)),
                None => Err(Denial::NoBrowserSignIn),
            },
            Mode::Dev { .. } | Mode::EasyAuth { .. } => Err(Denial::NoBrowserSignIn),
        }
    }
}
