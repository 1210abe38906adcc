//! Connections, sessions and links.
use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use fe2o3_amqp::acceptor::ListenerSessionHandle;
use fe2o3_amqp::acceptor::{ConnectionAcceptor, LinkAcceptor, LinkEndpoint, SaslAnonymousMechanism, SessionAcceptor};
use fe2o3_amqp::link::{Receiver, Sender};
use fe2o3_amqp_types::definitions::{self, AmqpError, ErrorCondition, LinkError, Role};
use fe2o3_amqp_types::messaging::message::__private::Deserializable;
use fe2o3_amqp_types::messaging::{
    ApplicationProperties, Body, Message, MessageAnnotations, MessageId, Properties, Source, TargetArchetype,
};
use fe2o3_amqp_types::performatives::Attach;
use fe2o3_amqp_types::primitives::{Array, Binary, OrderedMap, SimpleValue, Symbol, Timestamp, Value};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, Notify};

use crate::state::{Owner, Partition, State, Stored, offset};

/// The format of a transfer whose data sections are whole messages. Source: Event Hubs' AMQP protocol guide.
const BATCH: u32 = 0x8001_3700;
/// What the service takes in one transfer.
const MAX_MESSAGE_BYTES: u64 = 1_046_528;

/// How long an answer waits for its link.
const ATTACH_TIMEOUT: Duration = Duration::from_secs(30);

/// Links of one connection on which answers go out, by node and reply address.
#[derive(Default)]
struct Replies {
    links: Mutex<HashMap<(String, String), Sender>>,
    /// A link came in.
    attached: Notify,
}

impl Replies {
    async fn put(&self, node: String, reply: String, link: Sender) {
        self.links.lock().await.insert((node, reply), link);
        self.attached.notify_waiters();
    }

    /// Sends an answer. The client has seen the link attached a moment before it is noted here, and asks on the other link meanwhile; so
    /// an answer without a living link waits for the next one, within bounds.
    async fn send(&self, node: &str, reply: &str, answer: Message<Body<Value>>) {
        loop {
            let attached = self.attached.notified();
            tokio::pin!(attached);
            // From here on a link that comes in is noticed.
            attached.as_mut().enable();
            let mut links = self.links.lock().await;
            let key = (node.to_owned(), reply.to_owned());
            if let Some(link) = links.get_mut(&key) {
                if link.send(answer.clone()).await.is_ok() {
                    return;
                }
                links.remove(&key);
            }
            drop(links);
            if tokio::time::timeout(ATTACH_TIMEOUT, attached).await.is_err() {
                return;
            }
        }
    }
}

/// Accepts connections until its runtime ends.
pub(crate) async fn listen(listener: TcpListener, state: Arc<State>) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(connection(stream, Arc::clone(&state)));
    }
}

async fn connection(stream: TcpStream, state: Arc<State>) {
    // A second handle of the socket, to cut it from outside.
    let Ok(stream) = stream.into_std() else { return };
    let Ok(handle) = stream.try_clone() else { return };
    let Ok(stream) = TcpStream::from_std(stream) else { return };
    state.connections().push(handle);
    let acceptor = ConnectionAcceptor::builder().container_id("stand-in").sasl_acceptor(SaslAnonymousMechanism::new()).build();
    let Ok(mut connection) = acceptor.accept(stream).await else { return };
    let replies = Arc::<Replies>::default();
    let sessions = SessionAcceptor::new();
    while let Ok(session) = sessions.accept(&mut connection).await {
        tokio::spawn(self::session(session, Arc::clone(&state), Arc::clone(&replies)));
    }
}

async fn session(mut session: ListenerSessionHandle, state: Arc<State>, replies: Arc<Replies>) {
    let links = LinkAcceptor::builder().max_message_size(MAX_MESSAGE_BYTES).build();
    while let Some(attach) = session.next_incoming_attach().await {
        let asked = Asked::read(&attach);
        let Ok(endpoint) = links.accept_incoming_attach(attach, &mut session).await else { continue };
        match endpoint {
            LinkEndpoint::Receiver(receiver) => match asked.address.as_str() {
                "$cbs" | "$management" => {
                    tokio::spawn(requests(receiver, asked.address, Arc::clone(&state), Arc::clone(&replies)));
                }
                _ => {
                    tokio::spawn(take(receiver, asked, Arc::clone(&state)));
                }
            },
            LinkEndpoint::Sender(sender) => match asked.address.as_str() {
                "$cbs" | "$management" => {
                    replies.put(asked.address, asked.reply, sender).await;
                }
                _ => {
                    tokio::spawn(give(sender, asked, Arc::clone(&state)));
                }
            },
        }
    }
}

