//! Messages to Event Hubs over AMQP. An output's topic is a hub.
//!
//! The SDK's buffered producer makes the batches and tells of each what became of it. It treats only an accepted batch as stored; its plain
//! producer takes a released one for success, which would lose it. One producer a hub, made when the hub is first written to.
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use azure_core::credentials::TokenCredential;
use azure_messaging_eventhubs::models::{EventData, MessageId};
use azure_messaging_eventhubs::{BufferedProducerClient, EnqueueEventOptions, EventHubsError, RetryOptions};
use tokio::sync::mpsc;

use super::kafka::{Acks, Fate, OutMessage, OwnedMessage, Refused, SendFault, SinkError};
use crate::config::{Namespace, Secret, entra};

/// Bytes handed over and not acknowledged, above which [`SendFault::Full`] is answered.
const BUFFER_BYTES: usize = 64 << 20;
/// The same for messages that may be lost.
const SPARE_BUFFER_BYTES: usize = 4 << 20;
/// What a message costs beyond its key and value.
const OVERHEAD_BYTES: usize = 512;
/// How long the producer waits for a batch to fill.
const LINGER_MS: i64 = 20;
/// How long the service may say nothing of a message. It answers within seconds; a batch whose link was lost while it was sent is never
/// answered.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// How often that is looked at.
const ANSWER_TICK: Duration = Duration::from_secs(1);
/// The first wait after the connection failed; it doubles.
const BACKOFF_FIRST: Duration = Duration::from_millis(200);
/// The longest wait.
const BACKOFF_MAX: Duration = Duration::from_secs(15);

/// The producers.
pub struct EventHubsSink<A: Acks> {
    shared: Arc<Shared<A>>,
    runtime: Option<tokio::runtime::Runtime>,
    hubs: Mutex<HashMap<String, mpsc::UnboundedSender<u64>>>,
}

struct Shared<A: Acks> {
    acks: Arc<A>,
    namespace: Namespace,
    login: Login,
    next: AtomicU64,
    used_bytes: AtomicUsize,
    buffer_bytes: usize,
    /// Messages handed over and not acknowledged, by the number they carry.
    waiting: Mutex<HashMap<u64, Waiting<A>>>,
    room: Condvar,
}

enum Login {
    ConnectionString(Secret),
    Credential(Arc<dyn TokenCredential>),
}

struct Waiting<A: Acks> {
    message: OwnedMessage,
    owed: Box<A::Owed>,
    /// When a producer got it.
    given: Option<Instant>,
}

impl<A: Acks> EventHubsSink<A> {
    /// Reads secrets and starts the threads. Connecting happens in the background.
    ///
    /// # Errors
    ///
    /// A secret could not be read, or no thread was to be had.
    pub fn new(namespace: Namespace, acks: Arc<A>) -> Result<EventHubsSink<A>, String> {
        EventHubsSink::start(namespace, acks, BUFFER_BYTES)
    }

    /// A sink whose messages may be lost: its buffer is small.
    ///
    /// # Errors
    ///
    /// As [`EventHubsSink::new`].
    pub fn spare(namespace: Namespace, acks: Arc<A>) -> Result<EventHubsSink<A>, String> {
        EventHubsSink::start(namespace, acks, SPARE_BUFFER_BYTES)
    }

    fn start(namespace: Namespace, acks: Arc<A>, buffer_bytes: usize) -> Result<EventHubsSink<A>, String> {
        let named = |fault: String| format!("`{}.access`: {fault}", namespace.section);
        let access = &namespace.access;
        let login = match (&access.connection_string, access.credential) {
            (Some(reference), _) => Login::ConnectionString(reference.read().map_err(named)?),
            (None, Some(kind)) => Login::Credential(entra::credential(kind, access.client_id.as_deref()).map_err(named)?),
            (None, None) => return Err(named("nobody asks to be let in".to_owned())),
        };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("sink")
            .enable_all()
            .build()
            .map_err(|error| format!("{}: threads were not started: {error}", namespace.section))?;
        let shared = Shared {
            acks,
            namespace,
            login,
            next: AtomicU64::new(0),
            used_bytes: AtomicUsize::new(0),
            buffer_bytes,
            waiting: Mutex::default(),
            room: Condvar::new(),
        };
        Ok(EventHubsSink { shared: Arc::new(shared), runtime: Some(runtime), hubs: Mutex::default() })
    }

