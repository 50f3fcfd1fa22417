//! The three versions of a three-way merge.

/// A base and the two versions derived from it.
#[derive(Debug, Clone, Copy)]
pub(super) struct ThreeWay<T> {
    /// `None` when the common ancestor isn't known.
    pub(super) base: Option<T>,
    pub(super) ours: T,
    pub(super) theirs: T,
}

/// The side whose version wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MergeSide {
    Ours,
    Theirs,
}

impl<T> ThreeWay<T> {
    pub(super) fn map<'a, U>(&'a self, mut version: impl FnMut(&'a T) -> U) -> ThreeWay<U> {
        ThreeWay {
            base: self.base.as_ref().map(&mut version),
            ours: version(&self.ours),
            theirs: version(&self.theirs),
        }
    }

    pub(super) fn zip_with<'a, O, U>(
        self,
        others: &'a ThreeWay<O>,
        mut version: impl FnMut(T, &'a O) -> U,
    ) -> ThreeWay<U> {
        ThreeWay {
            base: self
                .base
                .zip(others.base.as_ref())
                .map(|(base, other)| version(base, other)),
            ours: version(self.ours, &others.ours),
            theirs: version(self.theirs, &others.theirs),
        }
    }

    pub(super) fn of(&self, side: MergeSide) -> &T {
        match side {
            MergeSide::Ours => &self.ours,
            MergeSide::Theirs => &self.theirs,
        }
    }

    /// Theirs when ours equals the base, else ours.
    pub(super) fn prefer_changed(&self) -> &T
    where
        T: PartialEq,
    {
        if self.base.as_ref() == Some(&self.ours) {
            &self.theirs
        } else {
            &self.ours
        }
    }
}

impl<T> ThreeWay<Option<T>> {
    /// `None` when a version is `None`; a missing base stays missing.
    pub(super) fn transpose(self) -> Option<ThreeWay<T>> {
        Some(ThreeWay {
            base: match self.base {
                Some(base) => Some(base?),
                None => None,
            },
            ours: self.ours?,
            theirs: self.theirs?,
        })
    }
}
