//! Rendering: long texts where nobody's request waits for them.

use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use crate::view::markdown_to_html;

/// A longer text, in bytes, may take longer than a request may keep others waiting.
const LONG: usize = 16 << 10;

/// How many long texts are rendered at once: some of the machine stays for everybody else.
static TURNS: Semaphore = Semaphore::const_new(1);

/// Markdown as HTML that can do no harm.
pub(super) async fn render(markdown: &str) -> String {
    if markdown.len() <= LONG {
        return markdown_to_html(markdown);
    }
    let _turn = TURNS.acquire().await;
    let markdown = markdown.to_owned();
    match spawn_blocking(move || markdown_to_html(&markdown)).await {
        Ok(html) => html,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The process is ending.
            Err(_) => String::new(),
        },
    }
}
