//! What grows and what must not: larger events, more rules, every family's own table.

use super::case::{Case, floor};
use super::{ROUNDS, equal, median};
use cpu_time::ThreadTime;
use simd_json::Buffers;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use udmill::decode::Parser;
use udmill::engine::View;
use udmill::mapping::built_in;

/// Rules of the tables compared: the fewest read the event, the others ask for members that it does not have.
const RULES: [usize; 3] = [20, 100, 500];

/// The floor and some cases, in turns on the same messages: nanoseconds a message, round by round.
fn rounds(messages: &[Vec<u8>], cases: &mut [Case]) -> (Vec<f64>, Vec<Vec<f64>>) {
    let (mut buffers, mut copy) = (Buffers::default(), Vec::new());
    let (mut floors, mut times) = (Vec::new(), vec![Vec::new(); cases.len()]);
    for _ in 0..ROUNDS {
        let start = ThreadTime::now();
        std::hint::black_box(floor(messages, &mut buffers, &mut copy));
        floors.push(start.elapsed().as_nanos() as f64 / messages.len() as f64);
        for (case, times) in cases.iter_mut().zip(&mut times) {
            let start = ThreadTime::now();
            case.run(messages);
            times.push(start.elapsed().as_nanos() as f64 / messages.len() as f64);
        }
    }
    (floors, times)
}

/// The median of the ratios within each round.
fn ratio(times: &[f64], to: &[f64]) -> f64 {
    median(&mut times.iter().zip(to).map(|(mine, other)| mine / other).collect::<Vec<f64>>())
}

/// Larger events: what no row reads costs its parse and no more.
pub fn sizes(events: &[Vec<u8>]) -> Result<serde_json::Value, String> {
    println!("openai audit, larger events");
    let mut told = Vec::new();
    for bytes in [1 << 10, 4 << 10, 64 << 10] {
        let messages: Vec<Vec<u8>> = events.iter().take((8 << 20) / bytes).map(|event| grown(event, bytes)).collect();
        let mut cases = [Case::core(Parser::default())];
        equal::parsers(&mut cases[0], &mut Case::core(Parser::SimdTape), &messages)?;
        let (floors, times) = rounds(&messages, &mut cases);
        let ratio = ratio(&times[0], &floors);
        let (floor, core) = (median(&mut floors.clone()), median(&mut times[0].clone()));
        let rate = bytes as f64 * 1e3 / core;
        println!("  {:5} bytes: floor {floor:7.0} ns, core {core:7.0} ns, {ratio:5.2} x floor, {rate:5.0} MB/s", messages[0].len());
        told.push(serde_json::json!({ "bytes": messages[0].len(), "floor_ns": floor, "core_ns": core, "ratio_to_floor": ratio }));
    }
    Ok(told.into())
}

