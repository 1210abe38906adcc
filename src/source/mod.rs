//! Where messages come from. A source hands bytes over and keeps positions; it never looks into a message.
#[cfg(feature = "objects")]
pub mod blob;
#[cfg(feature = "eventhubs")]
pub mod eventhubs;
#[cfg(feature = "kafka")]
pub mod kafka;
#[cfg(any(feature = "eventhubs", feature = "objects", feature = "openai"))]
mod lasting;
#[cfg(feature = "openai")]
pub mod openai;
pub mod redrive;

/// Somewhere messages come from. It runs on a thread of its own.
#[cfg(feature = "kafka")]
pub trait Source: Send {
    /// Reads until its keeper says that draining is over, then commits and gives its partitions up, which dropping completes.
    ///
    /// # Errors
    ///
    /// Nothing more can be read; what is settled was committed as far as that goes.
    fn run(&self) -> Result<(), String>;
}

/// Milliseconds since the Unix epoch by the local clock.
#[cfg(any(feature = "objects", feature = "openai"))]
pub fn now_ms() -> i64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}
