//! The seam between the shell and the core: what a worker hands in and what it gets out.
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use super::window::Window;
use crate::telemetry::{Drift, Tally};

/// One message as it came from the source.
#[derive(Debug, Clone, Copy)]
pub struct MessageIn<'a> {
    /// Topic it came from; a configuration may pin a topic to a mapping.
    pub topic: &'a str,
    /// The body, as received.
    pub bytes: &'a [u8],
    /// The broker's timestamp, or for a dead letter that of its first arrival. Unit: milliseconds since the Unix epoch.
    pub received_ms: Option<i64>,
    /// What its partition had before, with `dedupe = "window"`.
    pub seen: Option<Seen<'a>>,
}

/// The ids that a partition had a short while ago, and where in it this message stands.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    /// The window of the partition.
    pub window: &'a Mutex<Window>,
    /// Offset of this message.
    pub offset: i64,
}

impl Seen<'_> {
    /// Whether the id of an event of record `record` came before, and remembers it when not.
    pub fn is_repeat(&self, id: &[u8], record: u32) -> bool {
        self.window.lock().unwrap_or_else(PoisonError::into_inner).is_repeat(id, (self.offset, record))
    }
}

/// Where in [`MilledMessage`]'s arena a text stands.
type Span = Range<u32>;

/// One event for one output.
#[derive(Debug, Clone)]
pub struct MilledEvent {
    /// Index of the output in the settings.
    pub output: u16,
    /// Index of the record within its message, from 0.
    pub record: u32,
    key: Span,
    log_type: Span,
    mapping: Span,
    value: Span,
}

/// One record, or a body that could not be cut into records, that goes to the dead letters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MilledReject {
    /// Index of the record within its message; `None` when the whole body is rejected.
    pub record: Option<u32>,
    /// `decode`, `map`, ...; from a closed list.
    pub stage: &'static str,
    /// Stable code; from a closed list.
    pub code: &'static str,
    /// Where in the record, as a source path; may be empty.
    pub path: String,
    /// What was expected and what was found. May quote the input: goes to a header, never to a metric label.
    pub detail: String,
    /// The record's own bytes, when the mill has them at hand; else they are asked for with [`Mills::cut`].
    pub bytes: Option<Vec<u8>>,
}

/// Everything that came of one message. One arena holds all text, so a warm worker allocates nothing per event.
#[derive(Debug, Default)]
pub struct MilledMessage {
    arena: Vec<u8>,
    events: Vec<MilledEvent>,
    rejects: Vec<MilledReject>,
    /// What outputs of raw messages get when the site lets out less than what came.
    pub raw: Option<Vec<u8>>,
    /// Counts for the metrics. Not emptied by [`MilledMessage::clear`]: the worker hands it on in batches.
    pub tally: Tally,
}

/// One event while its value is written. Dropping it without [`EventWriter::finish`] discards what was written.
#[derive(Debug)]
pub struct EventWriter<'a> {
    message: &'a mut MilledMessage,
    event: MilledEvent,
    start: usize,
    finished: bool,
}

impl MilledMessage {
    /// Forgets the events and rejects, keeps the memory and the tally.
    pub fn clear(&mut self) {
        self.arena.clear();
        self.events.clear();
        self.rejects.clear();
        self.raw = None;
    }

    /// Begins an event: `key` is the message key, the texts become headers; then the value is appended to [`EventWriter::value`].
    pub fn event<'a>(&'a mut self, output: u16, record: u32, key: &[u8], log_type: &str, mapping: &str) -> EventWriter<'a> {
        let start = self.arena.len();
        let key = self.push(key);
        let log_type = self.push(log_type.as_bytes());
        let mapping = self.push(mapping.as_bytes());
        EventWriter { event: MilledEvent { output, record, key, log_type, mapping, value: 0..0 }, message: self, start, finished: false }
    }

    /// Adds a dead letter. One that names a record (or the whole body) already rejected is dropped: one dead letter per record,
    /// also when several parts of it, or several outputs, reject it.
    pub fn reject(&mut self, reject: MilledReject) {
        if !self.rejects.iter().rev().any(|known| known.record == reject.record) {
            self.rejects.push(reject);
        }
    }

    /// The events in the order they were finished.
    pub fn events(&self) -> &[MilledEvent] {
        &self.events
    }

    /// The rejects in the order they were found.
    pub fn rejects(&self) -> &[MilledReject] {
        &self.rejects
    }

    /// The message key of an event; empty means none.
    pub fn key(&self, event: &MilledEvent) -> &[u8] {
        self.at(&event.key)
    }

    /// The UDM event, proto3 JSON.
    pub fn value(&self, event: &MilledEvent) -> &[u8] {
        self.at(&event.value)
    }

    /// The log type, for the header.
    pub fn log_type(&self, event: &MilledEvent) -> &[u8] {
        self.at(&event.log_type)
    }

    /// `mapping@version`, for the header.
    pub fn mapping(&self, event: &MilledEvent) -> &[u8] {
        self.at(&event.mapping)
    }

    fn at(&self, span: &Span) -> &[u8] {
        self.arena.get(span.start as usize..span.end as usize).unwrap_or_default()
    }

    fn push(&mut self, text: &[u8]) -> Span {
        let start = self.arena.len() as u32;
        self.arena.extend_from_slice(text);
        start..self.arena.len() as u32
    }
}

