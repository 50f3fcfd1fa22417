//! The addresses of calendars: getting, ending and looking up. A look-up costs a storage request, and none while the
//! address is remembered.

use std::sync::Arc;

use moka::sync::Cache;
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use super::calendar_address::{
    AddressHash, AddressState, AddressTtl, CalendarAddress, CalendarFeed, CalendarFile, new_address,
};
use super::error::{Limited, TaskError};
use super::limit::{MinuteWindow, RateLimiter};
use crate::cache::ReadRequest;
use crate::now::Now;
use crate::revalidated::Revalidated;
use crate::store::{BlobKey, BlobStore, BlobStoreExt, BlobUpdate, DeleteOutcome, StoreError};
use crate::user::UserId;
use crate::user_state::ReadError;

/// Attempts of a compare-and-swap of `calendar.json`.
const ATTEMPTS: u32 = 5;

/// Capacity of each of the two caches; beyond it the least used addresses are evicted.
const MAX_ADDRESSES: u64 = 10_000;

/// Refusals per minute and instance that took a storage request. Beyond this limit only addresses that were right before
/// are looked up.
const MAX_REFUSALS_PER_MINUTE: u32 = 100;

/// Concurrent look-ups of addresses that weren't right before.
const MAX_UNKNOWN_LOOKUPS: usize = 64;

/// The calendars' addresses, as one instance knows them. A cheap handle: clones share all state.
#[derive(Clone)]
pub struct CalendarAddresses(Arc<AddressBook>);

struct AddressBook {
    /// With a deadline for each request.
    store: Arc<dyn BlobStore>,
    writes: RateLimiter,
    ids: fn() -> u64,
    ttl: AddressTtl,
    /// Addresses that were right when they were last looked up.
    open: Cache<AddressHash, Arc<Revalidated<AddressState>>>,
    /// All others. Kept apart, so that invented addresses evict none that are right.
    others: Cache<AddressHash, Arc<Revalidated<AddressState>>>,
    refusals: Mutex<MinuteWindow>,
    unknown: Semaphore,
}

impl CalendarAddresses {
    pub(super) fn new(
        store: &Arc<dyn BlobStore>,
        writes: RateLimiter,
        ids: fn() -> u64,
        ttl: AddressTtl,
    ) -> Self {
        Self(Arc::new(AddressBook {
            store: Arc::clone(store),
            writes,
            ids,
            ttl,
            open: Cache::new(MAX_ADDRESSES),
            others: Cache::new(MAX_ADDRESSES),
            refusals: Mutex::default(),
            unknown: Semaphore::new(MAX_UNKNOWN_LOOKUPS),
        }))
    }

    /// Gives the user's calendar a new address, and ends the one before: on this instance at once, on others when what
    /// they remember of it isn't fresh any more.
    ///
    /// # Errors
    /// [`TaskError::TooMany`] beyond the user's limit of writes. If the storage fails, the address before may have ended.
    pub async fn create(
        &self,
        request: &ReadRequest,
        feed: &CalendarFeed,
    ) -> Result<CalendarAddress, TaskError> {
        let book = &*self.0;
        book.writes.allow(request)?;
        let address = CalendarAddress::new(&feed.user, [(book.ids)(), (book.ids)()]);
        let (key, hash) = (BlobKey::calendar(&feed.user), address.hash());
        let mut before = None;
        let decide = |blob| {
            let update = new_address(blob, hash, feed)?;
            // A repeated attempt may find the one that it has written itself.
            if let BlobUpdate::Write(_, ended) = &update {
                before = *ended;
            }
            Ok::<_, ReadError>(update)
        };
        let written = book.store.update(&key, ATTEMPTS, decide).await?;
        written.ok_or_else(contended)?;
        if let Some(ended) = before {
            book.end(ended, request.now).await;
        }
        tracing::info!(user = %feed.user, "the calendar has a new address");
        Ok(address)
    }

