//! Messages from Kafka, or from Event Hubs through its Kafka endpoint.
//!
//! One thread owns the consumer and runs [`KafkaSource::run`]. Rebalances happen inside its polls. What it sees goes to a [`Keeper`],
//! which knows the positions; offsets are stored only as the keeper says.
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rdkafka::client::{ClientContext, OAuthToken};
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::statistics::Statistics;
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, Timestamp, TopicPartitionList};

use crate::config::{Connection, KafkaSource as SourceSettings, Start, TokenCache};

#[cfg(feature = "openai")]
mod latest;
mod member;

#[cfg(feature = "openai")]
pub use latest::latest_values;
pub use member::{Member, OffsetWriter};

/// One message, borrowed from the client's buffer.
#[derive(Debug)]
pub struct SourceMessage<'a> {
    /// Topic.
    pub topic: &'a str,
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
    /// The broker's timestamp. Unit: milliseconds since the Unix epoch.
    pub received_ms: Option<i64>,
    /// The body; empty for a tombstone.
    pub body: &'a [u8],
    /// Header names and values in order.
    pub headers: Vec<(&'a str, &'a [u8])>,
    /// Name of the file it stands in, and the byte it begins at, for sources whose offsets say less.
    pub place: Option<(&'a str, i64)>,
}

/// A position to go on from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// Topic.
    pub topic: Arc<str>,
    /// Partition.
    pub partition: i32,
    /// Offset of the next message to read.
    pub offset: i64,
}

/// Who takes the messages and knows what is settled. All calls come from the polling thread.
pub trait Keeper: Send + Sync + 'static {
    /// A message came. Must not block.
    fn message(&self, message: &SourceMessage<'_>);
    /// The same, but it may be kept until [`Keeper::hand_over`], which follows soon. Answers whether more may be gathered before.
    fn gather(&self, message: &SourceMessage<'_>) -> bool {
        self.message(message);
        true
    }
    /// Passes on what was gathered.
    fn hand_over(&self) {}
    /// Whether all who take the messages have enough to do for a while.
    fn is_ahead(&self) -> bool {
        false
    }
    /// Partitions were assigned; may be none.
    fn assigned(&self, partitions: &[(String, i32)]);
    /// Partitions are taken away. Waits, within bounds, until what is being written of them is acknowledged, and answers the positions to
    /// commit. `lost`: they already belong to another, nothing can be committed.
    fn revoked(&self, partitions: &[(String, i32)], lost: bool) -> Vec<Position>;
    /// Positions that moved since the last call.
    fn positions(&self) -> Vec<Position>;
    /// Called several times a second, so that gauges follow.
    fn observe(&self);
    /// No more room: the source pauses.
    fn is_full(&self) -> bool;
    /// Room again: a paused source goes on.
    fn has_room(&self) -> bool;
    /// The source paused or went on.
    fn paused(&self, paused: bool);
    /// A stop is wanted: take no more.
    fn is_draining(&self) -> bool;
    /// Draining is over: everything is settled, or it takes too long.
    fn is_drained(&self) -> bool;
    /// The offset behind the newest message of a partition, told every few seconds.
    fn newest(&self, topic: &str, partition: i32, end: i64);
    /// At least one broker is connected and has let us in.
    fn reachable(&self);
    /// Something is wrong that librdkafka tries to mend by itself. `code` is from librdkafka's closed list.
    fn trouble(&self, code: &str, refused: bool, reason: &str);
    /// A commit ended.
    fn committed(&self, result: Result<(), String>);
}

/// Why the source ended.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The settings were not taken.
    #[error("source.kafka: {0}")]
    Settings(String),
    /// librdkafka gave up for good.
    #[error("source.kafka: the consumer cannot go on: {0}")]
    Fatal(String),
}

/// How often positions are handed to librdkafka while messages flow.
const STORE_INTERVAL: Duration = Duration::from_millis(100);
/// How long one poll waits.
const POLL: Duration = Duration::from_millis(50);
/// Messages that are taken before they are passed on together, when so many are there.
const GATHER: usize = 256;
/// How long nothing is taken while enough waits for the workers: what is taken early has left the caches when its turn comes. It is taken in
/// the end, so that a sink that stands still pauses the source.
const AHEAD_WAIT: Duration = Duration::from_millis(4);

