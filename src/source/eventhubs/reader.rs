//! One partition: events to the keeper, settled positions to the store.
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant, UNIX_EPOCH};

use azure_core_amqp::AmqpValue;
use azure_core_amqp::message::AmqpMessageBody;
use azure_messaging_eventhubs::EventHubsError;
use azure_messaging_eventhubs::error::ErrorKind;
use azure_messaging_eventhubs::models::{AmqpSimpleValue, Checkpoint, ReceivedEventData};
use azure_messaging_eventhubs::processor::PartitionClient;
use futures::StreamExt;

use super::Shared;
use super::silence::Silence;
use crate::source::kafka::SourceMessage;

/// How long the end of a connection waits for what was read by it, so that the next one repeats less.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(5);
/// Other partitions get a turn after so many events.
const TURN: u32 = 64;

/// A partition that is being read.
pub struct Reading {
    /// Which reading of it this is; a later one of the same partition has a higher number.
    pub generation: u64,
    /// Events taken and not yet passed by a checkpoint: sequence number and offset.
    taken: VecDeque<(i64, Option<String>)>,
    /// The sequence number of the event that was taken last.
    pub last: Option<i64>,
    /// Settled and not yet written.
    due: Option<(i64, Option<String>)>,
    /// Whether events lie in the partition that do not arrive.
    pub silence: Silence,
}

impl Reading {
    /// Notes that all below `position` is settled.
    fn settle(&mut self, position: i64) {
        while self.taken.front().is_some_and(|(sequence, _)| *sequence < position) {
            self.due = self.taken.pop_front();
        }
    }
}

impl Shared {
    /// Reads a partition until it is taken away, or its connection fails, which is answered.
    pub async fn partition(self: Rc<Self>, hub: Rc<str>, client: Arc<PartitionClient>) -> Option<EventHubsError> {
        let Ok(number) = client.get_partition_id().parse::<i32>() else {
            let fault = format!("source.eventhubs: hub `{hub}` has partition `{}`; expected a number", client.get_partition_id());
            self.fatal.borrow_mut().get_or_insert(fault);
            return None;
        };
        let key = (Rc::clone(&hub), number);
        let generation = self.generation.get() + 1;
        self.generation.set(generation);
        self.keeper.assigned(&[(hub.to_string(), number)]);
        let reading = Reading { generation, taken: VecDeque::new(), last: None, due: None, silence: Silence::default() };
        self.reading.borrow_mut().insert(key.clone(), reading);
        let failed = self.take_all(&key, &client).await;
        if failed.is_some() {
            return failed;
        }
        tracing::info!(hub = &*hub, partition = number, "another process reads the partition");
        self.write_positions().await;
        if self.reading.borrow().get(&key).is_some_and(|reading| reading.generation == generation) {
            self.reading.borrow_mut().remove(&key);
            self.keeper.revoked(&[(hub.to_string(), number)], true);
        }
        // Without this the processor would not hand the partition out again.
        if let Some(client) = Arc::into_inner(client)
            && let Err(error) = client.close().await
        {
            tracing::debug!(%error, "receiver not closed");
        }
        None
    }

    /// Takes events until the partition is taken away; answers why, when it was something else.
    async fn take_all(&self, key: &(Rc<str>, i32), client: &PartitionClient) -> Option<EventHubsError> {
        let mut stream = std::pin::pin!(client.stream_events());
        let mut turn = 0;
        loop {
            self.room().await;
            match stream.next().await {
                None => return None,
                Some(Ok(event)) => self.take(key, &event),
                Some(Err(error)) => return (!matches!(error.kind, ErrorKind::ConsumerDisconnected(_))).then_some(error),
            }
            turn += 1;
            if turn % TURN == 0 {
                tokio::task::yield_now().await;
            }
        }
    }

    /// Returns when there is room; never while draining.
    async fn room(&self) {
        loop {
            if self.keeper.is_draining() {
                std::future::pending::<()>().await;
            }
            if !self.paused.get() && self.keeper.is_full() {
                self.paused.set(true);
                self.keeper.paused(true);
            }
            if !self.paused.get() {
                return;
            }
            self.resumed.notified().await;
        }
    }

