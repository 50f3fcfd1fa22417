//! PURE. The address of a user's calendar: what it looks like, what is stored of it, and what an instance remembers.
//!
//! Whoever knows the address reads the week, so only its hash is stored, and it is in no log line.

use std::time::{Duration, Instant};

use derive_more::Debug;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::error::TaskError;
use crate::owners::{AccountIdentity, LoginClaim};
use crate::revalidated::Freshness;
use crate::store::{Blob, BlobFormat, BlobUpdate};
use crate::task::decode_hex;
use crate::user::UserId;
use crate::user_state::{NewerFormat, ReadError};
use crate::view::Language;

/// How the last segment of an address ends.
const SUFFIX: &str = ".ics";

/// For this time after a failure the store isn't asked again about the same address.
const FAILURE_TTL: Duration = Duration::from_secs(2);

/// SHA-256 of an address.
pub type AddressHash = [u8; 32];

/// The address of a calendar: the last segment of its path, as in `anna.0123456789abcdef0123456789abcdef.ics`. It names
/// the user and holds 128 random bits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CalendarAddress {
    /// The user whose calendar it is, if it is the right one.
    pub user: UserId,
    #[debug(skip)]
    secret: String,
}

impl CalendarAddress {
    /// An address of the user with these random bits.
    pub fn new(user: &UserId, random: [u64; 2]) -> Self {
        let [high, low] = random;
        Self {
            user: user.clone(),
            secret: format!("{high:016x}{low:016x}"),
        }
    }

    /// Parses the last segment of a path; `None` if it can't be an address.
    pub fn parse(segment: &str) -> Option<Self> {
        let (user, secret) = segment.strip_suffix(SUFFIX)?.split_once('.')?;
        let is_digit = |c: u8| matches!(c, b'0'..=b'9' | b'a'..=b'f');
        let is_secret = secret.len() == 32 && secret.bytes().all(is_digit);
        Some(Self {
            user: UserId::parse(user).ok().filter(|_| is_secret)?,
            secret: secret.to_owned(),
        })
    }

    /// The last segment of its path.
    pub fn segment(&self) -> String {
        format!("{}.{}{SUFFIX}", self.user, self.secret)
    }

    /// What is stored of it. The user is part of it: the bits of one user's address say nothing about another's.
    pub fn hash(&self) -> AddressHash {
        Sha256::digest(self.segment()).into()
    }
}

/// What an address opens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CalendarFeed {
    /// The user whose week it is.
    pub user: UserId,
    /// The account that got the address, which must still be the user's and allowed to enter; `None` without sign-in.
    pub account: Option<LoginClaim>,
    /// The language of its words: the one of whoever got the address.
    pub language: Language,
}

/// The member with the account, and its member with the account's login beside those of `owner.json`.
const ACCOUNT: &str = "account";
const LOGIN: &str = "login";

fn account_of(stored: &Value) -> Option<LoginClaim> {
    Some(LoginClaim {
        login: UserId::parse(stored.get(LOGIN)?.as_str()?).ok()?,
        identity: AccountIdentity::deserialize(stored).ok()?,
        session: None,
    })
}

/// Content of `calendar.json`.
#[derive(Debug, Clone, PartialEq)]
pub struct CalendarFile {
    #[debug(skip)]
    hash: AddressHash,
    account: Option<LoginClaim>,
    language: Language,
    /// All members of the file, including those that this version doesn't know.
    #[debug(skip)]
    members: Map<String, Value>,
}

impl CalendarFile {
    /// Parses the file; `None` if it is damaged, which is as if there was none.
    ///
    /// # Errors
    /// [`NewerFormat`].
    pub fn parse(bytes: &[u8]) -> Result<Option<Self>, NewerFormat> {
        if BlobFormat::of(bytes).is_some_and(BlobFormat::is_read_only) {
            return Err(NewerFormat);
        }
        let members: Option<Map<String, Value>> = serde_json::from_slice(bytes).ok();
        Ok(members.and_then(Self::of))
    }

    fn of(members: Map<String, Value>) -> Option<Self> {
        let text = |name| members.get(name).and_then(Value::as_str);
        let account = members.get(ACCOUNT).map(account_of);
        Some(Self {
            hash: decode_hex(text("address")?)?,
            // One that can't be read is no reason to let anybody in.
            account: account.map_or(Some(None), |it| it.map(Some))?,
            language: Language::of_tag(text("language")?)?,
            members,
        })
    }

