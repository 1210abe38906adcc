//! What the sink gave back: sent again, turned into dead letters, or the end.
//!
//! A thread of its own does this, because the sink's thread must go on bringing acknowledgements while this one waits for room.
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;

use super::delivery::{Failure, Owed, What};
use super::gate::{Gate, Refusal};
use super::stop::Phase;
use super::worker::Shared;
use crate::sink::kafka::{Fate, OutMessage, Refused};
use crate::telemetry::Component;

/// How often the end is looked for.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);
/// The first wait before something is sent again; it doubles with every failure.
const BACKOFF_FIRST: Duration = Duration::from_millis(100);
/// The longest wait.
const BACKOFF_MAX: Duration = Duration::from_secs(10);

/// Runs until `finished` is set and the queue is empty. The queue cannot close by itself: the sink, which this thread sends with, holds
/// its other end.
pub fn repair(failures: &Receiver<Failure>, finished: &AtomicBool, shared: &Shared) {
    loop {
        match failures.recv_timeout(LOOK_INTERVAL) {
            Ok(failure) if shared.stop.phase() < Phase::GivenUp => one(failure, shared),
            Ok(_) => {}
            Err(_) if finished.load(Ordering::Acquire) => return,
            Err(_) => {}
        }
    }
}

fn one(failure: Failure, shared: &Shared) {
    let Failure { mut owed, refused, was_not_taken, at } = failure;
    if let Some(gate) = &shared.gate
        && !(was_not_taken && refused.fate == Fate::Permanent)
    {
        return in_transaction(&owed, &refused, gate, shared);
    }
    match (refused.fate, owed.what) {
        (Fate::Purged, _) => {}
        (Fate::Fatal, _) => {
            shared.stop.fatal(format!("sink.kafka: the producer cannot go on: {}", refused.code));
        }
        (Fate::Retry, _) => {
            owed.failures += 1;
            let text = format!("messages are not delivered ({}); sending again", refused.code);
            if shared.delivery.health().fail(shared.component(owed.what), &text) {
                tracing::warn!(code = refused.code, "sink: {text}");
            }
            let plain = backoff(owed.failures);
            // A lost connection gives back thousands at once: they wait together, not one after the other.
            wait_until(shared, at + plain + plain.mul_f64(crate::sink::jitter() / 4.0));
            resend(owed, &refused.message, shared);
        }
        // Another message in the same request may be the large one.
        (Fate::Permanent, _) if refused.too_large && !owed.alone => {
            owed.alone = true;
            resend(owed, &refused.message, shared);
        }
        (Fate::Permanent, What::State) => shared.state_refused(&refused.message.topic, &refused.code),
        (Fate::Permanent, What::Letter { .. }) => {
            shared.letter_refused(&refused.code);
        }
        (Fate::Permanent, What::Event { output, record }) => {
            // Its share is held to the end, so that no transaction is committed without the letter.
            let (ticket, _share) = (owed.ticket, owed.share);
            let refusal = Refusal { too_large: refused.too_large, code: refused.code };
            let reject = shared.undeliverable(record, &refused.message.topic, &refusal, refused.message.value.len());
            // The message key is the id: a later copy is tried again.
            ticket.partition.forget(&refused.message.key, ticket.taken.offset, record);
            match shared.seal(&ticket, &reject, Some(output)) {
                Some(sealed) => {
                    // The event's own share becomes the first piece's.
                    ticket.expect_more(sealed.pieces() - 1);
                    shared.send_letter(&ticket, &sealed);
                }
                None => shared.delivery.acknowledge(&ticket),
            }
        }
    }
}

/// One message that was not delivered dooms its transaction: it is aborted, and its input messages are read again.
fn in_transaction(owed: &Owed, refused: &Refused, gate: &Gate, shared: &Shared) {
    match (refused.fate, owed.what) {
        // The abort itself threw it out, or a producer that is being replaced.
        (Fate::Purged, _) => {}
        // Another message in the same request may be the large one.
        (Fate::Permanent, _) if refused.too_large && !owed.alone => {
            gate.ask_careful();
            gate.ask_abort("a request was too large; its messages are sent one by one".to_owned());
        }
        (Fate::Permanent, What::State) => shared.state_refused(&refused.message.topic, &refused.code),
        (Fate::Permanent, What::Letter { .. }) => shared.letter_refused(&refused.code),
        (Fate::Permanent, What::Event { output, record }) => {
            let partition = &owed.ticket.partition;
            let place = (std::sync::Arc::clone(&partition.topic), partition.number, owed.ticket.taken.offset, record, output);
            gate.refuse(place, Refusal { too_large: refused.too_large, code: refused.code.clone() });
            gate.ask_abort(format!("topic `{}` refuses an event ({}); it becomes a dead letter", refused.message.topic, refused.code));
        }
        (Fate::Retry | Fate::Fatal, _) => gate.ask_abort(format!("messages are not delivered ({})", refused.code)),
    }
}

fn resend(owed: Box<Owed>, message: &crate::sink::kafka::OwnedMessage, shared: &Shared) {
    let headers: Vec<(&str, &[u8])> = message.headers.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect();
    shared.send(&OutMessage { topic: &message.topic, key: &message.key, value: &message.value, headers: &headers }, owed);
}

fn backoff(failures: u32) -> Duration {
    BACKOFF_FIRST.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(BACKOFF_MAX)
}

/// Waits, but not past the end of the process.
fn wait_until(shared: &Shared, deadline: Instant) {
    while Instant::now() < deadline && shared.stop.phase() < Phase::GivenUp {
        std::thread::park_timeout(Duration::from_millis(50));
    }
}

impl Shared {
    fn letter_refused(&self, code: &str) {
        let help = "the record would be lost, so the process stops; nothing of its message was acknowledged";
        self.stop.fatal(format!("dead-letter topic `{}` refuses a dead letter ({code}): {help}", self.dead_letter.topic));
    }

    fn state_refused(&self, topic: &str, code: &str) {
        self.stop.fatal(format!("state topic `{topic}` refuses the state ({code}): the process stops, nothing of the batch is committed"));
    }

    /// What a fault of this delivery makes unwell.
    fn component(&self, what: What) -> Component {
        match self.sink.number_of(what.output()) {
            0 => Component::Sink,
            number => Component::OtherSink(number),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_stay_bounded() {
        let seen: Vec<u128> = [1, 2, 3, 8, 40].map(|failures| backoff(failures).as_millis()).to_vec();
        assert_eq!(seen, [100, 200, 400, 10_000, 10_000]);
    }
}