/// What a client's attach asks for.
#[derive(Debug)]
struct Asked {
    /// The service's node: `$cbs`, `$management`, or a hub, group and partition.
    address: String,
    /// The client's own address on a link of answers.
    reply: String,
    hub: String,
    group: String,
    partition: Option<usize>,
    /// The selector of a receiving link.
    selector: String,
    epoch: Option<i64>,
}

impl Asked {
    fn read(attach: &Attach) -> Asked {
        let source = attach.source.as_deref();
        let source_address = source.and_then(|source| source.address.clone()).unwrap_or_default();
        let target_address = match attach.target.as_deref() {
            Some(TargetArchetype::Target(target)) => target.address.clone().unwrap_or_default(),
            None => String::new(),
        };
        let (address, reply) =
            if attach.role == Role::Sender { (target_address, source_address) } else { (source_address, target_address) };
        let path = address.split_once("://").map_or(address.as_str(), |(_, rest)| rest.split_once('/').map_or("", |(_, path)| path));
        let parts: Vec<&str> = path.split('/').collect();
        let after = |name: &str| {
            let index = parts.iter().position(|part| part.eq_ignore_ascii_case(name))?;
            parts.get(index + 1).copied()
        };
        let epoch = attach.properties.as_ref().and_then(|all| match all.get(&Symbol::from("com.microsoft:epoch")) {
            Some(Value::Long(epoch)) => Some(*epoch),
            _ => None,
        });
        Asked {
            hub: parts.first().copied().unwrap_or_default().to_owned(),
            group: after("ConsumerGroups").unwrap_or("$Default").to_owned(),
            partition: after("Partitions").and_then(|number| number.parse().ok()),
            selector: source.map(selector).unwrap_or_default(),
            epoch,
            reply,
            address,
        }
    }
}

fn selector(source: &Source) -> String {
    let texts = source.filter.iter().flat_map(|filter| filter.iter()).filter_map(|(_, value)| match value {
        Value::Described(described) => match &described.value {
            Value::String(text) => Some(text.clone()),
            _ => None,
        },
        Value::String(text) => Some(text.clone()),
        _ => None,
    });
    texts.last().unwrap_or_default()
}

/// The sequence number a receiver begins with. Source of the forms: Event Hubs' AMQP protocol guide.
fn first_sequence(selector: &str, partition: &Partition) -> i64 {
    let events = partition.events.lock().unwrap_or_else(PoisonError::into_inner);
    let end = events.len() as i64;
    let literal = selector.split('\'').nth(1).unwrap_or("@latest");
    let inclusive = selector.contains(">=");
    if literal == "@latest" {
        return end;
    }
    let Ok(number) = literal.parse::<i64>() else { return end };
    let value = |event: &Stored| {
        if selector.contains("x-opt-sequence-number") {
            event.sequence
        } else if selector.contains("x-opt-enqueued-time") {
            event.enqueued_ms
        } else {
            event.offset()
        }
    };
    events.iter().find(|event| if inclusive { value(event) >= number } else { value(event) > number }).map_or(end, |event| event.sequence)
}

fn fault(condition: impl Into<ErrorCondition>, description: &str) -> definitions::Error {
    definitions::Error::new(condition, Some(description.to_owned()), None)
}

