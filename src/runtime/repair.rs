//! What the sink gave back: sent again, turned into dead letters, or the end.
//!
//! A thread of its own does this, because the sink's thread must go on bringing acknowledgements while this one waits for room.
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossbeam_channel::Receiver;

use super::delivery::{Failure, What};
use super::mill::MilledReject;
use super::stop::Phase;
use super::worker::Shared;
use crate::sink::kafka::{Fate, OutMessage};
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
    let Failure { mut owed, refused } = failure;
    match (refused.fate, owed.what) {
        (Fate::Purged, _) => {}
        (Fate::Fatal, _) => {
            shared.stop.fatal(format!("sink.kafka: the producer cannot go on: {}", refused.code));
        }
        (Fate::Retry, _) => {
            owed.failures += 1;
            let text = format!("messages are not delivered ({}); sending again", refused.code);
            if shared.health_fail(&text) {
                tracing::warn!(code = refused.code, "sink: {text}");
            }
            wait(shared, backoff(owed.failures));
            resend(owed, &refused.message, shared);
        }
        // Another message in the same request may be the large one.
        (Fate::Permanent, _) if refused.too_large && !owed.alone => {
            owed.alone = true;
            resend(owed, &refused.message, shared);
        }
        (Fate::Permanent, What::Letter { .. }) => {
            let help = "the record would be lost, so the process stops; nothing of its message was acknowledged";
            let topic = &shared.dead_letter.topic;
            shared.stop.fatal(format!("dead-letter topic `{topic}` refuses a dead letter ({}): {help}", refused.code));
        }
        (Fate::Permanent, What::Event { output, record }) => {
            let ticket = owed.ticket;
            let reject = MilledReject {
                record: Some(record),
                stage: "deliver",
                code: if refused.too_large { "event_too_large" } else { "output_refused" },
                path: String::new(),
                detail: format!("topic `{}`: {}; the event has {} bytes", refused.message.topic, refused.code, refused.message.value.len()),
                bytes: None,
            };
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

fn resend(owed: Box<super::delivery::Owed>, message: &crate::sink::kafka::OwnedMessage, shared: &Shared) {
    let headers: Vec<(&str, &[u8])> = message.headers.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect();
    shared.send(&OutMessage { topic: &message.topic, key: &message.key, value: &message.value, headers: &headers }, owed);
}

fn backoff(failures: u32) -> Duration {
    BACKOFF_FIRST.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(BACKOFF_MAX)
}

/// Waits, but not past the end of the process.
fn wait(shared: &Shared, time: Duration) {
    let deadline = std::time::Instant::now() + time;
    while std::time::Instant::now() < deadline && shared.stop.phase() < Phase::GivenUp {
        std::thread::park_timeout(Duration::from_millis(50));
    }
}

impl Shared {
    fn health_fail(&self, text: &str) -> bool {
        self.delivery.health().fail(Component::Sink, text)
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
