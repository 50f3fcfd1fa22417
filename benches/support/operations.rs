//! A `Codex` on a folder, with settings under which nothing expires while a bench runs.

use std::sync::Arc;
use std::time::Duration;

use codex_miroir::cache::CacheSettings;
use codex_miroir::codex::{Codex, CodexSettings};
use codex_miroir::rules::Rules;
use codex_miroir::store::directory::DirectoryStore;

pub(crate) fn codex(store: &Arc<DirectoryStore>) -> Codex {
    let hour = Duration::from_secs(3600);
    let cache = CacheSettings {
        memory_ttl: hour,
        artifact_ttl: hour,
        revalidate: hour,
        stale_if_error: hour,
        memory_max_bytes: 1 << 30,
        deadline: hour,
        pending_expiry: hour,
        zone: chrono_tz::Europe::Berlin,
        ids: || getrandom::u64().expect("the operating system gives random numbers"),
        rules: Rules::default(),
    };
    Codex::new(
        Arc::clone(store) as _,
        CodexSettings {
            cache,
            rebuilds_per_minute: u32::MAX,
            writes_per_minute: u32::MAX,
            git: None,
            shared: None,
        },
    )
}
