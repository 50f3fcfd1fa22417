//! A cache that the instances share beside the store: what one has just learnt from the store the others get from here,
//! and a change made by one is known to all at once (src/cache/README.md, "The shared cache"). It is never the truth: it
//! may be away, empty, full, slow, or go back to an older copy of itself, and costs then more requests and nothing else.

mod cache;
mod clock;
mod entry;
mod redis;

pub use cache::{Away, LookupOutcome, NoAnswer, SharedCache, SharedSnapshots};
pub use clock::{CLOCK_SKEW, ServerClock, ServerTime};
pub use entry::{
    Hint, Published, ReplaceStep, SharedBody, SharedEntry, SharedReply, Stamp, decide_replace,
};
pub use redis::{
    BadRedisClient, Breaker, CallResult, HealthLine, RedisCache, RedisSettings, RedisSnapshots,
    RefusedCommand, object_id, parse_hint, reconnect_pause,
};
