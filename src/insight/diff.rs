//! What changes between two sets of mappings: every record is mapped by both, and their events are compared field by field.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde::Serialize;
use serde_json::Value;

use super::html::grouped;
use super::words::printable;
use crate::engine::{Engine, Outcome, Outcomes};

/// Characters of a value that an example shows.
const EXAMPLE: usize = 100;
/// Parts of one record that are compared.
const PARTS: usize = 10_000;

/// One UDM field that changes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct FieldChange {
    /// Records in which only the new mappings fill it.
    pub added: u64,
    /// Records in which only the old ones do.
    pub removed: u64,
    /// Records in which both do, with different values.
    pub changed: u64,
    /// A value of the old mappings, of the first record that changes.
    pub old: Option<String>,
    /// What the new ones have in its place.
    pub new: Option<String>,
}

/// What was compared and what differs.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Diff {
    /// Records compared.
    pub records: u64,
    /// Records of which anything differs.
    pub records_changed: u64,
    /// Records by what became of them, `emitted azure/activity -> rejected time_missing`, where that differs.
    pub outcomes: BTreeMap<String, u64>,
    /// UDM fields, snake_case, `[]` for elements, a label's key in braces.
    pub fields: BTreeMap<String, FieldChange>,
}

/// The fields of one event: every value of a field in order, elements of a list together.
type Fields = BTreeMap<String, Vec<String>>;

/// What became of one record: its outcomes in words, and its fields over all parts.
#[derive(Default)]
struct Record {
    outcomes: BTreeMap<String, u64>,
    parts: Vec<Fields>,
}

impl Diff {
    /// Compares what two engines made of one message; only their first view.
    pub fn add(&mut self, old: (&Engine, &Outcomes), new: (&Engine, &Outcomes)) {
        let (mut old, mut new) = (records(old.0, old.1), records(new.0, new.1));
        let findings: BTreeSet<u32> = old.keys().chain(new.keys()).copied().collect();
        for finding in findings {
            let (old, new) = (old.remove(&finding).unwrap_or_default(), new.remove(&finding).unwrap_or_default());
            self.records += 1;
            let mut is_changed = false;
            if old.outcomes != new.outcomes {
                is_changed = true;
                let told = |outcomes: &BTreeMap<String, u64>| outcomes.keys().cloned().collect::<Vec<_>>().join(", ");
                *self.outcomes.entry(format!("{} -> {}", told(&old.outcomes), told(&new.outcomes))).or_default() += 1;
            }
            // A field is counted once a record, however many of its parts differ.
            let mut of_record: BTreeSet<(String, u8)> = BTreeSet::new();
            let empty = Fields::new();
            for at in 0..old.parts.len().max(new.parts.len()) {
                let (before, after) = (old.parts.get(at).unwrap_or(&empty), new.parts.get(at).unwrap_or(&empty));
                let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
                for name in names.into_iter().filter(|name| before.get(*name) != after.get(*name)) {
                    is_changed = true;
                    let (was, is) = (before.get(name), after.get(name));
                    let change = self.fields.entry(name.clone()).or_default();
                    let (kind, count) = match (was, is) {
                        (None, _) => (0, &mut change.added),
                        (_, None) => (1, &mut change.removed),
                        _ => (2, &mut change.changed),
                    };
                    if of_record.insert((name.clone(), kind)) {
                        *count += 1;
                    }
                    if change.old.is_none() && change.new.is_none() {
                        (change.old, change.new) = (was.map(|values| shown(values)), is.map(|values| shown(values)));
                    }
                }
            }
            self.records_changed += u64::from(is_changed);
        }
    }

    /// Whether anything differs.
    pub fn is_changed(&self) -> bool {
        self.records_changed > 0
    }

