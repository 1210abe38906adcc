//! Messages to Kafka, or to Event Hubs through its Kafka endpoint.
//!
//! One producer for the whole process; its own thread brings the acknowledgements to [`Acks`]. A second one, made when first needed, sends
//! one message a request: when a broker refuses a request as too large it refuses all messages in it, and only alone shows which it was.
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use rdkafka::client::{ClientContext, OAuthToken};
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DeliveryResult, NoCustomPartitioner, Producer, ProducerContext, ThreadedProducer};
use rdkafka::statistics::Statistics;
use rdkafka::types::RDKafkaErrorCode;

use arc_swap::ArcSwap;

use super::archive::{ArchiveNews, Arrival};
use crate::config::{Connection, TokenCache};

mod transaction;

pub use transaction::TransactionFault;

/// How long a message of [`KafkaSink::spare`] is tried. Unit: milliseconds.
const SPARE_TIMEOUT_MS: &str = "30000";

/// Who is told what became of a message. All calls come from the producer's thread and must not block.
pub trait Acks: Send + Sync + 'static {
    /// What is given with a message and comes back with its acknowledgement.
    type Owed: Send + Sync + 'static;
    /// The broker has the message, or will never have it.
    fn delivered(&self, owed: Box<Self::Owed>, result: Result<(), Refused>);
    /// At least one broker is connected and has let us in.
    fn reachable(&self);
    /// Something is wrong that librdkafka tries to mend by itself. `code` is from librdkafka's closed list.
    fn trouble(&self, code: &str, refused: bool, reason: &str);
    /// Where the message came from that something is owed for; `None` when nobody can tell.
    fn arrival<'a>(&self, _owed: &'a Self::Owed) -> Option<Arrival<'a>> {
        None
    }
    /// Whether somebody waits for the acknowledgement: a stop, a partition that is given away, a source that paused.
    fn is_awaited(&self, _owed: &Self::Owed) -> bool {
        false
    }
    /// What an archive tells about itself.
    fn archive(&self, _news: ArchiveNews) {}
}

/// What to do about a message that was not delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// The same message would be refused again.
    Permanent,
    /// Worth another attempt.
    Retry,
    /// The producer cannot go on.
    Fatal,
    /// Thrown out while stopping.
    Purged,
}

/// A message that came back.
#[derive(Debug)]
pub struct Refused {
    /// What to do about it.
    pub fate: Fate,
    /// Whether the reason is its size, or that of its request.
    pub too_large: bool,
    /// librdkafka's code, from a closed list.
    pub code: String,
    /// The message itself.
    pub message: OwnedMessage,
}

/// A message that owns its bytes.
#[derive(Debug, Default, Clone)]
pub struct OwnedMessage {
    /// Topic.
    pub topic: String,
    /// Key; empty means none.
    pub key: Vec<u8>,
    /// Value.
    pub value: Vec<u8>,
    /// Header names and values in order.
    pub headers: Vec<(String, Vec<u8>)>,
}

/// A message to send.
#[derive(Debug, Clone, Copy)]
pub struct OutMessage<'a> {
    /// Topic.
    pub topic: &'a str,
    /// Key; empty means none: any partition.
    pub key: &'a [u8],
    /// Value.
    pub value: &'a [u8],
    /// Header names and values in order.
    pub headers: &'a [(&'a str, &'a [u8])],
}

/// Why a message was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SendFault {
    /// The producer's buffer is full: wait with [`KafkaSink::wait_for_room`] and send again.
    Full,
    /// It will never be taken, or not by this producer.
    Refused {
        /// What to do about it.
        fate: Fate,
        /// Whether the reason is its size.
        too_large: bool,
        /// librdkafka's code, from a closed list.
        code: String,
    },
}

/// Why there is no sink.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// The settings were not taken.
    #[error("sink.kafka: {0}")]
    Settings(String),
    /// Not everything was written within the time.
    #[error("sink.kafka: {0}")]
    Flush(String),
}

