//! What clients did and saw, and whether it keeps the promises (src/user_state/README.md, "Promises").
//!
//! Each task is changed by one client, which increments its revision. So a task's state is two values that only grow,
//! and every read can be compared with the state that it had to include.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

/// The state of a task. It only grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Shown {
    /// The number in the task's tag.
    pub(super) revision: u32,
    pub(super) done: bool,
}

impl Shown {
    /// Whether both values are at least those of `other`.
    fn reaches(self, other: Self) -> bool {
        self.revision >= other.revision && self.done >= other.done
    }

    fn with(self, other: Self) -> Self {
        Self {
            revision: self.revision.max(other.revision),
            done: self.done || other.done,
        }
    }
}

/// A client's change of a task, retried until it was acknowledged or given up.
#[derive(Debug, Clone)]
pub(super) struct Write {
    pub(super) task: String,
    /// A lower bound of the task's state once the change has taken effect.
    pub(super) after: Shown,
    pub(super) began: Instant,
    /// The acknowledged version, and when.
    pub(super) acknowledged: Option<(u64, Instant)>,
}

/// All tasks, as a client saw them at one moment.
#[derive(Debug, Clone)]
pub(super) struct Read {
    pub(super) client: usize,
    pub(super) began: Instant,
    pub(super) ended: Instant,
    /// The version that the client sent with the request.
    pub(super) seen: u64,
    /// Whether it was a strong read.
    pub(super) strict: bool,
    /// Whether the service reported that the store was unreachable.
    pub(super) stale: bool,
    /// Which process answered, and the answer's own account of its source.
    pub(super) from: String,
    pub(super) tasks: Vec<(String, Shown)>,
}

/// All clients' writes and reads.
#[derive(Debug, Clone, Default)]
pub(super) struct History {
    pub(super) writes: Vec<Write>,
    pub(super) reads: Vec<Read>,
}

impl History {
    pub(super) fn add(&mut self, other: Self) {
        self.writes.extend(other.writes);
        self.reads.extend(other.reads);
    }

    /// Every broken promise, in words. `bound` is the maximum age of an answer to a plain read.
    pub(super) fn violations(&self, bound: Duration) -> Vec<String> {
        let mut found = Vec::new();
        let mut by_task = HashMap::<&str, Vec<&Write>>::new();
        for write in &self.writes {
            by_task.entry(&write.task).or_default().push(write);
        }
        let mut last = HashMap::<usize, &Read>::new();
        let mut reads: Vec<&Read> = self.reads.iter().collect();
        reads.sort_by_key(|read| read.began);
        for read in reads {
            let shown: BTreeMap<&str, Shown> = read
                .tasks
                .iter()
                .map(|(task, shown)| (task.as_str(), *shown))
                .collect();
            if shown.len() < read.tasks.len() {
                found.push(format!("doubled: {:?}", read.tasks));
            }
            for (task, writes) in &by_task {
                found.extend(check_read(
                    task,
                    writes,
                    read,
                    shown.get(task).copied(),
                    bound,
                ));
            }
            found.extend(
                shown
                    .keys()
                    .filter(|task| !by_task.contains_key(*task))
                    .map(|task| format!("invented: {task}")),
            );
            if let Some(before) = last.insert(read.client, read) {
                found.extend(backwards(before, &shown));
            }
        }
        found
    }
}

