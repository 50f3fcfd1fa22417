//! What a table keeps of one file: offsets and small values.

use std::num::NonZeroU32;

use chrono::{Datelike, NaiveDate};

use crate::task::{Datum, Kategorie, Slot, Status, Zeit};

/// A piece of a table's text, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Span {
    pub(super) at: u32,
    pub(super) len: u32,
}

impl Span {
    pub(super) fn of(self, text: &str) -> &str {
        &text[self.at as usize..(self.at + self.len) as usize]
    }
}

/// A slot in four bytes: its day's number times three plus the time of day. Days are those of the
/// years 0 to 9999, so it is never 0.
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

/// The year 0, which `dd.mm.yyyy` can name, and one more.
const DAYS_BEFORE_CE: i32 = 367;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Task {
        kategorie: Kategorie,
        status: Status,
    },
    NotATask,
    Settled,
    Unreadable,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    /// Where its name begins; its ETag follows it.
    pub(super) at: u32,
    pub(super) name_len: u16,
    pub(super) etag_len: u16,
    pub(super) title: Span,
    pub(super) first_tag: u32,
    pub(super) tags: u16,
    pub(super) kind: Kind,
    /// The title is a piece of the name, with `-` read as space.
    pub(super) title_of_name: bool,
    pub(super) has_sha: bool,
    pub(super) sha: [u8; 20],
    pub(super) deadline: Option<Datum>,
    pub(super) fixed_slot: Option<PackedSlot>,
    pub(super) abgeschlossen_am: Option<PackedSlot>,
}

impl Row {
    pub(super) fn name(self) -> Span {
        Span {
            at: self.at,
            len: u32::from(self.name_len),
        }
    }

    pub(super) fn etag(self) -> Span {
        Span {
            at: self.at + u32::from(self.name_len),
            len: u32::from(self.etag_len),
        }
    }
}
