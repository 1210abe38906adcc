//! What the collector of OpenAI's audit log tells: counts, gauges, and whether the process is ready.
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::source::openai::collector::Note;
use crate::source::openai::state::Listing;
use crate::source::openai::{Watch, is_known_type};
use crate::telemetry::{Component, Health, Metrics};

/// So many passes in a row that failed make the process unready: one or two mend themselves.
const FAILING_PASSES: u32 = 3;

/// Turns notes into metrics and health.
pub struct Collecting {
    metrics: Arc<Metrics>,
    health: Arc<Health>,
    identity: String,
    /// What is wrong with each listing.
    faults: Mutex<BTreeMap<Listing, String>>,
}

impl Collecting {
    /// `identity` is who asks, for messages.
    pub fn new(metrics: &Arc<Metrics>, health: &Arc<Health>, identity: String, listings: &[Listing]) -> Collecting {
        for listing in listings {
            // Counts that begin at 0 show their first increase.
            for kind in ["cursor", "disorder", "limited", "refused"] {
                metrics.collector_faults.with_label_values(&[listing.name(), kind]).inc_by(0);
            }
            metrics.collector_refused.with_label_values(&[listing.name()]).set(0);
            metrics.collector_failing.with_label_values(&[listing.name()]).set(0);
        }
        let faults = listings.iter().map(|listing| (*listing, format!("listing `{}` was not read yet", listing.name()))).collect();
        Collecting { metrics: Arc::clone(metrics), health: Arc::clone(health), identity, faults: Mutex::new(faults) }
    }

    /// Notes what is wrong with a listing, or that nothing is.
    fn fault(&self, listing: Listing, fault: Option<String>) {
        let mut faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        match fault {
            Some(fault) => faults.insert(listing, fault),
            None => faults.remove(&listing),
        };
        if faults.is_empty() {
            self.health.clear(Component::Source);
        } else {
            self.health.fail(Component::Source, &faults.values().cloned().collect::<Vec<_>>().join("; "));
        }
    }
}

impl Watch for Collecting {
    fn note(&self, listing: Listing, note: &Note) {
        let name = listing.name();
        let count = |kind: &str, by: u64| self.metrics.collector_events.with_label_values(&[name, kind]).inc_by(by);
        let fault = |kind: &str| self.metrics.collector_faults.with_label_values(&[name, kind]).inc();
        match note {
            Note::Request(result) => self.metrics.collector_requests.with_label_values(&[name, result]).inc(),
            Note::Events { known, .. } => count("known", *known),
            Note::Kind(kind) => {
                count("new", 1);
                if kind.as_deref().is_none_or(|kind| !is_known_type(kind)) {
                    count("unknown_type", 1);
                }
            }
            Note::Odd("id") => count("without_id", 1),
            Note::Odd(_) => count("without_time", 1),
            Note::OnlyDeep => count("only_deep", 1),
            Note::Late(seconds) => self.metrics.collector_lateness.with_label_values(&[name]).observe(*seconds as f64),
            Note::CursorFault => fault("cursor"),
            Note::Disorder => fault("disorder"),
            Note::Limited(what) => {
                fault("limited");
                self.fault(listing, Some(format!("listing `{name}`: {what}")));
            }
            Note::Passed(depth) => {
                self.metrics.collector_passes.with_label_values(&[name, depth.name()]).inc();
                self.fault(listing, None);
            }
            Note::Failed(_) => self.metrics.collector_passes.with_label_values(&[name, "failed"]).inc(),
            Note::Refused(what) => {
                fault("refused");
                self.metrics.collector_refused.with_label_values(&[name]).set(1);
                let help = "check `source.openai.key`: an Admin key of this organization that may read audit logs";
                self.fault(listing, Some(format!("listing `{name}`: the API refuses {} ({what}); {help}", self.identity)));
            }
            Note::Absent(_) => self.fault(listing, None),
            Note::Well => self.metrics.collector_refused.with_label_values(&[name]).set(0),
            Note::Unreadable(_) => {}
        }
    }

    fn failing(&self, listing: Listing, passes: u32) {
        let gauge = self.metrics.collector_failing.with_label_values(&[listing.name()]);
        if gauge.get() == i64::from(passes) {
            return;
        }
        gauge.set(i64::from(passes));
        if passes >= FAILING_PASSES {
            let is_refused = self.metrics.collector_refused.with_label_values(&[listing.name()]).get() == 1;
            if !is_refused {
                self.fault(listing, Some(format!("listing `{}`: windows are not read to their end", listing.name())));
            }
        }
    }

    fn age(&self, listing: Listing, seconds: f64) {
        self.metrics.collector_age.with_label_values(&[listing.name()]).set(seconds);
    }
}
