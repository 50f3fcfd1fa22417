//! PURE. The report as text. Labels are stable, so that scripts may search for them.

use std::fmt::{self, Formatter};
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};

use super::differences::Difference;
use super::report::{
    ArtifactSection, CaseVariant, GitSection, InspectReport, PendingIntent, PendingIntentFile,
    RawSection, Section, StateSection,
};
use crate::admin::words::{Escaped, count, format_duration, identity};
use crate::codex::ChangeKind;

/// One line: a label in a fixed column, then the text.
macro_rules! line {
    ($f:expr, $label:expr, $($text:tt)+) => {
        writeln!($f, "{:<16}{}", $label, format_args!($($text)+))
    };
}

impl fmt::Display for InspectReport {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        line!(f, "user", "{}", self.user_id)?;
        if let Some(at) = self.asked_at {
            line!(f, "asked at", "{} by the storage's clock", time(at))?;
        }
        if self.moved_meanwhile {
            line!(
                f,
                "changed",
                "the state was written during the inspection; the sections may be of different versions"
            )?;
        }
        section(f, "state", &self.state, state)?;
        line!(
            f,
            "pending",
            "{}",
            count(self.pending.len(), "write intent", "write intents")
        )?;
        self.pending.iter().try_for_each(|it| intent(f, it))?;
        section(f, "artifact", &self.artifact, artifact)?;
        differences(f, self.differences.as_deref())?;
        section(f, "raw", &self.raw, raw)?;
        section(f, "owner", &self.owner, |f, it| {
            line!(f, "owner", "{}", identity(it))
        })?;
        if self.spellings != Section::Absent {
            section(f, "spellings", &self.spellings, |f, it| spellings(f, it))?;
        }
        section(f, "git", &self.git, git)?;
        if let Some(unpushed) = &self.unpushed {
            let files = count(unpushed.len(), "file", "files");
            line!(f, "unpushed", "{files} whose present version Git lacks")?;
            names(f, "  unpushed", unpushed)?;
        }
        section(f, "queue", &self.queue, |f, it| {
            line!(f, "queue", "a hint since {}", Escaped(&it.since))
        })?;
        section(f, "leftovers", &self.leftovers, |f, it| {
            let blobs = count(it.blobs.len(), "blob", "blobs");
            line!(f, "leftovers", "{blobs} that the service doesn't use")?;
            names(f, "  blob", &it.blobs)
        })
    }
}

