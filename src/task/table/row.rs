//! A row of a table: offsets and small values.

use std::num::NonZeroU32;

use chrono::{Datelike, NaiveDate};

use super::super::date::{Datum, Slot};
use super::super::words::{Kategorie, Status, Zeit};

/// A byte range in the table's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct TextSpan {
    pub(super) at: u32,
    pub(super) len: u32,
}

impl TextSpan {
    pub(super) fn of(self, text: &str) -> &str {
        &text[self.at as usize..(self.at + self.len) as usize]
    }
}

/// A slot in four bytes: day number × 3 + time of day. Days are in the years 0 to 9999 and the offset makes the day
/// number positive, so the value is never 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PackedSlot(NonZeroU32);

impl PackedSlot {
    pub(super) fn pack(slot: Slot) -> Option<Self> {
        let day = u32::try_from(slot.datum.0.num_days_from_ce() + DAYS_BEFORE_CE).ok()?;
        NonZeroU32::new(day * 3 + slot.zeit as u32).map(Self)
    }

    pub(super) fn unpack(self) -> Option<Slot> {
        let day = i32::try_from(self.0.get() / 3).ok()? - DAYS_BEFORE_CE;
        let zeit = *Zeit::ALL.get(self.0.get() as usize % 3)?;
        Some(Slot {
            datum: Datum(NaiveDate::from_num_days_from_ce_opt(day)?),
            zeit,
        })
    }
}

/// The 366 days of year 0, which `dd.mm.yyyy` can express, plus one.
const DAYS_BEFORE_CE: i32 = 367;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RowKind {
    Task {
        kategorie: Kategorie,
        status: Status,
    },
    NotATask,
    Tombstone,
    Unreadable,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct TaskRow {
    /// The offset of the name; the ETag follows it.
    pub(super) at: u32,
    pub(super) name_len: u16,
    pub(super) etag_len: u16,
    pub(super) title: TextSpan,
    pub(super) first_tag: u32,
    pub(super) tags: u16,
    pub(super) kind: RowKind,
    /// Whether `title` is a slice of the name in which `-` stands for a space.
    pub(super) title_from_name: bool,
    pub(super) has_sha: bool,
    pub(super) sha: [u8; 20],
    pub(super) deadline: Option<Datum>,
    pub(super) fixed_slot: Option<PackedSlot>,
    pub(super) abgeschlossen_am: Option<PackedSlot>,
}

impl TaskRow {
    pub(super) fn name(self) -> TextSpan {
        TextSpan {
            at: self.at,
            len: u32::from(self.name_len),
        }
    }

    pub(super) fn etag(self) -> TextSpan {
        TextSpan {
            at: self.at + u32::from(self.name_len),
            len: u32::from(self.etag_len),
        }
    }
}
