//! Counts that a worker gathers between two visits to the registry.
use std::collections::HashMap;
use std::sync::Arc;

/// What became of a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It became an event.
    Emitted,
    /// It went to the dead letters.
    Rejected,
    /// A rule says that it becomes nothing.
    Skipped,
}

impl Outcome {
    /// The metric label.
    pub fn name(self) -> &'static str {
        match self {
            Outcome::Emitted => "emitted",
            Outcome::Rejected => "rejected",
            Outcome::Skipped => "skipped",
        }
    }
}

/// Counts of one worker since its last flush. Labels come from closed sets: names of mappings, codes, enum words.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Tally {
    /// Records found in messages.
    pub records: u64,
    /// Parts by mapping, outcome and code (reject code or skip reason; empty for emitted).
    pub parts: HashMap<(Arc<str>, Outcome, Arc<str>), u64>,
    /// Events by mapping, event type and whether it is a fallback.
    pub events: HashMap<(Arc<str>, Arc<str>, bool), u64>,
    /// Events by mapping and `security_result.action`; `none` without one.
    pub actions: HashMap<(Arc<str>, &'static str), u64>,
    /// Events by mapping and security tag.
    pub tags: HashMap<(Arc<str>, Arc<str>), u64>,
    /// Fields left out, by mapping and note code.
    pub notes: HashMap<(Arc<str>, &'static str), u64>,
    /// Bytes by mapping, in and out.
    pub bytes: HashMap<Arc<str>, (u64, u64)>,
    /// Values at paths that no mapping knows, by mapping.
    pub drift: HashMap<Arc<str>, u64>,
    /// Cache look-ups by cache: hits and misses.
    pub caches: HashMap<&'static str, (u64, u64)>,
}

impl Tally {
    /// Counts `count` parts.
    pub fn parts(&mut self, mapping: &Arc<str>, outcome: Outcome, code: &Arc<str>, count: u64) {
        *self.parts.entry((Arc::clone(mapping), outcome, Arc::clone(code))).or_default() += count;
    }

    /// Parts of one outcome, over all mappings and codes.
    pub fn parts_of(&self, outcome: Outcome) -> u64 {
        self.parts.iter().filter(|((_, of, _), _)| *of == outcome).map(|(_, count)| count).sum()
    }

    /// Empties it and keeps its memory.
    pub fn clear(&mut self) {
        self.records = 0;
        self.parts.clear();
        self.events.clear();
        self.actions.clear();
        self.tags.clear();
        self.notes.clear();
        self.bytes.clear();
        self.drift.clear();
        self.caches.clear();
    }
}
