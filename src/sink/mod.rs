//! Where events and dead letters go. A sink writes bytes and says when they are acknowledged; it never looks into an event.
#[cfg(feature = "kafka")]
pub mod any;
#[cfg(feature = "kafka")]
pub mod archive;
pub mod dead_letter;
#[cfg(feature = "eventhubs")]
pub mod eventhubs;
#[cfg(feature = "kafka")]
pub mod kafka;
pub mod letter_file;
pub mod raw_line;

/// A number from 0 to below 1, so that processes that failed together do not come back together.
pub fn jitter() -> f64 {
    use std::hash::{BuildHasher, RandomState};
    // Keyed anew for every call; no more chance than that is needed.
    (RandomState::new().hash_one(0u8) >> 11) as f64 / (1u64 << 53) as f64
}
