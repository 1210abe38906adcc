//! Outputs that are not required: whatever becomes of them, nothing waits.
//!
//! Each has a producer of its own with a small buffer. What the buffer has no room for, and what is not delivered in time, is dropped and
//! counted, so a sink that is away costs a few megabytes and nothing else. None of it holds a message, its bytes or an offset.
use std::sync::{Arc, Mutex, PoisonError};

use crate::sink::kafka::{Acks, Refused};
use crate::telemetry::{IntCounter, Metrics};

/// Told what became of the events of one output.
#[derive(Debug)]
pub struct Spare {
    name: String,
    delivered: IntCounter,
    metrics: Arc<Metrics>,
    /// What was logged last.
    told: Mutex<Option<String>>,
}

impl Spare {
    /// Of the output called `name`.
    pub fn new(name: &str, metrics: &Arc<Metrics>) -> Spare {
        // From nothing to 1 is no increase to Prometheus, so the count begins at 0.
        metrics.dropped.with_label_values(&[name, "Full"]).inc_by(0);
        let delivered = metrics.delivered.with_label_values(&[name]);
        Spare { name: name.to_owned(), delivered, metrics: Arc::clone(metrics), told: Mutex::default() }
    }

    /// Counts one event that is dropped; `code` is librdkafka's, or `Full`.
    pub fn dropped(&self, code: &str) {
        self.metrics.dropped.with_label_values(&[&self.name, code]).inc();
        self.tell(&format!("events are dropped ({code})"));
    }

    fn tell(&self, what: &str) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.is_none() {
            tracing::warn!(output = self.name, "an output that is not required: {what}; the others go on");
        }
        *told = Some(what.to_owned());
    }
}

impl Acks for Spare {
    type Owed = ();

    fn delivered(&self, _: Box<()>, result: Result<(), Refused>) {
        match result {
            Ok(()) => {
                self.delivered.inc();
                if self.told.lock().unwrap_or_else(PoisonError::into_inner).take().is_some() {
                    tracing::info!(output = self.name, "an output that is not required: delivered again");
                }
            }
            Err(refused) => self.dropped(&refused.code),
        }
    }

    fn reachable(&self) {}

    fn trouble(&self, code: &str, _: bool, reason: &str) {
        self.metrics.kafka_errors.with_label_values(&["spare", code]).inc();
        self.tell(reason);
    }
}