/// Callbacks of the consumer. They run on the polling thread, inside its polls.
pub struct SourceContext {
    keeper: Arc<dyn Keeper>,
    tokens: Option<Arc<TokenCache>>,
    writer: Option<Arc<dyn OffsetWriter>>,
    rebalanced: AtomicBool,
}

/// A consumer and its settings.
pub struct KafkaSource {
    consumer: BaseConsumer<SourceContext>,
    keeper: Arc<dyn Keeper>,
    /// Only dead letters that are read again say something in their headers.
    wants_headers: bool,
}

impl KafkaSource {
    /// Makes the consumer and subscribes. Connecting happens in the background. With a `writer` the consumer commits nothing itself.
    ///
    /// # Errors
    ///
    /// [`SourceError::Settings`]: a secret could not be read or librdkafka refuses a setting.
    pub fn new(
        settings: &SourceSettings,
        keeper: Arc<dyn Keeper>,
        tokens: Option<Arc<TokenCache>>,
        writer: Option<Arc<dyn OffsetWriter>>,
    ) -> Result<KafkaSource, SourceError> {
        let connection = settings.connection();
        let mut config = ClientConfig::new();
        for (key, value) in connection.librdkafka_settings().map_err(SourceError::Settings)? {
            config.set(key, value.expose());
        }
        config.set("group.id", settings.group_id());
        config.set("partition.assignment.strategy", "cooperative-sticky");
        config.set("auto.offset.reset", if settings.start == Start::Latest { "latest" } else { "earliest" });
        let commit_interval_ms = if settings.commit_interval_ms == 0 { 5000 } else { settings.commit_interval_ms };
        config.set("auto.commit.interval.ms", commit_interval_ms.to_string());
        config.set("session.timeout.ms", if connection.is_eventhubs() { "30000" } else { "45000" });
        // What librdkafka reads ahead comes on top of the budget of messages in flight.
        config.set("queued.max.messages.kbytes", "16384");
        // A partition that has read so far ahead would stand still for a second, however soon its messages are taken.
        config.set("fetch.queue.backoff.ms", "10");
        for (key, value) in &settings.librdkafka {
            config.set(key, value);
        }
        // Set last: the promise of delivery rests on these.
        config.set("enable.auto.commit", if writer.is_some() { "false" } else { "true" });
        config.set("enable.auto.offset.store", "false");
        config.set("enable.partition.eof", "false");
        if writer.is_some() {
            // Also makes the coordinator hold a committed offset back while a transaction over it is open.
            config.set("isolation.level", "read_committed");
        }
        config.set_log_level(RDKafkaLogLevel::Warning);
        let context = SourceContext { keeper: Arc::clone(&keeper), tokens, writer, rebalanced: AtomicBool::new(false) };
        let consumer: BaseConsumer<SourceContext> =
            config.create_with_context(context).map_err(|error| SourceError::Settings(explain(&connection, &error)))?;
        let topics: Vec<&str> = settings.topics.iter().map(String::as_str).collect();
        consumer.subscribe(&topics).map_err(|error| SourceError::Settings(error.to_string()))?;
        Ok(KafkaSource { consumer, keeper, wants_headers: settings.redrive })
    }

