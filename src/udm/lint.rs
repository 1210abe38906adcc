//! [`lint`]: is this JSON object an event that the service takes?

use serde_json::{Map, Value};

use super::Level;
use super::constraint::{Constraint, is_constraint_met};
use super::event_types::{EventTypes, Predicate, Requirement};
use super::json_text::{is_base64, is_duration, is_timestamp};
use super::schema::{Field, FieldKind, Message, Schema};

/// One fault of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How much it weighs.
    pub level: Level,
    /// camelCase path from the root, with list positions: `securityResult[0].action`.
    pub path: String,
    /// What is wrong, and what was expected.
    pub what: String,
}

/// Compares one UDM object, as it goes into an import request, with the schema, the strict proto3 JSON rules and the rules of its event type.
///
/// `Error`: the request would be refused, or the event breaks a rule of level error. `Warn`: the rest.
/// Findings come in document order, those of the event type last.
pub fn lint(event: &Value) -> Vec<Finding> {
    let mut lint = Lint { findings: Vec::new() };
    match event {
        Value::Object(members) => {
            lint.message("", Schema::get().root(), members);
            lint.event_type(event);
        }
        other => lint.error("", format!("an event is an object, found {}", name_of(other))),
    }
    lint.findings
}

struct Lint {
    findings: Vec<Finding>,
}

impl Lint {
    fn error(&mut self, path: &str, what: impl Into<String>) {
        self.findings.push(Finding { level: Level::Error, path: path.to_owned(), what: what.into() });
    }

    fn warn(&mut self, path: &str, what: impl Into<String>) {
        self.findings.push(Finding { level: Level::Warn, path: path.to_owned(), what: what.into() });
    }

    fn message(&mut self, path: &str, message: &Message, members: &Map<String, Value>) {
        for (key, value) in members {
            let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            let Some(field) = message.field_by_json(key) else {
                match message.field(key) {
                    Some(field) => self.error(&path, format!("events are written in camelCase: `{}`", field.json)),
                    None => self.error(&path, format!("`{}` has no field `{key}`", message.name)),
                }
                continue;
            };
            if let Some(why) = field.platform_only {
                self.error(&path, format!("a source may not fill this field: {why}"));
            }
            self.field(&path, field, value);
        }
        if message.name == "Noun" {
            self.port_and_ip(path, members);
        }
    }

    fn field(&mut self, path: &str, field: &Field, value: &Value) {
        match (field.repeated, value) {
            (true, Value::Array(elements)) => {
                if elements.is_empty() {
                    self.warn(path, "an empty list is the same as no field; leave it out");
                }
                for (at, element) in elements.iter().enumerate() {
                    self.value(&format!("{path}[{at}]"), field, element);
                }
            }
            (true, other) => self.error(path, format!("a list is expected, found {}", name_of(other))),
            (false, Value::Array(_)) => self.error(path, "a single value is expected, found a list"),
            (false, other) => self.value(path, field, other),
        }
    }

    fn value(&mut self, path: &str, field: &Field, value: &Value) {
        let schema = Schema::get();
        let before = self.findings.len();
        match (field.kind, value) {
            (_, Value::Null) => self.error(path, "null is no value; leave the field out"),
            (FieldKind::Message(name), Value::Object(members)) => match schema.message(name) {
                Some(message) => self.message(path, message, members),
                None => self.error(path, format!("no message `{name}` in the schema")),
            },
            (FieldKind::Map(name), Value::Object(entries)) => {
                for (key, entry) in entries {
                    match (schema.message(name), entry) {
                        (Some(message), Value::Object(members)) => self.message(&format!("{path}.{key}"), message, members),
                        (_, other) => self.error(&format!("{path}.{key}"), format!("an object is expected, found {}", name_of(other))),
                    }
                }
            }
            (FieldKind::Struct, Value::Object(_)) | (FieldKind::Bool, Value::Bool(_)) => {}
            (FieldKind::Enum(name), Value::String(word)) => self.enum_word(path, name, word),
            (FieldKind::Str, Value::String(text)) => {
                if text.is_empty() {
                    self.warn(path, "an empty text is the same as no field; leave it out");
                }
            }
            (FieldKind::Bytes, Value::String(text)) => self.require(path, is_base64(text), "base64 text is expected"),
            (FieldKind::Timestamp, Value::String(text)) => {
                self.require(path, is_timestamp(text), "an RFC 3339 time with a zone is expected")
            }
            (FieldKind::Duration, Value::String(text)) => {
                self.require(path, is_duration(text), "decimal seconds and `s` are expected, such as `1.5s`")
            }
            (FieldKind::Int32, Value::Number(number)) => {
                self.require(path, number.as_i64().is_some_and(|n| i32::try_from(n).is_ok()), "a 32-bit whole number is expected");
            }
            (FieldKind::UInt32, Value::Number(number)) => {
                self.require(
                    path,
                    number.as_u64().is_some_and(|n| u32::try_from(n).is_ok()),
                    "a 32-bit whole number of 0 or more is expected",
                );
            }
            (FieldKind::Int64, Value::String(text)) => {
                self.require(path, is_canonical::<i64>(text), "a 64-bit whole number in text is expected")
            }
            (FieldKind::UInt64, Value::String(text)) => {
                self.require(path, is_canonical::<u64>(text), "a 64-bit whole number of 0 or more in text is expected");
            }
            (FieldKind::Int64 | FieldKind::UInt64, Value::Number(_)) => self.error(path, "64-bit numbers are written as text: `\"999\"`"),
            (FieldKind::Float, Value::Number(number)) => {
                self.require(path, number.as_f64().is_some_and(|n| n.abs() <= f64::from(f32::MAX)), "a 32-bit number is expected");
            }
            (FieldKind::Double, Value::Number(number)) => {
                self.require(path, number.as_f64().is_some_and(f64::is_finite), "a finite number is expected")
            }
            (kind, other) => self.error(path, format!("{} is expected, found {}", expected(kind), name_of(other))),
        }
        if self.findings.len() == before {
            self.form(path, field, value);
        }
    }

