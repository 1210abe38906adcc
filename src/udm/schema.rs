//! [`Schema`]: the messages and enums of UDM.

use std::collections::HashMap;
use std::sync::OnceLock;

use serde_json::Value;

use super::constraint::{Constraint, constraint, max_bytes, platform_only};

/// Every message and enum that a UDM event or entity can hold.
#[derive(Debug)]
pub struct Schema {
    messages: HashMap<&'static str, Message>,
    enums: HashMap<&'static str, EnumType>,
}

/// One message type.
#[derive(Debug)]
pub struct Message {
    /// `Metadata`, `Tls.Client`, ...
    pub name: &'static str,
    /// Fields in output order: the order of the proto file; `additional` stands last in the root.
    pub fields: Vec<Field>,
    by_name: HashMap<&'static str, usize>,
    by_json: HashMap<&'static str, usize>,
}

/// One field of a message.
#[derive(Clone, Debug)]
pub struct Field {
    /// snake_case name, as mappings write it.
    pub name: &'static str,
    /// camelCase name, as events carry it.
    pub json: &'static str,
    /// Field number; `None` where it is not published.
    pub number: Option<u32>,
    /// Type of one value.
    pub kind: FieldKind,
    /// A list in JSON, also for a single value.
    pub repeated: bool,
    /// Google asks for another field instead.
    pub deprecated: bool,
    /// Not in the public proto, or its values are not public.
    pub unverified: bool,
    /// Set when only the platform fills the field: why.
    pub platform_only: Option<&'static str>,
    /// What its text or number must look like.
    pub constraint: Option<Constraint>,
    /// Longest text in bytes that the usage guide allows. What happens beyond is not documented.
    pub max_bytes: Option<usize>,
}

