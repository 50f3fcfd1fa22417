//! PURE. Commit messages and branch names (`src/git_sync/README.md`, "Out", "Pull requests").

use crate::task::{FileName, Kategorie, Parsed, Status, TaskId, parse};
use crate::user::UserId;

/// What a commit does to a task file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskCommitKind {
    /// Adds it. `None` when the file isn't a valid task.
    Added(Option<Kategorie>),
    /// Changes it.
    Updated,
    /// Marks the task done.
    Completed,
}

/// What a commit's subject line and a pull request's branch are made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitSubject {
    /// The task's number.
    pub id: TaskId,
    /// What the commit does.
    pub kind: TaskCommitKind,
}

impl CommitSubject {
    /// For a file with this content. `in_git`: the file exists in Git; `was_done`: as a completed task.
    pub fn of(name: &FileName, text: &[u8], in_git: bool, was_done: bool) -> Self {
        let task = match parse(name, text) {
            Parsed::Task(task) => Some(task),
            _ => None,
        };
        let done = task
            .as_ref()
            .is_some_and(|it| it.status == Status::Abgeschlossen);
        let kind = match (in_git, done && !was_done) {
            (false, _) => TaskCommitKind::Added(task.map(|it| it.kategorie)),
            (true, true) => TaskCommitKind::Completed,
            (true, false) => TaskCommitKind::Updated,
        };
        Self {
            id: name.id(),
            kind,
        }
    }

    /// The commit message.
    pub fn message(&self) -> String {
        let id = self.id;
        match self.kind {
            TaskCommitKind::Added(Some(kategorie)) => {
                format!("[codex] add task {id} ({kategorie})")
            }
            TaskCommitKind::Added(None) => format!("[codex] add task {id}"),
            TaskCommitKind::Updated => format!("[codex] update task {id}"),
            TaskCommitKind::Completed => format!("[codex] complete task {id}"),
        }
    }

    /// The branch of the file's pull request: `<prefix>/<user>/<id>[-update|-complete]`.
    pub fn branch(&self, prefix: &str, user: &UserId) -> String {
        let suffix = match self.kind {
            TaskCommitKind::Added(_) => "",
            TaskCommitKind::Updated => "-update",
            TaskCommitKind::Completed => "-complete",
        };
        format!("{prefix}/{user}/{}{suffix}", self.id)
    }
}

/// The message of a commit of several files: a subject line with their count, then one line for each.
pub fn batch_commit_message(subjects: &[CommitSubject]) -> String {
    if let [subject] = subjects {
        return subject.message();
    }
    let mut message = format!("[codex] bring {} tasks\n\n", subjects.len());
    for subject in subjects {
        message.push_str(subject.message().trim_start_matches("[codex] "));
        message.push('\n');
    }
    message
}