impl EventWriter<'_> {
    /// Where the value is appended. Only append: what stands before belongs to others.
    pub fn value(&mut self) -> &mut Vec<u8> {
        if self.event.value.start == 0 {
            let start = self.message.arena.len() as u32;
            self.event.value = start..start;
        }
        &mut self.message.arena
    }

    /// Takes the event in.
    pub fn finish(mut self) {
        let end = self.message.arena.len() as u32;
        self.event.value = self.event.value.start.max(self.event.mapping.end)..end;
        self.message.events.push(self.event.clone());
        self.finished = true;
    }
}

impl Drop for EventWriter<'_> {
    fn drop(&mut self) {
        if !self.finished {
            self.message.arena.truncate(self.start);
        }
    }
}

/// One worker's view of the core: its plan, caches and buffers.
pub trait Mill: Send {
    /// Turns one message into events and rejects. `out` is empty but for its tally. Never fails: what goes wrong is a reject.
    fn process(&mut self, message: MessageIn<'_>, out: &mut MilledMessage);

    /// Adds what it counted by itself since the last call; asked before each visit to the registry.
    fn count(&mut self, _tally: &mut Tally) {}
}

/// Makes the mills and answers what the delivery side asks of the core.
pub trait Mills: Send + Sync {
    /// The mill of worker `index`, from 0.
    fn mill(&self, index: usize) -> Box<dyn Mill>;

    /// The bytes of record `index` within a body; `None` when the body cannot be cut.
    fn cut(&self, body: &[u8], index: u32) -> Option<Vec<u8>>;

    /// A whole body as it may leave, for a dead letter or an output of raw messages; `None` when that is as it came.
    fn outgoing(&self, _body: &[u8], _is_letter: bool) -> Option<Vec<u8>> {
        None
    }

    /// The same bytes with secrets and personal texts blacked out, for `dead_letter.content = "redacted"`.
    fn redact(&self, bytes: &[u8]) -> Vec<u8>;

    /// Every mapping and security tag that an event may be counted under.
    fn tags(&self) -> Vec<(Arc<str>, Arc<str>)> {
        Vec::new()
    }

    /// Paths that the loaded mappings do not know.
    fn drift(&self) -> Arc<Drift> {
        Arc::default()
    }

    /// Reads mappings and databases anew and swaps them in, or keeps the old ones.
    ///
    /// # Errors
    ///
    /// What was wrong with the new ones, a line each; nothing has changed then.
    fn reload(&self) -> Result<(), Vec<String>>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_share_one_arena_and_a_dropped_one_leaves_nothing() {
        let mut out = MilledMessage::default();
        let mut first = out.event(0, 0, b"k1", "LOG", "a@1");
        first.value().extend_from_slice(b"{\"a\":1}");
        first.finish();
        let mut lost = out.event(1, 0, b"k1", "LOG", "a@1");
        lost.value().extend_from_slice(b"half");
        drop(lost);
        out.event(1, 1, b"", "LOG", "b@2").finish();
        let seen: Vec<_> = out.events().iter().map(|event| (event.output, out.key(event), out.value(event), out.mapping(event))).collect();
        assert_eq!(seen, [(0, &b"k1"[..], &b"{\"a\":1}"[..], &b"a@1"[..]), (1, b"", b"", b"b@2")]);
    }

    #[test]
    fn one_dead_letter_a_record() {
        let mut out = MilledMessage::default();
        let reject = |record, code| MilledReject { record, stage: "map", code, path: String::new(), detail: String::new(), bytes: None };
        for (record, code) in [(Some(3), "time_missing"), (Some(3), "too_large"), (None, "not_json"), (Some(4), "too_large")] {
            out.reject(reject(record, code));
        }
        let seen: Vec<_> = out.rejects().iter().map(|reject| (reject.record, reject.code)).collect();
        assert_eq!(seen, [(Some(3), "time_missing"), (None, "not_json"), (Some(4), "too_large")]);
    }
}
