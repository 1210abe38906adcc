//! The sink's acknowledgements: they settle messages, or come to [`super::repair`].
use std::sync::Arc;
use std::time::Instant;

use crossbeam_channel::Sender;

use super::gate::Share;
use super::stop::{Phase, Stop};
use super::ticket::Ticket;
use crate::sink::archive::{ArchiveNews, Arrival};
use crate::sink::kafka::{Acks, OutMessage, Refused};
use crate::telemetry::{Component, Health, Histogram, IntCounter, Metrics};

/// What is owed for one message handed to the sink.
#[derive(Debug)]
pub struct Owed {
    /// The message it came of.
    pub ticket: Arc<Ticket>,
    /// What was sent.
    pub what: What,
    /// Attempts that failed so far.
    pub failures: u32,
    /// Sent in a request of its own.
    pub alone: bool,
    /// With transactions: holds the commit until this came back.
    pub share: Option<Share>,
}

/// What was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// An event of a record, for an output.
    Event {
        /// Index of the output.
        output: u16,
        /// Index of the record within its message.
        record: u32,
    },
    /// A message of a source's own state, in the transaction of the events it tells of.
    #[cfg_attr(not(feature = "openai"), allow(dead_code))]
    State,
    /// A dead letter, or a piece of one.
    Letter {
        /// Where it was rejected.
        stage: &'static str,
        /// Why.
        code: &'static str,
    },
}

impl What {
    /// The output it is for; dead letters and states are for none.
    pub fn output(self) -> Option<u16> {
        match self {
            What::Event { output, .. } => Some(output),
            What::State | What::Letter { .. } => None,
        }
    }
}

/// Something the sink gave back.
#[derive(Debug)]
pub struct Failure {
    /// What is still owed.
    pub owed: Box<Owed>,
    /// Why, and the message itself.
    pub refused: Refused,
    /// The producer did not take it; the broker knows nothing of it.
    pub was_not_taken: bool,
    /// When it came back.
    pub at: Instant,
}

/// Told by the producer's thread.
pub struct Delivery {
    failures: Sender<Failure>,
    metrics: Arc<Metrics>,
    health: Arc<Health>,
    stop: Arc<Stop>,
    settle_latency: Histogram,
    delivered: Vec<IntCounter>,
    component: Component,
    section: String,
    identity: String,
}

impl Delivery {
    /// Of one sink. `outputs` are the outputs' names in order; `section` of the settings and `identity`, who the sink logs in as, are for
    /// messages.
    pub fn new(
        failures: Sender<Failure>,
        metrics: &Arc<Metrics>,
        health: &Arc<Health>,
        stop: &Arc<Stop>,
        outputs: &[String],
        (component, section, identity): (Component, String, String),
    ) -> Delivery {
        Delivery {
            failures,
            metrics: Arc::clone(metrics),
            health: Arc::clone(health),
            stop: Arc::clone(stop),
            settle_latency: metrics.latency_of("settle"),
            delivered: outputs.iter().map(|output| metrics.delivered.with_label_values(&[output])).collect(),
            component,
            section,
            identity,
        }
    }

    /// The faults that stand.
    pub fn health(&self) -> &Health {
        &self.health
    }

    /// Settles one share of a message and measures when it was the last.
    pub fn acknowledge(&self, ticket: &Ticket) {
        if ticket.acknowledge() {
            self.settle_latency.observe(ticket.begun.elapsed().as_secs_f64());
        }
    }

    /// Hands something to the repair thread. It only ends after all workers, so the channel is open.
    pub fn fail(&self, owed: Box<Owed>, refused: Refused, was_not_taken: bool) {
        self.metrics.kafka_errors.with_label_values(&["sink", refused.code.as_str()]).inc();
        if self.failures.send(Failure { owed, refused, was_not_taken, at: Instant::now() }).is_err() && self.stop.phase() < Phase::GivenUp {
            self.stop.fatal("the thread that handles undelivered messages ended".to_owned());
        }
    }
}

impl Acks for Delivery {
    type Owed = Owed;

