//! The API's document as a page for people.

use utoipa::openapi::OpenApi;

/// The page's style sheet.
pub(super) const STYLESHEET: &str = include_str!("page.css");

pub(super) fn html(_: &OpenApi) -> String {
    String::new()
}
