//! PURE. What becomes of one file, by what Git is known to hold, what the store has and what Git has
//! now (`src/codex/git/README.md`, "Three contents, one decision").

use crate::task::GitSha;

/// One file, seen from three sides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sides<'a> {
    /// What Git is known to hold, or to have held.
    pub base: Option<GitSha>,
    /// What was about to be committed here: in a tree that shows one of them it counts as the base.
    pub pushing: &'a [GitSha],
    /// What the store has.
    pub ours: Side,
    /// What Git has now.
    pub theirs: Side,
}

/// What one side has of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Nothing.
    Absent,
    /// This content.
    Content(GitSha),
    /// Something that can't be a task's text, or couldn't be looked at.
    Other,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Nothing: the same everywhere.
    Nothing,
    /// Both sides have this; the base is to say so.
    Agreed(GitSha),
    /// Both sides have nothing; the base is to forget it.
    Forget,
    /// The store takes Git's, in the place of what it has.
    Take(GitSha),
    /// The store drops what it has: it was in Git, and has gone from there.
    Remove,
    /// The store has something that Git doesn't have yet; what Git holds instead, if anything.
    Unpushed(Option<GitSha>),
    /// Both have changed it.
    Merge {
        /// What both changed, where that is known.
        base: Option<GitSha>,
        /// What Git made of it.
        theirs: GitSha,
    },
    /// One side can't be looked at: nothing is done.
    Leave,
}

/// Decides for one file.
pub fn decide(sides: &Sides<'_>) -> Decision {
    use Side::{Absent, Content, Other};
    match (sides.ours, sides.theirs) {
        (Other, _) | (_, Other) => Decision::Leave,
        (Absent, Absent) => match sides.base {
            None => Decision::Nothing,
            Some(_) => Decision::Forget,
        },
        // Gone here, by an editor's hand: Git has it still. Or it has never been here.
        (Absent, Content(theirs)) => Decision::Take(theirs),
        (Content(ours), Absent) if sides.base == Some(ours) => Decision::Remove,
        (Content(_), Absent) => Decision::Unpushed(None),
        (Content(ours), Content(theirs)) if ours == theirs => match sides.base {
            Some(base) if base == theirs && !sides.pushing.contains(&theirs) => Decision::Nothing,
            _ => Decision::Agreed(theirs),
        },
        (Content(ours), Content(theirs)) => {
            let own_push = sides.pushing.contains(&theirs);
            let base = if own_push { Some(theirs) } else { sides.base };
            match base {
                Some(base) if base == ours => Decision::Take(theirs),
                Some(base) if base == theirs => Decision::Unpushed(Some(theirs)),
                base => Decision::Merge { base, theirs },
            }
        }
    }
}
