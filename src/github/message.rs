//! PURE. What commits, branches and pull requests are called (`src/codex/git/README.md`, "Out", "Pull requests").

use crate::task::{FileName, Kategorie, Parsed, Status, TaskId, parse};
use crate::user::UserId;

/// What a file became since Git last had it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Became {
    /// It is new there.
    Added(Option<Kategorie>),
    /// It was changed.
    Updated,
    /// It was done.
    Completed,
}

/// A file that is to be committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Story {
    /// Its number.
    pub id: TaskId,
    /// What it became.
    pub became: Became,
}

impl Story {
    /// Of a file with this text, which Git has had before or not, and had as done or not.
    pub fn of(name: &FileName, text: &[u8], in_git: bool, was_done: bool) -> Self {
        let task = match parse(name, text) {
            Parsed::Task(task) => Some(task),
            _ => None,
        };
        let done = task
            .as_ref()
            .is_some_and(|it| it.status == Status::Abgeschlossen);
        let became = match (in_git, done && !was_done) {
            (false, _) => Became::Added(task.map(|it| it.kategorie)),
            (true, true) => Became::Completed,
            (true, false) => Became::Updated,
        };
        Self {
            id: name.id(),
            became,
        }
    }

    /// The commit's message.
    pub fn message(&self) -> String {
        let id = self.id;
        match self.became {
            Became::Added(Some(kategorie)) => format!("[codex] add task {id} ({kategorie})"),
            Became::Added(None) => format!("[codex] add task {id}"),
            Became::Updated => format!("[codex] update task {id}"),
            Became::Completed => format!("[codex] complete task {id}"),
        }
    }

    /// The branch of its pull request, below the prefix of the settings.
    pub fn branch(&self, prefix: &str, user: &UserId) -> String {
        let (id, suffix) = (
            self.id,
            match self.became {
                Became::Added(_) => "",
                Became::Updated => "-update",
                Became::Completed => "-complete",
            },
        );
        format!("{prefix}/{user}/{id}{suffix}")
    }
}

/// The message of one commit of several files: the first line counts them, the others tell of each.
pub fn message_of_all(stories: &[Story]) -> String {
    if let [story] = stories {
        return story.message();
    }
    let mut message = format!("[codex] bring {} tasks", stories.len());
    message.push_str("\n\n");
    for story in stories {
        message.push_str(story.message().trim_start_matches("[codex] "));
        message.push('\n');
    }
    message
}
