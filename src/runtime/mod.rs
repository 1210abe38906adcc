//! Threads, queues and settlement: what stands between a source, the core and a sink.
//!
//! One thread polls the source and hands messages to the workers by partition; each worker runs a [`Mill`] and gives what comes out to
//! the sink; the sink's thread settles; one more thread deals with what the sink gave back. Nothing here looks into a message. How the
//! threads hang together is told in [`run`].
#[cfg(feature = "kafka")]
mod admin_keys;
mod blackout;
mod budget;
#[cfg(feature = "openai")]
mod collecting;
mod counts;
#[cfg(feature = "kafka")]
mod delivery;
mod engine_mill;
#[cfg(feature = "kafka")]
mod gate;
#[cfg(feature = "kafka")]
mod hands;
#[cfg(feature = "kafka")]
mod intake;
#[cfg(feature = "kafka")]
mod look;
mod mill;
#[cfg(feature = "kafka")]
mod reload;
#[cfg(feature = "kafka")]
mod repair;
mod route;
#[cfg(feature = "kafka")]
mod run;
#[cfg(feature = "kafka")]
mod spare;
#[cfg(feature = "kafka")]
mod stop;
mod ticket;
#[cfg(feature = "openai")]
mod transaction_book;
#[cfg(feature = "kafka")]
mod transactions;
mod watermark;
mod window;
#[cfg(feature = "kafka")]
mod worker;

pub use budget::Budget;
pub use engine_mill::{EngineMills, Inputs, Load};
pub use mill::{EventWriter, MessageIn, Mill, MilledEvent, MilledMessage, MilledReject, Mills, Seen};
#[cfg(feature = "kafka")]
pub use run::{Ended, RunError, run, run_until};
#[cfg(feature = "kafka")]
pub use stop::Stop;
pub use ticket::{Origin, Partition, Taken, Ticket};
pub use watermark::Watermark;
pub use window::{REPEAT, Window};
