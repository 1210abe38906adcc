//! Topics, their ends, and what a group has committed.
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use crate::Fault;

/// How long one question to the broker may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);

/// A broker of its own on loopback.
pub struct Broker {
    servers: String,
    probe: BaseConsumer,
    admin: AdminClient<DefaultClientContext>,
    runtime: tokio::runtime::Runtime,
}

/// A name that no other run uses.
pub fn fresh_name(stem: &str) -> String {
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
    format!("{stem}-{}-{nanos:x}", std::process::id())
}

impl Broker {
    pub fn new(servers: &str) -> Result<Broker, Fault> {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", servers);
        Ok(Broker {
            servers: servers.to_owned(),
            probe: config.create()?,
            admin: config.create()?,
            runtime: tokio::runtime::Builder::new_current_thread().enable_all().build()?,
        })
    }

    pub fn servers(&self) -> &str {
        &self.servers
    }

    /// Makes a topic and waits for its leaders.
    pub fn make(&self, name: &str, partitions: i32) -> Result<(), Fault> {
        let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
        for made in self.runtime.block_on(self.admin.create_topics([&topic], &AdminOptions::new()))? {
            made.map_err(|(name, code)| format!("topic `{name}`: {code}"))?;
        }
        let deadline = Instant::now() + ANSWER_TIMEOUT;
        loop {
            let metadata = self.probe.fetch_metadata(Some(name), ANSWER_TIMEOUT)?;
            if metadata.topics().first().is_some_and(|topic| topic.error().is_none() && topic.partitions().len() == partitions as usize) {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(format!("topic `{name}` has no leaders").into());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    pub fn remove(&self, names: &[&str]) -> Result<(), Fault> {
        for removed in self.runtime.block_on(self.admin.delete_topics(names, &AdminOptions::new()))? {
            removed.map_err(|(name, code)| format!("topic `{name}`: {code}"))?;
        }
        Ok(())
    }

    /// Writes the messages without keys, by turns to all partitions a batch at a time.
    pub fn fill(&self, topic: &str, messages: &[Vec<u8>]) -> Result<(), Fault> {
        let producer: ThreadedProducer<DefaultProducerContext> = ClientConfig::new()
            .set("bootstrap.servers", &self.servers)
            .set("acks", "all")
            .set("enable.idempotence", "true")
            .set("linger.ms", "20")
            .set("compression.type", "lz4")
            .create()?;
        for message in messages {
            let mut record = BaseRecord::<(), [u8]>::to(topic).payload(message);
            loop {
                match producer.send(record) {
                    Ok(()) => break,
                    Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                        record = back;
                        std::thread::sleep(Duration::from_millis(5));
                    }
                    Err((error, _)) => return Err(error.into()),
                }
            }
        }
        producer.flush(Duration::from_secs(60))?;
        Ok(())
    }

    /// The offset behind the last message of each partition.
    pub fn ends(&self, topic: &str, partitions: i32) -> Result<Vec<(i32, i64)>, Fault> {
        (0..partitions).map(|partition| Ok((partition, self.probe.fetch_watermarks(topic, partition, ANSWER_TIMEOUT)?.1))).collect()
    }

    /// Asks about a group without being in it.
    pub fn group(&self, group: &str) -> Result<BaseConsumer, Fault> {
        Ok(ClientConfig::new()
            .set("bootstrap.servers", &self.servers)
            .set("group.id", group)
            .set("enable.auto.commit", "false")
            .create()?)
    }

    /// What a group has committed; partitions without a position are left out.
    pub fn committed(&self, group: &BaseConsumer, topic: &str, partitions: i32) -> Result<Vec<(i32, i64)>, Fault> {
        let mut asked = TopicPartitionList::new();
        asked.add_partition_range(topic, 0, partitions - 1);
        let answer = group.committed_offsets(asked, ANSWER_TIMEOUT)?;
        let mut found: Vec<(i32, i64)> = answer
            .elements()
            .iter()
            .filter_map(|element| match element.offset() {
                Offset::Offset(offset) => Some((element.partition(), offset)),
                _ => None,
            })
            .collect();
        found.sort_unstable();
        Ok(found)
    }
}
