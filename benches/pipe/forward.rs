//! The forwarder: the same client with the settings of udmill's source and sink, one thread, nothing else.
//!
//! What it sends does not depend on what it reads: events that the engine made before, by turns, so that they compress as udmill's do.
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{DeliveryResult, Header, Message as _, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, ProducerContext};
use rdkafka::types::RDKafkaErrorCode;
use udmill::config::header;
use udmill::engine::{Message, Outcome, Outcomes};

use crate::{Fault, engine, generator};

/// Different events that are sent by turns.
const EVENTS: usize = 20_000;
/// Messages between two looks for acknowledgements.
const POLL_EVERY: u64 = 25;

struct Event {
    key: Vec<u8>,
    value: Vec<u8>,
    headers: Vec<(&'static str, Vec<u8>)>,
}

/// A message that is not delivered ends the forwarder: its case then waits in vain and says so.
struct Watch;

impl ClientContext for Watch {}

impl ProducerContext for Watch {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = result {
            eprintln!("not delivered: {error}");
            std::process::exit(1);
        }
    }
}

/// The headers that udmill gives an event.
fn events(has_headers: bool, from: &str) -> Result<Vec<Event>, Fault> {
    let (engine, mut worker) = engine()?;
    let mut outcomes = Outcomes::default();
    let mut events = Vec::with_capacity(EVENTS);
    for (offset, message) in generator::openai(EVENTS, 7).iter().enumerate() {
        engine.process(&mut worker, Message::new(message), &mut outcomes);
        for part in &outcomes.parts {
            let Outcome::Emit { event, id, .. } = &part.outcome else { continue };
            let plan = engine.plan(part).ok_or("an event has no plan")?;
            let headers = vec![
                (header::LOG_TYPE, plan.log_type.clone().into_bytes()),
                (header::MAPPING, format!("{}@{}", plan.name, plan.version).into_bytes()),
                (header::TOPIC, from.as_bytes().to_vec()),
                (header::PARTITION, b"0".to_vec()),
                (header::OFFSET, (100_000 + offset).to_string().into_bytes()),
            ];
            let mut value = outcomes.events[event.clone()].to_vec();
            if !has_headers {
                // The same bytes in the value; a header also has two lengths of a byte each.
                for (name, text) in &headers {
                    value.extend_from_slice(name.as_bytes());
                    value.extend_from_slice(text);
                    value.extend_from_slice(b"..");
                }
            }
            let headers = if has_headers { headers } else { Vec::new() };
            events.push(Event { key: outcomes.text(id).as_bytes().to_vec(), value, headers });
        }
    }
    Ok(events)
}

/// Forwards until it is killed.
pub fn run(servers: &str, [from, to, group]: [&str; 3], has_headers: bool) -> Result<(), Fault> {
    let events = events(has_headers, from)?;
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", servers)
        .set("group.id", group)
        .set("partition.assignment.strategy", "cooperative-sticky")
        .set("auto.offset.reset", "earliest")
        .set("queued.max.messages.kbytes", "16384")
        .set("fetch.queue.backoff.ms", "10")
        .set("statistics.interval.ms", "2000")
        .create()?;
    consumer.subscribe(&[from])?;
    let producer: BaseProducer<Watch> = ClientConfig::new()
        .set("bootstrap.servers", servers)
        .set("acks", "all")
        .set("enable.idempotence", "true")
        .set("linger.ms", "20")
        .set("compression.type", "lz4")
        .set("message.timeout.ms", "0")
        .set("queue.buffering.max.kbytes", "16384")
        .set("queue.buffering.max.messages", "50000")
        .set("statistics.interval.ms", "2000")
        .create_with_context(Watch)?;
    let mut taken: u64 = 0;
    loop {
        let message = match consumer.poll(Duration::from_millis(50)) {
            Some(message) => message?,
            None => {
                producer.poll(Duration::ZERO);
                continue;
            }
        };
        std::hint::black_box(message.payload());
        let event = &events[taken as usize % events.len()];
        taken += 1;
        let mut record = BaseRecord::<[u8], [u8]>::to(to).key(&event.key).payload(&event.value);
        if has_headers {
            let mut headers = OwnedHeaders::new_with_capacity(event.headers.len());
            for (key, value) in &event.headers {
                headers = headers.insert(Header { key, value: Some(value) });
            }
            record = record.headers(headers);
        }
        loop {
            match producer.send(record) {
                Ok(()) => break,
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                    record = back;
                    producer.poll(Duration::from_millis(10));
                }
                Err((error, _)) => return Err(error.into()),
            }
        }
        if taken.is_multiple_of(POLL_EVERY) {
            producer.poll(Duration::ZERO);
        }
    }
}