    fn take(&self, key: &(Rc<str>, i32), event: &ReceivedEventData) {
        let Some(sequence) = event.sequence_number() else {
            let fault = format!("source.eventhubs: hub `{}`, partition {}: an event without a sequence number", key.0, key.1);
            self.fatal.borrow_mut().get_or_insert(fault);
            return;
        };
        {
            let mut reading = self.reading.borrow_mut();
            let Some(reading) = reading.get_mut(key) else { return };
            if reading.last.is_some_and(|last| sequence <= last) {
                tracing::debug!(hub = &*key.0, partition = key.1, sequence, "event handed over twice");
                return;
            }
            reading.last = Some(sequence);
            reading.silence.broken();
            reading.taken.push_back((sequence, event.offset().clone()));
        }
        let joined;
        let body: &[u8] = match &event.raw_amqp_message().body {
            AmqpMessageBody::Binary(sections) if sections.len() == 1 => &sections[0],
            AmqpMessageBody::Binary(sections) => {
                joined = sections.concat();
                &joined
            }
            AmqpMessageBody::Value(AmqpValue::Binary(bytes)) => bytes,
            AmqpMessageBody::Value(AmqpValue::String(text)) => text.as_bytes(),
            AmqpMessageBody::Empty => &[],
            // No client of audit logs writes these. It becomes a dead letter, because this is no JSON.
            _ => b"an AMQP body that is neither bytes nor text",
        };
        let properties = event.event_data().properties();
        let headers: Vec<(&str, &[u8])> =
            properties.into_iter().flatten().filter_map(|(name, value)| Some((&**name, text(value)?))).collect();
        let received_ms = event.enqueued_time().and_then(|time| time.duration_since(UNIX_EPOCH).ok()).map(|since| since.as_millis() as i64);
        self.keeper.message(&SourceMessage { topic: &key.0, partition: key.1, offset: sequence, received_ms, body, headers, place: None });
    }

    /// Writes the positions that moved. What could not be written stays due.
    pub async fn write_positions(&self) {
        // One after another, so that an older position is never written over a newer one.
        let _turn = self.writing.lock().await;
        for position in self.keeper.positions() {
            let key = (Rc::from(&*position.topic), position.partition);
            if let Some(reading) = self.reading.borrow_mut().get_mut(&key) {
                reading.settle(position.offset);
            }
        }
        let due: Vec<_> = {
            let reading = self.reading.borrow();
            reading.iter().filter_map(|(key, one)| Some((key.clone(), one.generation, one.due.clone()?))).collect()
        };
        for (key, generation, (sequence, offset)) in due {
            let current = |shared: &Shared| shared.reading.borrow().get(&key).is_some_and(|one| one.generation == generation);
            // Another may have got it while an earlier position was being written.
            if !current(self) {
                continue;
            }
            let checkpoint = Checkpoint {
                fully_qualified_namespace: self.namespace.clone(),
                event_hub_name: key.0.to_string(),
                consumer_group: self.settings.consumer_group().to_owned(),
                partition_id: key.1.to_string(),
                offset,
                sequence_number: Some(sequence),
            };
            let result = self
                .store
                .checkpoints()
                .update_checkpoint(checkpoint)
                .await
                .map_err(|error| format!("hub `{}`, partition {}: {error}", key.0, key.1));
            if result.is_ok()
                && let Some(reading) = self.reading.borrow_mut().get_mut(&key)
                && reading.generation == generation
                && reading.due.as_ref().is_some_and(|(due, _)| *due == sequence)
            {
                reading.due = None;
            }
            self.keeper.committed(result);
        }
    }

    /// Waits, within bounds, until what was read of a hub is settled, and writes the positions.
    pub async fn settle_rest(&self, hub: &Rc<str>) {
        let deadline = Instant::now() + SETTLE_TIMEOUT;
        loop {
            self.write_positions().await;
            let rest = self.reading.borrow().iter().any(|((name, _), one)| name == hub && !one.taken.is_empty());
            if !rest || Instant::now() > deadline {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Ends the reading of all partitions of a hub whose connection is gone.
    pub fn gone(&self, hub: &Rc<str>) {
        let numbers: Vec<i32> = self.reading.borrow().keys().filter(|(name, _)| name == hub).map(|(_, number)| *number).collect();
        for number in numbers {
            self.reading.borrow_mut().remove(&(Rc::clone(hub), number));
            self.keeper.revoked(&[(hub.to_string(), number)], true);
        }
    }
}

/// A property that is text or bytes.
fn text(value: &AmqpSimpleValue) -> Option<&[u8]> {
    match value {
        AmqpSimpleValue::String(text) => Some(text.as_bytes()),
        AmqpSimpleValue::Binary(bytes) => Some(bytes),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_due_is_the_last_event_below_the_position() {
        let taken = [(5, "a"), (6, "b"), (9, "c")].map(|(sequence, offset)| (sequence, Some(offset.to_owned())));
        let mut reading = Reading { generation: 1, taken: taken.into(), last: Some(9), due: None, silence: Silence::default() };
        reading.settle(5);
        assert_eq!(reading.due, None, "nothing below the first");
        reading.settle(7);
        assert_eq!(reading.due, Some((6, Some("b".to_owned()))));
        reading.settle(10);
        assert_eq!(reading.due, Some((9, Some("c".to_owned()))));
    }
}
