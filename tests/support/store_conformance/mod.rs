//! The contract of every store, one fact per function (src/store/README.md, "The contract").
//!
//! Each fact gets a user of its own, in a store that other users may be using.

pub(crate) mod concurrency;
pub(crate) mod conditions;
pub(crate) mod contents;
pub(crate) mod listing;
pub(crate) mod others;
pub(crate) mod write_ids;

use std::sync::Arc;

use bytes::Bytes;
use chrono::TimeDelta;
use codex_miroir::store::{
    Blob, BlobKey, BlobStore, DeleteOutcome, ETag, GetIf, GetOutcome, ListedBlob, Prefix, Put,
    PutIf, PutOutcome, WriteId, WriteIds,
};
use codex_miroir::user::UserId;

/// Generates a test of every fact for each of these stores, given as functions that return an [`Opened`].
macro_rules! every_fact_on {
    ($($store:ident),+) => {
        $(
            every_fact_on!(@ $store {
                contents: bytes_come_back_as_written, an_empty_blob_comes_back_empty, a_big_blob_comes_back_whole,
                    odd_names_name_their_own_blob, every_kind_of_key_works, a_date_is_the_stores_time;
                conditions: an_absent_blob_is_absent_in_every_form, changed_gives_only_news, same_gives_only_that_version,
                    create_needs_a_free_name, update_needs_the_named_version, any_overwrites,
                    the_same_bytes_again_are_another_version, a_version_never_comes_back,
                    delete_needs_the_named_version, etags_count_quoted_or_not;
                listing: an_unknown_user_has_an_empty_listing, a_listing_has_the_etags_of_get_and_put,
                    a_listing_shows_no_other_user, a_listing_shows_raw_files_only, a_deleted_blob_leaves_the_listing,
                    a_listing_says_when_a_blob_was_last_written, the_contents_of_a_prefix_are_its_blobs_and_folders,
                    every_users_folder_is_in_the_contents_above;
                write_ids: write_ids_come_back, write_ids_are_replaced_by_each_write, only_sixteen_write_ids_are_kept,
                    a_write_without_ids_loses_them, a_repeated_update_is_recognised, a_repeated_create_is_recognised,
                    a_create_after_a_delete_has_only_its_own_id;
                concurrency: of_many_updates_one_wins, of_many_creates_one_wins, of_many_deletes_one_wins,
                    a_reader_sees_whole_versions_only, users_do_not_wait_for_each_other;
            });
        )+
    };
    (@ $store:ident { $($group:ident: $($fact:ident),+;)+ }) => {
        mod $store {
            use $crate::support::store_conformance as suite;

            $($(
                #[tokio::test(flavor = "multi_thread")]
                async fn $fact() {
                    let opened = super::$store();
                    let user = suite::user(stringify!($fact));
                    suite::$group::$fact(&*opened.store, &user).await;
                }
            )+)+
        }
    };
}
pub(crate) use every_fact_on;

/// A store, and the resources that must outlive it.
pub(crate) struct Opened {
    pub(crate) store: Arc<dyn BlobStore>,
    pub(crate) folder: Option<tempfile::TempDir>,
}

impl Opened {
    pub(crate) fn of(store: impl BlobStore + 'static) -> Self {
        Self {
            store: Arc::new(store),
            folder: None,
        }
    }
}

pub(crate) fn user(name: &str) -> UserId {
    UserId::parse(name).unwrap()
}

pub(crate) fn raw(user: &UserId, name: &str) -> BlobKey {
    BlobKey::raw(user, name).unwrap()
}

pub(crate) fn bytes(text: &str) -> Put {
    Put {
        bytes: Bytes::from(text.to_owned()),
        writes: WriteIds::default(),
    }
}

fn by(text: &str, writes: WriteIds) -> Put {
    Put {
        bytes: Bytes::from(text.to_owned()),
        writes,
    }
}

/// The write ids of a first write.
fn first(id: u64) -> WriteIds {
    WriteIds::default().with_newest(WriteId(id))
}

async fn put(store: &dyn BlobStore, key: &BlobKey, blob: Put, condition: PutIf) -> PutOutcome {
    store.put(key, blob, condition).await.unwrap().value
}

/// Writes a blob; the write must succeed.
pub(crate) async fn written(
    store: &dyn BlobStore,
    key: &BlobKey,
    blob: Put,
    condition: PutIf,
) -> ETag {
    match put(store, key, blob, condition).await {
        PutOutcome::Done(etag) => etag,
        PutOutcome::Refused => panic!("{key} was refused"),
    }
}

async fn get(store: &dyn BlobStore, key: &BlobKey, condition: GetIf) -> GetOutcome {
    store.get(key, condition).await.unwrap().value
}

/// Reads a blob, which must exist.
async fn blob(store: &dyn BlobStore, key: &BlobKey) -> Blob {
    match get(store, key, GetIf::Any).await {
        GetOutcome::Blob(blob) => blob,
        other => panic!("{key}: {other:?}"),
    }
}

/// The user's raw files, sorted by name.
async fn listed(store: &dyn BlobStore, user: &UserId) -> Vec<ListedBlob> {
    let mut blobs = store.list(&Prefix::raw(user)).await.unwrap().value.blobs;
    blobs.sort_by(|a, b| a.name.cmp(&b.name));
    blobs
}

async fn names(store: &dyn BlobStore, user: &UserId) -> Vec<String> {
    listed(store, user)
        .await
        .into_iter()
        .map(|listed| listed.name)
        .collect()
}