    /// Ends the address of the user's calendar, if it has one.
    ///
    /// # Errors
    /// As [`Self::create`].
    pub async fn delete(&self, request: &ReadRequest) -> Result<(), TaskError> {
        let (book, user) = (&*self.0, &request.user);
        book.writes.allow(request)?;
        let key = BlobKey::calendar(user);
        for _ in 0..ATTEMPTS {
            let Some(blob) = book.store.read(&key).await.map_err(ReadError::from)? else {
                return Ok(());
            };
            let file = CalendarFile::parse(&blob.bytes).map_err(ReadError::from)?;
            let deleted = book.store.delete(&key, &blob.etag).await;
            if deleted.map_err(ReadError::from)?.value != DeleteOutcome::Refused {
                if let Some(file) = file {
                    book.end(file.hash(), request.now).await;
                }
                tracing::info!(%user, "the calendar has no address any more");
                return Ok(());
            }
        }
        Err(contended().into())
    }

    /// What the address opens; `None` if it isn't the user's, or not any more.
    ///
    /// # Errors
    /// [`TaskError::TooMany`] while many wrong addresses come; if the storage fails.
    pub async fn look_up(
        &self,
        address: CalendarAddress,
        now: Now,
    ) -> Result<Option<CalendarFeed>, TaskError> {
        let (book, hash) = (&self.0, address.hash());
        let known = book.known(hash);
        let renew = |flight| {
            let (book, known) = (Arc::clone(book), Arc::clone(&known));
            async move {
                let verdict = book.refresh(&known, &address.user, hash, now).await;
                drop(flight);
                verdict
            }
        };
        known
            .get(|state| state.verdict(now.mono, book.ttl), renew)
            .await
    }
}

impl AddressBook {
    fn known(&self, hash: AddressHash) -> Arc<Revalidated<AddressState>> {
        let known = self.open.get(&hash);
        known.unwrap_or_else(|| self.others.get_with(hash, Arc::default))
    }

    /// Records that the address was ended by a request of `now`.
    async fn end(&self, hash: AddressHash, now: Now) {
        let known = self.known(hash);
        // A look-up begun before must not overwrite what is recorded here.
        let _flight = known.hold().await;
        self.record(&known, hash, Ok(None), now.later());
    }

    /// Records an answer to a request of `now`, or a failure.
    fn record(
        &self,
        known: &Arc<Revalidated<AddressState>>,
        hash: AddressHash,
        answer: Result<Option<CalendarFeed>, ReadError>,
        now: Now,
    ) {
        known.state().record(answer, now.mono, now.later().mono);
        let (now_in, not_in) = match known.state().is_open() {
            true => (&self.open, &self.others),
            false => (&self.others, &self.open),
        };
        now_in.insert(hash, Arc::clone(known));
        not_in.invalidate(&hash);
    }

    /// Asks the store about the address, within the limits, and records the answer.
    async fn refresh(
        &self,
        known: &Arc<Revalidated<AddressState>>,
        user: &UserId,
        hash: AddressHash,
        now: Now,
    ) -> Result<Option<CalendarFeed>, TaskError> {
        let was_open = known.state().is_open();
        let _permit = match was_open {
            true => None,
            false => {
                self.check_refusals(now)?;
                let permit = self.unknown.acquire().await;
                // Others may have been refused during the wait.
                self.check_refusals(now)?;
                permit.ok()
            }
        };
        let answer = self.read(user, &hash).await;
        if let Ok(None) = answer {
            self.refusals.lock().count(now.mono);
        }
        self.record(known, hash, answer.clone(), now);
        answer.or_else(|error| {
            let remembered = known.state().verdict(now.later().mono, self.ttl);
            remembered.usable().unwrap_or(Err(error.into()))
        })
    }

    async fn read(
        &self,
        user: &UserId,
        hash: &AddressHash,
    ) -> Result<Option<CalendarFeed>, ReadError> {
        let blob = self.store.read(&BlobKey::calendar(user)).await?;
        let file = blob.map(|it| CalendarFile::parse(&it.bytes)).transpose()?;
        Ok(file.flatten().and_then(|it| it.opened_by(hash, user)))
    }

    fn check_refusals(&self, now: Now) -> Result<(), TaskError> {
        let checked = self.refusals.lock();
        let checked = checked.check(MAX_REFUSALS_PER_MINUTE, now.mono);
        checked.map_err(|retry_after| TaskError::TooMany {
            retry_after,
            of: Limited::Addresses,
        })
    }
}

fn contended() -> ReadError {
    StoreError::unavailable("put", "calendar.json", "others kept changing it").into()
}