    /// The comparison as JSON, indented.
    pub fn json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default()
    }

    /// A table of text: the fields that differ in the most records first.
    pub fn text(&self) -> String {
        let mut out = format!("{} of {} records change\n", grouped(self.records_changed), grouped(self.records));
        if !self.outcomes.is_empty() {
            let _ = writeln!(out, "\n  {:>8}  outcome", "records");
            for (outcome, count) in &self.outcomes {
                let _ = writeln!(out, "  {:>8}  {}", grouped(*count), printable(outcome));
            }
        }
        if !self.fields.is_empty() {
            let _ = writeln!(out, "\n  {:>8} {:>8} {:>8}  UDM field", "added", "removed", "changed");
            let mut fields: Vec<_> = self.fields.iter().collect();
            fields.sort_by_key(|(name, change)| (std::cmp::Reverse(change.added + change.removed + change.changed), *name));
            for (name, change) in fields {
                let (added, removed, changed) = (grouped(change.added), grouped(change.removed), grouped(change.changed));
                let value = |value: &Option<String>| value.as_ref().map_or_else(|| "nothing".to_owned(), |text| printable(text));
                let _ = writeln!(out, "  {added:>8} {removed:>8} {changed:>8}  {}", printable(name));
                let _ = writeln!(out, "  {:>26}    {} -> {}", "", value(&change.old), value(&change.new));
            }
        }
        out
    }
}

fn records(engine: &Engine, outcomes: &Outcomes) -> BTreeMap<u32, Record> {
    let mut found: BTreeMap<u32, Record> = BTreeMap::new();
    for part in outcomes.parts.iter().filter(|part| part.view == 0) {
        let record = found.entry(part.finding).or_default();
        let mapping = engine.plan(part).map_or("no mapping", |plan| plan.name.as_str());
        let outcome = match &part.outcome {
            Outcome::Emit { event, .. } => {
                let event = serde_json::from_slice::<Value>(&outcomes.events[event.clone()]).unwrap_or_default();
                if record.parts.len() < PARTS {
                    let mut fields = Fields::new();
                    leaves(&event, "", &mut fields);
                    record.parts.push(fields);
                }
                format!("emitted by {mapping}")
            }
            Outcome::Reject(reject) => format!("rejected as {}", reject.code),
            Outcome::Skip { reason } => format!("skipped as {}", outcomes.text(reason)),
        };
        *record.outcomes.entry(outcome).or_default() += 1;
    }
    found
}

/// Adds the values below a value. A label is named by its key, so that another label in front of it changes nothing.
fn leaves(value: &Value, path: &str, found: &mut Fields) {
    match value {
        Value::Object(members) => {
            if let (Some(key), Some(value), 2) = (members.get("key").and_then(Value::as_str), members.get("value"), members.len()) {
                return leaves(value, &format!("{}{{{key}}}", path.trim_end_matches("[]")), found);
            }
            for (name, value) in members {
                // Free members keep their names, fields have UDM's own spelling.
                let name = if path.starts_with("additional") { name.clone() } else { snake_case(name) };
                leaves(value, &if path.is_empty() { name } else { format!("{path}.{name}") }, found);
            }
        }
        Value::Array(elements) => elements.iter().for_each(|value| leaves(value, &format!("{path}[]"), found)),
        Value::String(text) => found.entry(path.to_owned()).or_default().push(text.clone()),
        other => found.entry(path.to_owned()).or_default().push(other.to_string()),
    }
}

fn snake_case(name: &str) -> String {
    let mut text = String::with_capacity(name.len() + 4);
    for letter in name.chars() {
        if letter.is_ascii_uppercase() {
            text.push('_');
        }
        text.push(letter.to_ascii_lowercase());
    }
    text
}

fn shown(values: &[String]) -> String {
    let text = values.join(", ");
    match text.char_indices().nth(EXAMPLE) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_have_udms_names_and_labels_their_keys() {
        let event = serde_json::json!({
            "metadata": { "productEventType": "x" },
            "securityResult": [{ "detectionFields": [{ "key": "ja4", "value": "t13" }] }, { "action": ["ALLOW"] }],
            "additional": { "someKey": "1" },
        });
        let mut fields = Fields::new();
        leaves(&event, "", &mut fields);
        let names: Vec<&str> = fields.keys().map(String::as_str).collect();
        let expected =
            ["additional.someKey", "metadata.product_event_type", "security_result[].action[]", "security_result[].detection_fields{ja4}"];
        assert_eq!(names, expected);
    }
}
