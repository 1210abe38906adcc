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
