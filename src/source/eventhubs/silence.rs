//! Partitions whose events do not arrive though the connection stands.
//!
//! The SDK waits without end for the service's answer when it authorises or attaches a receiver, and a receiver that never was attached looks
//! like a partition without events. What the service itself says lies in a partition tells the two apart.
use std::rc::Rc;
use std::time::{Duration, Instant};

use azure_messaging_eventhubs::models::EventHubPartitionProperties;
use azure_messaging_eventhubs::{CheckpointStore, EventHubsError};

use super::{SILENCE_TIMEOUT, Shared};

/// What is known of a reading that waits.
#[derive(Debug, Default)]
pub struct Silence {
    /// The offset that it began behind, once looked up; a partition without a checkpoint has none.
    began_behind: Option<Option<String>>,
    /// Since when events lie there and none arrives.
    since: Option<Instant>,
}

impl Silence {
    /// An event arrived, or nothing was asked for.
    pub fn broken(&mut self) {
        self.since = None;
    }

    /// Notes at `now` whether events lie behind what was read.
    fn note(&mut self, is_behind: bool, now: Instant) {
        match is_behind {
            true => self.since = self.since.or(Some(now)),
            false => self.since = None,
        }
    }

    /// Whether it has lasted too long. The looks are ten seconds apart and not to the millisecond, so a second less counts too.
    fn is_long(&self, now: Instant) -> bool {
        self.since.is_some_and(|since| now.saturating_duration_since(since) >= SILENCE_TIMEOUT.saturating_sub(Duration::from_secs(1)))
    }
}

/// Whether the partition has events behind the last that was taken, or else behind the checkpoint it was begun at.
fn is_behind(last: Option<i64>, began_behind: Option<&str>, is_empty: bool, newest: i64, newest_offset: &str) -> bool {
    !is_empty && last.map_or_else(|| began_behind != Some(newest_offset), |last| newest > last)
}

impl Shared {
    /// Compares what was taken of a partition with what the service says is there.
    pub async fn compare(&self, hub: &Rc<str>, number: i32, there: &EventHubPartitionProperties) -> Result<(), EventHubsError> {
        let key = (Rc::clone(hub), number);
        let unknown = |one: &super::Reading| one.last.is_none() && one.silence.began_behind.is_none();
        if self.reading.borrow().get(&key).is_some_and(unknown) {
            let kept = self.store.list_checkpoints(&self.namespace, hub, self.settings.consumer_group()).await?;
            // One listing answers for all partitions of the hub.
            for ((name, number), one) in self.reading.borrow_mut().iter_mut().filter(|((name, _), one)| name == hub && unknown(one)) {
                let number = number.to_string();
                let checkpoint = kept.iter().find(|kept| kept.event_hub_name == **name && kept.partition_id == number);
                one.silence.began_behind = Some(checkpoint.and_then(|kept| kept.offset.clone()));
            }
        }
        let is_paused = self.paused.get() || self.keeper.is_draining();
        if let Some(one) = self.reading.borrow_mut().get_mut(&key) {
            let began_behind = one.silence.began_behind.as_ref().and_then(Option::as_deref);
            let behind =
                is_behind(one.last, began_behind, there.is_empty, there.last_enqueued_sequence_number, &there.last_enqueued_offset);
            one.silence.note(behind && !is_paused, Instant::now());
        }
        Ok(())
    }

    /// Names the partition of a hub that has been silent for too long.
    pub fn silent(&self, hub: &Rc<str>) -> Result<(), String> {
        let (reading, now) = (self.reading.borrow(), Instant::now());
        match reading.iter().find(|((name, _), one)| name == hub && one.silence.is_long(now)) {
            Some(((_, number), _)) => {
                Err(format!("partition {number} has events, and none has arrived for {} s", SILENCE_TIMEOUT.as_secs()))
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_lie_behind_what_was_taken_or_behind_the_checkpoint() {
        let cases = [
            ("nothing there", None, None, true, -1, "-1", false),
            ("all expired", Some(4), None, true, 9, "90", false),
            ("taken to the end", Some(9), Some("40"), false, 9, "90", false),
            ("more came", Some(8), Some("90"), false, 9, "90", true),
            ("begun at the end", None, Some("90"), false, 9, "90", false),
            ("begun before the end", None, Some("40"), false, 9, "90", true),
            ("no checkpoint", None, None, false, 9, "90", true),
        ];
        for (name, last, began_behind, is_empty, newest, offset, expected) in cases {
            assert_eq!(is_behind(last, began_behind, is_empty, newest, offset), expected, "{name}");
        }
    }

    #[test]
    fn an_event_ends_a_silence() {
        let (mut silence, start) = (Silence::default(), Instant::now());
        silence.note(true, start);
        silence.note(true, start + SILENCE_TIMEOUT);
        assert!(!silence.is_long(start) && silence.is_long(start + SILENCE_TIMEOUT), "the first look counts");
        silence.broken();
        assert!(!silence.is_long(start + SILENCE_TIMEOUT), "an event arrived");
        silence.note(true, start);
        silence.note(false, start);
        assert!(!silence.is_long(start + SILENCE_TIMEOUT), "taken to the end");
    }
}
