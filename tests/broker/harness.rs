//! What every broker test needs: where the broker is, own topics, and waiting for conditions with a deadline.
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers, Message, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};

/// A test: `Err` says what was expected and what was seen.
pub type Case = fn() -> Result<(), String>;

/// How long a condition may take before the test fails. Generous: the machine may be busy.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// The broker that `tests/broker/kafka.sh start` runs.
#[derive(Debug, Clone)]
pub struct Broker {
    /// `host:port` without security.
    pub plain: String,
    /// `host:port` with TLS and SASL.
    pub tls: String,
    /// Path of the test authority's certificate, PEM.
    pub ca: String,
    /// User and password for SASL PLAIN.
    pub plain_user: (String, String),
    /// User and password for SASL SCRAM, both digests.
    pub scram_user: (String, String),
    /// The scope a token must carry.
    pub scope: String,
}

impl Broker {
    /// `None` when no broker was announced in the environment.
    pub fn from_environment() -> Option<Broker> {
        let get = |name: &str| std::env::var(name).ok();
        let pair = |text: String| text.split_once(':').map(|(user, password)| (user.to_owned(), password.to_owned()));
        Some(Broker {
            plain: get("UDMILL_TEST_KAFKA")?,
            tls: get("UDMILL_TEST_KAFKA_TLS")?,
            ca: get("UDMILL_TEST_KAFKA_CA")?,
            plain_user: pair(get("UDMILL_TEST_KAFKA_PLAIN")?)?,
            scram_user: pair(get("UDMILL_TEST_KAFKA_SCRAM")?)?,
            scope: get("UDMILL_TEST_KAFKA_SCOPE")?,
        })
    }

    /// The same, for a test that only runs when there is one.
    pub fn get() -> Result<Broker, String> {
        Broker::from_environment().ok_or_else(|| "no broker: UDMILL_TEST_KAFKA and its companions are not set".to_owned())
    }
}

/// A name no other test and no other run uses.
pub fn fresh_name(stem: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
    format!("{stem}-{}-{nanos:x}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

/// Polls `condition` until it gives a value. `what` names it in the failure.
pub fn wait_for<T>(what: &str, patience: Duration, mut condition: impl FnMut() -> Option<T>) -> Result<T, String> {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(value) = condition() {
            return Ok(value);
        }
        if Instant::now() > deadline {
            return Err(format!("waited {} s for {what}", patience.as_secs()));
        }
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

/// Makes a topic of its own for one test. `settings` are topic settings such as `max.message.bytes`.
pub fn make_topic(broker: &Broker, stem: &str, partitions: i32, settings: &[(&str, &str)]) -> Result<String, String> {
    let name = fresh_name(stem);
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", &broker.plain).create().map_err(|error| error.to_string())?;
    let mut topic = NewTopic::new(&name, partitions, TopicReplication::Fixed(1));
    for (key, value) in settings {
        topic = topic.set(key, value);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
    let answer = runtime
        .block_on(admin.create_topics([&topic], &AdminOptions::new().operation_timeout(Some(Duration::from_secs(30)))))
        .map_err(|error| format!("topic `{name}`: {error}"))?;
    for one in answer {
        one.map_err(|(name, code)| format!("topic `{name}`: {code}"))?;
    }
    let probe: BaseConsumer = ClientConfig::new().set("bootstrap.servers", &broker.plain).create().map_err(|error| error.to_string())?;
    wait_for("the new topic to have leaders", PATIENCE, || {
        let metadata = probe.fetch_metadata(Some(&name), Duration::from_secs(5)).ok()?;
        let topic = metadata.topics().first()?;
        (topic.error().is_none()
            && topic.partitions().len() == partitions as usize
            && topic.partitions().iter().all(|one| one.leader() >= 0))
        .then_some(())
    })?;
    Ok(name)
}

/// A message as a test writes or reads it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plain {
    /// Message key, when there is one.
    pub key: Option<Vec<u8>>,
    /// Message value.
    pub value: Vec<u8>,
    /// Header names and values in order.
    pub headers: Vec<(String, Vec<u8>)>,
    /// Partition and offset; -1 for a message that is still to be written.
    pub position: (i32, i64),
}

impl Plain {
    /// A message to write, with a value only.
    pub fn value(value: impl Into<Vec<u8>>) -> Plain {
        Plain { value: value.into(), position: (-1, -1), ..Plain::default() }
    }

    /// The value as text, with what is not UTF-8 replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.value).into_owned()
    }

    /// The first header of that name, as text.
    pub fn header(&self, name: &str) -> Option<String> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| String::from_utf8_lossy(value).into_owned())
    }
}

