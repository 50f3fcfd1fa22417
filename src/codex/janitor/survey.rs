//! Which users there are, and what they have.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};

use crate::store::{BlobStore, Contents, Prefix, StoreError, StoreResponse};
use crate::user::UserId;

/// The users to process, found by listing the store.
pub(super) struct JanitorSurvey {
    pub users: Vec<UserId>,
    pub users_by_prefix: UsersByPrefix,
    /// Folders with blobs that the older service shared between all users.
    pub leftovers: Vec<(Prefix, StoreResponse<Contents>)>,
}

/// Which users have blobs below a prefix, as of the survey; saves requests for the others. Users who get some during
/// the pass are left to the next one.
pub(super) struct UsersByPrefix {
    /// Users with blobs in `state/`.
    pub state: BTreeSet<UserId>,
    /// Users with blobs in `artifacts/`.
    pub artifacts: BTreeSet<UserId>,
    /// Users with a hint in `queue/`; only in GitHub mode.
    pub queue: BTreeSet<UserId>,
}

impl JanitorSurvey {
    /// Lists the store; in GitHub mode also the queue.
    pub(super) async fn take(store: &dyn BlobStore, lists_queue: bool) -> Result<Self, StoreError> {
        let prefixes = [
            Prefix::all_raw(),
            Prefix::all_state(),
            Prefix::all_artifacts(),
        ];
        let [raw, state, artifacts] = &prefixes;
        let (raw, state, artifacts) = tokio::try_join!(
            store.contents(raw),
            store.contents(state),
            store.contents(artifacts),
        )?;
        let mut queue = BTreeSet::new();
        if lists_queue {
            let hints = store.list(&Prefix::queue()).await?.value.blobs;
            queue.extend(hints.iter().filter_map(|it| UserId::parse(&it.name).ok()));
        }
        let users_by_prefix = UsersByPrefix {
            state: users_in(&state.value),
            artifacts: users_in(&artifacts.value),
            queue,
        };
        let mut users = users_in(&raw.value);
        users.extend(
            users_by_prefix
                .state
                .iter()
                .chain(&users_by_prefix.artifacts)
                .cloned(),
        );
        let [_, of_state, of_artifacts] = prefixes;
        Ok(Self {
            users: users.into_iter().collect(),
            users_by_prefix,
            leftovers: vec![(of_state, state), (of_artifacts, artifacts)],
        })
    }
}

/// The users with a folder in a listing.
fn users_in(contents: &Contents) -> BTreeSet<UserId> {
    let folders = contents.folders.iter();
    folders
        .filter_map(|name| UserId::parse(name).ok())
        .collect()
}

/// Rotates the list to start with another user each hour. Golden-ratio steps visit all starting points evenly, whatever
/// share of the users a pass completes, so no position has to be stored between passes.
pub fn rotate_start(mut users: Vec<UserId>, utc: DateTime<Utc>) -> Vec<UserId> {
    const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;
    let hour = utc.timestamp().div_euclid(3600) as u64;
    let part = u128::from(hour.wrapping_mul(GOLDEN));
    // Always less than `users.len()`.
    let first = (part * users.len() as u128) >> 64;
    users.rotate_left(first as usize);
    users
}
