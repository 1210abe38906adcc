//! What a writer of offsets needs of the consumer, when offsets are not committed by the consumer itself.
use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerGroupMetadata};
use rdkafka::{Offset, TopicPartitionList};

use super::{Position, SourceContext, list};

/// Writes the offsets itself, in one transaction with what came of the messages. All calls come from the polling thread.
pub trait OffsetWriter: Send + Sync + 'static {
    /// Called after every poll. Answers whether it is in the middle of something, so that the next poll must not wait.
    fn turn(&self, member: &Member<'_>) -> bool;
    /// Partitions are taken away; called inside a poll. Writes what is finished of them, within bounds.
    fn revoked(&self, partitions: &[(String, i32)], lost: bool, member: &Member<'_>);
    /// Nothing is open: everything finished is written.
    fn is_idle(&self) -> bool;
    /// The source ends: what is open is given up.
    fn end(&self, member: &Member<'_>);
}

/// This process as a member of its group; only on the polling thread.
pub struct Member<'a> {
    pub(super) consumer: &'a BaseConsumer<SourceContext>,
}

/// How long a question to the group's coordinator may take; it is asked again.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);

impl Member<'_> {
    /// Who we are to the group: id and generation. `None` before the first assignment.
    pub fn metadata(&self) -> Option<ConsumerGroupMetadata> {
        self.consumer.group_metadata()
    }

    /// The committed positions, once no transaction is open over them. Partitions without one are left out.
    ///
    /// # Errors
    ///
    /// The coordinator did not answer in time.
    pub fn committed(&self, partitions: &[(Arc<str>, i32)]) -> Result<Vec<Position>, String> {
        let mut asked = TopicPartitionList::with_capacity(partitions.len());
        for (topic, partition) in partitions {
            asked.add_partition(topic, *partition);
        }
        let answer = self.consumer.committed_offsets(asked, ANSWER_TIMEOUT).map_err(|error| error.to_string())?;
        let mut positions = Vec::with_capacity(partitions.len());
        for element in answer.elements() {
            element.error().map_err(|error| format!("{}/{}: {error}", element.topic(), element.partition()))?;
            if let Offset::Offset(offset) = element.offset() {
                positions.push(Position { topic: Arc::from(element.topic()), partition: element.partition(), offset });
            }
        }
        Ok(positions)
    }

    /// Reads on from these positions; what was read ahead is thrown away.
    ///
    /// # Errors
    ///
    /// At least one partition does not stand at its position; ask again.
    pub fn seek(&self, positions: &[Position]) -> Result<(), String> {
        let answer = self.consumer.seek_partitions(list(positions), ANSWER_TIMEOUT).map_err(|error| error.to_string())?;
        for element in answer.elements() {
            element.error().map_err(|error| format!("{}/{}: {error}", element.topic(), element.partition()))?;
        }
        Ok(())
    }
}
