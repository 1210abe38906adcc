//! The newest value of every key of a compacted topic.
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};

use super::{Keeper, Position, SourceContext, SourceMessage};
use crate::config::{Connection, TokenCache};

/// How long one question to the broker may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Reads a topic of one partition to its end, committed messages only, and answers the newest value of each key. Keys whose newest message
/// has no value are left out.
///
/// # Errors
///
/// The topic is not there, has several partitions, or was not read to its end within `timeout`.
pub fn latest_values(
    connection: &Connection,
    tokens: Option<Arc<TokenCache>>,
    topic: &str,
    timeout: Duration,
) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, String> {
    let named = |error: &dyn std::fmt::Display| format!("topic `{topic}`: {error}");
    let mut config = ClientConfig::new();
    for (key, value) in connection.librdkafka_settings()? {
        config.set(key, value.expose());
    }
    // A consumer has to name a group; it neither joins it nor commits.
    config.set("group.id", "udmill-state");
    config.set("enable.auto.commit", "false");
    config.set("enable.partition.eof", "true");
    config.set("isolation.level", "read_committed");
    config.set("auto.offset.reset", "error");
    config.set_log_level(RDKafkaLogLevel::Warning);
    let context = SourceContext { keeper: Arc::new(Nobody), tokens, writer: None, rebalanced: AtomicBool::new(false) };
    let consumer: BaseConsumer<SourceContext> = config.create_with_context(context).map_err(|error| named(&error))?;
    let deadline = Instant::now() + timeout;
    // Also serves the callback that a token comes by.
    let _ = consumer.poll(Duration::ZERO);
    let metadata = consumer.fetch_metadata(Some(topic), ANSWER_TIMEOUT).map_err(|error| named(&error))?;
    let partitions = metadata.topics().first().map_or(0, |one| if one.error().is_some() { 0 } else { one.partitions().len() });
    if partitions != 1 {
        let help = "make it with one partition and `cleanup.policy=compact`";
        return Err(named(&format!("expected one partition, found {partitions}; {help}")));
    }
    let mut places = TopicPartitionList::new();
    places.add_partition_offset(topic, 0, Offset::Beginning).map_err(|error| named(&error))?;
    consumer.assign(&places).map_err(|error| named(&error))?;
    let mut values = BTreeMap::new();
    loop {
        match consumer.poll(Duration::from_millis(200)) {
            Some(Ok(message)) => {
                let Some(key) = message.key() else { continue };
                match message.payload() {
                    Some(value) => values.insert(key.to_vec(), value.to_vec()),
                    None => values.remove(key),
                };
            }
            Some(Err(KafkaError::PartitionEOF(_))) => return Ok(values),
            Some(Err(error)) if Instant::now() > deadline => return Err(named(&error)),
            Some(Err(error)) => tracing::debug!(%error, topic, "state not read yet"),
            None if Instant::now() > deadline => return Err(named(&format!("not read to its end within {} s", timeout.as_secs()))),
            None => {}
        }
    }
}

/// This consumer has no partitions that anybody keeps.
struct Nobody;

impl Keeper for Nobody {
    fn message(&self, _: &SourceMessage<'_>) {}
    fn assigned(&self, _: &[(String, i32)]) {}
    fn revoked(&self, _: &[(String, i32)], _: bool) -> Vec<Position> {
        Vec::new()
    }
    fn positions(&self) -> Vec<Position> {
        Vec::new()
    }
    fn observe(&self) {}
    fn is_full(&self) -> bool {
        false
    }
    fn has_room(&self) -> bool {
        true
    }
    fn paused(&self, _: bool) {}
    fn is_draining(&self) -> bool {
        false
    }
    fn is_drained(&self) -> bool {
        true
    }
    fn newest(&self, _: &str, _: i32, _: i64) {}
    fn reachable(&self) {}
    fn trouble(&self, code: &str, _: bool, reason: &str) {
        tracing::warn!(code, reason, "state topic");
    }
    fn committed(&self, _: Result<(), String>) {}
}