    /// Polls until the keeper says that draining is over. Ends with a synchronous commit and asks to leave the group,
    /// which dropping completes.
    ///
    /// # Errors
    ///
    /// [`SourceError::Fatal`]: nothing more can be read; what is settled was committed as far as that goes.
    pub fn run(&self) -> Result<(), SourceError> {
        let mut paused = false;
        let mut stored = Instant::now();
        let writer = self.consumer.context().writer.clone();
        let member = Member { consumer: &self.consumer };
        let mut busy = false;
        let ended = loop {
            if !busy && !paused && self.keeper.is_ahead() {
                std::thread::park_timeout(AHEAD_WAIT);
            }
            if let Err(error) = self.take(if busy { Duration::ZERO } else { POLL }) {
                break Err(error);
            }
            let draining = self.keeper.is_draining();
            if self.consumer.context().rebalanced.swap(false, Ordering::AcqRel) && paused {
                // New partitions arrive unpaused.
                self.set_paused(true);
            }
            if !paused && (draining || self.keeper.is_full()) {
                paused = true;
                self.set_paused(true);
            } else if paused && !draining && self.keeper.has_room() {
                paused = false;
                self.set_paused(false);
            }
            if stored.elapsed() >= STORE_INTERVAL {
                self.store();
                stored = Instant::now();
            }
            busy = writer.as_ref().is_some_and(|writer| writer.turn(&member));
            if draining && self.keeper.is_drained() && writer.as_ref().is_none_or(|writer| writer.is_idle()) {
                break Ok(());
            }
        };
        if let Some(writer) = writer {
            writer.end(&member);
            self.consumer.unsubscribe();
            return ended;
        }
        self.store();
        // The commit at the end is asked for by name, so that its failure shows. Nothing stored is no failure.
        match self.consumer.commit_consumer_state(CommitMode::Sync) {
            Ok(()) | Err(KafkaError::ConsumerCommit(RDKafkaErrorCode::NoOffset)) => {}
            Err(error) => self.keeper.committed(Err(error.to_string())),
        }
        self.consumer.unsubscribe();
        ended
    }

    /// Waits for a message, and passes on what else is there already, all at once: waking a worker costs more than a message.
    fn take(&self, mut wait: Duration) -> Result<(), SourceError> {
        let mut taken = Ok(());
        for _ in 0..GATHER {
            match self.consumer.poll(wait) {
                Some(Ok(message)) => {
                    if !self.keeper.gather(&borrow(&message, self.wants_headers)) {
                        break;
                    }
                }
                Some(Err(error)) => {
                    taken = self.failed(&error);
                    break;
                }
                None => break,
            }
            wait = Duration::ZERO;
        }
        self.keeper.hand_over();
        taken
    }

    fn failed(&self, error: &KafkaError) -> Result<(), SourceError> {
        if let KafkaError::MessageConsumptionFatal(_) = error {
            return Err(SourceError::Fatal(error.to_string()));
        }
        let code = error.rdkafka_error_code();
        // What concerns the connection arrives at the context's `error` too, with more words.
        let is_told = matches!(
            code,
            Some(
                RDKafkaErrorCode::Authentication
                    | RDKafkaErrorCode::SSL
                    | RDKafkaErrorCode::AllBrokersDown
                    | RDKafkaErrorCode::BrokerTransportFailure
                    | RDKafkaErrorCode::Resolve
            )
        );
        if !is_told {
            self.keeper.trouble(&code_name(code), is_refusal(code), &error.to_string());
        }
        Ok(())
    }

    fn store(&self) {
        if self.consumer.context().writer.is_some() {
            return self.keeper.observe();
        }
        let positions = self.keeper.positions();
        if positions.is_empty() {
            return;
        }
        if let Err(error) = self.consumer.store_offsets(&list(&positions)) {
            // A partition that was revoked meanwhile: its new owner reads on from the last commit.
            tracing::debug!(%error, "positions not stored");
        }
    }

    fn set_paused(&self, paused: bool) {
        let result = self
            .consumer
            .assignment()
            .and_then(|assignment| if paused { self.consumer.pause(&assignment) } else { self.consumer.resume(&assignment) });
        if let Err(error) = result {
            tracing::warn!(%error, paused, "partitions were not paused or resumed");
        }
        self.keeper.paused(paused);
    }
}

impl super::Source for KafkaSource {
    fn run(&self) -> Result<(), String> {
        KafkaSource::run(self).map_err(|error| error.to_string())
    }
}