/// Gives a partition's events to a receiver until it goes or is displaced.
async fn give(mut sender: Sender, asked: Asked, state: Arc<State>) {
    let Some(partition) = asked.partition.and_then(|number| state.partition(&asked.hub, number)).cloned() else {
        let _ = sender.close_with_error(fault(AmqpError::NotFound, "no such hub or partition")).await;
        return;
    };
    let stolen = Arc::new(Notify::new());
    if !own(&partition, &asked, &stolen, &state) {
        let _ = sender.close_with_error(fault(LinkError::Stolen, "a receiver with a higher epoch is connected")).await;
        return;
    }
    let mut next = first_sequence(&asked.selector, &partition);
    loop {
        let arrived = partition.arrived.notified();
        let event = partition.events.lock().unwrap_or_else(PoisonError::into_inner).get(next as usize).cloned();
        match event {
            Some(event) => {
                let sendable = fe2o3_amqp::Sendable::builder().message(message(event)).settled(true).build();
                tokio::select! {
                    biased;
                    () = stolen.notified() => break,
                    sent = sender.send(sendable) => if sent.is_err() { return },
                }
                next += 1;
            }
            None => tokio::select! {
                () = stolen.notified() => break,
                () = arrived => {}
                _ = sender.on_detach() => return,
            },
        }
    }
    let _ = sender.close_with_error(fault(LinkError::Stolen, "a new receiver with the same or a higher epoch is connected")).await;
}

/// Notes the receiver as the owner, displacing an earlier one. False when one with a higher epoch is there.
fn own(partition: &Partition, asked: &Asked, stolen: &Arc<Notify>, state: &State) -> bool {
    let Some(epoch) = asked.epoch else { return true };
    let mut owners = partition.owners.lock().unwrap_or_else(PoisonError::into_inner);
    if owners.get(&asked.group).is_some_and(|owner| owner.epoch > epoch) {
        return false;
    }
    if let Some(earlier) = owners.insert(asked.group.clone(), Owner { epoch, stolen: Arc::clone(stolen) }) {
        state.stolen.fetch_add(1, Ordering::AcqRel);
        earlier.stolen.notify_one();
    }
    true
}

fn message(event: Stored) -> Message<Body<Value>> {
    let annotations = MessageAnnotations::builder()
        .insert(Symbol::from("x-opt-sequence-number"), Value::Long(event.sequence))
        .insert(Symbol::from("x-opt-offset"), Value::String(event.offset().to_string()))
        .insert(Symbol::from("x-opt-enqueued-time"), Value::Timestamp(Timestamp::from_milliseconds(event.enqueued_ms)))
        .build();
    Message {
        header: None,
        delivery_annotations: None,
        message_annotations: Some(annotations),
        properties: None,
        application_properties: event.properties,
        body: Body::Data(vec![fe2o3_amqp_types::messaging::Data(Binary::from(event.body))].into()),
        footer: None,
    }
}

/// Takes what a producer sends.
async fn take(mut receiver: Receiver, asked: Asked, state: Arc<State>) {
    let partition = asked.partition.unwrap_or(0);
    if state.partition(&asked.hub, partition).is_none() {
        let _ = receiver.close_with_error(fault(AmqpError::NotFound, "no such hub or partition")).await;
        return;
    }
    while let Ok(delivery) = receiver.recv::<Body<Value>>().await {
        if let Some(condition) = state.faults.rejects() {
            let error = fault(ErrorCondition::Custom(Symbol::from(condition)), "rejected by order of a test");
            if receiver.reject(&delivery, error).await.is_err() {
                return;
            }
            continue;
        }
        if state.faults.releases() {
            if receiver.release(&delivery).await.is_err() {
                return;
            }
            continue;
        }
        let is_batch = *delivery.message_format() == Some(BATCH);
        let done = if store(&state, &asked.hub, partition, delivery.message(), is_batch) {
            receiver.accept(&delivery).await
        } else {
            receiver.reject(&delivery, fault(AmqpError::DecodeError, "a batch holds encoded messages")).await
        };
        if done.is_err() {
            return;
        }
    }
}

/// Stores a message, or all messages of a batch; false when it cannot be read.
fn store(state: &State, hub: &str, partition: usize, message: &Message<Body<Value>>, is_batch: bool) -> bool {
    if !is_batch {
        state.append(hub, partition, bytes(&message.body), message.application_properties.clone());
        return true;
    }
    let Body::Data(sections) = &message.body else { return false };
    let decoded: Result<Vec<Message<Body<Value>>>, _> = sections
        .iter()
        .map(|section| serde_amqp::from_slice::<Deserializable<Message<Body<Value>>>>(&section.0).map(|message| message.0))
        .collect();
    let Ok(messages) = decoded else { return false };
    for message in messages {
        state.append(hub, partition, bytes(&message.body), message.application_properties);
    }
    true
}

