//! PURE. The report as text. Labels are stable, so that scripts may search for them.

use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};

use super::differences::{Author, Difference, DifferenceKind};
use super::report::{
    ArtifactSection, CaseVariant, GitSection, InspectReport, PendingIntent, RawSection, Section,
    StateSection,
};
use crate::admin::words::{Lines, count, format_duration, identity, line};
use crate::codex::ChangeKind;

impl Display for InspectReport {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let lines = &mut Lines::new(16);
        lines.add("user", &self.user_id);
        if let Some(at) = self.asked_at {
            line!(lines, "asked at" => "{} by the storage's clock", time(at));
        }
        if self.moved_meanwhile {
            line!(lines, "changed" => "the state was written during the inspection; the sections may be of \
                different versions");
        }
        section(lines, "state", &self.state, state);
        lines.add("pending", count(self.pending.len(), "write intent"));
        self.pending.iter().for_each(|it| intent(lines, it));
        section(lines, "artifact", &self.artifact, artifact);
        match &self.differences {
            Some(found) => differences(lines, found),
            None => lines.add("differences", "unknown without artifact and raw"),
        }
        section(lines, "raw", &self.raw, raw);
        section(lines, "owner", &self.owner, |lines, it| {
            lines.add("owner", identity(it));
        });
        if self.spellings != Section::Absent {
            section(lines, "spellings", &self.spellings, |lines, it| {
                spellings(lines, it)
            });
        }
        section(lines, "git", &self.git, git);
        if let Some(names) = &self.unpushed {
            let files = count(names.len(), "file");
            line!(lines, "unpushed" => "{files} whose present version Git lacks");
            lines.add_each("  unpushed", names);
        }
        section(lines, "queue", &self.queue, |lines, it| {
            line!(lines, "queue" => "a hint since {}", it.since);
        });
        section(lines, "leftovers", &self.leftovers, |lines, it| {
            let blobs = count(it.blobs.len(), "blob");
            line!(lines, "leftovers" => "{blobs} that the service doesn't use");
            lines.add_each("  blob", &it.blobs);
        });
        lines.fmt(f)
    }
}

fn section<T>(
    lines: &mut Lines,
    label: &str,
    section: &Section<T>,
    present: impl FnOnce(&mut Lines, &T),
) {
    match section {
        Section::Absent => lines.add(label, "none"),
        Section::Damaged { reason } => line!(lines, label => "damaged: {reason}"),
        Section::Unreadable { reason } => line!(lines, label => "can't be read: {reason}"),
        Section::Present(it) => present(lines, it),
    }
}

fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

fn seconds(seconds: i64) -> String {
    format_duration(Duration::from_secs(seconds.unsigned_abs()))
}

fn state(lines: &mut Lines, it: &StateSection) {
    let next = match it.next_id {
        0..10_000 => format!("{:04}", it.next_id),
        _ => "the lowest free one".to_owned(),
    };
    let (version, major, minor) = (it.version, it.format.major, it.format.minor);
    line!(lines, "state" => "version {version}, next number {next}, format {major}.{minor}");
    if it.finished != version {
        line!(lines, "  finished" => "up to version {}", it.finished);
    }
    if it.read_only {
        lines.add("  read only", "a newer version of the service wrote it");
    }
    lines.add("  idempotency", count(it.idempotency_records, "record"));
    if let Some(number) = it.legacy_next_id {
        line!(lines, "  nextId.txt" => "{number}, the older service's counter");
    }
    lines.add_each("  merged", &it.merged);
}

fn intent(lines: &mut Lines, it: &PendingIntent) {
    let status = match it.overdue {
        true => "the next read recovers it",
        false => "not overdue yet",
    };
    let (op, version, age) = (&it.op, it.version, seconds(it.age_seconds));
    line!(lines, "  intent" => "{op}, version {version}, {age} old, {status}");
    for file in &it.files {
        let kind = match file.kind {
            ChangeKind::Create => "    create",
            ChangeKind::Update => "    update",
            ChangeKind::Delete => "    delete",
        };
        let landed = match file.landed {
            Some(true) => "landed",
            Some(false) => "not landed",
            None => "unknown whether it landed",
        };
        line!(lines, kind => "{}: {landed}", file.name);
    }
}