    fn require(&mut self, path: &str, holds: bool, what: &str) {
        if !holds {
            self.error(path, what);
        }
    }

    fn enum_word(&mut self, path: &str, name: &str, word: &str) {
        match Schema::get().enum_type(name).and_then(|found| found.value(word)) {
            None => self.error(path, format!("`{word}` is no word of `{name}`")),
            Some(value) if value.number == Some(0) => self.warn(path, format!("`{word}` is the default and vanishes; leave the field out")),
            Some(value) if value.deprecated => self.warn(path, format!("`{word}` is deprecated")),
            Some(_) => {}
        }
    }

    /// Constraints and lengths of a value whose type is right.
    fn form(&mut self, path: &str, field: &Field, value: &Value) {
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            _ => return,
        };
        if let Some(constraint) = field.constraint
            && !is_constraint_met(constraint, &text)
        {
            let (level, what) = match constraint {
                Constraint::Ip => (Level::Error, "an address without port, brackets or zone is expected"),
                Constraint::Port => (Level::Error, "a port of 1 to 65535 is expected"),
                Constraint::Url => (Level::Error, "a URL with a scheme is expected"),
                Constraint::AssetId => (Level::Error, "`vendor:id` is expected"),
                Constraint::Mac => (Level::Warn, "six lower-case pairs with colons are expected"),
                Constraint::Hash(_) => (Level::Warn, "lower-case hexadecimal digits of the hash's length are expected"),
            };
            self.findings.push(Finding { level, path: path.to_owned(), what: what.to_owned() });
        }
        if let Some(limit) = field.max_bytes
            && text.len() > limit
        {
            self.warn(path, format!("{} bytes; the usage guide allows {limit}", text.len()));
        }
    }

    /// The usage guide wants exactly one address beside a port; real events break it, so it only warns.
    fn port_and_ip(&mut self, path: &str, noun: &Map<String, Value>) {
        let addresses = noun.get("ip").and_then(Value::as_array).map_or(0, Vec::len);
        if noun.contains_key("port") && addresses != 1 {
            self.warn(path, format!("a noun with a port carries one ip, found {addresses}"));
        }
    }

    fn event_type(&mut self, event: &Value) {
        let types = EventTypes::get();
        self.requirements(event, &types.require, true);
        self.requirements(event, &types.forbid, false);
        let Some(word) = event["metadata"]["eventType"].as_str() else { return };
        // An unknown word was already found by the walk.
        let Some(event_type) = types.find(word) else { return };
        if !event_type.emit {
            self.error("metadata.eventType", format!("`{word}` is not for events of a source"));
        }
        self.requirements(event, &event_type.require, true);
        self.requirements(event, &event_type.forbid, false);
        let holds = |path, word| holds(event, &Predicate::Eq(path, word));
        let failed = ["BLOCK", "FAIL"].iter().any(|action| holds("security_result.action", action));
        if word == "USER_LOGIN" && failed && !holds("security_result.category", "AUTH_VIOLATION") {
            self.warn("securityResult", "a failed login carries the category `AUTH_VIOLATION`");
        }
    }

    fn requirements(&mut self, event: &Value, list: &[Requirement], wanted: bool) {
        for requirement in list {
            if holds(event, &requirement.rule) != wanted {
                let word = event["metadata"]["eventType"].as_str().unwrap_or("every event");
                let verb = if wanted { "needs" } else { "may not have" };
                let what = format!("{word} {verb} {}: {}", describe(&requirement.rule), requirement.why);
                let finding = Finding { level: requirement.level, path: String::new(), what };
                if !self.findings.contains(&finding) {
                    self.findings.push(finding);
                }
            }
        }
    }
}

