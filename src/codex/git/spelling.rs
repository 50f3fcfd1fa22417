//! Folders of the repository whose login has one here in another letter case. One login has one folder: nothing is
//! taken from the others, and its own isn't taken for gone because of them.

use std::borrow::Cow;
use std::collections::BTreeSet;

use futures::{StreamExt, stream};

use super::GitTrouble;
use super::mirror::Mirror;
use crate::cache::{folders, spellings};
use crate::codex::Codex;
use crate::github::{GitSnapshot, UserTree};
use crate::user::UserId;

/// Users who are looked for at once.
const LOOKS: usize = 16;

/// A folder of Git's from which nothing is taken, and those that the login has here instead.
pub(super) struct PassedOver {
    pub user: UserId,
    pub here: Vec<UserId>,
}

/// What is found out of users of whom nothing was taken in yet.
#[derive(Default)]
pub(super) struct Newcomers {
    pub passed_over: Vec<PassedOver>,
    /// Of these it can't be said just now whether they are here.
    pub unknown: BTreeSet<UserId>,
}

/// Which of `users`, none of whom has a folder here, are passed over because of the `folders` that there are. Of
/// several whose login has none the first one has it from now on.
pub(super) fn passed_over(
    users: BTreeSet<UserId>,
    mut folders: BTreeSet<UserId>,
) -> Vec<PassedOver> {
    let mut passed_over = vec![];
    for user in users {
        let login = user.folded();
        let here = folders.iter().filter(|it| it.folded() == login);
        let here: Vec<UserId> = here.cloned().collect();
        if here.is_empty() {
            folders.insert(user);
        } else if !here.contains(&user) {
            passed_over.push(PassedOver { user, here });
        }
    }
    passed_over
}

/// Users whose folder in Git isn't the one that was last looked at.
pub(super) fn changed_users(mirror: &Mirror, snapshot: &GitSnapshot) -> BTreeSet<UserId> {
    let known = mirror.users.keys().chain(mirror.respelt.keys());
    let known = known.filter_map(|user| UserId::parse(user).ok());
    let users = known.chain(snapshot.tree.users.keys().cloned());
    let differs = |user: &UserId| {
        let tree = snapshot.user(user);
        !tree.closed && mirror.seen(user) != tree.folder
    };
    users.filter(differs).collect()
}

impl Codex {
    /// What Git has of a user's files, and which folders lie beside them that are the login's in another letter case.
    /// Those that have a folder here, too, from an earlier time, are somebody's own. Nothing is asked where there are
    /// none.
    pub(super) async fn tree_of<'a>(
        &self,
        snapshot: &'a GitSnapshot,
        user: &UserId,
    ) -> Result<Cow<'a, UserTree>, GitTrouble> {
        let tree = snapshot.user(user);
        let others = snapshot.tree.spellings(user).iter();
        let mut respelt: Vec<UserId> = others.filter(|it| *it != user).cloned().collect();
        if !respelt.is_empty() {
            let here = spellings(&*self.store, user).await?;
            respelt.retain(|it| !here.contains(it));
        }
        Ok(match respelt.is_empty() {
            true => Cow::Borrowed(tree),
            false => Cow::Owned(tree.beside(respelt, user, &self.git()?.base_path)),
        })
    }

    /// Which of these users, of whom nothing was taken in yet, are passed over. The folders here are listed once, and
    /// only where somebody among them has none.
    ///
    /// Two instances that see different commits, each with another spelling, may take in both: `inspect` names them.
    pub(super) async fn pass_over(&self, users: BTreeSet<UserId>) -> Result<Newcomers, GitTrouble> {
        let found = stream::iter(users).map(async |user| {
            let has_state = self.has_state(&user).await;
            (user, has_state)
        });
        let found: Vec<_> = found.buffer_unordered(LOOKS).collect().await;
        let mut newcomers = Newcomers::default();
        let mut new = BTreeSet::new();
        for (user, has_state) in found {
            match has_state {
                Ok(true) => {}
                Ok(false) => drop(new.insert(user)),
                Err(error) => {
                    tracing::warn!(%user, %error, "this user's files aren't those of Git yet");
                    newcomers.unknown.insert(user);
                }
            }
        }
        if !new.is_empty() {
            newcomers.passed_over = passed_over(new, folders(&*self.store).await?);
        }
        Ok(newcomers)
    }

    /// Who has the login's folder here, and is to hear of the other one: not whoever was deleted and left something.
    pub(super) async fn to_be_told(&self, passed_over: &PassedOver) -> Vec<UserId> {
        let mut told = vec![];
        for user in &passed_over.here {
            if self.has_state(user).await.unwrap_or(true) {
                told.push(user.clone());
            }
        }
        told
    }

    /// Whether the user, of whom nothing was taken in yet, is passed over.
    pub(super) async fn passes_over(&self, user: &UserId) -> Result<bool, GitTrouble> {
        if self.cache.known(user).is_some() || self.has_state(user).await? {
            return Ok(false);
        }
        let here = spellings(&*self.store, user).await?;
        Ok(!here.is_empty() && !here.contains(user))
    }
}
