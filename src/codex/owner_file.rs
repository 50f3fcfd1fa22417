//! `owner.json` as an operator looks at it and changes it.

use serde_json::{Map, Value, json};

use crate::cache::{Format, Holder, OwnerError, parse_holder};

/// What a user's `owner.json` says.
#[derive(Debug, Clone, PartialEq)]
pub struct OwnerFile {
    /// Whose the name is.
    pub holder: Holder,
    /// All its members, also those that this version doesn't know.
    members: Map<String, Value>,
}

impl OwnerFile {
    /// One that says this account's number and nothing else.
    pub fn new(number: u64) -> Self {
        let mut members = Map::new();
        members.insert("format".to_owned(), json!(Format::CURRENT));
        let holder = Holder::GitHub { number };
        Self { holder, members }.with_account(number)
    }

    /// Reads a blob.
    ///
    /// # Errors
    /// [`OwnerError::Unreadable`] and [`OwnerError::NewerFormat`], for which nobody is let in.
    pub fn parse(bytes: &[u8]) -> Result<Self, OwnerError> {
        let holder = parse_holder(bytes)?;
        let members = serde_json::from_slice(bytes).map_err(|_| OwnerError::Unreadable)?;
        Ok(Self { holder, members })
    }

    /// The same for this GitHub account. Members that this version doesn't know stay.
    pub fn with_account(mut self, number: u64) -> Self {
        for whose in ["githubId", "provider", "subject"] {
            self.members.remove(whose);
        }
        self.members.insert("githubId".to_owned(), json!(number));
        self.holder = Holder::GitHub { number };
        self
    }

    /// As it is stored.
    pub fn to_bytes(&self) -> Vec<u8> {
        // A map with string keys: nothing in it can fail to serialise.
        serde_json::to_vec(&self.members).unwrap_or_default()
    }
}