fn holds(event: &Value, predicate: &Predicate) -> bool {
    match predicate {
        Predicate::Has(path) => any_at(event, path, &|value| !is_empty(value)),
        Predicate::Present(path) => any_at(event, path, &|value| !value.is_null()),
        Predicate::Machine(_) | Predicate::User(_) => {
            EventTypes::get().expand(predicate).into_iter().flatten().any(|path| any_at(event, &path, &|value| !is_empty(value)))
        }
        Predicate::Any(list) => list.iter().any(|one| holds(event, one)),
        Predicate::All(list) => list.iter().all(|one| holds(event, one)),
        Predicate::Not(one) => !holds(event, one),
        Predicate::If { condition, then } => !holds(event, condition) || holds(event, then),
        Predicate::Eq(path, word) => any_at(event, path, &|value| match value {
            Value::Array(elements) => elements.iter().any(|element| element == word),
            other => other == word,
        }),
    }
}

/// Whether `test` holds for a value at a snake_case path, in any element of the lists on the way.
fn any_at(event: &Value, path: &str, test: &dyn Fn(&Value) -> bool) -> bool {
    fn walk(value: &Value, message: &Message, path: &str, test: &dyn Fn(&Value) -> bool) -> bool {
        let (segment, rest) = path.split_once('.').map_or((path, None), |(segment, rest)| (segment, Some(rest)));
        let Some(field) = message.field(segment) else { return false };
        let Some(found) = value.get(field.json) else { return false };
        let Some(rest) = rest else { return test(found) };
        let FieldKind::Message(name) = field.kind else { return false };
        let Some(inner) = Schema::get().message(name) else { return false };
        match found {
            Value::Array(elements) => elements.iter().any(|element| walk(element, inner, rest, test)),
            one => walk(one, inner, rest, test),
        }
    }
    walk(event, Schema::get().root(), path, test)
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(elements) => elements.is_empty(),
        Value::Object(members) => members.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

fn is_canonical<T: std::str::FromStr + ToString>(text: &str) -> bool {
    text.parse::<T>().is_ok_and(|number| number.to_string() == text)
}

fn describe(predicate: &Predicate) -> String {
    let list = |list: &[Predicate], word: &str| list.iter().map(describe).collect::<Vec<_>>().join(word);
    match predicate {
        Predicate::Has(path) | Predicate::Present(path) => format!("`{path}`"),
        Predicate::Machine(noun) => format!("a machine in `{noun}`"),
        Predicate::User(noun) => format!("a user in `{noun}`"),
        Predicate::Any(of) => format!("({})", list(of, " or ")),
        Predicate::All(of) => format!("({})", list(of, " and ")),
        Predicate::Not(one) => format!("no {}", describe(one)),
        Predicate::If { condition, then } => format!("{} beside {}", describe(then), describe(condition)),
        Predicate::Eq(path, word) => format!("`{path}` = {word}"),
    }
}

fn expected(kind: FieldKind) -> &'static str {
    match kind {
        FieldKind::Message(_) | FieldKind::Struct | FieldKind::Map(_) => "an object",
        FieldKind::Bool => "true or false",
        FieldKind::Int32 | FieldKind::UInt32 | FieldKind::Float | FieldKind::Double => "a number",
        _ => "a text",
    }
}

