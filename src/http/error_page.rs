//! Error pages for browsers: localized, with what the user can do. They don't mention what only the operator can
//! change, such as names of settings.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use http::HeaderValue;
use serde::Deserialize;

use super::error_code::Code;
use super::static_response::page_policy;
use crate::view::Language;

const STYLESHEET: &str = include_str!("refusal_page.css");

/// The page's `Content-Security-Policy`.
pub(super) static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| page_policy(STYLESHEET));

/// The main link of a page.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum PageLink {
    /// To a new sign-in, and to the week.
    SignIn,
    /// To the week.
    Home,
}

/// The main link, where one helps; what happened and what to do, by language.
#[derive(Deserialize)]
struct PageTexts {
    link: Option<PageLink>,
    de: [String; 2],
    en: [String; 2],
}

#[expect(clippy::expect_used, reason = "the texts are part of the program")]
static TEXTS: LazyLock<BTreeMap<Code, PageTexts>> = LazyLock::new(|| {
    serde_json::from_str(include_str!("error_page.json")).expect("texts of error pages")
});

/// The HTML of an error page. It names the code, by which the operator can look up more. Codes without texts of their
/// own have those of [`Code::Internal`].
pub(super) fn page(code: Code, language: Language) -> Vec<u8> {
    let texts = TEXTS.get(&code).unwrap_or(&TEXTS[&Code::Internal]);
    let ([happened, to_do], sign_in, home) = match language {
        Language::German => (&texts.de, "Anmelden", "Zur Startseite"),
        Language::English => (&texts.en, "Sign in", "To the start page"),
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
                    @match texts.link {
                        Some(PageLink::SignIn) => {
                            a class="first" href="/login" { (sign_in) }
                            a href="/" { (home) }
                        }
                        Some(PageLink::Home) => { a class="first" href="/" { (home) } }
                        None => {}
                    }
                    small { (code.name()) }
                }
            }
        }
    };
    page.into_string().into_bytes()
}
