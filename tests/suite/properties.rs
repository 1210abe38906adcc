//! What holds for every body: nothing is lost, damage stays where it is, identities tell records apart, nothing makes the engine fail.

use std::collections::BTreeMap;
use std::ops::Range;

use regex::bytes::Regex;
use udmill::decode::{Decoder, Limits};
use udmill::engine::{Engine, Worker};

use crate::ends::{self, Dice, End, What};
use crate::mills;

/// A body's findings: every byte that is no separator or envelope lies in one of them, and each has a part in every view or one for all.
fn account_for(engine: &Engine, worker: &mut Worker, decoder: &mut Decoder, name: &str, body: &[u8]) -> Vec<(u32, End)> {
    let found = ends::run(engine, worker, body);
    let mut spans = Vec::new();
    decoder.spans(body, &mut spans);
    let shown = || format!("{name}\n{}", String::from_utf8_lossy(body));
    for (number, span) in spans.iter().enumerate() {
        let parts = found.iter().filter(|(finding, _)| *finding as usize == number).count();
        assert!(parts > 0, "bytes {span:?} have no outcome in {}", shown());
    }
    let last = found.iter().map(|(finding, _)| *finding as usize + 1).max();
    assert_eq!(last, Some(spans.len()), "findings and spans of {}", shown());
    assert!(spans.is_sorted_by_key(|span| span.start), "the order of {}", shown());
    let text = decoder.text(body);
    let mut from = if text.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
    for span in spans.iter().chain([&(text.len()..text.len())]) {
        if span.start > from {
            let gap = &text[from..span.start];
            assert!(is_envelope(gap), "bytes {from}..{} are in no finding: {}\n{}", span.start, String::from_utf8_lossy(gap), shown());
        }
        from = from.max(span.end);
    }
    found
}

