//! Three versions of one thing.

/// What a thing was, and what both sides made of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Three<T> {
    /// `None` when it isn't known what Git held before.
    pub(super) base: Option<T>,
    pub(super) ours: T,
    pub(super) theirs: T,
}

/// Whose version stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Ours,
    Theirs,
}

impl<T> Three<T> {
    pub(super) fn map<'a, U>(&'a self, mut version: impl FnMut(&'a T) -> U) -> Three<U> {
        Three {
            base: self.base.as_ref().map(&mut version),
            ours: version(&self.ours),
            theirs: version(&self.theirs),
        }
    }

    /// Each version together with `others`'.
    pub(super) fn with<'a, O, U>(
        self,
        others: &'a Three<O>,
        mut version: impl FnMut(T, &'a O) -> U,
    ) -> Three<U> {
        Three {
            base: self
                .base
                .zip(others.base.as_ref())
                .map(|(base, other)| version(base, other)),
            ours: version(self.ours, &others.ours),
            theirs: version(self.theirs, &others.theirs),
        }
    }

    pub(super) fn of(&self, side: Side) -> &T {
        match side {
            Side::Ours => &self.ours,
            Side::Theirs => &self.theirs,
        }
    }

    /// Theirs where we changed nothing, else ours.
    pub(super) fn changed(&self) -> &T
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

impl<T> Three<Option<T>> {
    /// `None` when one of those that should be there is missing.
    pub(super) fn all(self) -> Option<Three<T>> {
        Some(Three {
            base: match self.base {
                Some(base) => Some(base?),
                None => None,
            },
            ours: self.ours?,
            theirs: self.theirs?,
        })
    }
}