    fn delivered(&self, owed: Box<Owed>, result: Result<(), Refused>) {
        match result {
            Ok(()) => {
                match owed.what {
                    What::Event { output, .. } => {
                        if let Some(counter) = self.delivered.get(usize::from(output)) {
                            counter.inc();
                        }
                    }
                    What::State => {}
                    What::Letter { stage, code } => self.metrics.dead_letters.with_label_values(&[stage, code]).inc(),
                }
                self.acknowledge(&owed.ticket);
            }
            Err(refused) => self.fail(owed, refused, false),
        }
    }

    fn reachable(&self) {
        if self.health.clear(self.component) {
            tracing::info!(section = self.section, "sink: a broker is connected");
        }
    }

    fn trouble(&self, code: &str, refused: bool, reason: &str) {
        self.metrics.kafka_errors.with_label_values(&["sink", code]).inc();
        report(&self.health, self.component, &self.section, &self.identity, code, refused, reason);
    }

    fn arrival<'a>(&self, owed: &'a Owed) -> Option<Arrival<'a>> {
        let Ticket { partition, taken, .. } = &*owed.ticket;
        Some(Arrival { topic: &partition.topic, partition: partition.number, offset: taken.offset, received_ms: taken.received_ms })
    }

    fn is_awaited(&self, owed: &Owed) -> bool {
        self.stop.phase() > Phase::Running || owed.ticket.partition.is_revoked() || owed.ticket.is_pressing()
    }

    fn archive(&self, news: ArchiveNews) {
        let sink: &str = self.section.as_ref();
        match news {
            ArchiveNews::Written(bytes) => {
                self.metrics.archive_files.with_label_values(&[sink, "written"]).inc();
                self.metrics.archive_bytes.with_label_values(&[sink]).inc_by(bytes);
            }
            ArchiveNews::Failed => self.metrics.archive_files.with_label_values(&[sink, "failed"]).inc(),
            ArchiveNews::Oldest(age) => self.metrics.archive_age.with_label_values(&[sink]).set(age.as_secs_f64()),
        }
    }
}

/// Notes and logs a transport's trouble: a refusal once with what to look at, anything else once a change.
pub fn report(health: &Health, component: Component, section: &str, identity: &str, code: &str, refused: bool, reason: &str) {
    // While a refusal stands, what follows from it says nothing new, and its own repeats differ only in their words.
    if health.reason(component).is_some_and(|reason| reason.starts_with(REFUSED)) {
        return;
    }
    if refused {
        let part = if section.ends_with("kafka") { "security" } else { "access" };
        let text = format!("{REFUSED} ({identity}): {}; check `{section}.{part}`", stable(reason));
        if health.fail(component, &text) {
            tracing::error!(component = component.name(), code, "{text}");
        }
    } else {
        let text = format!("{}; trying again", stable(reason));
        if health.fail(component, &text) {
            tracing::warn!(component = component.name(), code, "{text}");
        }
    }
}

/// How the text of a refusal begins.
const REFUSED: &str = "the broker did not let us in";

/// librdkafka's reason without what changes from attempt to attempt, so that the same trouble is the same text: `(after 3ms in state ...)`.
fn stable(reason: &str) -> &str {
    reason.split(" (after ").next().unwrap_or(reason).trim()
}

/// Headers as the sink wants them.
pub fn borrowed<'a>(headers: &'a [(&'static str, String)]) -> Vec<(&'a str, &'a [u8])> {
    headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect()
}

/// The owned form of a message that was not taken.
pub fn owned(message: &OutMessage<'_>) -> crate::sink::kafka::OwnedMessage {
    crate::sink::kafka::OwnedMessage {
        topic: message.topic.to_owned(),
        key: message.key.to_vec(),
        value: message.value.to_vec(),
        headers: message.headers.iter().map(|(name, value)| ((*name).to_owned(), value.to_vec())).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_stands_and_is_told_once() {
        let health = Health::default();
        let say =
            |refused, reason| report(&health, Component::Source, "source.kafka", "PLAIN, user `u`", "Authentication", refused, reason);
        say(true, "b:1: SASL authentication error: no (after 31ms in state AUTH_REQ)");
        say(true, "Message consumption error: the same in other words");
        say(false, "b:1: Disconnected (after 2ms in state UP)");
        assert_eq!(
            health.report(),
            "source: the broker did not let us in (PLAIN, user `u`): b:1: SASL authentication error: no; check `source.kafka.security`\n"
        );
    }
}
