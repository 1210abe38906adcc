//! Before anything is timed: all that is compared must give the same events, and the right ones. A fast engine that drops is no engine.
//!
//! Both parsers must give the same bytes and outcomes. `full` is `core` and what the enrichers add; `kept` is `full` and the leaves that no row
//! read, each of which serde_json must find where its name says. OpenAI's events are held to the interpreter of the published table that
//! the tests keep, which reads serde_json's values and knows nothing of mappings or the engine.

use serde_json::Value;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use udmill::decode::Parser;
use udmill::engine::Outcome;
use udmill::enrich::Databases;

use super::case::Case;
use super::growth::records;

#[allow(dead_code)]
#[path = "../../tests/suite/documented_reference.rs"]
mod documented_reference;

/// Faults told of one input: more say no more.
const TOLD: usize = 10;

/// What one check found.
#[derive(Default)]
pub struct Checked {
    records: usize,
    /// Fields that the published table's interpreter gave, and the engine too.
    of_table: usize,
    /// Kept leaves found in the record.
    leaves: usize,
    /// Paths that `full` has and `core` has not.
    enriched: BTreeMap<String, usize>,
    faults: Vec<String>,
}

impl Checked {
    /// What was compared, or what differs.
    pub fn told(self, title: &str) -> Result<Value, String> {
        if self.faults.is_empty() {
            let enriched: usize = self.enriched.values().sum();
            let Checked { records, of_table, leaves, .. } = self;
            println!(
                "{title}: {records} events equal of both parsers; {of_table} fields as the published table says, {enriched} added, {leaves} leaves kept"
            );
            return Ok(
                serde_json::json!({ "records": records, "fields_of_published_table": of_table, "fields_added": self.enriched, "leaves_kept": leaves }),
            );
        }
        let shown = &self.faults[..self.faults.len().min(TOLD)];
        Err(format!("{title}: {} differences:\n  {}", self.faults.len(), shown.join("\n  ")))
    }
}

/// The events of the messages, as JSON; faults where the two parsers differ.
fn both(scanner: &mut Case, tape: &mut Case, messages: &[Vec<u8>], faults: &mut Vec<String>) -> Vec<Value> {
    let mut events = Vec::new();
    for (number, message) in messages.iter().enumerate() {
        scanner.process(message);
        tape.process(message);
        let (ours, theirs) = (&scanner.outcomes, &tape.outcomes);
        // The types print every field, ranges included; an event that is equal byte for byte is equal JSON.
        if ours.events != theirs.events || ours.ids != theirs.ids || format!("{:?}", ours.parts) != format!("{:?}", theirs.parts) {
            faults.push(format!("{}, message {number}: the parsers differ on {}", scanner.name, String::from_utf8_lossy(message)));
        }
        for part in &ours.parts {
            let Outcome::Emit { event, .. } = &part.outcome else { continue };
            match serde_json::from_slice::<Value>(&ours.events[event.clone()]) {
                Ok(event) if event["metadata"]["eventType"].is_string() => events.push(event),
                other => faults.push(format!("{}, message {number}: no event: {other:?}", scanner.name)),
            }
        }
    }
    events
}

/// One case on both parsers: the events, or the first differences.
pub fn parsers(scanner: &mut Case, tape: &mut Case, messages: &[Vec<u8>]) -> Result<Vec<Value>, String> {
    let mut faults = Vec::new();
    let events = both(scanner, tape, messages, &mut faults);
    faults.truncate(TOLD);
    if faults.is_empty() { Ok(events) } else { Err(faults.join("\n")) }
}

/// All that can be said of an input whose every record is one event: the three fixed cases on both parsers, and plain readings of them.
pub fn all(messages: &[Vec<u8>], of_table: bool, databases: &Arc<Databases>) -> Checked {
    let mut found = Checked::default();
    let mut scanner = Case::fixed(Parser::Scanner, databases);
    let mut tape = Case::fixed(Parser::SimdTape, databases);
    let mut events = scanner.iter_mut().zip(&mut tape).map(|(scanner, tape)| both(scanner, tape, messages, &mut found.faults));
    let [core, full, kept] = std::array::from_fn(|_| events.next().unwrap_or_default());
    drop(events);
    let records: Vec<Value> =
        messages.iter().flat_map(|message| records(serde_json::from_slice(message).expect("generated input is JSON"))).collect();
    found.records = records.len();
    if [core.len(), full.len(), kept.len()] != [records.len(); 3] {
        found.faults.push(format!("{} records became {}, {} and {} events", records.len(), core.len(), full.len(), kept.len()));
        return found;
    }
    for (number, record) in records.iter().enumerate() {
        let mut faults = Vec::new();
        if of_table {
            let wanted = documented_reference::expected(record);
            found.of_table += wanted.values().filter(|value| !value.is_null()).count();
            faults.extend(documented_reference::compare(&full[number], &wanted));
        }
        let mut added = Vec::new();
        beyond(&core[number], &full[number], "", &mut added, &mut faults);
        for path in added {
            if is_enriched(&path) {
                *found.enriched.entry(path).or_default() += 1;
            } else {
                faults.push(format!("`full` has {path}, which no enricher gives"));
            }
        }
        let mut added = Vec::new();
        beyond(&full[number], &kept[number], "", &mut added, &mut faults);
        let mut leaves = HashSet::new();
        flatten(record, "additional.unmapped", &mut leaves);
        for path in added {
            let value = path.strip_prefix("additional.").and_then(|name| kept[number]["additional"][name].as_str()).unwrap_or_default();
            found.leaves += 1;
            if !value.contains("[redacted]") && !leaves.contains(&(path.clone(), value.to_owned())) {
                faults.push(format!("`kept` has {path}: {value}, which the record has not"));
            }
        }
        found
            .faults
            .extend(faults.into_iter().map(|fault| format!("record {}: {fault}", record["id"].as_str().unwrap_or(&number.to_string()))));
    }
    found
}

/// What the user agent and the databases may add.
fn is_enriched(path: &str) -> bool {
    path.contains("network.http.parsedUserAgent") || path.contains(".location") || path.contains("network.asn")
}

/// The paths of leaves and whole branches that `more` has beyond `less`; a fault for all else that differs.
fn beyond(less: &Value, more: &Value, path: &str, added: &mut Vec<String>, faults: &mut Vec<String>) {
    match (less, more) {
        (Value::Object(less), Value::Object(more)) => {
            for (name, value) in more {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                match less.get(name) {
                    Some(less) => beyond(less, value, &path, added, faults),
                    None => added.push(path),
                }
            }
            faults.extend(less.keys().filter(|name| !more.contains_key(*name)).map(|name| format!("{path}.{name} is gone")));
        }
        (less, more) if less == more => {}
        (less, more) => faults.push(format!("{path}: {less} became {more}")),
    }
}

/// Every leaf as its dotted path and its text; JSON within a text is opened as well.
fn flatten(value: &Value, path: &str, leaves: &mut HashSet<(String, String)>) {
    match value {
        Value::Object(members) => members.iter().for_each(|(name, value)| flatten(value, &format!("{path}.{name}"), leaves)),
        Value::Array(list) => list.iter().enumerate().for_each(|(at, value)| flatten(value, &format!("{path}.{at}"), leaves)),
        Value::String(text) => {
            if let Ok(inner @ (Value::Object(_) | Value::Array(_))) = serde_json::from_str(text) {
                flatten(&inner, path, leaves);
            }
            leaves.insert((path.to_owned(), text.clone()));
        }
        other => {
            leaves.insert((path.to_owned(), other.to_string()));
        }
    }
}