fn bytes(body: &Body<Value>) -> Vec<u8> {
    match body {
        Body::Data(sections) => sections.iter().flat_map(|section| section.0.iter().copied()).collect(),
        Body::Value(value) => match &value.0 {
            Value::Binary(bytes) => bytes.to_vec(),
            Value::String(text) => text.clone().into_bytes(),
            _ => Vec::new(),
        },
        _ => Vec::new(),
    }
}

/// Answers what is asked of `$cbs` or `$management`.
async fn requests(mut receiver: Receiver, node: String, state: Arc<State>, replies: Arc<Replies>) {
    while let Ok(delivery) = receiver.recv::<Body<Value>>().await {
        if receiver.accept(&delivery).await.is_err() {
            return;
        }
        let request = delivery.into_message();
        let asked = |name: &str| match request.application_properties.as_ref().and_then(|all| all.0.get(name)) {
            Some(SimpleValue::String(text)) => text.clone(),
            _ => String::new(),
        };
        if node == "$cbs" && state.faults.withholds(&asked("name")) {
            continue;
        }
        let (status, description, body) = if node == "$cbs" {
            match state.faults.refuses_tokens() {
                true => (401, "Unauthorized", OrderedMap::new()),
                false => (202, "Accepted", OrderedMap::new()),
            }
        } else {
            match read(&state, &asked("type"), &asked("name"), &asked("partition")) {
                Some(body) => (200, "OK", body),
                None => (404, "Not Found", OrderedMap::new()),
            }
        };
        let properties = request.properties.unwrap_or_default();
        let answer = answer(properties.message_id, status, description, body);
        let reply = properties.reply_to.unwrap_or_default();
        replies.send(&node, &reply.to_string(), answer).await;
    }
}

fn answer(id: Option<MessageId>, status: i32, description: &str, body: OrderedMap<Value, Value>) -> Message<Body<Value>> {
    let mut properties = Properties::default();
    properties.correlation_id = id;
    Message {
        header: None,
        delivery_annotations: None,
        message_annotations: None,
        properties: Some(properties),
        application_properties: Some(
            ApplicationProperties::builder()
                .insert("status-code", SimpleValue::Int(status))
                .insert("status-description", SimpleValue::String(description.to_owned()))
                .build(),
        ),
        body: Body::Value(fe2o3_amqp_types::messaging::AmqpValue(Value::Map(body))),
        footer: None,
    }
}

/// The properties of a hub or a partition; `None` when there is none of that name.
fn read(state: &State, entity: &str, hub: &str, partition: &str) -> Option<OrderedMap<Value, Value>> {
    let partitions = state.hubs.get(hub)?;
    let mut out = OrderedMap::new();
    let mut put = |name: &str, value: Value| {
        out.insert(Value::String(name.to_owned()), value);
    };
    put("name", Value::String(hub.to_owned()));
    put("type", Value::String(entity.to_owned()));
    if entity == "com.microsoft:eventhub" {
        let ids = (0..partitions.len()).map(|number| Value::String(number.to_string())).collect::<Vec<_>>();
        put("created_at", Value::Timestamp(Timestamp::from_milliseconds(0)));
        put("partition_count", Value::Int(partitions.len() as i32));
        put("partition_ids", Value::Array(Array::from(ids)));
        return Some(out);
    }
    let events = partitions.get(partition.parse::<usize>().ok()?)?.events.lock().unwrap_or_else(PoisonError::into_inner);
    let last = events.len() as i64 - 1;
    put("partition", Value::String(partition.to_owned()));
    put("begin_sequence_number", Value::Long(0));
    put("last_enqueued_sequence_number", Value::Long(last));
    put("last_enqueued_sequence_number_epoch", Value::Long(-1));
    put("last_enqueued_offset", Value::String(if last < 0 { "-1".to_owned() } else { offset(last).to_string() }));
    put("last_enqueued_time_utc", Value::Timestamp(Timestamp::from_milliseconds(events.last().map_or(0, |event| event.enqueued_ms))));
    put("is_partition_empty", Value::Bool(events.is_empty()));
    Some(out)
}
