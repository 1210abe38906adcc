//! The sink that the settings name: one of the transports.
use std::time::Duration;

use super::archive::ArchiveSink;
#[cfg(feature = "eventhubs")]
use super::eventhubs::EventHubsSink;
use super::kafka::{Acks, KafkaSink, OutMessage, SendFault, SinkError, TransactionFault};

/// One of the transports, all with the same promise: every message handed over is acknowledged or refused through [`Acks::delivered`].
pub enum Sink<A: Acks> {
    /// Kafka, or Event Hubs through its Kafka endpoint.
    Kafka(KafkaSink<A>),
    /// Event Hubs over AMQP.
    #[cfg(feature = "eventhubs")]
    EventHubs(EventHubsSink<A>),
    /// Files.
    Archive(ArchiveSink<A>),
}

impl<A: Acks> Sink<A> {
    /// The Kafka sink, which alone has transactions.
    ///
    /// # Errors
    ///
    /// [`TransactionFault::Refused`] over AMQP; `check` refuses such settings before.
    pub fn kafka(&self) -> Result<&KafkaSink<A>, TransactionFault> {
        match self {
            Sink::Kafka(sink) => Ok(sink),
            #[cfg(feature = "eventhubs")]
            Sink::EventHubs(_) => Err(TransactionFault::Refused("Event Hubs has no transactions".to_owned())),
            Sink::Archive(_) => Err(TransactionFault::Refused("an archive has no transactions".to_owned())),
        }
    }

    /// Hands a message over.
    ///
    /// # Errors
    ///
    /// Why it was not taken; `owed` comes back and [`Acks::delivered`] is not called.
    pub fn send(&self, message: &OutMessage<'_>, owed: Box<A::Owed>) -> Result<(), (SendFault, Box<A::Owed>)> {
        match self {
            Sink::Kafka(sink) => sink.send(message, owed),
            #[cfg(feature = "eventhubs")]
            Sink::EventHubs(sink) => sink.send(message, owed),
            Sink::Archive(sink) => sink.send(message, owed),
        }
    }

    /// The same in a request of its own, where the transport refuses requests as a whole.
    ///
    /// # Errors
    ///
    /// As [`Sink::send`].
    pub fn send_alone(&self, message: &OutMessage<'_>, owed: Box<A::Owed>) -> Result<(), (SendFault, Box<A::Owed>)> {
        match self {
            Sink::Kafka(sink) => sink.send_alone(message, owed),
            #[cfg(feature = "eventhubs")]
            Sink::EventHubs(sink) => sink.send(message, owed),
            Sink::Archive(sink) => sink.send(message, owed),
        }
    }

    /// Waits until an acknowledgement made room, or `timeout` passed.
    pub fn wait_for_room(&self, timeout: Duration) {
        match self {
            Sink::Kafka(sink) => sink.wait_for_room(timeout),
            #[cfg(feature = "eventhubs")]
            Sink::EventHubs(sink) => sink.wait_for_room(timeout),
            Sink::Archive(sink) => sink.wait_for_room(timeout),
        }
    }

    /// Waits until everything handed over is acknowledged or refused.
    ///
    /// # Errors
    ///
    /// [`SinkError::Flush`] when `timeout` passes before.
    pub fn flush(&self, timeout: Duration) -> Result<(), SinkError> {
        match self {
            Sink::Kafka(sink) => sink.flush(timeout),
            #[cfg(feature = "eventhubs")]
            Sink::EventHubs(sink) => sink.flush(timeout),
            Sink::Archive(sink) => sink.flush(timeout),
        }
    }

    /// Throws out what is not acknowledged: a stop that may wait no longer.
    pub fn purge(&self) {
        match self {
            Sink::Kafka(sink) => sink.purge(),
            #[cfg(feature = "eventhubs")]
            Sink::EventHubs(sink) => sink.purge(),
            Sink::Archive(sink) => sink.purge(),
        }
    }
}