/// An event with a list of names in its payload until it has so many bytes.
fn grown(event: &[u8], bytes: usize) -> Vec<u8> {
    let mut text = event[..event.len() - 1].to_vec();
    text.extend_from_slice(b",\"resources\":[");
    let mut number = 0;
    while text.len() + 60 < bytes {
        number += 1;
        text.extend_from_slice(format!(r#"{{"id":"resource-{number:06}","name":"Resource {number}"}},"#).as_bytes());
    }
    if number > 0 {
        text.pop();
    }
    text.extend_from_slice(b"]}");
    text
}

/// A table of so many rows for OpenAI events; only the first ones find something.
fn table(rules: usize) -> String {
    let mut text = String::from(
        r#"
[mapping]
log_type = "OPENAI_AUDITLOG"
docs     = ["https://example.com/"]
version  = 1
id       = ["id"]
unmapped = "drop"

[match]
any = [ { shape = "azure", category = "none_of_the_events" } ]

[event_type]
rules = [ { is = "GENERIC_EVENT" } ]

[fields]
rows = [
  { from  = "effective_at",    to = "metadata.event_timestamp", as = "unix_seconds" },
  { value = "OPENAI_AUDITLOG", to = ["metadata.vendor_name", "metadata.product_name"] },
  { from  = "type",            to = "metadata.product_event_type" },
  { from  = "type",            to = "security_result.summary" },
  { from  = "actor.session.ip_address",                   to = ["principal.ip[]", "principal.asset.ip[]"], as = "ip" },
  { from  = "actor.session.user.id",                      to = "principal.user.userid", as = { after_first = "-" } },
  { from  = "actor.session.user.id",                      to = "principal.user.product_object_id" },
  { from  = "actor.session.user.email",                   to = "principal.user.email_addresses[]" },
  { from  = "actor.session.ip_address_details.city",      to = "principal.location.city" },
  { from  = "actor.session.ip_address_details.region",    to = "principal.location.state" },
  { from  = "actor.session.ip_address_details.country",   to = "principal.location.country_or_region" },
  { from  = "actor.session.ip_address_details.latitude",  to = "principal.location.region_latitude", as = "float" },
  { from  = "actor.session.ip_address_details.longitude", to = "principal.location.region_longitude", as = "float" },
  { from  = "actor.api_key.id",                           to = "principal.resource.product_object_id" },
  { from  = "actor.session.user_agent",                   to = "network.http.user_agent" },
  { from  = "actor.session.ja3",                          to = "network.tls.client.ja3", as = "ja3" },
  { from  = "actor.session.ja4",                          to = "network.tls.client.ja4", as = "ja4" },
  { from  = "actor.session.ja4",                          to = "security_result.detection_fields{ja4}" },
  { from  = "actor.session.ip_address_details.region_code", to = "additional{region_code}" },
  { from  = "actor.session.ip_address_details.asn",       to = "additional{asn}" },
"#,
    );
    for number in RULES[0]..rules {
        let _ = writeln!(text, r#"  {{ from = "payload_{}.member_{number}", to = "additional{{member_{number}}}" }},"#, number % 7);
    }
    text.push_str("]\n");
    text
}

/// The same events through tables of more and more rules.
pub fn rules(messages: &[Vec<u8>]) -> Result<serde_json::Value, String> {
    let case = |rules: usize, parser: Parser| {
        let mut files = built_in();
        files.add_built_in("bench/rules.toml", &table(rules));
        Case::of("rules", &files, View::default(), &Arc::default(), parser).pinned("bench/rules")
    };
    let mut cases = RULES.map(|rules| case(rules, Parser::default()));
    let mut first = None;
    for (case, mut tape) in cases.iter_mut().zip(RULES.map(|rules| case(rules, Parser::SimdTape))) {
        let events = equal::parsers(case, &mut tape, messages)?;
        if *first.get_or_insert_with(|| events.clone()) != events || events.len() != messages.len() {
            return Err("more rules changed the events".to_owned());
        }
    }
    let (_, times) = rounds(messages, &mut cases);
    println!("openai audit, more rules, the same events");
    let mut told = Vec::new();
    for (rules, mine) in RULES.iter().zip(&times) {
        let (ratio, middle) = (ratio(mine, &times[0]), median(&mut mine.clone()));
        println!("  {rules:3} rules: median {middle:6.0} ns, {ratio:5.2} x that of {}", RULES[0]);
        told.push(serde_json::json!({ "rules": rules, "median_ns": middle, "ratio_to_first": ratio }));
    }
    Ok(told.into())
}

/// Every family's samples through its own table, a sample file a message.
pub fn families() -> Result<serde_json::Value, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/samples/azure");
    let mut by_mapping: std::collections::BTreeMap<String, Vec<Vec<u8>>> = Default::default();
    let mut sorter = Case::core(Parser::default());
    let mut folders = vec![root];
    while let Some(folder) = folders.pop() {
        let mut entries: Vec<_> = std::fs::read_dir(&folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
        entries.sort();
        for path in entries {
            if path.is_dir() {
                folders.push(path);
            } else if let Some(messages) = read(&path) {
                for message in messages {
                    if let Some(mapping) = sorter.mapping_of(&message) {
                        by_mapping.entry(mapping).or_default().push(message);
                    }
                }
            }
        }
    }
    println!("every mapping on its samples, a record each; `core`");
    let mut told = Vec::new();
    for (mapping, messages) in by_mapping {
        let messages: Vec<Vec<u8>> = messages.iter().cycle().take(messages.len().max(300)).cloned().collect();
        let mut cases = [Case::core(Parser::default())];
        equal::parsers(&mut cases[0], &mut Case::core(Parser::SimdTape), &messages)?;
        let (floors, times) = rounds(&messages, &mut cases);
        let (ratio, middle) = (ratio(&times[0], &floors), median(&mut times[0].clone()));
        let bytes = messages.iter().map(Vec::len).sum::<usize>() / messages.len();
        println!("  {mapping:28} {bytes:5} bytes: median {middle:7.0} ns, {ratio:5.2} x floor");
        told.push(serde_json::json!({ "mapping": mapping, "bytes": bytes, "median_ns": middle, "ratio_to_floor": ratio }));
    }
    Ok(told.into())
}

/// The records of a sample file, each alone.
fn read(path: &Path) -> Option<Vec<Vec<u8>>> {
    let ending = path.extension()?;
    let bytes = std::fs::read(path).ok()?;
    let texts: Vec<Vec<u8>> = match ending.to_str()? {
        "ndjson" => bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(<[u8]>::to_vec).collect(),
        "json" => vec![bytes],
        _ => return None,
    };
    Some(
        texts
            .iter()
            .filter_map(|text| serde_json::from_slice::<serde_json::Value>(text).ok())
            .flat_map(records)
            .map(|record| record.to_string().into_bytes())
            .collect(),
    )
}

/// The records of a body, as the envelopes of the generator and the samples hold them.
pub fn records(body: serde_json::Value) -> Vec<serde_json::Value> {
    match body {
        serde_json::Value::Object(mut members) if members.get("records").is_some_and(serde_json::Value::is_array) => {
            members.remove("records").map(records).unwrap_or_default()
        }
        serde_json::Value::Array(list) => list.into_iter().flat_map(records).collect(),
        one => vec![one],
    }
}