/// P1, P2, and that a read shows no state that no client wrote: for one task in one read.
fn check_read(
    task: &str,
    writes: &[&Write],
    read: &Read,
    shown: Option<Shown>,
    bound: Duration,
) -> Vec<String> {
    let mut found = Vec::new();
    for (promise, must) in [
        (
            "P1",
            &(|version, at| version <= read.seen && at < read.began)
                as &dyn Fn(u64, Instant) -> bool,
        ),
        ("P2", &|_, at| !read.stale && at + bound < read.began),
        ("P2, strict", &|_, at| read.strict && at < read.began),
    ] {
        let due = writes.iter().filter(|write| {
            write
                .acknowledged
                .is_some_and(|(version, at)| must(version, at))
        });
        let due = due.map(|write| write.after).reduce(Shown::with);
        if let Some(due) = due
            && !shown.is_some_and(|it| it.reaches(due))
        {
            found.push(format!(
                "{promise}: {task} must be {due:?} and is {shown:?}; asked with {}, answered by {}",
                read.seen, read.from
            ));
        }
    }
    let tried = writes.iter().filter(|write| write.began < read.ended);
    let tried = tried.map(|write| write.after).reduce(Shown::with);
    if let Some(shown) = shown
        && !tried.is_some_and(|it| it.reaches(shown))
    {
        found.push(format!(
            "invented: {task} is {shown:?}, tried was {tried:?}"
        ));
    }
    found
}

/// P3: every client sends the version of its last answer with its next request.
fn backwards(before: &Read, shown: &BTreeMap<&str, Shown>) -> Vec<String> {
    let earlier = before.tasks.iter();
    let lost =
        earlier.filter(|(task, was)| !shown.get(task.as_str()).is_some_and(|is| is.reaches(*was)));
    lost.map(|(task, was)| {
        format!(
            "P3: {task} was {was:?} and is {:?}",
            shown.get(task.as_str())
        )
    })
    .collect()
}

#[cfg(test)]
mod planted {
    use super::*;

    /// Two acknowledged changes and two reads that show them.
    fn consistent_history() -> History {
        let start = Instant::now();
        let at = |ms: u64| start + Duration::from_millis(ms);
        let write = |task: &str, revision, began, version, acknowledged| Write {
            task: task.to_owned(),
            after: Shown {
                revision,
                done: false,
            },
            began: at(began),
            acknowledged: Some((version, at(acknowledged))),
        };
        let read = |began, seen, revision| Read {
            client: 0,
            began: at(began),
            ended: at(began + 5),
            seen,
            strict: false,
            stale: false,
            from: String::new(),
            tasks: vec![(
                "a".to_owned(),
                Shown {
                    revision,
                    done: false,
                },
            )],
        };
        History {
            writes: vec![write("a", 0, 0, 1, 10), write("a", 1, 20, 2, 30)],
            reads: vec![read(40, 2, 1), read(5_000, 2, 1)],
        }
    }

    fn first_violation(history: &History) -> String {
        let found = history.violations(Duration::from_secs(1));
        found
            .first()
            .map_or(String::new(), |it| it.split(':').next().unwrap().to_owned())
    }

    #[test]
    fn the_checker_finds_each_kind() {
        assert_eq!(first_violation(&consistent_history()), "");
        let plant = |change: fn(&mut History)| {
            let mut history = consistent_history();
            change(&mut history);
            first_violation(&history)
        };
        assert_eq!(plant(|it| it.reads[0].tasks.clear()), "P1");
        assert_eq!(plant(|it| it.reads[0].tasks[0].1.revision = 0), "P1");
        let unseen = |it: &mut History| {
            it.reads.remove(0);
            it.reads[0].seen = 0;
            it.reads[0].tasks[0].1.revision = 0;
        };
        assert_eq!(plant(unseen), "P2");
        let strict = |it: &mut History| {
            it.reads.truncate(1);
            it.reads[0].seen = 0;
            it.reads[0].strict = true;
            it.reads[0].tasks[0].1.revision = 0;
        };
        assert_eq!(plant(strict), "P2, strict");
        let backwards = |it: &mut History| {
            it.writes[1].acknowledged = None;
            it.reads[1].tasks[0].1.revision = 0;
        };
        assert_eq!(plant(backwards), "P3");
        assert_eq!(plant(|it| it.reads[0].tasks[0].1.revision = 2), "invented");
        let double = |it: &mut History| {
            let task = it.reads[0].tasks[0].clone();
            it.reads[0].tasks.push(task);
        };
        assert_eq!(plant(double), "doubled");
    }
}
