//! No flow is lost and no byte is counted twice: what the sample logs of security groups and virtual networks hold, summed here without the
//! engine, is what its events hold.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::mills;

/// What a log or its events hold.
#[derive(Debug, Default, PartialEq, Eq)]
struct Totals {
    flows: u64,
    denied: u64,
    inbound: u64,
    sent_bytes: u64,
    received_bytes: u64,
    sent_packets: u64,
    received_packets: u64,
    /// Milliseconds since the Unix epoch, added up: a time of the wrong unit shows.
    times: u64,
}

/// The records of a sample: lines, or one body with `records`.
fn records(text: &str) -> Vec<Value> {
    match serde_json::from_str::<Value>(text) {
        Ok(Value::Object(body)) if body.contains_key("records") => body["records"].as_array().expect("a list of records").clone(),
        _ => text.lines().filter(|line| !line.trim().is_empty()).map(|line| serde_json::from_str(line).expect("a line is JSON")).collect(),
    }
}

fn list<'a>(value: &'a Value, member: &str) -> &'a [Value] {
    value[member].as_array().map(Vec::as_slice).unwrap_or_default()
}

/// The tuples of a record of either log.
fn tuples(record: &Value) -> Vec<&str> {
    let outer = if record["flowRecords"].is_object() { (&record["flowRecords"], "flowGroups") } else { (&record["properties"], "flows") };
    let groups = list(outer.0, "flows").iter().flat_map(|flow| list(flow, outer.1));
    groups.flat_map(|group| list(group, "flowTuples")).map(|tuple| tuple.as_str().expect("a tuple is text")).collect()
}

fn expected(text: &str) -> Totals {
    let mut totals = Totals::default();
    for record in records(text) {
        let is_virtual_network = record["flowRecords"].is_object();
        for tuple in tuples(&record) {
            let columns: Vec<&str> = tuple.split(',').collect();
            let number = |at: usize| columns.get(at).filter(|cell| !cell.is_empty()).map_or(0, |cell| cell.parse().expect("a counter"));
            totals.flows += 1;
            totals.denied += u64::from(columns[7] == "D");
            totals.inbound += u64::from(columns[6] == "I");
            totals.sent_packets += number(9);
            totals.sent_bytes += number(10);
            totals.received_packets += number(11);
            totals.received_bytes += number(12);
            totals.times += if is_virtual_network { number(0) } else { number(0) * 1000 };
        }
    }
    totals
}

fn milled(body: &[u8]) -> Totals {
    let engine = mills::shipped();
    let outcomes = mills::run(engine, &mut mills::worker(engine.limits()), body, None);
    let mut totals = Totals::default();
    for event in outcomes.parts.iter().filter(|part| part.view == 0).filter_map(|part| mills::event(&outcomes, part)) {
        // 64-bit numbers are text in proto3 JSON, and 0 has no member.
        let number = |name: &str| event["network"][name].as_str().map_or(0, |text| text.parse().expect("a counter"));
        totals.flows += 1;
        totals.denied += u64::from(event["securityResult"][0]["action"][0] == "BLOCK");
        totals.inbound += u64::from(event["network"]["direction"] == "INBOUND");
        totals.sent_bytes += number("sentBytes");
        totals.received_bytes += number("receivedBytes");
        totals.sent_packets += number("sentPackets");
        totals.received_packets += number("receivedPackets");
        let time: jiff::Timestamp = event["metadata"]["eventTimestamp"].as_str().and_then(|time| time.parse().ok()).expect("a time");
        totals.times += u64::try_from(time.as_millisecond()).expect("after 1970");
    }
    totals
}

#[test]
fn events_add_up_to_the_flows_of_the_samples() {
    let mut all = 0;
    for folder in ["nsg_flow", "vnet_flow"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/samples/azure").join(folder);
        for entry in fs::read_dir(&folder).expect("the samples are readable") {
            let path = entry.expect("a folder entry is readable").path();
            let text = fs::read_to_string(&path).expect("a sample is text");
            let expected = expected(&text);
            assert!(expected.flows > 2, "{}: {expected:?}", path.display());
            let is_lines = path.extension().is_some_and(|ending| ending == "ndjson");
            let found = milled(text.as_bytes());
            assert_eq!(found, expected, "{}", path.display());
            // A blob that is still being written has no end yet.
            if !is_lines {
                let open = text.trim_end().strip_suffix("]}").map(str::to_owned);
                let open = open.or_else(|| text.trim_end().strip_suffix('}').map(|text| text.trim_end().trim_end_matches(']').to_owned()));
                assert_eq!(milled(open.expect("a blob ends in `]}`").as_bytes()), expected, "{} without its end", path.display());
            }
            all += found.flows;
        }
    }
    assert!(all > 400, "only {all} flows");
}
