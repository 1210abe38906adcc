//! What becomes of a message: parts with one outcome each, their events in one buffer.

use crate::plan::{Note, PartTrace};
use std::ops::Range;

/// No mapping was chosen: the part is about the message itself.
pub const NO_MAPPING: u16 = u16::MAX;

/// The broker's time of a message, in milliseconds since the Unix epoch, UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timestamp(pub i64);

/// One message on its way in.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// The body as it came.
    pub body: &'a [u8],
    /// When the broker took it. Only a missing event time is filled from it.
    pub received: Option<Timestamp>,
    /// A mapping the configuration pins this topic to; `None` lets every record choose.
    pub pin: Option<u16>,
}

impl<'a> Message<'a> {
    /// A message without a time or a pin.
    pub fn new(body: &'a [u8]) -> Message<'a> {
        Message { body, received: None, pin: None }
    }
}

/// Where in the flow a part ended without an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Bytes to records.
    Decode,
    /// Record to event.
    Map,
    /// The event itself.
    Emit,
    /// A fault of the program.
    Panic,
}

impl Stage {
    /// The word in headers, metrics and dead letters.
    pub fn name(self) -> &'static str {
        match self {
            Stage::Decode => "decode",
            Stage::Map => "map",
            Stage::Emit => "emit",
            Stage::Panic => "panic",
        }
    }
}

/// Why one part became a dead letter.
///
/// `code` comes from a closed list, so it may be a metric label. `detail` may quote the input and must never become one; what looks
/// like a secret in it is redacted.
#[derive(Clone, Debug)]
pub struct Reject {
    /// Where.
    pub stage: Stage,
    /// The stable code.
    pub code: &'static str,
    /// Source or target path; may be empty.
    pub path: String,
    /// What was expected and found.
    pub detail: String,
}

/// What became of one part.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// An event.
    Emit {
        /// Its bytes in [`Outcomes::events`].
        event: Range<usize>,
        /// metadata.product_log_id in [`Outcomes::ids`].
        id: Range<usize>,
        /// Index into the plan's types.
        event_type: u32,
        /// Whether the wished event type gave way to another.
        fallback: bool,
        /// Its security tags, for [`Plan::tags`](crate::plan::Plan::tags) of the plan that made it.
        tags: crate::plan::TagSet,
        /// The outputs that say in `take` that they take it, a bit each.
        takers: u64,
    },
    /// A dead letter.
    Reject(Reject),
    /// Nothing, on purpose.
    Skip {
        /// The reason word in [`Outcomes::ids`].
        reason: Range<usize>,
    },
}

/// One part and what became of it.
#[derive(Clone, Debug)]
pub struct Part {
    /// Which of the engine's views made it.
    pub view: u16,
    /// Which mapping; [`NO_MAPPING`] for bytes that hold no record.
    pub mapping: u16,
    /// Number of the finding in the body, records and broken stretches counted alike; what [`Engine::cut`](super::Engine::cut) takes.
    pub finding: u32,
    /// The outcome.
    pub outcome: Outcome,
    /// Values left out of it, in [`Outcomes::notes`].
    pub notes: Range<usize>,
}

/// Everything that became of one message. Reused; nothing is allocated once it has grown.
#[derive(Debug, Default)]
pub struct Outcomes {
    /// The events, end to end.
    pub events: Vec<u8>,
    /// Identities and skip reasons.
    pub ids: Vec<u8>,
    /// The parts, in the order of the body, for each record one view after the other.
    pub parts: Vec<Part>,
    /// Values left out.
    pub notes: Vec<Note>,
    /// Records read.
    pub records: u32,
    /// Leaves that no row read, of all records, as the first view sees them.
    pub unread: u64,
    /// What explain asked for: one entry a part that was mapped.
    pub traces: Vec<Trace>,
}

/// A traced part.
#[derive(Clone, Debug)]
pub struct Trace {
    /// Index of the part in [`Outcomes::parts`].
    pub part: usize,
    /// Why this mapping.
    pub matched_by: String,
    /// What had to be corrected in the record.
    pub repair: Option<String>,
    /// The rest.
    pub plan: PartTrace,
}

impl Outcomes {
    /// Forgets everything but keeps the memory.
    pub fn clear(&mut self) {
        self.events.clear();
        self.ids.clear();
        self.parts.clear();
        self.notes.clear();
        self.records = 0;
        self.unread = 0;
        self.traces.clear();
    }

    /// The skip reason or identity at a range of [`Outcomes::ids`].
    pub fn text(&self, range: &Range<usize>) -> &str {
        std::str::from_utf8(&self.ids[range.clone()]).unwrap_or_default()
    }

    pub(super) fn place(&mut self, text: &[u8]) -> Range<usize> {
        let start = self.ids.len();
        self.ids.extend_from_slice(text);
        start..self.ids.len()
    }
}
