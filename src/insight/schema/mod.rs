//! JSON Schemas of mappings and settings, for editors that know TOML (taplo, Even Better TOML) and for other validators.

use serde_json::Value;

use crate::mapping::convert;
use crate::udm::EventTypes;

const MAPPING: &str = include_str!("mapping.json");
const CONFIG: &str = include_str!("config.json");

/// The schema of a mapping, with the event types and converters of this program. `check` refuses more: what a path or a converter means
/// against the UDM schema no JSON Schema can say.
pub fn mapping() -> String {
    let mut schema: Value = serde_json::from_str(MAPPING).expect("a file of the program that a test reads");
    let types: Vec<&str> = EventTypes::get().all().iter().filter(|one| one.emit).map(|one| one.name).collect();
    schema["$defs"]["event_type"]["enum"] = types.into();
    // The enrichers stand where a converter stands.
    let converters: Vec<&str> = convert::all().map(|one| one.name).chain(["user_agent", "geo_location", "geo_asn"]).collect();
    schema["$defs"]["converter"]["enum"] = converters.into();
    format!("{schema:#}\n")
}

/// The schema of the settings file.
pub fn config() -> String {
    CONFIG.to_owned()
}