    /// Hands a message over. It is acknowledged, or refused, through [`Acks::delivered`] with `owed`.
    ///
    /// # Errors
    ///
    /// [`SendFault::Full`]; `owed` comes back.
    pub fn send(&self, message: &OutMessage<'_>, owed: Box<A::Owed>) -> Result<(), (SendFault, Box<A::Owed>)> {
        let shared = &self.shared;
        if shared.used_bytes.load(Ordering::Acquire) >= shared.buffer_bytes {
            return Err((SendFault::Full, owed));
        }
        let message = OwnedMessage {
            topic: message.topic.to_owned(),
            key: message.key.to_vec(),
            value: message.value.to_vec(),
            headers: message.headers.iter().map(|(name, value)| ((*name).to_owned(), value.to_vec())).collect(),
        };
        let number = shared.next.fetch_add(1, Ordering::Relaxed);
        shared.used_bytes.fetch_add(cost(&message), Ordering::AcqRel);
        let hub = message.topic.clone();
        shared.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(number, Waiting { message, owed, given: None });
        let mut hubs = self.hubs.lock().unwrap_or_else(PoisonError::into_inner);
        let queue = hubs.entry(hub).or_insert_with_key(|hub| {
            let (queue, numbers) = mpsc::unbounded_channel();
            if let Some(runtime) = &self.runtime {
                runtime.spawn(produce(Arc::clone(shared), hub.clone(), numbers));
            }
            queue
        });
        if queue.send(number).is_err() {
            shared.refuse(number, Fate::Fatal, false, "ProducerEnded");
        }
        Ok(())
    }

    /// Waits until an acknowledgement made room, or `timeout` passed.
    pub fn wait_for_room(&self, timeout: Duration) {
        let guard = self.shared.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        // Woken or not, the caller tries again.
        drop(self.shared.room.wait_timeout(guard, timeout));
    }

    /// Waits until everything handed over is acknowledged or refused.
    ///
    /// # Errors
    ///
    /// [`SinkError::Flush`] when `timeout` passes before.
    pub fn flush(&self, timeout: Duration) -> Result<(), SinkError> {
        let deadline = Instant::now() + timeout;
        let mut waiting = self.shared.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        while !waiting.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(SinkError::Flush(format!("{} messages are not acknowledged by Event Hubs", waiting.len())));
            }
            waiting = self.shared.room.wait_timeout(waiting, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        Ok(())
    }

    /// Throws out what is not acknowledged: a stop that may wait no longer.
    pub fn purge(&self) {
        let numbers: Vec<u64> = self.shared.waiting.lock().unwrap_or_else(PoisonError::into_inner).keys().copied().collect();
        for number in numbers {
            self.shared.refuse(number, Fate::Purged, false, "Purged");
        }
    }
}

impl<A: Acks> Drop for EventHubsSink<A> {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn cost(message: &OwnedMessage) -> usize {
    message.key.len() + message.value.len() + OVERHEAD_BYTES
}

impl<A: Acks> Shared<A> {
    fn take(&self, number: u64) -> Option<Waiting<A>> {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&number)?;
        self.used_bytes.fetch_sub(cost(&waiting.message), Ordering::AcqRel);
        self.room.notify_all();
        Some(waiting)
    }

    fn refuse(&self, number: u64, fate: Fate, too_large: bool, code: &str) {
        if let Some(Waiting { message, owed, .. }) = self.take(number) {
            self.acks.delivered(owed, Err(Refused { fate, too_large, code: code.to_owned(), message }));
        }
    }