/// Writes messages over the plain listener and waits until the broker has them all.
pub fn write(broker: &Broker, topic: &str, messages: &[Plain]) -> Result<(), String> {
    let producer: ThreadedProducer<DefaultProducerContext> = ClientConfig::new()
        .set("bootstrap.servers", &broker.plain)
        .set("enable.idempotence", "true")
        .set("linger.ms", "5")
        .create()
        .map_err(|error| error.to_string())?;
    for message in messages {
        let mut headers = OwnedHeaders::new();
        for (key, value) in &message.headers {
            headers = headers.insert(rdkafka::message::Header { key, value: Some(value) });
        }
        let mut record = BaseRecord::<[u8], [u8]>::to(topic).payload(&message.value).headers(headers);
        if let Some(key) = &message.key {
            record = record.key(key);
        }
        if message.position.0 >= 0 {
            record = record.partition(message.position.0);
        }
        loop {
            match producer.send(record) {
                Ok(()) => break,
                Err((error, back)) if error.rdkafka_error_code() == Some(rdkafka::types::RDKafkaErrorCode::QueueFull) => {
                    record = back;
                    std::thread::park_timeout(Duration::from_millis(10));
                }
                Err((error, _)) => return Err(format!("writing to `{topic}`: {error}")),
            }
        }
    }
    producer.flush(PATIENCE).map_err(|error| format!("flushing `{topic}`: {error}"))
}

/// Reads everything a topic holds now, from the beginning.
pub fn read_all(broker: &Broker, topic: &str) -> Result<Vec<Plain>, String> {
    let mut messages = Vec::new();
    read_each(broker, topic, |message| messages.push(message))?;
    Ok(messages)
}

/// The same, one message at a time.
pub fn read_each(broker: &Broker, topic: &str, mut take: impl FnMut(Plain)) -> Result<(), String> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &broker.plain)
        .set("group.id", fresh_name("reader"))
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("auto.offset.reset", "earliest")
        .set("isolation.level", "read_committed")
        .create()
        .map_err(|error| error.to_string())?;
    let metadata = consumer.fetch_metadata(Some(topic), Duration::from_secs(30)).map_err(|error| error.to_string())?;
    let partitions: Vec<i32> = metadata.topics().iter().flat_map(|one| one.partitions().iter().map(|partition| partition.id())).collect();
    let mut assignment = rdkafka::TopicPartitionList::new();
    for partition in &partitions {
        assignment.add_partition_offset(topic, *partition, rdkafka::Offset::Beginning).map_err(|error| error.to_string())?;
    }
    consumer.assign(&assignment).map_err(|error| error.to_string())?;
    let mut open: BTreeSet<i32> = partitions.into_iter().collect();
    let deadline = Instant::now() + PATIENCE;
    while !open.is_empty() {
        match consumer.poll(Duration::from_millis(200)) {
            Some(Ok(message)) => take(Plain {
                key: message.key().map(<[u8]>::to_vec),
                value: message.payload().unwrap_or_default().to_vec(),
                headers: message
                    .headers()
                    .map(|all| all.iter().map(|one| (one.key.to_owned(), one.value.unwrap_or_default().to_vec())).collect())
                    .unwrap_or_default(),
                position: (message.partition(), message.offset()),
            }),
            Some(Err(rdkafka::error::KafkaError::PartitionEOF(partition))) => {
                open.remove(&partition);
            }
            Some(Err(error)) => return Err(format!("reading `{topic}`: {error}")),
            None if Instant::now() > deadline => return Err(format!("reading `{topic}` took more than {} s", PATIENCE.as_secs())),
            None => {}
        }
    }
    Ok(())
}

/// How many messages a topic holds now, by its watermarks.
pub fn count(broker: &Broker, topic: &str) -> Result<i64, String> {
    let probe: BaseConsumer = ClientConfig::new().set("bootstrap.servers", &broker.plain).create().map_err(|error| error.to_string())?;
    let metadata = probe.fetch_metadata(Some(topic), Duration::from_secs(30)).map_err(|error| error.to_string())?;
    let mut sum = 0;
    for partition in metadata.topics().iter().flat_map(|one| one.partitions()) {
        let (low, high) = probe.fetch_watermarks(topic, partition.id(), Duration::from_secs(30)).map_err(|error| error.to_string())?;
        sum += high - low;
    }
    Ok(sum)
}

/// The committed offset of every partition of a topic that has one.
pub fn committed(broker: &Broker, group: &str, topic: &str) -> Result<std::collections::BTreeMap<i32, i64>, String> {
    let probe: BaseConsumer =
        ClientConfig::new().set("bootstrap.servers", &broker.plain).set("group.id", group).create().map_err(|error| error.to_string())?;
    let metadata = probe.fetch_metadata(Some(topic), Duration::from_secs(30)).map_err(|error| error.to_string())?;
    let mut list = rdkafka::TopicPartitionList::new();
    for partition in metadata.topics().iter().flat_map(|one| one.partitions()) {
        list.add_partition(topic, partition.id());
    }
    let list = probe.committed_offsets(list, Duration::from_secs(30)).map_err(|error| error.to_string())?;
    let known = list.elements().into_iter().filter_map(|one| match one.offset() {
        rdkafka::Offset::Offset(offset) => Some((one.partition(), offset)),
        _ => None,
    });
    Ok(known.collect())
}

/// `Err` with both sides unless they are equal.
pub fn same<T: PartialEq + std::fmt::Debug>(what: &str, found: T, expected: T) -> Result<(), String> {
    if found == expected { Ok(()) } else { Err(format!("{what}: expected {expected:?}, found {found:?}")) }
}
