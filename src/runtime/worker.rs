//! One worker: messages of its partitions through the mill, what comes out to the sink.
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError};

use super::delivery::{Delivery, Owed, What, borrowed, owned};
use super::gate::{Gate, Refusal};
use super::mill::{MessageIn, Mill, MilledMessage, MilledReject, Mills, Seen};
use super::spare::Spare;
use super::stop::{Phase, Stop};
use super::ticket::Ticket;
use crate::config::{DeadLetter, Emit, Output, Wrap, header};
use crate::sink::any::{Sink, Sinks};
use crate::sink::dead_letter::{Letter, pieces, value};
use crate::sink::kafka::{OutMessage, Refused, SendFault};
use crate::telemetry::{LocalHistogram, Metrics};

/// What workers and the repair thread share.
pub struct Shared {
    /// The outputs in order.
    pub outputs: Vec<Output>,
    /// Where rejects go.
    pub dead_letter: DeadLetter,
    /// The core.
    pub mills: Arc<dyn Mills>,
    /// The producers of required outputs and of dead letters.
    pub sink: Sinks<Delivery>,
    /// By output: the producer of one that is not required.
    pub spares: Vec<Option<(Sink<Spare>, Arc<Spare>)>>,
    /// Their acknowledgements.
    pub delivery: Arc<Delivery>,
    /// How far a stop has come.
    pub stop: Arc<Stop>,
    /// The source reads dead letters again: outputs of raw messages had them before.
    pub redrive: bool,
    /// The `source` label of counts.
    pub source: &'static str,
    /// Where counts go.
    pub metrics: Arc<Metrics>,
    /// With transactions: who may send.
    pub gate: Option<Arc<Gate>>,
}

/// The pieces of one dead letter, ready to send.
pub struct Sealed {
    what: What,
    key: String,
    pieces: Vec<Piece>,
    value: Vec<u8>,
}

/// One message of a dead letter.
struct Piece {
    headers: Vec<(&'static str, String)>,
    /// Which part of the value it carries.
    range: std::ops::Range<usize>,
}

impl Sealed {
    /// How many acknowledgements it will take.
    pub fn pieces(&self) -> u32 {
        self.pieces.len() as u32
    }
}

/// Stands for the record of a raw message: no message has so many records, so the whole body is what a dead letter holds.
const WHOLE_MESSAGE: u32 = u32::MAX;

/// How often a full producer is asked again.
const ROOM_WAIT: Duration = Duration::from_millis(100);

impl Shared {
    /// Makes the dead letter of a record. `None` when it is part of a whole body that was already sent for another record.
    pub fn seal(&self, ticket: &Ticket, reject: &MilledReject, output: Option<u16>) -> Option<Sealed> {
        let body = &ticket.taken.body;
        let cut = reject.bytes.clone().or_else(|| reject.record.and_then(|record| self.mills.cut(body, record)));
        let record = cut.as_ref().and(reject.record);
        let bytes = match cut {
            Some(bytes) => bytes,
            None => ticket.claim_whole_body().then(|| self.mills.outgoing(body, true).unwrap_or_else(|| body.clone()))?,
        };
        let here = (&*ticket.partition.topic, ticket.partition.number, ticket.taken.offset);
        let origin = ticket.taken.origin.as_ref().map_or(here, |origin| (&*origin.topic, origin.partition, origin.offset));
        let earlier = ticket.taken.origin.as_ref().and_then(|origin| origin.output.as_deref());
        let letter = Letter {
            origin,
            received_ms: ticket.taken.received_ms,
            record,
            stage: reject.stage,
            code: reject.code,
            path: &reject.path,
            detail: &reject.detail,
            output: output.and_then(|output| self.outputs.get(usize::from(output))).map(|output| &*output.name).or(earlier),
        };
        let content = self.dead_letter.content;
        let value = value(content, bytes, |bytes| self.mills.redact(bytes));
        let ranges = pieces(value.len(), self.dead_letter.piece_max_bytes);
        let count = ranges.len();
        let pieces =
            ranges.enumerate().map(|(index, range)| Piece { headers: letter.headers(content, (index + 1, count)), range }).collect();
        Some(Sealed { what: What::Letter { stage: reject.stage, code: reject.code }, key: letter.key(), pieces, value })
    }