    /// The event of a message, numbered so that what became of it can be told.
    fn event(&self, number: u64) -> Option<(EventData, Option<String>)> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = waiting.get_mut(&number)?;
        waiting.given = Some(Instant::now());
        let message = &waiting.message;
        let mut event = EventData::builder().with_body(message.value.clone()).with_message_id(number);
        for (name, value) in &message.headers {
            event = match std::str::from_utf8(value) {
                Ok(text) => event.add_property(name.clone(), text.to_owned()),
                Err(_) => event.add_property(name.clone(), value.clone()),
            };
        }
        let key = std::str::from_utf8(&message.key).ok().filter(|key| !key.is_empty()).map(str::to_owned);
        Some((event.build(), key))
    }

    async fn open(self: &Arc<Self>, hub: &str, broken: &Arc<Broken>) -> Result<BufferedProducerClient, EventHubsError> {
        let (stored, failed, broken) = (Arc::clone(self), Arc::clone(self), Arc::clone(broken));
        // No retries of the SDK: when the senders of two partitions mend their connection at once, one of them may wait for ever. What fails
        // comes here, and is sent again by a new producer.
        let mut builder = BufferedProducerClient::builder()
            .with_retry_options(RetryOptions { max_retries: 0, ..RetryOptions::default() })
            .with_max_wait_time(azure_core::time::Duration::milliseconds(LINGER_MS))
            .with_on_send_succeeded(move |sent| {
                for number in sent.events.iter().filter_map(number) {
                    if let Some(waiting) = stored.take(number) {
                        stored.acks.delivered(waiting.owed, Ok(()));
                    }
                }
                stored.acks.reachable();
                async {}
            })
            .with_on_send_failed(move |sent| {
                let (fate, too_large, code) = judge(&sent.error);
                if fate == Fate::Retry {
                    failed.acks.trouble(code, false, &sent.error.to_string());
                }
                if matches!(code, "Connection" | "Authentication") {
                    broken.set.store(true, Ordering::Release);
                    broken.told.notify_one();
                }
                for number in sent.events.iter().filter_map(number) {
                    failed.refuse(number, fate, too_large, code);
                }
                async {}
            });
        if let Some(endpoint) = &self.namespace.endpoint {
            builder = builder.with_custom_endpoint(endpoint.clone());
        }
        match &self.login {
            Login::ConnectionString(text) => builder.open_with_connection_string(text.expose(), Some(hub)).await,
            Login::Credential(credential) => builder.open(&self.namespace.host, hub, Arc::clone(credential)).await,
        }
    }
}

fn number(event: &EventData) -> Option<u64> {
    match event.message_id() {
        Some(MessageId::Ulong(number)) => Some(*number),
        _ => None,
    }
}

/// Told when a batch failed although the SDK tried to mend the connection.
#[derive(Default)]
struct Broken {
    set: AtomicBool,
    told: tokio::sync::Notify,
}

