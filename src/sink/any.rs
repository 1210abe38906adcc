//! The sinks that the settings name: each one of the transports.
use std::time::Duration;

use super::archive::ArchiveSink;
#[cfg(feature = "eventhubs")]
use super::eventhubs::EventHubsSink;
use super::kafka::{Acks, KafkaSink, OutMessage, SendFault, SinkError, TransactionFault};

/// The sinks of all outputs that are required.
pub struct Sinks<A: Acks> {
    /// `[sink]` first: it takes dead letters and has the transactions.
    all: Vec<Sink<A>>,
    /// By output: which of them it writes to.
    of_outputs: Vec<u16>,
}

impl<A: Acks> Sinks<A> {
    /// `first` is `[sink]`; `of_outputs` says by output which it writes to, 0 for the first.
    pub fn new(first: Sink<A>, others: impl IntoIterator<Item = Sink<A>>, of_outputs: Vec<u16>) -> Sinks<A> {
        Sinks { all: std::iter::once(first).chain(others).collect(), of_outputs }
    }

    /// The number of the sink of an output, 0 for `[sink]`. `None` asks for dead letters.
    pub fn number_of(&self, output: Option<u16>) -> u16 {
        output.and_then(|output| self.of_outputs.get(usize::from(output)).copied()).unwrap_or(0)
    }

    /// The sink of an output; `None` asks for dead letters.
    pub fn of(&self, output: Option<u16>) -> &Sink<A> {
        self.all.get(usize::from(self.number_of(output))).unwrap_or(&self.all[0])
    }

    /// The Kafka sink of `[sink]`, which alone has transactions.
    ///
    /// # Errors
    ///
    /// As [`Sink::kafka`].
    pub fn kafka(&self) -> Result<&KafkaSink<A>, TransactionFault> {
        self.of(None).kafka()
    }

    /// Waits until everything handed over is acknowledged or refused.
    ///
    /// # Errors
    ///
    /// The first sink's that is not done when `timeout` passes; all are asked.
    pub fn flush(&self, timeout: Duration) -> Result<(), SinkError> {
        // Every one is flushed, also behind one that failed.
        let mut result = Ok(());
        for sink in &self.all {
            result = result.and(sink.flush(timeout));
        }
        result
    }

    /// Throws out what is not acknowledged: a stop that may wait no longer.
    pub fn purge(&self) {
        self.all.iter().for_each(Sink::purge);
    }
}

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