    /// Sends all pieces of a dead letter. They are already counted in the ticket.
    pub fn send_letter(&self, ticket: &Arc<Ticket>, sealed: &Sealed) {
        for Piece { headers, range } in &sealed.pieces {
            let message = OutMessage {
                topic: &self.dead_letter.topic,
                key: sealed.key.as_bytes(),
                value: &sealed.value[range.clone()],
                headers: &borrowed(headers),
            };
            self.send(&message, self.owed(ticket, sealed.what));
        }
    }

    /// What is owed for something that is about to be sent.
    fn owed(&self, ticket: &Arc<Ticket>, what: What) -> Box<Owed> {
        let share = self.gate.as_ref().map(|gate| gate.share());
        let alone = self.gate.as_ref().is_some_and(|gate| gate.sends_alone());
        Box::new(Owed { ticket: Arc::clone(ticket), what, failures: 0, alone, share })
    }

    /// The reject of an event that an output does not take.
    pub fn undeliverable(&self, record: u32, topic: &str, refusal: &Refusal, bytes: usize) -> MilledReject {
        MilledReject {
            record: Some(record),
            stage: "deliver",
            code: if refusal.too_large { "event_too_large" } else { "output_refused" },
            path: String::new(),
            detail: format!("topic `{topic}`: {}; the event has {bytes} bytes", refusal.code),
            bytes: None,
        }
    }

    /// The outputs that get every message as it came; of a dead letter read again, only the one that lacks it.
    fn raw_outputs(&self, only: Option<&str>) -> Vec<(u16, &Output)> {
        let numbered = (0..).zip(&self.outputs);
        let wanted = |output: &Output| only.map_or(!self.redrive, |only| only == output.name);
        numbered.filter(|(_, output)| output.emit == Emit::Raw && wanted(output)).collect()
    }

    /// Sends a message as it came, or what the site lets out of it. It is already counted in the ticket, when the output is required.
    fn send_raw(&self, ticket: &Arc<Ticket>, number: u16, output: &Output, copy: Option<&[u8]>) {
        let mut headers = vec![
            (header::EMIT, "raw".to_owned()),
            (header::TOPIC, ticket.partition.topic.to_string()),
            (header::PARTITION, ticket.partition.number.to_string()),
            (header::OFFSET, ticket.taken.offset.to_string()),
        ];
        headers.extend(ticket.taken.received_ms.map(|received_ms| (header::RECEIVED, received_ms.to_string())));
        // A mill that panicked has left no copy.
        let late = if copy.is_none() { self.mills.outgoing(&ticket.taken.body, false) } else { None };
        let value = copy.or(late.as_deref()).unwrap_or(&ticket.taken.body);
        let message = OutMessage { topic: &output.topic, key: b"", value, headers: &borrowed(&headers) };
        if !output.required {
            return self.send_spare(number, &message);
        }
        self.send(&message, self.owed(ticket, What::Event { output: number, record: WHOLE_MESSAGE }));
    }

    /// Sends an event to an output that is not required: now, or it is dropped and counted.
    fn send_spare(&self, output: u16, message: &OutMessage<'_>) {
        let Some(Some((sink, spare))) = self.spares.get(usize::from(output)) else { return };
        match sink.send(message, Box::new(())) {
            Ok(()) => {}
            Err((SendFault::Full, _)) => spare.dropped("Full"),
            Err((SendFault::Refused { code, .. }, _)) => spare.dropped(&code),
        }
    }

