//! Folders of the repository whose login has one here in another letter case. One login has one folder: nothing is
//! taken from the others, and its own isn't taken for gone because of them.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt, TryStreamExt, stream};

use super::GitTrouble;
use super::mirror::Mirror;
use crate::cache::{folders, spellings};
use crate::codex::Codex;
use crate::github::{GitSnapshot, UserTree};
use crate::store::{ETag, GetIf, Got, Key};
use crate::user::UserId;

/// How often a swap is tried again because somebody else was quicker.
const ROUNDS: u32 = 20;

/// Users who are looked for at once.
const LOOKS: usize = 16;

/// Whose files are to be looked at.
#[derive(Debug, Default)]
pub(super) struct Sorted {
    /// Theirs, each with the one folder of the login.
    pub users: BTreeSet<UserId>,
    /// Folders that are passed over, and such as have gone.
    pub respelt: BTreeSet<UserId>,
    /// The users who have nothing here yet.
    coming: BTreeSet<UserId>,
}

impl Sorted {
    /// Of users who aren't known to have one, by the folders that there are here.
    fn of(users: BTreeSet<UserId>, here: BTreeSet<UserId>, snapshot: &GitSnapshot) -> Self {
        let mut by_login: BTreeMap<UserId, Vec<UserId>> = BTreeMap::new();
        for folder in here {
            by_login.entry(folder.folded()).or_default().push(folder);
        }
        let mut sorted = Self::default();
        for user in users {
            let here = by_login.get(&user.folded()).map_or(&[][..], Vec::as_slice);
            // Who sees the same commit finds the same one.
            let mut in_git = snapshot.tree.spellings(&user).iter();
            let first = in_git.find(|it| !snapshot.user(it).closed);
            if here.is_empty() {
                sorted.users.extend(first.cloned());
                sorted.coming.extend(first.cloned());
            } else if !here.contains(&user) {
                sorted.users.extend(here.iter().cloned());
            } else {
                sorted.users.insert(user.clone());
            }
            if !sorted.users.contains(&user) {
                sorted.respelt.insert(user);
            }
        }
        sorted
    }
}

/// Users whose folder in Git isn't the one that was last looked at.
pub(super) fn changed_users(mirror: &Mirror, snapshot: &GitSnapshot) -> BTreeSet<UserId> {
    let known = mirror.users.keys().chain(mirror.respelt.keys());
    let known = known.filter_map(|user| UserId::parse(user).ok());
    let users = known.chain(snapshot.tree.users.keys().cloned());
    let differs = |user: &UserId| {
        let tree = snapshot.user(user);
        // It may have been renamed to one that isn't taken in.
        let renamed = || {
            let mut others = snapshot.tree.spellings(user).iter();
            mirror.of(user).is_some() && others.any(|it| mirror.of(it).is_none())
        };
        let is_open = !tree.closed && (tree.folder.is_some() || !renamed());
        is_open && mirror.seen(user) != tree.folder
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

    /// Finds out whose the folders of Git are that aren't as they were. For a login without any folder here the first
    /// of them is noted before anything is taken from it, so that nobody who sees another commit makes a second one.
    pub(super) async fn sort(
        &self,
        mirror: &mut Mirror,
        etag: &mut Option<ETag>,
        snapshot: &GitSnapshot,
    ) -> Result<Sorted, GitTrouble> {
        for _ in 0..ROUNDS {
            let (mut known, mut unknown) = (BTreeSet::new(), BTreeSet::new());
            let changed = stream::iter(changed_users(mirror, snapshot)).map(async |user| {
                let is_known = mirror.of(&user).is_some() || self.has_state(&user).await?;
                Ok::<_, GitTrouble>((user, is_known))
            });
            let changed: Vec<_> = changed.buffer_unordered(LOOKS).try_collect().await?;
            for (user, is_known) in changed {
                match is_known {
                    true => known.insert(user),
                    false => unknown.insert(user),
                };
            }
            let mut sorted = Sorted::default();
            if !unknown.is_empty() {
                let mut here = folders(&*self.store).await?;
                here.extend(mirror.coming());
                sorted = Sorted::of(unknown, here, snapshot);
            }
            sorted.users.append(&mut known);
            if sorted.coming.is_empty() {
                return Ok(sorted);
            }
            let coming = sorted.coming.iter().map(UserId::to_string);
            mirror.coming.extend(coming);
            if let Some(written) = self.put_mirror(mirror, etag.take()).await? {
                *etag = Some(written);
                return Ok(sorted);
            }
            (*mirror, *etag) = self.mirror().await?;
        }
        Err(GitTrouble::Contended)
    }

    async fn has_state(&self, user: &UserId) -> Result<bool, GitTrouble> {
        let state = self.store.get(&Key::state(user), GetIf::Any).await?.value;
        Ok(matches!(state, Got::Blob(_)))
    }
}
