//! Error pages for browsers: localized, with what the user can do. They don't mention what only the operator can
//! change, such as names of settings.

use std::sync::LazyLock;

use http::HeaderValue;

use super::error_code::Code;
use super::static_response::page_policy;
use crate::view::Language;

const STYLESHEET: &str = include_str!("refusal_page.css");

/// The page's `Content-Security-Policy`.
pub(super) static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| page_policy(STYLESHEET));

/// The main link of a page.
#[derive(Clone, Copy, PartialEq, Eq)]
enum PageLink {
    /// To a new sign-in.
    SignIn,
    /// To the week.
    Home,
}

/// The main link; what happened and what to do, in German and in English.
type PageTexts = (
    PageLink,
    &'static str,
    &'static str,
    &'static str,
    &'static str,
);

fn page_texts(code: Code) -> PageTexts {
    use PageLink::{Home, SignIn};
    match code {
        Code::NotFound => (
            Home,
            "Hier ist nichts.",
            "Unter dieser Adresse gibt es keine Seite. Die Woche steht auf der Startseite.",
            "There is nothing here.",
            "No page has this address. The week is on the start page.",
        ),
        Code::AccessDenied => (
            SignIn,
            "Die Anmeldung wurde bei GitHub abgelehnt.",
            "Beginne noch einmal, und erlaube sie dort.",
            "The sign-in was declined at GitHub.",
            "Begin again, and allow it there.",
        ),
        Code::SignInExpired => (
            SignIn,
            "Diese Anmeldung gilt nicht mehr.",
            "Sie hat zu lange gedauert, ist schon beendet oder wurde in einem anderen Browser begonnen. Beginne noch einmal.",
            "This sign-in is over.",
            "It took too long, was ended before, or was begun in another browser. Begin again.",
        ),
        Code::SignInFailed | Code::TokenInvalid => (
            SignIn,
            "GitHub hat die Anmeldung nicht bestätigt.",
            "Beginne noch einmal.",
            "GitHub didn't confirm the sign-in.",
            "Begin again.",
        ),
        Code::LoginNotAllowed => (
            SignIn,
            "Dieses Konto hat hier keinen Zutritt.",
            "Bitte den Betreiber, es zuzulassen, oder melde dich bei GitHub mit einem anderen an.",
            "This account may not enter here.",
            "Ask the operator to let it in, or sign in at GitHub with another one.",
        ),
        Code::LoginReassigned => (
            SignIn,
            "Dieser Name gehörte früher einem anderen Konto.",
            "Dessen Aufgaben liegen noch hier. Frag den Betreiber, wem sie gehören.",
            "This name belonged to another account before.",
            "That one's tasks are still here. Ask the operator whose they are.",
        ),
        Code::OauthNotConfigured => (
            Home,
            "Über GitHubs Seiten meldet sich hier niemand an.",
            "Frag den Betreiber, wie du hineinkommst.",
            "Nobody signs in by GitHub's pages here.",
            "Ask the operator how to get in.",
        ),
        Code::AuthUnavailable => (
            SignIn,
            "GitHub antwortet gerade nicht.",
            "Versuche es in ein paar Minuten noch einmal.",
            "GitHub doesn't answer now.",
            "Try again in a few minutes.",
        ),
        Code::StorageUnavailable => (
            SignIn,
            "Die Aufgaben sind gerade nicht zu erreichen.",
            "Versuche es in ein paar Minuten noch einmal.",
            "The tasks can't be reached now.",
            "Try again in a few minutes.",
        ),
        Code::InvalidQuery => (
            Home,
            "Diese Adresse stimmt nicht.",
            "Beginne auf der Startseite.",
            "This address is wrong.",
            "Begin on the start page.",
        ),
        _ => (
            Home,
            "Das ist nicht gelungen.",
            "Versuche es noch einmal. Bleibt es dabei, frag den Betreiber.",
            "That didn't work.",
            "Try again. If it stays so, ask the operator.",
        ),
    }
}

/// The HTML of an error page.
pub(super) fn page(code: Code, language: Language) -> Vec<u8> {
    let (link, german, german_advice, english, english_advice) = page_texts(code);
    let (happened, to_do, sign_in, home) = match language {
        Language::German => (german, german_advice, "Anmelden", "Zur Startseite"),
        Language::English => (english, english_advice, "Sign in", "To the start page"),
    };
    let page = maud::html! {
        (maud::DOCTYPE)
        html lang=(language.tag()) {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (happened) " · CodexMiroir" }
                style { (maud::PreEscaped(STYLESHEET)) }
            }
            body {
                main {
                    h1 { (happened) }
                    p { (to_do) }
                    @match link {
                        PageLink::SignIn => {
                            a class="first" href="/auth/github" { (sign_in) }
                            a href="/" { (home) }
                        }
                        PageLink::Home => { a class="first" href="/" { (home) } }
                    }
                    small { (code.name()) }
                }
            }
        }
    };
    page.into_string().into_bytes()
}
