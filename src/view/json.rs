//! The timeline document (`src/http/README.md`, "The week").

use std::borrow::Cow;

use chrono::{DateTime, Datelike, SecondsFormat, Utc};
use serde::{Serialize, Serializer};
use utoipa::openapi::schema::AllOfBuilder;
use utoipa::openapi::{Ref, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::week::{Stamps, Week};
use crate::task::{Datum, Kategorie, ProblemCode, Status, Tags, TaskId, Title, Zeit};
use crate::timeline::{Placed, Reason, Unplaced};

/// The document in two parts: `stable` is equal on every instance with the same files, and is what the `ETag` hashes.
#[derive(Debug)]
pub struct WeekDocument {
    stamps: String,
    stable: Vec<u8>,
}

impl WeekDocument {
    /// The bytes that the `ETag` hashes: all but the two timestamps and `version`.
    pub fn stable(&self) -> &[u8] {
        &self.stable
    }

    /// The whole document.
    pub fn into_bytes(self) -> Vec<u8> {
        let mut bytes = self.stamps.into_bytes();
        bytes.extend_from_slice(&self.stable[1..]);
        bytes
    }
}

impl PartialSchema for WeekDocument {
    fn schema() -> RefOr<Schema> {
        let pieces = AllOfBuilder::new()
            .item(Ref::from_schema_name(Stamps::name()))
            .item(Ref::from_schema_name(TimelineDocument::name()));
        pieces.into()
    }
}

impl ToSchema for WeekDocument {
    fn name() -> Cow<'static, str> {
        "Week".into()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((Stamps::name().into(), Stamps::schema()));
        schemas.push((TimelineDocument::name().into(), TimelineDocument::schema()));
        TimelineDocument::schemas(schemas);
    }
}

/// Renders the timeline document of `week`.
pub fn json(week: &Week<'_>, stamps: &Stamps) -> WeekDocument {
    let document = TimelineDocument::new(week);
    WeekDocument {
        stamps: format!(
            r#"{{"cacheCreatedAt":"{}","generatedAt":"{}","version":{},"#,
            rfc3339(stamps.cache_created_at),
            rfc3339(stamps.generated_at),
            stamps.version
        ),
        // Serialization can't fail: strings, numbers, and lists and structs of them.
        stable: serde_json::to_vec(&document).unwrap_or_else(|_| b"{}".to_vec()),
    }
}

/// RFC 3339 in UTC, whole seconds.
fn rfc3339(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
// Named differently from its member `timeline`: the Python client generator would use one variable for both.
#[schema(as = WeekPlan)]
struct TimelineDocument<'a> {
    #[schema(value_type = DateTime<Utc>)]
    valid_until: String,
    user_id: &'a str,
    time_zone: &'a str,
    week_start: Datum,
    #[schema(required)]
    next_available_id: Option<TaskId>,
    timeline: Vec<DayDocument<'a>>,
    unplaced: Vec<UnplacedDocument<'a>>,
    problems: Vec<ProblemDocument<'a>>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Day)]
struct DayDocument<'a> {
    datum: Datum,
    #[schema(maximum = 6)]
    day_of_week: u32,
    slots: Vec<SlotDocument<'a>>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = DaySlot)]
struct SlotDocument<'a> {
    zeit: Zeit,
    #[schema(required)]
    task: Option<PlacedDocument<'a>>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = PlacedTask)]
struct PlacedDocument<'a> {
    #[schema(value_type = String)]
    file: FilePath<'a>,
    id: TaskId,
    #[schema(value_type = String)]
    title: Title<'a>,
    kategorie: Kategorie,
    status: Status,
    #[schema(value_type = [String])]
    tags: Tags<'a>,
    #[schema(required)]
    deadline: Option<Datum>,
    deadline_missed: bool,
    is_fixed: bool,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = UnplacedTask)]