fn section<T>(
    f: &mut Formatter<'_>,
    label: &str,
    section: &Section<T>,
    present: impl FnOnce(&mut Formatter<'_>, &T) -> fmt::Result,
) -> fmt::Result {
    match section {
        Section::Absent => line!(f, label, "none"),
        Section::Damaged { reason } => line!(f, label, "damaged: {}", Escaped(reason)),
        Section::Unreadable { reason } => line!(f, label, "can't be read: {}", Escaped(reason)),
        Section::Present(it) => present(f, it),
    }
}

fn spellings(f: &mut Formatter<'_>, others: &[CaseVariant]) -> fmt::Result {
    let folders = count(others.len(), "folder", "folders");
    line!(
        f,
        "spellings",
        "{folders} of this login in another letter case"
    )?;
    others.iter().try_for_each(|it| match &it.owner {
        Section::Present(of) => line!(f, "  folder", "{}, of {}", it.user_id, identity(of)),
        Section::Absent => line!(f, "  folder", "{}, without an owner", it.user_id),
        Section::Damaged { reason } | Section::Unreadable { reason } => {
            line!(f, "  folder", "{}: {}", it.user_id, Escaped(reason))
        }
    })
}

fn names(f: &mut Formatter<'_>, label: &str, names: &[String]) -> fmt::Result {
    names
        .iter()
        .try_for_each(|name| line!(f, label, "{}", Escaped(name)))
}

fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

fn seconds(seconds: i64) -> String {
    format_duration(Duration::from_secs(seconds.unsigned_abs()))
}

fn state(f: &mut Formatter<'_>, it: &StateSection) -> fmt::Result {
    let next = match it.next_id {
        0..10_000 => format!("{:04}", it.next_id),
        _ => "the lowest free one".to_owned(),
    };
    let (version, format) = (it.version, it.format);
    let format = format_args!("{}.{}", format.major, format.minor);
    line!(
        f,
        "state",
        "version {version}, next number {next}, format {format}"
    )?;
    if it.finished != it.version {
        line!(f, "  finished", "up to version {}", it.finished)?;
    }
    if it.read_only {
        line!(f, "  read only", "a newer version of the service wrote it")?;
    }
    line!(
        f,
        "  idempotency",
        "{}",
        count(it.idempotency_records, "record", "records")
    )?;
    if let Some(number) = it.legacy_next_id {
        line!(f, "  nextId.txt", "{number}, the older service's counter")?;
    }
    names(f, "  merged", &it.merged)
}

fn intent(f: &mut Formatter<'_>, it: &PendingIntent) -> fmt::Result {
    let status = match it.overdue {
        true => "the next read recovers it",
        false => "not overdue yet",
    };
    let (op, age) = (Escaped(&it.op), seconds(it.age_seconds));
    line!(
        f,
        "  intent",
        "{op}, version {}, {age} old, {status}",
        it.version
    )?;
    it.files.iter().try_for_each(|it| intent_file(f, it))
}

fn intent_file(f: &mut Formatter<'_>, it: &PendingIntentFile) -> fmt::Result {
    let kind = match it.kind {
        ChangeKind::Create => "    create",
        ChangeKind::Update => "    update",
        ChangeKind::Delete => "    delete",
    };
    let landed = match it.landed {
        Some(true) => "landed",
        Some(false) => "not landed",
        None => "unknown whether it landed",
    };
    line!(f, kind, "{}: {landed}", Escaped(&it.name))
}

fn artifact(f: &mut Formatter<'_>, it: &ArtifactSection) -> fmt::Result {
    let by = Escaped(&it.built_by);
    line!(
        f,
        "artifact",
        "{} built by {by} from version {}",
        count(it.files, "file", "files"),
        it.built_from
    )?;
    let age = it.age_seconds.map_or("in the future".to_owned(), |age| {
        format!("{} ago", seconds(age))
    });
    line!(f, "  listed", "{}, {age}", time(it.cache_created_at))?;
    match it.reason {
        None => line!(f, "  valid", "yes, for an instance with an empty cache"),
        Some(reason) => line!(f, "  valid", "no: {reason}"),
    }
}

fn differences(f: &mut Formatter<'_>, found: Option<&[Difference]>) -> fmt::Result {
    let Some(found) = found else {
        return line!(f, "differences", "unknown without artifact and raw");
    };
    let files = count(found.len(), "file", "files");
    line!(f, "differences", "{files} between the artifact and raw")?;
    found.iter().try_for_each(|it| difference(f, it))
}

fn difference(f: &mut Formatter<'_>, it: &Difference) -> fmt::Result {
    let by = it.by.map_or(String::new(), |by| format!(", {by}"));
    line!(f, "  file", "{}: {}{by}", Escaped(&it.name), it.change)
}

fn raw(f: &mut Formatter<'_>, it: &RawSection) -> fmt::Result {
    let files = count(it.files, "file", "files");
    let tasks = count(it.tasks, "task", "tasks");
    let unreadable = it.unreadable.len();
    let tombstones = count(it.settled.len(), "tombstone", "tombstones");
    line!(
        f,
        "raw",
        "{files}: {tasks}, {unreadable} unreadable; {tombstones}"
    )?;
    for it in &it.unreadable {
        let code = serde_json::to_string(&it.code).unwrap_or_default();
        let code = code.trim_matches('"');
        let place = it
            .line
            .map_or(String::new(), |line| format!(", line {line}"));
        line!(f, "  unreadable", "{}: {code}{place}", Escaped(&it.name))?;
    }
    names(f, "  tombstone", &it.settled)?;
    if it.others > 0 {
        line!(
            f,
            "  ignored",
            "{} without a task file name",
            count(it.others, "file", "files")
        )?;
    }
    it.failed.iter().try_for_each(|it| {
        line!(
            f,
            "  can't be read",
            "{}: {}",
            Escaped(&it.name),
            Escaped(&it.reason)
        )
    })
}

fn git(f: &mut Formatter<'_>, it: &GitSection) -> fmt::Result {
    let place = it.place.as_deref().unwrap_or("an unknown repository");
    let files = count(it.files, "file", "files");
    line!(f, "git", "{files} known in {}", Escaped(place))?;
    if !it.current {
        line!(f, "  elsewhere", "files aren't mirrored there now")?;
    }
    if let Some(commit) = &it.commit {
        let at = it
            .synced_at
            .map_or(String::new(), |at| format!(", compared at {}", time(at)));
        line!(f, "  commit", "{commit}{at}")?;
    }
    names(f, "  pushing", &it.pushing)?;
    names(f, "  importing", &it.taking)?;
    names(f, "  proposing", &it.proposing)?;
    for (name, address) in &it.pulls {
        line!(
            f,
            "  pull request",
            "{}: {}",
            Escaped(name),
            Escaped(address)
        )?;
    }
    match &it.last_error {
        None => Ok(()),
        Some((code, message, at)) => {
            line!(
                f,
                "  last error",
                "{} since {}: {}",
                Escaped(code),
                time(*at),
                Escaped(message)
            )
        }
    }
}
