//! `state/.github.json`: how far the whole repository has been taken in, so that a delivery is only
//! followed up for the users whose files have changed.
//!
//! A claim says that a user's files here are those of a folder in Git. It is taken back before they are
//! brought to something else, so a crash in between leaves none.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::GitTrouble;
use crate::cache::Format;
use crate::codex::Codex;
use crate::store::{ETag, GetIf, Got, Key, Put, PutIf, Written};
use crate::task::GitSha;
use crate::user::UserId;

/// How often a swap is tried again because somebody else was quicker.
const ROUNDS: u32 = 10;

/// How far the repository has been taken in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Mirror {
    pub format: Format,
    /// Up to this commit.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub head: Option<GitSha>,
    /// Every user whose files Git has or had, with the fingerprint of the folder that was taken in whole;
    /// without one, the files are being brought to something else, or weren't.
    #[serde(default)]
    pub users: BTreeMap<String, Option<GitSha>>,
    /// Members this version doesn't know; they survive a rewrite.
    #[serde(flatten)]
    unknown: Map<String, Value>,
}

impl Default for Mirror {
    fn default() -> Self {
        Self {
            format: Format::CURRENT,
            head: None,
            users: BTreeMap::new(),
            unknown: Map::new(),
        }
    }
}

impl Codex {
    /// The mirror's state. One that is lost only means that everything is looked at again.
    pub(super) async fn mirror(&self) -> Result<(Mirror, Option<ETag>), GitTrouble> {
        let got = self.store.get(&Key::github(), GetIf::Any).await?.value;
        let Got::Blob(blob) = got else {
            return Ok((Mirror::default(), None));
        };
        let mirror: Option<Mirror> = serde_json::from_slice(&blob.bytes).ok();
        match mirror {
            Some(mirror) if mirror.format.major > Format::CURRENT.major => {
                Err(GitTrouble::NewerFormat)
            }
            mirror => Ok((mirror.unwrap_or_default(), Some(blob.etag))),
        }
    }

    /// Takes back the claim on a user's files before they become those of another folder.
    pub(super) async fn release(
        &self,
        user: &UserId,
        folder: Option<GitSha>,
    ) -> Result<(), GitTrouble> {
        for _ in 0..ROUNDS {
            let (mut mirror, etag) = self.mirror().await?;
            match mirror.users.get_mut(user.as_str()) {
                Some(claim) if claim.is_some() && *claim != folder => *claim = None,
                _ => return Ok(()),
            }
            if self.put_mirror(&mirror, etag).await?.is_some() {
                return Ok(());
            }
        }
        Err(GitTrouble::Contended)
    }

    /// Writes the mirror's state if nobody else has; its new version, or `None`.
    pub(super) async fn put_mirror(
        &self,
        mirror: &Mirror,
        etag: Option<ETag>,
    ) -> Result<Option<ETag>, GitTrouble> {
        let put = Put {
            // Maps with string keys and strings: nothing in it can fail to serialise.
            bytes: serde_json::to_vec(mirror).unwrap_or_default().into(),
            ..Put::default()
        };
        let condition = etag.map_or(PutIf::Absent, PutIf::Same);
        match self.store.put(&Key::github(), put, condition).await?.value {
            Written::Done(etag) => Ok(Some(etag)),
            Written::Refused => Ok(None),
        }
    }
}