    /// The file for a new address of this feed, in place of `before`, whose unknown members are kept.
    pub fn new(before: Option<Self>, hash: AddressHash, feed: &CalendarFeed) -> Self {
        let mut members = before.map(|it| it.members).unwrap_or_default();
        let digits: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        let format = members.entry("format");
        format.or_insert_with(|| json!(BlobFormat::CURRENT));
        members.insert("address".to_owned(), json!(digits));
        members.insert("language".to_owned(), json!(feed.language.tag()));
        members.remove(ACCOUNT);
        if let Some(account) = &feed.account {
            // Strings and a number always serialise.
            let mut identity = serde_json::to_value(&account.identity).unwrap_or_default();
            identity[LOGIN] = json!(account.login.as_str());
            members.insert(ACCOUNT.to_owned(), identity);
        }
        Self {
            hash,
            account: feed.account.clone(),
            language: feed.language,
            members,
        }
    }

    /// The hash of the address.
    pub fn hash(&self) -> AddressHash {
        self.hash
    }

    /// What the address with this hash opens, if it is the one in the file. Takes the same time for every other one.
    pub fn opened_by(self, hash: &AddressHash, user: &UserId) -> Option<CalendarFeed> {
        let is_it = bool::from(self.hash.ct_eq(hash));
        is_it.then(|| CalendarFeed {
            user: user.clone(),
            account: self.account,
            language: self.language,
        })
    }

    /// The stored form, JSON.
    pub fn to_bytes(&self) -> Vec<u8> {
        // A map with string keys always serialises.
        serde_json::to_vec(&self.members).unwrap_or_default()
    }
}

/// What makes the address with this hash the user's only one. Hands on the hash of the one that it ends.
///
/// # Errors
/// If a newer version of the service wrote the blob.
pub fn new_address(
    blob: Option<Blob>,
    hash: AddressHash,
    feed: &CalendarFeed,
) -> Result<BlobUpdate<Option<AddressHash>>, ReadError> {
    let before = blob.map(|it| CalendarFile::parse(&it.bytes)).transpose()?;
    let before = before.flatten();
    let ended = before.as_ref().map(CalendarFile::hash);
    // Written already, by a PUT of this call whose answer was lost.
    if ended == Some(hash) {
        return Ok(BlobUpdate::Keep(None));
    }
    let file = CalendarFile::new(before, hash, feed);
    Ok(BlobUpdate::Write(file.to_bytes().into(), ended))
}

/// How long answers about an address count.
#[derive(Debug, Clone, Copy)]
pub struct AddressTtl {
    /// Up to this age an answer is used without a request: the bound of staleness.
    pub fresh: Duration,
    /// Up to this age an address that was right is used while the store fails.
    pub outage: Duration,
}

/// What an instance knows of one address.
#[derive(Debug, Default, Clone)]
pub struct AddressState {
    /// The store's last answer, and when the request for it arrived: what the address opens, or that it opens nothing.
    answer: Option<(Option<CalendarFeed>, Instant)>,
    /// The failure since.
    failed: Option<(ReadError, Instant)>,
}

impl AddressState {
    /// What the state says at `now`.
    pub fn verdict(
        &self,
        now: Instant,
        ttl: AddressTtl,
    ) -> Freshness<Result<Option<CalendarFeed>, TaskError>> {
        let within = |ttl| move |at: &Instant| now.saturating_duration_since(*at) < ttl;
        let answer = |ttl| self.answer.as_ref().filter(|(_, at)| within(ttl)(at));
        if let Some((feed, _)) = answer(ttl.fresh) {
            return Freshness::Fresh(Ok(feed.clone()));
        }
        let failed = self.failed.as_ref();
        let Some((error, _)) = failed.filter(|(_, at)| within(FAILURE_TTL)(at)) else {
            return Freshness::Expired;
        };
        match answer(ttl.outage) {
            Some((Some(feed), _)) if error.is_outage() => Freshness::Fresh(Ok(Some(feed.clone()))),
            _ => Freshness::Fresh(Err(error.clone().into())),
        }
    }

    /// Whether the last answer was that the address opens something.
    pub fn is_open(&self) -> bool {
        matches!(&self.answer, Some((Some(_), _)))
    }

    /// Records the answer to a request of `arrived`, or its failure at `ended`.
    pub fn record(
        &mut self,
        answer: Result<Option<CalendarFeed>, ReadError>,
        arrived: Instant,
        ended: Instant,
    ) {
        match answer {
            Ok(feed) => {
                self.answer = Some((feed, arrived));
                self.failed = None;
            }
            Err(error) => self.failed = Some((error, ended)),
        }
    }
}
