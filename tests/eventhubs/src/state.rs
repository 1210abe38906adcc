//! Hubs, partitions, events and faults.
use std::collections::HashMap;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use fe2o3_amqp_types::messaging::ApplicationProperties;
use fe2o3_amqp_types::primitives::SimpleValue;
use tokio::sync::Notify;

/// Faults that the stand-in shows while they are set.
#[derive(Debug, Default)]
pub struct Faults {
    refuse_tokens: AtomicBool,
    reject_sends: AtomicUsize,
    release_sends: AtomicUsize,
    withheld: Mutex<Option<String>>,
    pub(crate) condition: Mutex<Option<String>>,
}

impl Faults {
    /// Answers every put-token with 401.
    pub fn refuse_tokens(&self, refuse: bool) {
        self.refuse_tokens.store(refuse, Ordering::Release);
    }

    /// Answers nothing to the next put-token for a path that contains `path`, as a service does that lost it.
    pub fn withhold_token(&self, path: &str) {
        *self.withheld.lock().unwrap_or_else(PoisonError::into_inner) = Some(path.to_owned());
    }

    /// Whether that has happened.
    pub fn has_withheld(&self) -> bool {
        self.withheld.lock().unwrap_or_else(PoisonError::into_inner).is_none()
    }

    /// Rejects the next `count` transfers with an AMQP error condition such as `amqp:link:message-size-exceeded`.
    pub fn reject_sends(&self, count: usize, condition: &str) {
        *self.condition.lock().unwrap_or_else(PoisonError::into_inner) = Some(condition.to_owned());
        self.reject_sends.store(count, Ordering::Release);
    }

    /// Releases the next `count` transfers: settled, and not stored.
    pub fn release_sends(&self, count: usize) {
        self.release_sends.store(count, Ordering::Release);
    }

    pub(crate) fn refuses_tokens(&self) -> bool {
        self.refuse_tokens.load(Ordering::Acquire)
    }

    pub(crate) fn rejects(&self) -> Option<String> {
        take_one(&self.reject_sends).then(|| self.condition.lock().unwrap_or_else(PoisonError::into_inner).clone().unwrap_or_default())
    }

    pub(crate) fn withholds(&self, name: &str) -> bool {
        self.withheld.lock().unwrap_or_else(PoisonError::into_inner).take_if(|path| name.contains(path.as_str())).is_some()
    }

    pub(crate) fn releases(&self) -> bool {
        take_one(&self.release_sends)
    }
}

fn take_one(count: &AtomicUsize) -> bool {
    count.fetch_update(Ordering::AcqRel, Ordering::Acquire, |count| count.checked_sub(1)).is_ok()
}

/// An event as a test looks at it.
#[derive(Debug, Clone)]
pub struct Event {
    /// Partition.
    pub partition: usize,
    /// Sequence number.
    pub sequence: i64,
    /// The data sections, joined.
    pub body: Vec<u8>,
    /// Application properties that are text or bytes, in order.
    pub properties: Vec<(String, String)>,
}

#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub sequence: i64,
    pub enqueued_ms: i64,
    pub body: Vec<u8>,
    pub properties: Option<ApplicationProperties>,
}

impl Stored {
    /// Unlike the sequence number, so that a client that mixes them up fails.
    pub fn offset(&self) -> i64 {
        offset(self.sequence)
    }
}

/// The offset of a sequence number.
pub(crate) fn offset(sequence: i64) -> i64 {
    4096 + sequence * 520
}

/// Who receives with an epoch, and how it is told to go.
#[derive(Debug, Clone)]
pub(crate) struct Owner {
    pub epoch: i64,
    pub stolen: Arc<Notify>,
}

#[derive(Debug, Default)]
pub(crate) struct Partition {
    pub events: Mutex<Vec<Stored>>,
    pub arrived: Notify,
    pub owners: Mutex<HashMap<String, Owner>>,
}

#[derive(Debug)]
pub(crate) struct State {
    pub hubs: HashMap<String, Vec<Arc<Partition>>>,
    pub faults: Faults,
    pub stolen: AtomicUsize,
    connections: Mutex<Vec<TcpStream>>,
}

impl State {
    pub fn new(hubs: &[(&str, usize)]) -> State {
        let partitions = |count: usize| (0..count).map(|_| Arc::default()).collect();
        State {
            hubs: hubs.iter().map(|(name, count)| ((*name).to_owned(), partitions(*count))).collect(),
            faults: Faults::default(),
            stolen: AtomicUsize::new(0),
            connections: Mutex::default(),
        }
    }

    pub fn connections(&self) -> MutexGuard<'_, Vec<TcpStream>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn partition(&self, hub: &str, partition: usize) -> Option<&Arc<Partition>> {
        self.hubs.get(hub)?.get(partition)
    }

    pub fn append(&self, hub: &str, partition: usize, body: Vec<u8>, properties: Option<ApplicationProperties>) -> Option<i64> {
        let partition = self.partition(hub, partition)?;
        let enqueued_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64);
        let mut events = partition.events.lock().unwrap_or_else(PoisonError::into_inner);
        let sequence = events.len() as i64;
        events.push(Stored { sequence, enqueued_ms, body, properties });
        drop(events);
        partition.arrived.notify_waiters();
        Some(sequence)
    }

    pub fn count(&self, hub: &str) -> usize {
        let partitions = self.hubs.get(hub).map(Vec::as_slice).unwrap_or_default();
        partitions.iter().map(|partition| partition.events.lock().unwrap_or_else(PoisonError::into_inner).len()).sum()
    }

    pub fn each_body(&self, hub: &str, mut look: impl FnMut(&[u8])) {
        for partition in self.hubs.get(hub).map(Vec::as_slice).unwrap_or_default() {
            let events = partition.events.lock().unwrap_or_else(PoisonError::into_inner);
            events.iter().for_each(|event| look(&event.body));
        }
    }

    pub fn events(&self, hub: &str) -> Vec<Event> {
        let partitions = self.hubs.get(hub).map(Vec::as_slice).unwrap_or_default();
        let mut out = Vec::new();
        for (number, partition) in partitions.iter().enumerate() {
            let events = partition.events.lock().unwrap_or_else(PoisonError::into_inner);
            out.extend(events.iter().map(|event| Event {
                partition: number,
                sequence: event.sequence,
                body: event.body.clone(),
                properties: texts(event.properties.as_ref()),
            }));
        }
        out
    }
}

fn texts(properties: Option<&ApplicationProperties>) -> Vec<(String, String)> {
    let text = |value: &SimpleValue| match value {
        SimpleValue::String(text) => Some(text.clone()),
        SimpleValue::Binary(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
        _ => None,
    };
    properties.map(|all| all.0.iter().filter_map(|(name, value)| Some((name.clone(), text(value)?))).collect()).unwrap_or_default()
}
