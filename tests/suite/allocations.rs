//! Once a worker is warm, a part costs no allocation: not with enrichment, not with unread leaves kept.

use std::collections::BTreeMap;

use udmill::engine::{Message, Outcomes, Timestamp};

use crate::ends;
use crate::mills;

/// What remains has its reasons: a damaged or rejected body asks for room for what is said of it, and a look-up key of more than 128 bytes is
/// folded on the heap. Neither stands in most events of these logs.
const LOGS: [&str; 6] =
    ["openai/by-type", "openai/collector", "azure/activity/", "azure/entra/", "azure/private_link/", "azure/traffic_analytics/"];

#[test]
fn a_warm_worker_allocates_nothing_for_an_event() {
    let engine = mills::shipped();
    let mut worker = mills::worker_with_places(engine.limits());
    let mut outcomes = Outcomes::default();
    let mut process = |body: &[u8]| {
        let message = Message { received: Some(Timestamp(ends::RECEIVED)), ..Message::new(body) };
        engine.process(&mut worker, message, &mut outcomes);
        outcomes.parts.len()
    };
    let mut found: BTreeMap<&str, (u64, usize)> = BTreeMap::new();
    for (name, body) in &ends::bodies() {
        let Some(log) = LOGS.iter().find(|log| name.starts_with(**log)) else { continue };
        // Twice, so that caches and remembered shapes are there and buffers have their size.
        process(body);
        process(body);
        let mut parts = 0;
        let counted = allocation_counter::measure(|| parts = process(body));
        let of_log = found.entry(log).or_default();
        *of_log = (of_log.0 + counted.count_total, of_log.1 + parts);
    }
    assert_eq!(found.len(), LOGS.len(), "{found:?}");
    for (log, (allocations, parts)) in found {
        assert!(allocations as f64 <= parts as f64 * 0.05, "{log}: {allocations} allocations in {parts} parts");
    }
}
