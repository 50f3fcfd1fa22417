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
    /// Removes it.
    Deleted,
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
            Parsed::Task(task) => Some((task.kategorie, task.status)),
            _ => None,
        };
        let kind = match task {
            _ if !in_git => TaskCommitKind::Added(task.map(|(kategorie, _)| kategorie)),
            Some((_, Status::Abgeschlossen)) if !was_done => TaskCommitKind::Completed,
            _ => TaskCommitKind::Updated,
        };
        let id = name.id();
        Self { id, kind }
    }

    /// The commit message.
    pub fn message(&self) -> String {
        let (verb, kategorie) = match self.kind {
            TaskCommitKind::Added(kategorie) => ("add", kategorie),
            TaskCommitKind::Updated => ("update", None),
            TaskCommitKind::Completed => ("complete", None),
            TaskCommitKind::Deleted => ("delete", None),
        };
        let kategorie = kategorie.map(|it| format!(" ({it})")).unwrap_or_default();
        format!("[codex] {verb} task {}{kategorie}", self.id)
    }

    /// The branch of the file's pull request: `<prefix>/<user>/<id>[-update|-complete|-delete]`.
    pub fn branch(&self, prefix: &str, user: &UserId) -> String {
        let suffix = match self.kind {
            TaskCommitKind::Added(_) => "",
            TaskCommitKind::Updated => "-update",
            TaskCommitKind::Completed => "-complete",
            TaskCommitKind::Deleted => "-delete",
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
