//! PURE. Folders of the repository that differ only in letter case from the user's folder in the store. A login has one
//! folder: nothing is imported from the others, and while one exists, the own folder doesn't count as removed.

use std::collections::BTreeSet;

use crate::user::UserId;

/// A folder in Git that isn't imported, and the folders in the store that have the login in another letter case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaseConflict {
    /// The folder in Git.
    pub user: UserId,
    /// The folders in the store.
    pub here: Vec<UserId>,
}

/// The conflicts among `users`, who have no state in the store, with its `folders`. Of several new spellings of one
/// login the first, by bytes, is accepted and conflicts with the others.
pub fn case_conflicts(users: BTreeSet<UserId>, mut folders: BTreeSet<UserId>) -> Vec<CaseConflict> {
    let mut case_conflicts = vec![];
    for user in users {
        let login = user.folded();
        let here = folders.iter().filter(|it| it.folded() == login);
        let here: Vec<UserId> = here.cloned().collect();
        if here.is_empty() {
            folders.insert(user);
        } else if !here.contains(&user) {
            case_conflicts.push(CaseConflict { user, here });
        }
    }
    case_conflicts
}