impl ClientContext for SourceContext {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        // librdkafka repeats itself at every attempt; what matters of it arrives as an error, once.
        tracing::debug!(?level, facility, line, "librdkafka");
    }

    fn stats(&self, statistics: Statistics) {
        // Logical brokers such as the group coordinator have no number; a connected real one is what counts.
        if statistics.brokers.values().any(|broker| broker.nodeid >= 0 && broker.state == "UP") {
            self.keeper.reachable();
        }
        for topic in statistics.topics.values() {
            for partition in topic.partitions.values().filter(|partition| partition.partition >= 0 && partition.hi_offset >= 0) {
                self.keeper.newest(&topic.topic, partition.partition, partition.hi_offset);
            }
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let code = error.rdkafka_error_code();
        self.keeper.trouble(&code_name(code), is_refusal(code), reason);
    }

    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        let tokens = self.tokens.as_ref().ok_or("no token is configured")?;
        let (token, principal_name, lifetime_ms) = tokens.current()?;
        Ok(OAuthToken { token: token.expose().to_owned(), principal_name, lifetime_ms })
    }
}

impl ConsumerContext for SourceContext {
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Assign(partitions) => self.keeper.assigned(&names(partitions)),
            Rebalance::Revoke(partitions) => {
                let lost = consumer.assignment_lost();
                if let Some(writer) = &self.writer {
                    return writer.revoked(&names(partitions), lost, &Member { consumer });
                }
                let positions = self.keeper.revoked(&names(partitions), lost);
                if !lost && !positions.is_empty() {
                    let result = consumer.commit(&list(&positions), CommitMode::Sync);
                    self.keeper.committed(result.map_err(|error| error.to_string()));
                }
            }
            Rebalance::Error(error) => self.keeper.trouble(&code_name(error.rdkafka_error_code()), false, &error.to_string()),
        }
    }

    fn post_rebalance(&self, _: &BaseConsumer<Self>, _: &Rebalance<'_>) {
        self.rebalanced.store(true, Ordering::Release);
    }

    fn commit_callback(&self, result: KafkaResult<()>, _: &TopicPartitionList) {
        match result {
            // Nothing new to commit.
            Err(KafkaError::ConsumerCommit(RDKafkaErrorCode::NoOffset)) => {}
            result => self.keeper.committed(result.map_err(|error| error.to_string())),
        }
    }
}

fn borrow<'a>(message: &'a BorrowedMessage<'_>, wants_headers: bool) -> SourceMessage<'a> {
    let headers = if wants_headers { message.headers() } else { None };
    SourceMessage {
        topic: message.topic(),
        partition: message.partition(),
        offset: message.offset(),
        received_ms: match message.timestamp() {
            Timestamp::NotAvailable => None,
            Timestamp::CreateTime(ms) | Timestamp::LogAppendTime(ms) => Some(ms),
        },
        body: message.payload().unwrap_or_default(),
        headers: headers.map(|all| all.iter().map(|one| (one.key, one.value.unwrap_or_default())).collect()).unwrap_or_default(),
        place: None,
    }
}

fn names(partitions: &TopicPartitionList) -> Vec<(String, i32)> {
    partitions.elements().iter().map(|element| (element.topic().to_owned(), element.partition())).collect()
}

fn list(positions: &[Position]) -> TopicPartitionList {
    let mut list = TopicPartitionList::with_capacity(positions.len());
    for position in positions {
        // Only an offset below -2 is refused, and positions are offsets of messages.
        if let Err(error) = list.add_partition_offset(&position.topic, position.partition, Offset::Offset(position.offset)) {
            tracing::error!(%error, topic = %position.topic, partition = position.partition, "position not usable");
        }
    }
    list
}

fn is_refusal(code: Option<RDKafkaErrorCode>) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        code,
        Some(
            Code::Authentication
                | Code::SaslAuthenticationFailed
                | Code::UnsupportedSASLMechanism
                | Code::IllegalSASLState
                | Code::SSL
                | Code::TopicAuthorizationFailed
                | Code::GroupAuthorizationFailed
                | Code::ClusterAuthorizationFailed
        )
    )
}

fn code_name(code: Option<RDKafkaErrorCode>) -> String {
    code.map_or_else(|| "none".to_owned(), |code| format!("{code:?}"))
}

/// A refused setting, with the section it stands in.
fn explain(connection: &Connection, error: &KafkaError) -> String {
    match error {
        KafkaError::ClientConfig(_, what, key, _) => {
            format!("librdkafka does not take `{key}`: {what}; see `{}.librdkafka`", connection.section)
        }
        other => other.to_string(),
    }
}