fn name_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn good() -> Value {
        json!({
            "metadata": {"eventTimestamp": "2024-07-31T21:30:46Z", "eventType": "USER_LOGIN", "vendorName": "EXAMPLE", "productName": "EXAMPLE"},
            "principal": {"ip": ["203.0.113.7"], "asset": {"ip": ["203.0.113.7"]}, "port": 443,
                "location": {"regionLatitude": 52.36757, "regionCoordinates": {"latitude": 52.36757, "longitude": 4.90414}}},
            "target": {"application": "Example", "user": {"userid": "9fXq2"}},
            "network": {"sentBytes": "999", "sessionDuration": "12.5s", "http": {"responseCode": 200}},
            "securityResult": [{"summary": "login", "action": ["ALLOW"], "detectionFields": [{"key": "ja4", "value": "t13d"}]}],
            "extensions": {"auth": {}},
            "additional": {"region_code": "NH", "count": 3, "list": [null]},
        })
    }

    #[test]
    fn a_good_event_has_no_finding() {
        assert_eq!(lint(&good()), []);
    }

    /// `(case, pointer, value to put there or null to remove, level, path, part of the text)`
    #[test]
    fn each_fault_is_found_alone() {
        use Level::{Error, Warn};
        for (case, pointer, value, level, path, what) in [
            ("unknown field", "/principal/userid", json!("x"), Error, "principal.userid", "no field"),
            ("snake case", "/metadata/event_type", json!("USER_LOGIN"), Error, "metadata.event_type", "camelCase"),
            ("bare text for a list", "/principal/ip", json!("203.0.113.7"), Error, "principal.ip", "a list is expected"),
            ("list for a scalar", "/target/application", json!(["x"]), Error, "target.application", "single value"),
            ("number for text", "/target/application", json!(7), Error, "target.application", "a text is expected"),
            ("null", "/target/hostname", json!(null), Error, "target.hostname", "null"),
            ("null in a list", "/principal/ip/0", json!(null), Error, "principal.ip[0]", "null"),
            ("lower case enum", "/securityResult/0/action/0", json!("allow"), Error, "securityResult[0].action[0]", "no word of"),
            ("default enum", "/securityResult/0/severity", json!("UNKNOWN_SEVERITY"), Warn, "securityResult[0].severity", "vanishes"),
            ("epoch time", "/metadata/eventTimestamp", json!(1722461446), Error, "metadata.eventTimestamp", "a text"),
            ("no zone", "/metadata/eventTimestamp", json!("2024-07-31T21:30:46"), Error, "metadata.eventTimestamp", "zone"),
            ("duration object", "/network/sessionDuration", json!({"seconds": 1}), Error, "network.sessionDuration", "a text"),
            ("duration without s", "/network/sessionDuration", json!("12"), Error, "network.sessionDuration", "seconds"),
            ("64-bit number", "/network/sentBytes", json!(999), Error, "network.sentBytes", "as text"),
            ("negative unsigned", "/network/sentBytes", json!("-1"), Error, "network.sentBytes", "0 or more"),
            ("fraction", "/network/http/responseCode", json!(1.5), Error, "network.http.responseCode", "whole number"),
            ("platform only", "/metadata/logType", json!("X"), Error, "metadata.logType", "may not fill"),
            ("port 0", "/principal/port", json!(0), Error, "principal.port", "65535"),
            ("address with port", "/principal/ip/0", json!("203.0.113.7:443"), Error, "principal.ip[0]", "without port"),
            ("long type", "/metadata/productEventType", json!("x".repeat(65)), Warn, "metadata.productEventType", "allows 64"),
            ("label list in additional", "/additional", json!([{"key": "a"}]), Error, "additional", "single value"),
            ("banned", "/target/email", json!("a@example.com"), Error, "", "target.email"),
            ("platform type", "/metadata/eventType", json!("ANALYST_ADD_COMMENT"), Error, "metadata.eventType", "not for events"),
            ("failed login", "/securityResult/0/action/0", json!("FAIL"), Warn, "securityResult", "AUTH_VIOLATION"),
        ] {
            let mut event = good();
            let (parent, last) = pointer.rsplit_once('/').expect("a pointer");
            let place = event.pointer_mut(parent).expect(case);
            match place {
                Value::Array(elements) => elements[last.parse::<usize>().expect("a position")] = value,
                place => place[last] = value,
            }
            let findings = lint(&event);
            let found = findings.iter().any(|found| found.level == level && found.path == path && found.what.contains(what));
            assert!(found, "case {case}: {findings:?}");
            let other_errors = findings.iter().filter(|found| found.level == Error && found.path != path && !found.path.is_empty()).count();
            assert_eq!(other_errors, 0, "case {case}: {findings:?}");
        }
    }

    #[test]
    fn requirements_of_the_type() {
        for (case, remove, level, what) in [
            ("no target", "target", Level::Error, "`target`"),
            ("no extension", "extensions", Level::Error, "extensions.auth"),
            ("no metadata", "metadata", Level::Error, "metadata.event_timestamp"),
        ] {
            let mut event = good();
            event.as_object_mut().expect("an object").remove(remove);
            assert!(lint(&event).iter().any(|found| found.level == level && found.what.contains(what)), "{case}: {:?}", lint(&event));
        }
        let mut event = good();
        event["target"] = json!({"hostname": "example.com"});
        let findings = lint(&event);
        assert!(
            findings.iter().all(|found| found.level == Level::Warn)
                && findings.iter().any(|found| found.what.contains("a user in `target`"))
        );
        assert_eq!(lint(&json!([])).len(), 1);
    }
}