/// Whether a text holds nothing but separators and the members that an envelope has beside its records.
fn is_envelope(gap: &[u8]) -> bool {
    let members = r#"["'](?i:records|value|data|object|has_more|first_id|last_id|nextlink|@odata\.\w+)["']"#;
    let words = Regex::new(&format!(r#"{members}\s*:?\s*("[^"]*"|true|false|null)?|[\s,:\[\]{{}}]"#)).expect("a pattern");
    words.replace_all(gap, &b""[..]).is_empty()
}

#[test]
fn every_byte_of_every_sample_is_accounted_for() {
    let engine = mills::shipped();
    let (mut worker, mut decoder) = (mills::worker(engine.limits()), Decoder::new(Limits::default()));
    let (mut emitted, mut rejected, mut skipped) = (0, 0, 0);
    for (name, body) in ends::bodies() {
        for (_, end) in account_for(engine, &mut worker, &mut decoder, &name, &body) {
            match end.what {
                What::Event { .. } => emitted += 1,
                What::Reject { .. } => rejected += 1,
                What::Skip(_) => skipped += 1,
            }
        }
    }
    // The samples hold each kind; were one of them lost, this would tell.
    assert!(emitted > 1000 && rejected > 3 && skipped > 3, "{emitted} emitted, {rejected} rejected, {skipped} skipped");
}

type Damage = fn(&mut Vec<u8>, &mut Dice);

/// The ways a record is damaged; each leaves something that no repair mends.
const DAMAGES: [(&str, Damage); 8] = [
    ("cut inside", |record, dice| {
        let keep = record.len() / 4 + dice.roll(record.len() / 2);
        record.truncate(keep);
    }),
    ("cut inside a string", |record, dice| {
        let quotes: Vec<usize> = places(record, b'"');
        record.truncate(quotes[1 + dice.roll(quotes.len() - 1)] + 2);
    }),
    ("last brace dropped", |record, _| {
        record.pop();
    }),
    ("an inner brace dropped", |record, dice| {
        let braces = places(record, b'}');
        record.remove(braces[dice.roll(braces.len())]);
    }),
    ("stray quote", |record, dice| {
        let colons = places(record, b':');
        record.insert(colons[dice.roll(colons.len())] + 1, b'"');
    }),
    ("raw bytes", |record, dice| {
        let commas = places(record, b',');
        let at = commas[dice.roll(commas.len())];
        record.splice(at..at, [0x80, 0xff, 0x00, 0xc3]);
    }),
    ("head lost behind a bracket", |record, dice| {
        let commas = places(record, b',');
        let at = commas[dice.roll(commas.len())];
        record.splice(..=at, *b"],");
    }),
    ("a colon dropped", |record, dice| {
        let colons = places(record, b':');
        record.remove(colons[dice.roll(colons.len())]);
    }),
];

fn places(text: &[u8], byte: u8) -> Vec<usize> {
    text.iter().enumerate().filter(|(_, found)| **found == byte).map(|(at, _)| at).collect()
}

/// Records of some length, so that every damage finds its place in them.
fn sound_records(engine: &Engine, worker: &mut Worker) -> Vec<Vec<u8>> {
    let records = ends::records(engine, worker).into_iter();
    // The timeline is a collector's exercise: its lines hold an event beside the second it appears in, which no log does.
    let records = records.filter(|(name, _)| !name.ends_with("timeline.ndjson")).map(|(_, record)| record);
    records
        .filter(|record| record.len() > 200 && record.starts_with(b"{\"") && serde_json::from_slice::<serde_json::Value>(record).is_ok())
        .collect()
}

#[test]
fn damaged_records_take_no_other_with_them() {
    let engine = mills::shipped();
    let mut worker = mills::worker_with_places(engine.limits());
    let mut decoder = Decoder::new(Limits::default());
    let records = sound_records(engine, &mut worker);
    let mut dice = Dice::new(500);
    let mut by_damage: BTreeMap<&str, usize> = BTreeMap::new();
    let mut faults = Vec::new();
    for round in 0..24 {
        let start = dice.roll(records.len());
        let mut body: Vec<Vec<u8>> = records.iter().cycle().skip(start).take(500).cloned().collect();
        let sound: Vec<Vec<End>> = events_by_record(engine, &mut worker, &envelope(&body));
        assert_eq!(sound.len(), 500, "round {round}");
        let count = [1, 2, 5, 20, 60][round % 5];
        let mut damaged: BTreeMap<usize, &str> = BTreeMap::new();
        while damaged.len() < count {
            let (at, (name, damage)) = (dice.roll(500), DAMAGES[dice.roll(DAMAGES.len())]);
            if damaged.contains_key(&at) {
                continue;
            }
            let mut bytes = body[at].clone();
            damage(&mut bytes, &mut dice);
            // What the stated repairs mend is another matter.
            let is_lost = ends::alone(engine, &mut worker, &bytes).iter().all(|end| end.event().is_none());
            if is_lost {
                body[at] = bytes;
                damaged.insert(at, name);
                *by_damage.entry(name).or_default() += 1;
            }
        }
        let body = envelope(&body);
        let found = account_for(engine, &mut worker, &mut decoder, &format!("round {round}"), &body);
        let found: Vec<&End> = found.iter().map(|(_, end)| end).filter(|end| end.event().is_some()).collect();
        let wanted = sound.iter().enumerate().filter(|(at, _)| !damaged.contains_key(at)).flat_map(|(_, ends)| ends);
        let wanted: Vec<&End> = wanted.filter(|end| end.event().is_some()).collect();
        if found != wanted {
            let at = found.iter().zip(&wanted).take_while(|(found, wanted)| found == wanted).count();
            faults.push(format!(
                "round {round}: {} events instead of {}, damaged {damaged:?}; first difference at {at}:\n{:?}\n{:?}",
                found.len(),
                wanted.len(),
                found.get(at),
                wanted.get(at)
            ));
        }
    }
    assert!(faults.is_empty(), "{} rounds\n{}", faults.len(), faults.join("\n\n"));
    assert_eq!(by_damage.len(), DAMAGES.len(), "{by_damage:?}");
}

fn envelope(records: &[Vec<u8>]) -> Vec<u8> {
    [br#"{"records": ["#, records.join(&b", "[..]).as_slice(), b"]}"].concat()
}

fn events_by_record(engine: &Engine, worker: &mut Worker, body: &[u8]) -> Vec<Vec<End>> {
    let mut by_record: BTreeMap<u32, Vec<End>> = BTreeMap::new();
    for (finding, end) in ends::run(engine, worker, body) {
        by_record.entry(finding).or_default().push(end);
    }
    by_record.into_values().collect()
}

/// The `EventDataId` of that event.
const ONE_EVENT: &str = "6f5ca24c-de95-451a-b91e-7a7ab209c28b";

#[test]
fn no_two_different_records_share_an_identity() {
    let engine = mills::shipped();
    let mut worker = mills::worker(engine.limits());
    let mut owners: BTreeMap<(u16, String), (Vec<u8>, String)> = BTreeMap::new();
    let mut shared = Vec::new();
    for (name, record) in ends::records(engine, &mut worker) {
        // White space is no content.
        let content = serde_json::from_slice::<serde_json::Value>(&record).map_or(record.clone(), |value| value.to_string().into_bytes());
        // One event of Sentinel stands in two samples, as a row and as a message of an export: one event, so one identity.
        let name = if name.starts_with("azure/log_analytics/") { "azure/log_analytics".to_owned() } else { name };
        let mut of_record = Vec::new();
        for end in ends::alone(engine, &mut worker, &record) {
            let Some((id, json)) = end.event() else { continue };
            assert!(json.contains(&format!("\"productLogId\":{}", serde_json::Value::from(id))), "{name}: {id} is not in {json}");
            assert!(!of_record.contains(&(end.view, id.to_owned())), "{name}: two parts are called {id}");
            of_record.push((end.view, id.to_owned()));
            let owner = owners.entry((end.view, id.to_owned())).or_insert_with(|| (content.clone(), name.clone()));
            if owner.0 != content && !(owner.1 == name && id == ONE_EVENT) {
                shared.push(format!(
                    "{id}: {} and {name}\n  {}\n  {}",
                    owner.1,
                    String::from_utf8_lossy(&owner.0),
                    String::from_utf8_lossy(&content)
                ));
            }
        }
    }
    assert!(owners.len() > 1000, "only {} identities", owners.len());
    assert!(shared.is_empty(), "{} identities are shared:\n{}", shared.len(), shared.join("\n"));
}

/// Bytes changed, dropped, doubled, cut, and stretches of other samples put in.
fn mutate(body: &[u8], other: &[u8], dice: &mut Dice) -> Vec<u8> {
    const MARKS: &[u8] = b"{}[]\",:\\0-.eE+nullu\x00\x80\xff\n\t ";
    let mut bytes = body.to_vec();
    for _ in 0..1 + dice.roll(4) {
        let at = dice.roll(bytes.len().max(1)).min(bytes.len());
        let end = (at + 1 + dice.roll(40)).min(bytes.len());
        match dice.roll(7) {
            0 if at < bytes.len() => bytes[at] = dice.roll(256) as u8,
            1 if at < bytes.len() => bytes[at] = MARKS[dice.roll(MARKS.len())],
            2 => drop(bytes.drain(at..end)),
            3 => bytes.insert(at, MARKS[dice.roll(MARKS.len())]),
            4 => {
                let twice = bytes[at..end].to_vec();
                bytes.splice(at..at, twice);
            }
            5 => bytes.truncate(at),
            _ => {
                let from = dice.roll(other.len().max(1)).min(other.len());
                let stretch: Range<usize> = from..(from + dice.roll(200)).min(other.len());
                bytes.splice(at..end, other[stretch].iter().copied());
            }
        }
    }
    bytes
}

#[test]
fn no_damaged_sample_makes_the_engine_fail() {
    let engine = mills::shipped();
    let mut worker = mills::worker_with_places(engine.limits());
    let bodies = ends::bodies();
    let mut dice = Dice::new(2026);
    for round in 0..6 {
        for (name, body) in &bodies {
            let bytes = mutate(body, &bodies[dice.roll(bodies.len())].1, &mut dice);
            let found = ends::run(engine, &mut worker, &bytes);
            let shown = || format!("{name}, round {round}\n{}", String::from_utf8_lossy(&bytes));
            assert!(!found.is_empty(), "no outcome: {}", shown());
            for (_, end) in &found {
                let Some((_, json)) = end.event() else { continue };
                assert!(serde_json::from_str::<serde_json::Value>(json).is_ok(), "no JSON: {json}\n{}", shown());
            }
        }
    }
}

/// Changed values inside sound JSON reach the rows, where changed bytes are stopped by decoding.
#[test]
fn no_odd_value_makes_the_engine_fail() {
    let engine = mills::shipped();
    let mut worker = mills::worker_with_places(engine.limits());
    let mut dice = Dice::new(77);
    for (name, record) in ends::records(engine, &mut worker) {
        let Ok(value) = serde_json::from_slice::<serde_json::Value>(&record) else { continue };
        for _ in 0..3 {
            let mut value = value.clone();
            for _ in 0..1 + dice.roll(5) {
                disturb(&mut value, &mut dice);
            }
            let text = value.to_string();
            for (_, end) in ends::run(engine, &mut worker, text.as_bytes()) {
                let Some((_, json)) = end.event() else { continue };
                let event: serde_json::Value = serde_json::from_str(json).unwrap_or_else(|fault| panic!("{name}: {fault}\n{json}"));
                let wrong: Vec<_> =
                    udmill::udm::lint(&event).into_iter().filter(|found| found.level == udmill::udm::Level::Error).collect();
                assert!(wrong.is_empty(), "{name}: {wrong:?}\n{json}\n{text}");
            }
        }
    }
}

/// Another value in the place of a random one.
fn disturb(value: &mut serde_json::Value, dice: &mut Dice) {
    use serde_json::{Value, json};
    let inner: usize = match value {
        Value::Object(members) => members.len(),
        Value::Array(elements) => elements.len(),
        _ => 0,
    };
    if inner > 0 && dice.roll(6) > 0 {
        let at = dice.roll(inner);
        return match value {
            Value::Object(members) => disturb(members.values_mut().nth(at).expect("it has so many"), dice),
            Value::Array(elements) => disturb(&mut elements[at], dice),
            _ => {}
        };
    }
    *value = match dice.roll(16) {
        0 => Value::Null,
        1 => json!(true),
        2 => json!(0),
        3 => json!(-1),
        4 => json!(u64::MAX),
        5 => json!(1e300),
        6 => json!(""),
        7 => json!("-"),
        8 => json!([]),
        9 => json!({}),
        10 => json!("\u{0}\u{fffd}\u{1f600}\"\\\n"),
        11 => json!("a".repeat(70_000)),
        12 => json!("{\"a\":\"{\\\"b\\\":[1,null,{}]}\"}"),
        13 => json!("::ffff:203.0.113.7:65536"),
        14 => json!([null, [[]], {"": {"": "x"}}]),
        _ => json!("9999-12-31T23:59:60.9999999999Z"),
    };
}

/// Found by `no_odd_value_makes_the_engine_fail`: a coordinate beyond 32-bit numbers took the whole event down at the receiver.
#[test]
fn a_number_beyond_its_field_is_left_out_and_told() {
    let engine = mills::shipped();
    let mut worker = mills::worker(engine.limits());
    for (longitude, is_kept) in [("1e300", false), ("-1e300", false), ("3.4e38", true), ("4.9", true)] {
        let record = format!(
            r#"{{"object":"organization.audit_log","id":"audit_log-1","type":"login.succeeded","effective_at":1767225600,
            "actor":{{"type":"session","session":{{"ip_address":"192.0.2.1","ip_address_details":{{"latitude":52.4,"longitude":{longitude}}}}}}}}}"#
        );
        for end in ends::alone(engine, &mut worker, record.as_bytes()) {
            let (_, json) = end.event().expect("an event");
            assert_eq!(json.contains("regionLongitude"), is_kept, "{longitude}: {json}");
            assert!(json.contains("\"regionLatitude\":52.4"), "{longitude}: {json}");
            assert_eq!(end.notes.is_empty(), is_kept, "{longitude}: {:?}", end.notes);
        }
    }
}