struct UnplacedDocument<'a> {
    #[schema(value_type = String)]
    file: FilePath<'a>,
    id: TaskId,
    #[schema(value_type = String)]
    title: Title<'a>,
    kategorie: Kategorie,
    #[schema(required)]
    deadline: Option<Datum>,
    #[schema(value_type = Reason)]
    reason: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String)]
    taken_by: Option<FilePath<'a>>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = FileProblem)]
struct ProblemDocument<'a> {
    #[schema(value_type = String)]
    file: FilePath<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    line: Option<u32>,
    code: ProblemCode,
    message: Cow<'a, str>,
}

/// The full blob path, concatenated during serialization to avoid an allocation.
struct FilePath<'a> {
    folder: &'a str,
    name: &'a str,
}

impl Serialize for FilePath<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{}{}", self.folder, self.name))
    }
}

impl<'a> TimelineDocument<'a> {
    fn new(week: &Week<'a>) -> Self {
        let timeline = week.timeline;
        let days = timeline.days.iter().map(|day| DayDocument {
            datum: day.datum,
            day_of_week: day.datum.0.weekday().num_days_from_sunday(),
            slots: day
                .slots
                .iter()
                .map(|slot| SlotDocument {
                    zeit: slot.zeit,
                    task: slot.task.and_then(|task| placed(week, task)),
                })
                .collect(),
        });
        Self {
            valid_until: rfc3339(timeline.valid_until),
            user_id: week.user.as_str(),
            time_zone: week.zone.name(),
            week_start: timeline.today,
            next_available_id: week.next_available_id,
            timeline: days.collect(),
            unplaced: timeline
                .unplaced
                .iter()
                .filter_map(|it| unplaced(week, *it))
                .collect(),
            problems: problems(week),
        }
    }
}

fn path<'a>(week: &Week<'a>, row: usize) -> FilePath<'a> {
    FilePath {
        folder: week.folder,
        name: week.table.file(row).name,
    }
}

fn placed<'a>(week: &Week<'a>, placed: Placed) -> Option<PlacedDocument<'a>> {
    let task = week.task(placed.row)?;
    Some(PlacedDocument {
        file: path(week, placed.row),
        id: task.id,
        title: task.title,
        kategorie: task.kategorie,
        status: task.status,
        tags: task.tags,
        deadline: task.deadline,
        deadline_missed: placed.deadline_missed,
        is_fixed: placed.is_fixed,
    })
}

fn unplaced<'a>(week: &Week<'a>, unplaced: Unplaced) -> Option<UnplacedDocument<'a>> {
    let task = week.task(unplaced.row)?;
    Some(UnplacedDocument {
        file: path(week, unplaced.row),
        id: task.id,
        title: task.title,
        kategorie: task.kategorie,
        deadline: task.deadline,
        reason: unplaced.reason.as_str(),
        taken_by: match unplaced.reason {
            Reason::SlotTaken { by } => Some(path(week, by)),
            _ => None,
        },
    })
}

fn problems<'a>(week: &Week<'a>) -> Vec<ProblemDocument<'a>> {
    let document = |file, line, code, message| ProblemDocument {
        file,
        line,
        code,
        message,
    };
    let of_files = week.timeline.problems.iter().filter_map(|row| {
        let it = week.problem(*row)?;
        let message = it.message.as_str().into();
        Some(document(path(week, *row), it.line, it.code, message))
    });
    let merged = week.merged.iter().map(|merged| {
        let message = format!(
            "It was changed here and in Git; of {} the change made here stands, look at Git's history for the other.",
            merged.fields.join(", ")
        );
        let (file, code) = (path(week, merged.row), ProblemCode::MergedConflict);
        document(file, None, code, message.into())
    });
    let running_out = week.is_short_of_ids().then(|| {
        let message = format!(
            "Only {} of the 10,000 task numbers are free: remove files of tasks that are long done.",
            week.free_ids
        );
        let (folder, name) = (week.folder, "");
        document(FilePath { folder, name }, None, ProblemCode::IdsRunningOut, message.into())
    });
    of_files.chain(merged).chain(running_out).collect()
}
