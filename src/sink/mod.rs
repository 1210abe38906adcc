//! Where events and dead letters go. A sink writes bytes and says when they are acknowledged; it never looks into an event.
pub mod dead_letter;
#[cfg(feature = "kafka")]
pub mod kafka;
