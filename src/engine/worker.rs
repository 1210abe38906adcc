//! [`Worker`]: the buffers and caches of one thread.

use crate::classify::Facts;
use crate::decode::{Decoder, Doc, Found, Limits};
use crate::enrich::Enrichers;
use crate::plan::State;
use crate::plan::drift::DriftWatch;

/// What one thread needs to process messages. The shell makes it, with a hash seed and its share of the databases.
pub struct Worker {
    pub(super) decoder: Decoder,
    pub(super) doc: Doc,
    pub(super) found: Vec<Found>,
    pub(super) facts: Facts,
    pub(super) state: State,
    pub(super) enrichers: Enrichers,
    limits: Limits,
}

impl Worker {
    /// A worker with these limits and enrichers.
    pub fn new(limits: Limits, enrichers: Enrichers) -> Worker {
        Worker {
            decoder: Decoder::new(limits),
            doc: Doc::default(),
            found: Vec::new(),
            facts: Facts::default(),
            state: State::default(),
            enrichers,
            limits,
        }
    }

    /// The caches, to count their hits and to hand over new databases.
    pub fn enrichers(&mut self) -> &mut Enrichers {
        &mut self.enrichers
    }

    /// Lets every mapped part leave a trace in the outcomes: slow, for explain.
    pub fn trace(&mut self, on: bool) {
        self.state.is_traced = on;
    }

    /// Remembers paths that no row reads, for [`Worker::drift`].
    pub fn watch_drift(&mut self) {
        self.state.drift = Some(Box::default());
    }

    /// What was remembered; `None` where nobody watches.
    pub fn drift(&mut self) -> Option<&mut DriftWatch> {
        self.state.drift.as_deref_mut()
    }

    /// Drops what a panic may have left half done. Caches keep their finished answers.
    pub(super) fn start_over(&mut self) {
        let (is_traced, drift) = (self.state.is_traced, self.state.drift.take());
        self.decoder = Decoder::new(self.limits);
        self.doc = Doc::default();
        self.found = Vec::new();
        self.facts = Facts::default();
        self.state = State { is_traced, drift, ..State::default() };
    }
}