/// Callbacks of the producer.
struct SinkContext<A: Acks> {
    acks: Arc<A>,
    tokens: Option<Arc<TokenCache>>,
    room: Arc<Room>,
}

/// Wakes those who wait for room in the producer's buffer.
#[derive(Debug, Default)]
struct Room {
    waiting: AtomicUsize,
    lock: Mutex<()>,
    freed: Condvar,
}

type SinkProducer<A> = ThreadedProducer<SinkContext<A>, NoCustomPartitioner>;

/// The producers.
pub struct KafkaSink<A: Acks> {
    /// Replaced when a transactional one cannot go on.
    producer: ArcSwap<SinkProducer<A>>,
    alone: OnceLock<Result<SinkProducer<A>, String>>,
    config: ClientConfig,
    acks: Arc<A>,
    tokens: Option<Arc<TokenCache>>,
    room: Arc<Room>,
}

impl<A: Acks> KafkaSink<A> {
    /// Makes the producer. Connecting happens in the background. With a `transactional_id` everything is sent in transactions.
    ///
    /// # Errors
    ///
    /// [`SinkError::Settings`]: a secret could not be read or librdkafka refuses a setting.
    pub fn new(
        connection: &Connection,
        acks: Arc<A>,
        tokens: Option<Arc<TokenCache>>,
        transactional_id: Option<&str>,
    ) -> Result<KafkaSink<A>, SinkError> {
        let mut config = basis(connection)?;
        config.set("enable.idempotence", "true");
        if transactional_id.is_some() {
            // How long the broker holds readers back for a process that died; a transaction itself takes a second or so.
            config.set("transaction.timeout.ms", "30000");
        } else {
            // Never give a message up because brokers are away: the source pauses and waits.
            config.set("message.timeout.ms", "0");
        }
        // Hundreds of times what 20 ms of linger need; each message also costs about half a kilobyte beside its bytes.
        config.set("queue.buffering.max.kbytes", "16384");
        config.set("queue.buffering.max.messages", "50000");
        if let Some(id) = transactional_id {
            config.set("transactional.id", id);
        }
        KafkaSink::start(config, connection, acks, tokens)
    }

    /// A producer whose messages may be lost: a small buffer, and what is not delivered within [`SPARE_TIMEOUT_MS`] comes back as refused.
    ///
    /// # Errors
    ///
    /// As [`KafkaSink::new`].
    pub fn spare(connection: &Connection, acks: Arc<A>, tokens: Option<Arc<TokenCache>>) -> Result<KafkaSink<A>, SinkError> {
        let mut config = basis(connection)?;
        config.set("message.timeout.ms", SPARE_TIMEOUT_MS);
        config.set("queue.buffering.max.kbytes", "4096");
        config.set("queue.buffering.max.messages", "10000");
        KafkaSink::start(config, connection, acks, tokens)
    }

    /// Lays the operator's settings of librdkafka over `config`, and makes the producer.
    fn start(
        mut config: ClientConfig,
        connection: &Connection,
        acks: Arc<A>,
        tokens: Option<Arc<TokenCache>>,
    ) -> Result<KafkaSink<A>, SinkError> {
        for (key, value) in &connection.librdkafka {
            config.set(key, value);
        }
        config.set_log_level(RDKafkaLogLevel::Warning);
        let room = Arc::new(Room::default());
        let producer = make(&config, &acks, &tokens, &room).map_err(|error| match error {
            KafkaError::ClientConfig(_, what, key, _) => {
                SinkError::Settings(format!("librdkafka does not take `{key}`: {what}; see `{}.librdkafka`", connection.section))
            }
            other => SinkError::Settings(other.to_string()),
        })?;
        Ok(KafkaSink { producer: ArcSwap::from_pointee(producer), alone: OnceLock::new(), config, acks, tokens, room })
    }

