//! The operations. They know users, versions and files; what a request or a status code is, is the
//! edge's business.

mod bodies;
mod limit;
mod probe;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chrono_tz::Tz;

use crate::cache::{Cache, CacheSettings, Entry};
use crate::store::{BlobStore, StoreError};

pub use crate::cache::{
    Encoding, Freshness, Layer, PageBytes, PageFormat, Read, ReadError, Requests, Version, Want,
};
use limit::Limiter;
use probe::Probe;

/// What the operations need to know of the settings.
#[derive(Debug, Clone)]
pub struct CodexSettings {
    /// Of the cache.
    pub cache: CacheSettings,
    /// Rebuilds and strict reads a user may ask of this instance in a minute.
    pub rebuilds_per_minute: u32,
}

/// CodexMiroir's operations over one store. Cloning shares everything.
#[derive(Clone)]
pub struct Codex {
    store: Arc<dyn BlobStore>,
    cache: Cache,
    rebuilds: Arc<Limiter>,
    probe: Arc<Probe>,
    zone: Tz,
}

/// Why there is no week to show.
#[derive(Debug, Clone, thiserror::Error)]
pub enum WeekError {
    /// The cache couldn't get at it.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The user asked for more rebuilds than this instance grants.
    #[error("too many rebuilds")]
    TooMany {
        /// When to come back.
        retry_after: Duration,
    },
}

/// A week with the bodies of its tasks.
#[derive(Debug, Clone)]
pub struct WeekWithBodies {
    /// The week, and where it came from; its requests include the bodies'.
    pub read: Read,
    /// Weak entity tag, quoted.
    pub etag: Box<str>,
    /// The page.
    pub bytes: Bytes,
}

impl Codex {
    /// Operations over `store`.
    pub fn new(store: Arc<dyn BlobStore>, settings: CodexSettings) -> Self {
        let zone = settings.cache.zone;
        Self {
            cache: Cache::new(Arc::clone(&store), settings.cache),
            rebuilds: Arc::new(Limiter::per_minute(settings.rebuilds_per_minute)),
            probe: Arc::default(),
            store,
            zone,
        }
    }

    /// The user's week, as fresh as `want` says.
    pub async fn week(&self, want: &Want) -> Result<Read, WeekError> {
        if want.freshness != Freshness::Bounded {
            let granted = self.rebuilds.take(&want.user, want.now.mono);
            granted.map_err(|retry_after| WeekError::TooMany { retry_after })?;
        }
        Ok(self.cache.read(want).await?)
    }

    /// The bytes of a week in this form.
    pub fn page<'a>(
        &self,
        entry: &'a Arc<Entry>,
        format: PageFormat,
        encoding: Encoding,
    ) -> PageBytes<'a> {
        self.cache.page(entry, format, encoding)
    }

    /// Whether the store answers; remembered for five seconds.
    pub async fn is_ready(&self, now: crate::now::Now) -> Result<(), StoreError> {
        self.probe.ask(&*self.store, now).await
    }

    /// How many users memory holds, and what they occupy together in bytes.
    pub fn memory_size(&self) -> (u64, u64) {
        self.cache.memory_size()
    }
}