fn artifact(lines: &mut Lines, it: &ArtifactSection) {
    let (files, by, version) = (count(it.files, "file"), &it.built_by, it.built_from);
    line!(lines, "artifact" => "{files} built by {by} from version {version}");
    let listed = time(it.cache_created_at);
    match it.age_seconds {
        Some(age) => line!(lines, "  listed" => "{listed}, {} ago", seconds(age)),
        None => line!(lines, "  listed" => "{listed}, in the future"),
    }
    match it.reason {
        None => lines.add("  valid", "yes, for an instance with an empty cache"),
        Some(reason) => line!(lines, "  valid" => "no: {reason}"),
    }
}

fn differences(lines: &mut Lines, found: &[Difference]) {
    let files = count(found.len(), "file");
    line!(lines, "differences" => "{files} between the artifact and raw");
    for it in found {
        let change = match it.change {
            DifferenceKind::Added => "added",
            DifferenceKind::Changed => "changed",
            DifferenceKind::Rewritten => "rewritten",
            DifferenceKind::ReadDifferently => "parsed differently",
            DifferenceKind::Removed => "removed",
        };
        let by = match it.by {
            Some(Author::Service) => ", by the service",
            Some(Author::SomethingElse) => ", by another program",
            None => "",
        };
        line!(lines, "  file" => "{}: {change}{by}", it.name);
    }
}

fn raw(lines: &mut Lines, it: &RawSection) {
    let (files, tasks) = (count(it.files, "file"), count(it.tasks, "task"));
    let (unreadable, tombstones) = (it.unreadable.len(), count(it.settled.len(), "tombstone"));
    line!(lines, "raw" => "{files}: {tasks}, {unreadable} unreadable; {tombstones}");
    for it in &it.unreadable {
        let code = serde_json::to_string(&it.code).unwrap_or_default();
        let (name, code) = (&it.name, code.trim_matches('"'));
        match it.line {
            Some(line) => line!(lines, "  unreadable" => "{name}: {code}, line {line}"),
            None => line!(lines, "  unreadable" => "{name}: {code}"),
        }
    }
    lines.add_each("  tombstone", &it.settled);
    if it.others > 0 {
        let files = count(it.others, "file");
        line!(lines, "  ignored" => "{files} without a task file name");
    }
    for it in &it.failed {
        line!(lines, "  can't be read" => "{}: {}", it.name, it.reason);
    }
}

fn spellings(lines: &mut Lines, others: &[CaseVariant]) {
    let folders = count(others.len(), "folder");
    line!(lines, "spellings" => "{folders} of this login in another letter case");
    for CaseVariant { user_id, owner } in others {
        match owner {
            Section::Present(of) => line!(lines, "  folder" => "{user_id}, of {}", identity(of)),
            Section::Absent => line!(lines, "  folder" => "{user_id}, without an owner"),
            Section::Damaged { reason } | Section::Unreadable { reason } => {
                line!(lines, "  folder" => "{user_id}: {reason}");
            }
        }
    }
}

fn git(lines: &mut Lines, it: &GitSection) {
    let place = it.place.as_deref().unwrap_or("an unknown repository");
    line!(lines, "git" => "{} known in {place}", count(it.files, "file"));
    if !it.current {
        lines.add("  elsewhere", "files aren't mirrored there now");
    }
    match (&it.commit, it.synced_at) {
        (Some(commit), Some(at)) => {
            line!(lines, "  commit" => "{commit}, compared at {}", time(at))
        }
        (Some(commit), None) => lines.add("  commit", commit),
        (None, _) => {}
    }
    lines.add_each("  pushing", &it.pushing);
    lines.add_each("  importing", &it.taking);
    lines.add_each("  proposing", &it.proposing);
    for (name, address) in &it.pulls {
        line!(lines, "  pull request" => "{name}: {address}");
    }
    if let Some((code, message, at)) = &it.last_error {
        line!(lines, "  last error" => "{code} since {}: {message}", time(*at));
    }
}