    /// Sends a message, waiting for room as long as it takes. What the producer refuses goes the way of what the broker refuses.
    pub fn send(&self, message: &OutMessage<'_>, mut owed: Box<Owed>) {
        loop {
            if self.gate.as_ref().is_some_and(|gate| gate.is_discarding()) {
                // Its transaction is being aborted; its message is read again.
                return;
            }
            let sink = self.sink.of(owed.what.output());
            let sent = if owed.alone && self.gate.is_none() { sink.send_alone(message, owed) } else { sink.send(message, owed) };
            match sent {
                Ok(()) => return,
                Err((SendFault::Full, back)) => {
                    if self.stop.phase() == Phase::GivenUp {
                        return;
                    }
                    owed = back;
                    sink.wait_for_room(ROOM_WAIT);
                }
                Err((SendFault::Refused { fate, too_large, code }, mut back)) => {
                    // Refused before it was in a request: it is its own size that is too large.
                    back.alone |= too_large;
                    return self.delivery.fail(back, Refused { fate, too_large, code, message: owned(message) }, true);
                }
            }
        }
    }
}

/// Runs until its queue is closed and empty. `index` is its number, from 0.
pub fn work(index: usize, queue: &Receiver<Vec<Arc<Ticket>>>, shared: &Shared) {
    let mut worker = Worker {
        index,
        shared,
        mill: shared.mills.mill(index),
        out: MilledMessage::default(),
        wrapped: Vec::new(),
        process_latency: shared.metrics.latency_of("process").local(),
        counted: Instant::now(),
        has_uncounted: false,
    };
    loop {
        let tickets = if worker.has_uncounted {
            match queue.recv_timeout(COUNT_INTERVAL) {
                Ok(tickets) => tickets,
                Err(RecvTimeoutError::Timeout) => {
                    worker.count();
                    continue;
                }
                Err(RecvTimeoutError::Disconnected) => break,
            }
        } else {
            match queue.recv() {
                Ok(tickets) => tickets,
                Err(_) => break,
            }
        };
        worker.messages(tickets);
        if worker.counted.elapsed() >= COUNT_INTERVAL {
            worker.count();
        }
    }
    worker.count();
}

/// Counts go to the registry at least this often.
const COUNT_INTERVAL: Duration = Duration::from_millis(20);
/// Messages that enter a transaction together.
const PASS: usize = 32;

struct Worker<'a> {
    index: usize,
    shared: &'a Shared,
    mill: Box<dyn Mill>,
    out: MilledMessage,
    wrapped: Vec<u8>,
    process_latency: LocalHistogram,
    counted: Instant,
    has_uncounted: bool,
}

