//! `state/.github.json`: how far the whole repository has been taken in, so that a delivery is only
//! followed up for the users whose files have changed.
//!
//! It is a filter, and right by two rules. While a user's files are being brought to another commit's
//! there is a hint in the queue, which is put before the first change. And a hint is only removed after a
//! look that found nothing to change and whose folder is noted here, in the place of what was noted before
//! that look.
//!
//! A pull request may be merged and leave its user's folder as it was, where a reviewer took the change back. So
//! users with open requests are noted, too, before the hint of the look that found them goes; with every move of
//! the branch it is asked what became of those.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::GitTrouble;
use super::book::parse;
use crate::cache::Format;
use crate::codex::Codex;
use crate::store::{ETag, GetIf, Got, Key, Put, PutIf, Written};
use crate::task::GitSha;
use crate::user::UserId;

/// How far the repository has been taken in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Mirror {
    pub format: Format,
    /// Which repository, branch and folder this is about. Of another place nothing is known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub place: Option<String>,
    /// Up to this commit.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub head: Option<GitSha>,
    /// The fingerprint of each user's folder that was taken in whole.
    #[serde(default)]
    pub users: BTreeMap<String, GitSha>,
    /// The fingerprint of each folder that is passed over at this commit, because its login has one in another letter
    /// case. With the next one it is looked at again: somebody may have put it right here.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub respelt: BTreeMap<String, GitSha>,
    /// Users with pull requests that are open as far as is known.
    #[serde(skip_serializing_if = "BTreeSet::is_empty", default)]
    pub proposed: BTreeSet<String>,
    /// Members this version doesn't know; they survive a rewrite.
    #[serde(flatten)]
    unknown: Map<String, Value>,
}

impl Mirror {
    /// As it is stored.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        // Maps with string keys and strings: nothing in it can fail to serialise.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// The folder that was taken in.
    pub(super) fn of(&self, user: &UserId) -> Option<GitSha> {
        self.users.get(user.as_str()).copied()
    }

    /// The folder that was last looked at: taken in, or passed over because of its spelling.
    pub(super) fn seen(&self, user: &UserId) -> Option<GitSha> {
        let respelt = || self.respelt.get(user.as_str()).copied();
        self.of(user).or_else(respelt)
    }

    /// Users whose folders were passed over.
    pub(super) fn respelt(&self) -> impl Iterator<Item = UserId> {
        let users = self.respelt.keys();
        users.filter_map(|user| UserId::parse(user).ok())
    }

    /// Notes a folder that is passed over because of its spelling; `None` once it has gone. Of who was removed here it
    /// stays known that something was taken in.
    pub(super) fn note_passed_over(&mut self, user: &UserId, folder: Option<GitSha>) {
        let noted = match self.users.contains_key(user.as_str()) {
            true => &mut self.users,
            false => &mut self.respelt,
        };
        match folder {
            Some(folder) => drop(noted.insert(user.to_string(), folder)),
            None => drop(noted.remove(user.as_str())),
        }
    }

    /// Notes what a look at a user's files found to be taken in.
    pub(super) fn note(&mut self, user: &UserId, folder: Option<GitSha>) {
        self.respelt.remove(user.as_str());
        match folder {
            Some(folder) => drop(self.users.insert(user.to_string(), folder)),
            None => drop(self.users.remove(user.as_str())),
        }
    }

    /// Notes whether a user has open pull requests. Whether that is new.
    pub(super) fn note_proposed(&mut self, user: &UserId, open: bool) -> bool {
        match open {
            true => self.proposed.insert(user.to_string()),
            false => self.proposed.remove(user.as_str()),
        }
    }

    /// Whether anything is said of a user.
    pub(super) fn names(&self, user: &UserId) -> bool {
        self.of(user).is_some() || self.proposed.contains(user.as_str())
    }

    /// Users with open pull requests.
    pub(super) fn proposed(&self) -> impl Iterator<Item = UserId> {
        let users = self.proposed.iter();
        users.filter_map(|user| UserId::parse(user).ok())
    }
}

impl Default for Mirror {
    fn default() -> Self {
        Self {
            format: Format::CURRENT,
            place: None,
            head: None,
            users: BTreeMap::new(),
            respelt: BTreeMap::new(),
            proposed: BTreeSet::new(),
            unknown: Map::new(),
        }
    }
}

impl Codex {
    /// The mirror's state. One that is lost only means that everything is looked at again.
    pub(super) async fn mirror(&self) -> Result<(Mirror, Option<ETag>), GitTrouble> {
        let place = Some(self.git()?.place());
        let got = self.store.get(&Key::github(), GetIf::Any).await?.value;
        let (mirror, etag): (Option<Mirror>, _) = match got {
            Got::Blob(blob) => (parse(&blob.bytes)?, Some(blob.etag)),
            Got::Absent | Got::Changed | Got::Unchanged => (None, None),
        };
        let mirror = mirror.filter(|it| it.place == place);
        let fresh = || Mirror {
            place: place.clone(),
            ..Mirror::default()
        };
        Ok((mirror.unwrap_or_else(fresh), etag))
    }

    /// Writes the mirror's state if nobody else has; its new version, or `None`.
    pub(super) async fn put_mirror(
        &self,
        mirror: &Mirror,
        etag: Option<ETag>,
    ) -> Result<Option<ETag>, GitTrouble> {
        let put = Put {
            bytes: mirror.to_bytes().into(),
            ..Put::default()
        };
        let condition = etag.map_or(PutIf::Absent, PutIf::Same);
        match self.store.put(&Key::github(), put, condition).await?.value {
            Written::Done(etag) => Ok(Some(etag)),
            Written::Refused => Ok(None),
        }
    }
}