/// How long a producer that failed may take to end before it is left behind.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// Gives a hub the messages that come for it, with a new producer whenever one fails.
async fn produce<A: Acks>(shared: Arc<Shared<A>>, hub: String, mut numbers: mpsc::UnboundedReceiver<u64>) {
    loop {
        let broken = Arc::new(Broken::default());
        let producer = open(&shared, &hub, &mut numbers, &broken).await;
        shared.acks.reachable();
        let silent = silent(&shared, &hub);
        tokio::pin!(silent);
        while !broken.set.load(Ordering::Acquire) {
            let number = tokio::select! {
                biased;
                () = broken.told.notified() => break,
                () = &mut silent => break,
                number = numbers.recv() => match number {
                    Some(number) => number,
                    None => return,
                },
            };
            // Purged meanwhile.
            let Some((event, partition_key)) = shared.event(number) else { continue };
            let options = EnqueueEventOptions { partition_key, ..EnqueueEventOptions::default() };
            // A full buffer makes this wait too.
            let taken = tokio::select! {
                biased;
                () = broken.told.notified() => break,
                () = &mut silent => break,
                taken = producer.enqueue_event(event, Some(options)) => taken,
            };
            if let Err(error) = taken {
                let (fate, too_large, code) = judge(&error);
                shared.refuse(number, fate, too_large, code);
            }
        }
        // What it still tells is taken; what it does not tell in time is sent again by the next one.
        let ended = tokio::time::timeout(CLOSE_TIMEOUT, producer.close()).await;
        tracing::debug!(hub, in_time = ended.is_ok(), "producer ended");
        let given: Vec<u64> = {
            let waiting = shared.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.iter().filter(|(_, one)| one.given.is_some() && one.message.topic == hub).map(|(number, _)| *number).collect()
        };
        for number in given {
            shared.refuse(number, Fate::Retry, false, "Connection");
        }
    }
}

/// Comes back when a message of the hub has waited too long for an answer.
async fn silent<A: Acks>(shared: &Shared<A>, hub: &str) {
    loop {
        tokio::time::sleep(ANSWER_TICK).await;
        let oldest = {
            let waiting = shared.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.values().filter(|one| one.message.topic == hub).filter_map(|one| one.given).min()
        };
        if oldest.is_some_and(|given| given.elapsed() > ANSWER_TIMEOUT) {
            let text = format!("hub `{hub}`: no answer for {} s", ANSWER_TIMEOUT.as_secs());
            return shared.acks.trouble("Connection", false, &text);
        }
    }
}

/// Opens a hub, for as long as that takes.
async fn open<A: Acks>(
    shared: &Arc<Shared<A>>,
    hub: &str,
    numbers: &mut mpsc::UnboundedReceiver<u64>,
    broken: &Arc<Broken>,
) -> BufferedProducerClient {
    let mut wait = BACKOFF_FIRST;
    loop {
        match shared.open(hub, broken).await {
            Ok(producer) => return producer,
            Err(error) => {
                let (fate, _, code) = judge(&error);
                shared.acks.trouble(code, code == "Authentication", &format!("hub `{hub}`: {error}"));
                if fate == Fate::Permanent && code == "UnknownHub" {
                    // What waits so far is refused as Kafka refuses an unknown topic; a hub made later is found by what comes then.
                    while let Ok(number) = numbers.try_recv() {
                        shared.refuse(number, fate, false, code);
                    }
                }
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(BACKOFF_MAX);
            }
        }
    }
}

/// What an error means for a message: its fate, whether its size is the reason, and a code from a closed list. Anything not known to be
/// permanent is tried again: rather late than lost.
///
/// The condition lies at different depths of the SDK's errors, wrapped or flattened to text, so their text is searched for the names that
/// the protocol gives them.
fn judge(error: &EventHubsError) -> (Fate, bool, &'static str) {
    let text = format!("{error:?} {error}");
    let has = |signs: &[&str]| signs.iter().any(|sign| text.contains(sign));
    if has(&["message-size-exceeded", "MessageSizeExceeded", "PayloadSizeExceeded", "exceeds the maximum", "too large"]) {
        (Fate::Permanent, true, "MessageSizeTooLarge")
    } else if has(&["amqp:not-found", "NotFound", "StatusCode(404"]) {
        (Fate::Permanent, false, "UnknownHub")
    } else if has(&["unauthorized", "Unauthorized", "Error authorizing"]) {
        (Fate::Retry, false, "Authentication")
    } else if has(&["SendNotAccepted", "not durably accepted"]) {
        (Fate::Retry, false, "NotAccepted")
    } else if has(&["server-busy", "ServerBusy"]) {
        (Fate::Retry, false, "ServerBusy")
    } else {
        (Fate::Retry, false, "Connection")
    }
}
