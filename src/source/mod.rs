//! Where messages come from. A source hands bytes over and keeps positions; it never looks into a message.
#[cfg(feature = "objects")]
pub mod blob;
#[cfg(feature = "eventhubs")]
pub mod eventhubs;
#[cfg(feature = "kafka")]
pub mod kafka;
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