impl Worker<'_> {
    fn count(&mut self) {
        self.mill.count(&mut self.out.tally);
        self.shared.metrics.add(self.shared.source, &self.out.tally);
        self.out.tally.clear();
        self.process_latency.flush();
        self.counted = Instant::now();
        self.has_uncounted = false;
    }

    fn messages(&mut self, mut tickets: Vec<Arc<Ticket>>) {
        let shared = self.shared;
        // Given up: it stays unsettled, and whoever has the partition next reads it.
        let is_over = |ticket: &Arc<Ticket>| ticket.partition.is_revoked() || shared.stop.phase() == Phase::GivenUp;
        let Some(gate) = &shared.gate else {
            for ticket in tickets {
                if !is_over(&ticket) {
                    self.message(&ticket);
                }
            }
            return;
        };
        while !tickets.is_empty() {
            let entering = tickets.len().min(PASS);
            let Some(pass) = gate.enter(entering, || tickets.iter().any(is_over)) else {
                tickets.retain(|ticket| !is_over(ticket));
                continue;
            };
            for ticket in tickets.drain(..entering) {
                // It may have waited for an abort.
                if !is_over(&ticket) {
                    self.message(&ticket);
                }
            }
            drop(pass);
        }
    }

    fn message(&mut self, ticket: &Arc<Ticket>) {
        self.has_uncounted = true;
        self.out.clear();
        let begun = Instant::now();
        let topic = ticket.taken.origin.as_ref().map_or(&*ticket.partition.topic, |origin| &*origin.topic);
        let seen = ticket.partition.window.as_ref().map(|window| Seen { window, offset: ticket.taken.offset });
        let message = MessageIn { topic, bytes: &ticket.taken.body, received_ms: ticket.taken.received_ms, seen };
        // The buffers are cleared after a panic, so nothing half done is seen.
        if catch_unwind(AssertUnwindSafe(|| self.mill.process(message, &mut self.out))).is_err() {
            self.panicked(ticket);
        }
        self.process_latency.observe(begun.elapsed().as_secs_f64());
        let only = ticket.taken.origin.as_ref().and_then(|origin| origin.output.as_deref());
        let wanted =
            |output: u16| self.shared.outputs.get(usize::from(output)).filter(|output| only.is_none_or(|only| only == output.name));
        // With transactions an event that the broker refused is a dead letter when its message comes again.
        let refusal = |record: u32, output: u16| {
            let partition = &ticket.partition;
            self.shared.gate.as_ref()?.refusal(&(Arc::clone(&partition.topic), partition.number, ticket.taken.offset, record, output))
        };
        let raw = self.shared.raw_outputs(only);
        let mut letters: Vec<Sealed> = self.out.rejects().iter().filter_map(|reject| self.shared.seal(ticket, reject, None)).collect();
        let (mut events, mut spare_events) = (0, 0);
        for event in self.out.events() {
            let Some(output) = wanted(event.output) else { continue };
            if !output.required {
                spare_events += 1;
                continue;
            }
            match refusal(event.record, event.output) {
                None => events += 1,
                Some(refusal) => {
                    ticket.partition.forget(self.out.key(event), ticket.taken.offset, event.record);
                    let reject = self.shared.undeliverable(event.record, &output.topic, &refusal, self.out.value(event).len());
                    letters.extend(self.shared.seal(ticket, &reject, Some(event.output)));
                }
            }
        }
        let mut raw_events = Vec::new();
        for (number, output) in raw {
            match refusal(WHOLE_MESSAGE, number) {
                None => {
                    *(if output.required { &mut events } else { &mut spare_events }) += 1;
                    raw_events.push((number, output));
                }
                Some(refusal) => {
                    let reject = self.shared.undeliverable(WHOLE_MESSAGE, &output.topic, &refusal, ticket.taken.body.len());
                    letters.extend(self.shared.seal(ticket, &reject, Some(number)));
                }
            }
        }
        // Nobody waits for the events of outputs that are not required, so the message may be settled before they are sent.
        if ticket.expect(events + letters.iter().map(Sealed::pieces).sum::<u32>()) && spare_events == 0 {
            return;
        }
        let (mut partition, mut offset) = (itoa::Buffer::new(), itoa::Buffer::new());
        let (partition, offset) = (partition.format(ticket.partition.number), offset.format(ticket.taken.offset));
        for event in self.out.events() {
            let Some(output) = wanted(event.output).filter(|_| refusal(event.record, event.output).is_none()) else { continue };
            let log_type = (header::LOG_TYPE, self.out.log_type(event));
            let mapping = (header::MAPPING, self.out.mapping(event));
            let topic = (header::TOPIC, ticket.partition.topic.as_bytes());
            let partition = (header::PARTITION, partition.as_bytes());
            let offset = (header::OFFSET, offset.as_bytes());
            let (with, without);
            let headers: &[(&str, &[u8])] = match &output.profile {
                Some(profile) => {
                    with = [log_type, mapping, (header::PROFILE, profile.as_bytes()), topic, partition, offset];
                    &with
                }
                None => {
                    without = [log_type, mapping, topic, partition, offset];
                    &without
                }
            };
            let value = match output.wrap {
                Wrap::None => self.out.value(event),
                Wrap::EventsImport => {
                    self.wrapped.clear();
                    self.wrapped.extend_from_slice(b"{\"inlineSource\":{\"events\":[{\"udm\":");
                    self.wrapped.extend_from_slice(self.out.value(event));
                    self.wrapped.extend_from_slice(b"}]}}");
                    &self.wrapped
                }
            };
            let message = OutMessage { topic: &output.topic, key: self.out.key(event), value, headers };
            if !output.required {
                self.shared.send_spare(event.output, &message);
                continue;
            }
            let what = What::Event { output: event.output, record: event.record };
            self.shared.send(&message, self.shared.owed(ticket, what));
        }
        for (number, output) in raw_events {
            self.shared.send_raw(ticket, number, output, self.out.raw.as_deref());
        }
        for letter in &letters {
            self.shared.send_letter(ticket, letter);
        }
    }

    /// Makes the whole message one dead letter and goes on with a new mill: the old one's caches may be half written.
    fn panicked(&mut self, ticket: &Ticket) {
        tracing::error!(
            topic = %ticket.partition.topic, partition = ticket.partition.number, offset = ticket.taken.offset,
            "the engine panicked on a message; it goes to the dead letters as `panic`"
        );
        ticket.partition.forget_message(ticket.taken.offset);
        self.out.clear();
        self.mill.count(&mut self.out.tally);
        self.out.tally.parts(&Arc::from(""), crate::telemetry::Outcome::Rejected, &Arc::from("panic"), 1);
        self.mill = self.shared.mills.mill(self.index);
        self.out.reject(MilledReject {
            record: None,
            stage: "engine",
            code: "panic",
            path: String::new(),
            detail: "the engine panicked; please report it with this record".to_owned(),
            bytes: None,
        });
    }
}