    /// Hands a message to the producer. It is acknowledged, or refused, through [`Acks::delivered`] with `owed`.
    ///
    /// # Errors
    ///
    /// Why it was not taken; `owed` comes back and [`Acks::delivered`] is not called.
    pub fn send(&self, message: &OutMessage<'_>, owed: Box<A::Owed>) -> Result<(), (SendFault, Box<A::Owed>)> {
        send(&self.producer.load(), message, owed)
    }

    /// The same in a request of its own.
    ///
    /// # Errors
    ///
    /// As [`KafkaSink::send`].
    pub fn send_alone(&self, message: &OutMessage<'_>, owed: Box<A::Owed>) -> Result<(), (SendFault, Box<A::Owed>)> {
        let producer = self.alone.get_or_init(|| {
            let mut config = self.config.clone();
            config.set("batch.num.messages", "1");
            make(&config, &self.acks, &self.tokens, &self.room).map_err(|error| error.to_string())
        });
        match producer {
            Ok(producer) => send(producer, message, owed),
            Err(code) => Err((SendFault::Refused { fate: Fate::Permanent, too_large: true, code: code.clone() }, owed)),
        }
    }

    /// Waits until an acknowledgement made room, or `timeout` passed.
    pub fn wait_for_room(&self, timeout: Duration) {
        self.room.waiting.fetch_add(1, Ordering::AcqRel);
        let guard = self.room.lock.lock().unwrap_or_else(PoisonError::into_inner);
        // Woken or not, the caller tries again.
        drop(self.room.freed.wait_timeout(guard, timeout));
        self.room.waiting.fetch_sub(1, Ordering::AcqRel);
    }

    /// Waits until everything handed over is acknowledged or refused.
    ///
    /// # Errors
    ///
    /// [`SinkError::Flush`] when `timeout` passes before.
    pub fn flush(&self, timeout: Duration) -> Result<(), SinkError> {
        let alone = self.alone.get().and_then(|producer| producer.as_ref().ok());
        for producer in [Some(&**self.producer.load()), alone].into_iter().flatten() {
            producer.flush(timeout).map_err(|error| SinkError::Flush(error.to_string()))?;
        }
        Ok(())
    }

    /// Throws out what is not acknowledged: a stop that may wait no longer.
    pub fn purge(&self) {
        let alone = self.alone.get().and_then(|producer| producer.as_ref().ok());
        for producer in [Some(&**self.producer.load()), alone].into_iter().flatten() {
            producer.purge(rdkafka::producer::PurgeConfig::default().queue().inflight());
        }
    }
}

/// What every producer is set to.
fn basis(connection: &Connection) -> Result<ClientConfig, SinkError> {
    let mut config = ClientConfig::new();
    for (key, value) in connection.librdkafka_settings().map_err(SinkError::Settings)? {
        config.set(key, value.expose());
    }
    config.set("acks", "all");
    config.set("linger.ms", "20");
    if connection.is_eventhubs() {
        config.set("compression.type", "none");
        config.set("request.timeout.ms", "60000");
        config.set("message.max.bytes", "1000000");
    } else {
        config.set("compression.type", "lz4");
    }
    Ok(config)
}

fn make<A: Acks>(
    config: &ClientConfig,
    acks: &Arc<A>,
    tokens: &Option<Arc<TokenCache>>,
    room: &Arc<Room>,
) -> Result<SinkProducer<A>, KafkaError> {
    config.create_with_context(SinkContext { acks: Arc::clone(acks), tokens: tokens.clone(), room: Arc::clone(room) })
}

fn send<A: Acks>(producer: &SinkProducer<A>, message: &OutMessage<'_>, owed: Box<A::Owed>) -> Result<(), (SendFault, Box<A::Owed>)> {
    let mut headers = OwnedHeaders::new_with_capacity(message.headers.len());
    for (key, value) in message.headers {
        headers = headers.insert(Header { key, value: Some(*value) });
    }
    let mut record = BaseRecord::<[u8], [u8], Box<A::Owed>>::with_opaque_to(message.topic, owed).headers(headers);
    // A key without a value is a tombstone: compaction takes the key away.
    if message.key.is_empty() || !message.value.is_empty() {
        record = record.payload(message.value);
    }
    if !message.key.is_empty() {
        record = record.key(message.key);
    }
    producer.send(record).map_err(|(error, record)| {
        let code = error.rdkafka_error_code();
        let fault = match code {
            Some(RDKafkaErrorCode::QueueFull) => SendFault::Full,
            _ => SendFault::Refused { fate: fate(code), too_large: is_too_large(code), code: code_name(code) },
        };
        (fault, record.delivery_opaque)
    })
}

