//! Renders Markdown; long texts on a blocking thread, so that they don't hold up the async runtime.

use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use crate::view::markdown_to_html;

/// Bytes up to which a text is rendered inline; a longer one could block a runtime thread for too long.
const INLINE_LIMIT: usize = 16 << 10;

/// Limits long renders to one at a time: it leaves CPU for other requests.
static BACKGROUND_RENDERS: Semaphore = Semaphore::const_new(1);

/// Markdown as sanitised HTML.
pub async fn render(markdown: &str) -> String {
    if markdown.len() <= INLINE_LIMIT {
        return markdown_to_html(markdown);
    }
    let _turn = BACKGROUND_RENDERS.acquire().await;
    let markdown = markdown.to_owned();
    match spawn_blocking(move || markdown_to_html(&markdown)).await {
        Ok(html) => html,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // Cancelled: the runtime is shutting down.
            Err(_) => String::new(),
        },
    }
}
