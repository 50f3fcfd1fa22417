//! `owner.json`: whose account a user's name stands for, and which of their sessions count.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::OwnerError;
use crate::cache::Format;
use crate::store::{BlobStore, ETag, GetIf, Got, Key};

/// Who somebody is for good, whatever they are called.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Holder {
    /// The number of a GitHub account.
    GitHub {
        /// The number.
        #[serde(rename = "githubId")]
        number: u64,
    },
    /// Somebody whom another provider vouches for.
    Other {
        /// The provider.
        provider: String,
        /// What it calls them, and nobody else ever.
        subject: String,
    },
}

/// The member that grows whenever the person signs out.
const SESSIONS: &str = "sessionGeneration";

/// What a user's `owner.json` says.
#[derive(Debug, Clone, PartialEq)]
pub struct OwnerFile {
    /// Whose the name is.
    pub holder: Holder,
    /// Sessions of an earlier generation have been ended; 0 in a file of an earlier version before the first sign-out.
    pub session_generation: u64,
    /// All its members, also those that this version doesn't know.
    members: Map<String, Value>,
}

/// The members that this version reads.
#[derive(Deserialize)]
struct Record {
    #[serde(flatten)]
    holder: Holder,
    #[serde(default, rename = "sessionGeneration")]
    session_generation: u64,
}

impl OwnerFile {
    /// One that says whose the name is. Where the service has sessions, with GitHub's accounts, its generation is the
    /// time in seconds since 1970: so no session counts that began when there was another file, since removed.
    pub fn new(holder: Holder, now: DateTime<Utc>) -> Self {
        let mut members = Map::new();
        members.insert("format".to_owned(), json!(Format::CURRENT));
        let session_generation = match &holder {
            Holder::GitHub { .. } => now.timestamp().unsigned_abs(),
            Holder::Other { .. } => 0,
        };
        if session_generation > 0 {
            members.insert(SESSIONS.to_owned(), json!(session_generation));
        }
        let new = Self {
            holder: holder.clone(),
            session_generation,
            members,
        };
        new.with_holder(holder)
    }

    /// Reads a blob. In doubt nobody: an account that isn't named can't be told from another.
    ///
    /// # Errors
    /// [`OwnerError::Unreadable`] and [`OwnerError::NewerFormat`], for which nobody is let in.
    pub fn parse(bytes: &[u8]) -> Result<Self, OwnerError> {
        let format = Format::of(bytes).ok_or(OwnerError::Unreadable)?;
        if format.is_read_only() {
            return Err(OwnerError::NewerFormat);
        }
        let unreadable = match format > Format::CURRENT {
            true => OwnerError::NewerFormat,
            false => OwnerError::Unreadable,
        };
        let record = serde_json::from_slice(bytes);
        let Record {
            holder,
            session_generation,
        } = record.map_err(|_| unreadable)?;
        let members = serde_json::from_slice(bytes).map_err(|_| OwnerError::Unreadable)?;
        Ok(Self {
            holder,
            session_generation,
            members,
        })
    }

    /// The same for somebody else. Members that this version doesn't know stay.
    pub fn with_holder(mut self, holder: Holder) -> Self {
        for whose in ["githubId", "provider", "subject"] {
            self.members.remove(whose);
        }
        // An object of strings and numbers: nothing in it can fail to serialise.
        if let Ok(Value::Object(whose)) = serde_json::to_value(&holder) {
            self.members.extend(whose);
        }
        self.holder = holder;
        self
    }

    /// The same with every session ended that there is.
    pub fn with_sessions_ended(mut self) -> Self {
        self.session_generation += 1;
        self.members
            .insert(SESSIONS.to_owned(), json!(self.session_generation));
        self
    }

    /// As it is stored.
    pub fn to_bytes(&self) -> Vec<u8> {
        // A map with string keys: nothing in it can fail to serialise.
        serde_json::to_vec(&self.members).unwrap_or_default()
    }
}

/// The file under this key, and its ETag.
pub(super) async fn read(
    store: &dyn BlobStore,
    key: &Key,
) -> Result<Option<(OwnerFile, ETag)>, OwnerError> {
    match store.get(key, GetIf::Any).await?.value {
        Got::Blob(blob) => Ok(Some((OwnerFile::parse(&blob.bytes)?, blob.etag))),
        Got::Absent | Got::Unchanged | Got::Changed => Ok(None),
    }
}