impl<A: Acks> ClientContext for SinkContext<A> {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        // librdkafka repeats itself at every attempt; what matters of it arrives as an error, once.
        tracing::debug!(?level, facility, line, "librdkafka");
    }

    fn stats(&self, statistics: Statistics) {
        if statistics.brokers.values().any(|broker| broker.nodeid >= 0 && broker.state == "UP") {
            self.acks.reachable();
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let code = error.rdkafka_error_code();
        let refused =
            matches!(code, Some(RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SaslAuthenticationFailed | RDKafkaErrorCode::SSL));
        self.acks.trouble(&code_name(code), refused, reason);
    }

    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        let tokens = self.tokens.as_ref().ok_or("no token is configured")?;
        let (token, principal_name, lifetime_ms) = tokens.current()?;
        Ok(OAuthToken { token: token.expose().to_owned(), principal_name, lifetime_ms })
    }
}

impl<A: Acks> ProducerContext for SinkContext<A> {
    type DeliveryOpaque = Box<A::Owed>;

    fn delivery(&self, result: &DeliveryResult<'_>, owed: Box<A::Owed>) {
        let result = match result {
            Ok(_) => Ok(()),
            Err((error, message)) => {
                let code = error.rdkafka_error_code();
                Err(Refused {
                    fate: fate(code),
                    too_large: is_too_large(code),
                    code: code_name(code),
                    message: OwnedMessage {
                        topic: message.topic().to_owned(),
                        key: message.key().unwrap_or_default().to_vec(),
                        value: message.payload().unwrap_or_default().to_vec(),
                        headers: message
                            .headers()
                            .map(|all| all.iter().map(|one| (one.key.to_owned(), one.value.unwrap_or_default().to_vec())).collect())
                            .unwrap_or_default(),
                    },
                })
            }
        };
        self.acks.delivered(owed, result);
        if self.room.waiting.load(Ordering::Acquire) > 0 {
            let _guard = self.room.lock.lock().unwrap_or_else(PoisonError::into_inner);
            self.room.freed.notify_all();
        }
    }
}

/// What an error code means for a message. Anything not known to be permanent is tried again: rather late than lost.
fn fate(code: Option<RDKafkaErrorCode>) -> Fate {
    use RDKafkaErrorCode as Code;
    match code {
        Some(
            Code::MessageSizeTooLarge
            | Code::MessageBatchTooLarge
            | Code::UnknownTopicOrPartition
            | Code::UnknownTopic
            | Code::UnknownPartition
            | Code::InvalidTopic
            | Code::TopicAuthorizationFailed
            | Code::InvalidRecord
            | Code::InvalidTimestamp
            | Code::PolicyViolation,
        ) => Fate::Permanent,
        Some(Code::PurgeQueue | Code::PurgeInflight | Code::BrokerDestroy) => Fate::Purged,
        Some(Code::Fatal | Code::Fenced | Code::OutOfOrderSequenceNumber | Code::InvalidProducerEpoch) => Fate::Fatal,
        _ => Fate::Retry,
    }
}

fn is_too_large(code: Option<RDKafkaErrorCode>) -> bool {
    matches!(code, Some(RDKafkaErrorCode::MessageSizeTooLarge | RDKafkaErrorCode::MessageBatchTooLarge))
}

fn code_name(code: Option<RDKafkaErrorCode>) -> String {
    code.map_or_else(|| "none".to_owned(), |code| format!("{code:?}"))
}
