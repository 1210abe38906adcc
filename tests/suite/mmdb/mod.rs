//! The databases under `tests/data`: this writes them and checks that what is committed is what it writes and that maxminddb reads it.
//!
//! `UPDATE_GOLDEN=1 cargo test --test suite mmdb` writes them anew.

mod writer;

use std::path::Path;

use maxminddb::{Reader, geoip2};
use writer::{Value, write};

fn english(name: &'static str) -> Value {
    Value::Map(vec![("names", Value::Map(vec![("en", Value::Text(name))]))])
}

fn place(latitude: Option<f64>, longitude: Option<f64>) -> Value {
    let members = [("latitude", latitude), ("longitude", longitude)];
    Value::Map(members.into_iter().filter_map(|(name, value)| value.map(|value| (name, Value::Double(value)))).collect())
}

fn city() -> Vec<u8> {
    let amsterdam = Value::Map(vec![
        ("city", english("Amsterdam")),
        ("country", Value::Map(vec![("iso_code", Value::Text("NL")), ("names", Value::Map(vec![("en", Value::Text("The Netherlands"))]))])),
        ("location", place(Some(52.3676), Some(4.9041))),
        ("subdivisions", Value::Array(vec![english("North Holland"), english("a second subdivision")])),
    ]);
    write(
        "GeoLite2-City",
        &[
            ("192.0.2.0/24", amsterdam.clone()),
            ("198.51.100.0/24", Value::Map(vec![("country", Value::Map(vec![("iso_code", Value::Text("JP"))]))])),
            ("203.0.113.0/24", Value::Map(vec![("city", english("Place \"Q\"")), ("location", place(Some(-33.5), Some(0.0)))])),
            ("2001:db8::/48", amsterdam),
            ("2001:db8:1::/48", Value::Map(vec![("country", english("Brazil")), ("location", place(Some(-23.5), None))])),
        ],
    )
}

fn asn() -> Vec<u8> {
    let system = |number, organization| {
        Value::Map(vec![("autonomous_system_number", Value::UInt32(number)), ("autonomous_system_organization", Value::Text(organization))])
    };
    write(
        "GeoLite2-ASN",
        &[
            // 64496 to 64511 are for documentation (RFC 5398); 4200000000 is the first private number of 32 bits.
            ("192.0.2.0/24", system(64496, "Example Carrier")),
            ("198.51.100.0/24", system(4_200_000_000, "Example Private")),
            ("2001:db8::/48", system(64497, "Example Six")),
            ("2001:db8:1::/48", system(0, "Nobody")),
        ],
    )
}

fn committed(name: &str, written: &[u8]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, written).unwrap();
    }
    let found = std::fs::read(&path).unwrap();
    assert!(found == written, "tests/data/{name} is stale; run `UPDATE_GOLDEN=1 cargo test --test suite mmdb`");
}

#[test]
fn committed_files_are_what_this_writes() {
    committed("city.mmdb", &city());
    committed("asn.mmdb", &asn());
}

#[test]
fn maxminddb_finds_them_sound() {
    for bytes in [city(), asn()] {
        Reader::from_source(bytes).unwrap().verify().unwrap();
    }
    let reader = Reader::from_source(city()).unwrap();
    let entry = |address: &str| reader.lookup(address.parse().unwrap()).unwrap();
    let found: geoip2::City<'_> = entry("192.0.2.77").decode().unwrap().unwrap();
    assert_eq!(found.city.names.english, Some("Amsterdam"));
    assert_eq!(entry("192.0.2.0").network().unwrap().to_string(), "192.0.2.0/24");
    assert_eq!(entry("192.0.2.0").offset(), entry("2001:db8::").offset(), "equal entries share one offset");
    assert!(!entry("192.0.3.0").has_data());
}
