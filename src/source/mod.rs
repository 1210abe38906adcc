//! Where messages come from. A source hands bytes over and keeps positions; it never looks into a message.
#[cfg(feature = "kafka")]
pub mod kafka;
pub mod redrive;