/// Type of one value of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FieldKind {
    /// A message, by name.
    Message(&'static str),
    /// An enum, by name; JSON carries the value's name.
    Enum(&'static str),
    /// Text.
    Str,
    /// Bytes; base64 text in JSON.
    Bytes,
    /// `true` or `false`.
    Bool,
    /// A JSON number.
    Int32,
    /// A JSON number.
    UInt32,
    /// Decimal text in JSON.
    Int64,
    /// Decimal text in JSON.
    UInt64,
    /// A JSON number of 32-bit precision.
    Float,
    /// A JSON number.
    Double,
    /// RFC 3339 text with a zone.
    Timestamp,
    /// Decimal seconds and `s`: `"1.5s"`.
    Duration,
    /// A plain JSON object of any content.
    Struct,
    /// A JSON object whose members are messages of this name.
    Map(&'static str),
}

/// One enum type.
#[derive(Debug)]
pub struct EnumType {
    /// `SecurityResult.Action`, ...
    pub name: &'static str,
    /// Its values in file order.
    pub values: Vec<EnumValue>,
}

/// One value of an enum.
#[derive(Clone, Copy, Debug)]
pub struct EnumValue {
    /// The word JSON carries.
    pub name: &'static str,
    /// Its number; `None` where it is not published. 0 is the proto default: an event leaves it out.
    pub number: Option<i64>,
    /// Google asks for another value instead.
    pub deprecated: bool,
}

impl Schema {
    /// The schema that is built in.
    pub fn get() -> &'static Schema {
        static SCHEMA: OnceLock<Schema> = OnceLock::new();
        SCHEMA.get_or_init(|| {
            static DATA: OnceLock<Value> = OnceLock::new();
            let text = include_str!("data/schema.json");
            Schema::build(DATA.get_or_init(|| serde_json::from_str(text).expect("the embedded schema is JSON; a test parses it")))
        })
    }

    fn build(data: &'static Value) -> Schema {
        let mut messages = HashMap::new();
        for (name, message) in members(&data["messages"]) {
            let fields = members(&message["fields"]).map(|(field, facts)| Field::build(name, field, facts)).collect();
            messages.insert(name, Message::new(name, fields));
        }
        // Well-known types with members of their own; the schema file describes them in prose.
        let part = |name, json, kind| Field { json, kind, ..Field::plain(name) };
        let (double, time) = (FieldKind::Double, FieldKind::Timestamp);
        for (name, fields) in [
            ("LatLng", vec![part("latitude", "latitude", double), part("longitude", "longitude", double)]),
            ("Interval", vec![part("start_time", "startTime", time), part("end_time", "endTime", time)]),
        ] {
            messages.insert(name, Message::new(name, fields));
        }
        let enums = members(&data["enums"]).map(|(name, facts)| (name, EnumType::build(name, facts))).collect();
        Schema { messages, enums }
    }

    /// The message called `name`.
    pub fn message(&self, name: &str) -> Option<&Message> {
        self.messages.get(name)
    }

    /// Every message, in no order.
    pub fn messages(&self) -> impl Iterator<Item = &Message> {
        self.messages.values()
    }

    /// The message of one event, `UDM`.
    pub fn root(&self) -> &Message {
        &self.messages["UDM"]
    }

    /// The enum called `name`.
    pub fn enum_type(&self, name: &str) -> Option<&EnumType> {
        self.enums.get(name)
    }

    /// The values of the enum called `name`; empty when there is none.
    pub fn enum_values(&self, name: &str) -> &[EnumValue] {
        self.enums.get(name).map_or(&[], |found| &found.values)
    }

    /// The field at a dotted snake_case path from the root and the message that holds it. Repeated messages on the way are passed through.
    pub fn resolve(&self, path: &str) -> Option<(&Field, &Message)> {
        let mut message = self.root();
        let mut segments = path.split('.');
        let mut field = message.field(segments.next()?)?;
        for segment in segments {
            let FieldKind::Message(name) = field.kind else { return None };
            message = self.message(name)?;
            field = message.field(segment)?;
        }
        Some((field, message))
    }
}

impl Message {
    fn new(name: &'static str, mut fields: Vec<Field>) -> Message {
        if name == "UDM" {
            fields.sort_by_key(|field| field.name == "additional");
        }
        let by_name = fields.iter().enumerate().map(|(index, field)| (field.name, index)).collect();
        let by_json = fields.iter().enumerate().map(|(index, field)| (field.json, index)).collect();
        Message { name, fields, by_name, by_json }
    }

    /// The field of this snake_case name.
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.index(name).map(|index| &self.fields[index])
    }

    /// Position in [`Message::fields`] of the field of this snake_case name.
    pub fn index(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    /// The field of this camelCase name.
    pub fn field_by_json(&self, json: &str) -> Option<&Field> {
        self.by_json.get(json).map(|index| &self.fields[*index])
    }
}

impl Field {
    fn plain(name: &'static str) -> Field {
        Field {
            name,
            json: name,
            number: None,
            kind: FieldKind::Str,
            repeated: false,
            deprecated: false,
            unverified: false,
            platform_only: None,
            constraint: None,
            max_bytes: None,
        }
    }

    fn build(message: &str, name: &'static str, facts: &'static Value) -> Field {
        Field {
            json: facts["json"].as_str().unwrap_or(name),
            number: facts["n"].as_u64().and_then(|number| u32::try_from(number).ok()),
            kind: FieldKind::build(facts),
            repeated: facts["repeated"] == true,
            deprecated: facts["deprecated"] == true,
            unverified: facts["unverified"] == true,
            platform_only: platform_only(message, name),
            constraint: constraint(message, name),
            max_bytes: max_bytes(message, name),
            ..Field::plain(name)
        }
    }

    /// Whether values are `Label`s: a key and a text.
    pub fn is_label_list(&self) -> bool {
        self.repeated && self.kind == FieldKind::Message("Label")
    }
}

impl FieldKind {
    fn build(facts: &'static Value) -> FieldKind {
        let name = facts["type"].as_str().unwrap_or_default();
        match (facts["kind"].as_str().unwrap_or_default(), name) {
            ("enum", name) => FieldKind::Enum(name),
            ("map", _) => FieldKind::Map(facts["map_value"].as_str().unwrap_or_default()),
            (_, "string") => FieldKind::Str,
            (_, "bytes") => FieldKind::Bytes,
            (_, "bool") => FieldKind::Bool,
            (_, "int32") => FieldKind::Int32,
            (_, "uint32") => FieldKind::UInt32,
            (_, "int64") => FieldKind::Int64,
            (_, "uint64") => FieldKind::UInt64,
            (_, "float") => FieldKind::Float,
            (_, "double") => FieldKind::Double,
            (_, "timestamp") => FieldKind::Timestamp,
            (_, "duration") => FieldKind::Duration,
            (_, "struct") => FieldKind::Struct,
            (_, "latlng") => FieldKind::Message("LatLng"),
            (_, "interval") => FieldKind::Message("Interval"),
            (_, name) => FieldKind::Message(name),
        }
    }
}

impl EnumType {
    fn build(name: &'static str, facts: &'static Value) -> EnumType {
        let old: Vec<&str> = facts["deprecated"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let value =
            |(name, number): (&'static str, &'static Value)| EnumValue { name, number: number.as_i64(), deprecated: old.contains(&name) };
        let values = match &facts["values"] {
            Value::Array(words) => words.iter().filter_map(Value::as_str).map(|name| value((name, &Value::Null))).collect(),
            object => members(object).map(value).collect(),
        };
        EnumType { name, values }
    }

    /// The value called `word`, compared exactly.
    pub fn value(&self, word: &str) -> Option<&EnumValue> {
        self.values.iter().find(|value| value.name == word)
    }
}

/// Members of a JSON object in file order; none for every other value.
fn members(value: &'static Value) -> impl Iterator<Item = (&'static str, &'static Value)> {
    value.as_object().into_iter().flatten().map(|(key, value)| (key.as_str(), value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_that_a_field_names_exists() {
        let schema = Schema::get();
        let mut fields = 0;
        for message in schema.messages() {
            for field in &message.fields {
                fields += 1;
                let found = match field.kind {
                    FieldKind::Message(name) | FieldKind::Map(name) => schema.message(name).is_some(),
                    FieldKind::Enum(name) => !schema.enum_values(name).is_empty(),
                    _ => true,
                };
                assert!(found, "{}.{}: {:?}", message.name, field.name, field.kind);
            }
        }
        assert_eq!(fields, 1110 + 4, "the file's own count and the two well-known types");
    }

    #[test]
    fn paths_resolve_through_lists_and_not_through_scalars() {
        let schema = Schema::get();
        let kind = |path| schema.resolve(path).map(|(field, _)| (field.kind, field.repeated));
        for (path, expected) in [
            ("principal.ip", Some((FieldKind::Str, true))),
            ("security_result.action", Some((FieldKind::Enum("SecurityResult.Action"), true))),
            ("network.sent_bytes", Some((FieldKind::UInt64, false))),
            ("network.tls.client.ja4", Some((FieldKind::Str, false))),
            ("network.session_duration", Some((FieldKind::Duration, false))),
            ("principal.location.region_coordinates.latitude", Some((FieldKind::Double, false))),
            ("additional", Some((FieldKind::Struct, false))),
            ("principal.ip.x", None),
            ("principal.userid", None),
            ("", None),
        ] {
            assert_eq!(kind(path), expected, "{path}");
        }
        assert_eq!(schema.root().fields.last().map(|field| field.name), Some("additional"));
        assert_eq!(schema.root().fields[0].name, "metadata");
    }

    #[test]
    fn platform_only_and_deprecated_fields_say_so() {
        let field = |path| Schema::get().resolve(path).map(|(field, _)| field.clone()).expect(path);
        assert!(field("metadata.log_type").platform_only.is_some());
        assert!(field("principal.ip_geo_artifact").platform_only.is_some());
        assert!(field("metadata.product_log_id").platform_only.is_none());
        assert!(field("principal.location.region_latitude").deprecated);
        assert_eq!(field("metadata.product_event_type").max_bytes, Some(64));
        assert_eq!(field("principal.asset.ip").constraint, Some(Constraint::Ip));
    }
}
