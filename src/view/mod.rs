//! PURE. Renders a timeline to JSON, HTML and a calendar.

mod attention;
mod calendar;
mod html;
mod json;
mod markdown;
mod task;
mod week;
mod words;

pub use attention::{Attention, attention_of};
pub use calendar::{CalendarWeek, calendar};
pub use html::{Bodies, STYLESHEET, html};
pub use json::{WeekDocument, json};
pub use markdown::markdown_to_html;
pub use task::{FileObject, TaskObject};
pub use week::{MergedRow, Stamps, Week};
pub use words::Language;
