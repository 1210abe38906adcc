//! Flow tuples through the engine, as network watchers write them: whatever a tuple holds, it has exactly one outcome, what is emitted is
//! JSON with the tuple's own id, and its neighbours come out as they do among sound tuples.

use crate::pieces::{Budget, damage, one};
use udmill::decode::Limits;
use udmill::engine::{Engine, Message, Outcome, Outcomes, Settings, Timestamp, View, Worker};
use udmill::enrich::{Enrichers, Sizes};
use udmill::mapping::{Files, built_in, render};

const PIECES: [&str; 24] = [
    ",",
    ",,",
    "O",
    "I",
    "B",
    "C",
    "E",
    "D",
    "T",
    "U",
    "6",
    "17",
    "NX",
    "-1",
    "65535",
    "65536",
    "18446744073709551616",
    "1e3",
    "::1",
    "2001:db8::7",
    "x",
    "é",
    "\"",
    "\\",
];

/// The tables that read flows, and what they stand on.
fn engine() -> Engine {
    let mut files = Files::new();
    for (_, file) in built_in().iter() {
        let is_wanted = ["azure/vnet_flow.toml", "azure/nsg_flow.toml", "azure/resource_common.toml"].contains(&file.name.as_str());
        if is_wanted || file.name.ends_with(".csv") {
            files.add(file.clone());
        }
    }
    match Engine::build(&files, &[View::default()], Settings::default()) {
        Ok((engine, _)) => engine,
        Err(faults) => panic!("{}", render(&faults, &files, false)),
    }
}

fn address(random: &mut fastrand::Rng) -> String {
    match random.u8(..3) {
        0 => format!("10.1.0.{}", random.u8(..)),
        1 => format!("203.0.113.{}", random.u8(..)),
        _ => format!("2001:db8::{:x}", random.u16(..)),
    }
}

/// A tuple of version 4 (virtual networks), 2 or 1 (security groups).
fn tuple(random: &mut fastrand::Rng, version: u8) -> String {
    let (source, destination) = (address(random), address(random));
    let (from, to) = (random.u16(..), random.u16(..));
    let second = 1_772_615_721 + random.u64(..86_400);
    let direction = one(random, &["I", "O"]);
    let counts = [random.u32(..), random.u32(..), random.u32(..), random.u32(..)].map(|count| (count >> 8).to_string()).join(",");
    match version {
        4 => {
            let (protocol, state) = (one(random, &["6", "17", "1", "58", "250"]), one(random, &["B", "C", "E", "D"]));
            format!("{second}250,{source},{destination},{from},{to},{protocol},{direction},{state},NX,{counts}")
        }
        2 => {
            let (protocol, decision) = (one(random, &["T", "U"]), one(random, &["A,B,,,,", "D,B,,,,"]));
            let decision = if random.bool() { format!("A,{},{counts}", one(random, &["C", "E"])) } else { (*decision).to_owned() };
            format!("{second},{source},{destination},{from},{to},{protocol},{direction},{decision}")
        }
        _ => format!("{second},{source},{destination},{from},{to},{},{direction},{}", one(random, &["T", "U"]), one(random, &["A", "D"])),
    }
}

/// A record that holds these tuples in one list, or as one text.
fn record(version: u8, tuples: &[String], is_text: bool) -> String {
    let list = if is_text { serde_json::json!(tuples.join(" ")) } else { serde_json::json!(tuples) };
    let id = "/SUBSCRIPTIONS/11111111-2222-4333-8444-555555555555/RESOURCEGROUPS/RG-NET/PROVIDERS/MICROSOFT.NETWORK";
    if version == 4 {
        serde_json::json!({
            "time": "2026-03-04T09:16:00.5Z", "flowLogVersion": 4, "macAddress": "000D3AF8801A", "category": "FlowLogFlowEvent",
            "flowLogResourceID": format!("{id}/NETWORKWATCHERS/W/FLOWLOGS/F"), "targetResourceID": format!("{id}/VIRTUALNETWORKS/V"),
            "operationName": "FlowLogFlowEvent",
            "flowRecords": {"flows": [{"aclID": "unspecified", "flowGroups": [{"rule": "UserRule_https", "flowTuples": list}]}]}
        })
    } else {
        serde_json::json!({
            "time": "2026-03-04T09:16:00.0000000Z", "macAddress": "000D3AF8801A", "category": "NetworkSecurityGroupFlowEvent",
            "resourceId": format!("{id}/NETWORKSECURITYGROUPS/NSG-PE"), "operationName": "NetworkSecurityGroupFlowEvents",
            "properties": {"Version": version, "flows": [{"rule": "UserRule_web", "flows": [{"mac": "000D3AF8801A", "flowTuples": list}]}]}
        })
    }
    .to_string()
}

/// What became of each part: the event without its id, or the code of its rejection, or why it was skipped.
fn ends(engine: &Engine, worker: &mut Worker, outcomes: &mut Outcomes, body: &str) -> Vec<String> {
    engine.process(worker, Message { body: body.as_bytes(), received: Some(Timestamp(1_772_615_760_000)), pin: None }, outcomes);
    let outcomes = &*outcomes;
    let end = |outcome: &Outcome| match outcome {
        Outcome::Emit { event, id, .. } => {
            let event = std::str::from_utf8(&outcomes.events[event.clone()]).expect("an event is UTF-8");
            let fault = serde_json::from_str::<serde_json::Value>(event).err();
            assert!(fault.is_none(), "{fault:?} in {event} from {body}");
            let id = outcomes.text(id);
            assert!(event.contains(id), "{id} is not in {event} from {body}");
            event.replace(id.split('#').next().unwrap_or(id), "ID")
        }
        Outcome::Reject(reject) => {
            assert_ne!(reject.code, "panic", "{} from {body}", reject.detail);
            format!("rejected: {}", reject.code)
        }
        Outcome::Skip { reason } => format!("skipped: {}", outcomes.text(reason)),
    };
    outcomes.parts.iter().map(|part| end(&part.outcome)).collect()
}

/// Runs until the budget is spent; panics on the first fault.
pub fn run(budget: &mut Budget, seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let engine = engine();
    let mut worker = Worker::new(engine.limits(), Enrichers::new(Default::default(), Sizes::default(), 1));
    assert_eq!(engine.limits().nesting, Limits::default().nesting);
    let (mut outcomes, mut emitted, mut rejected) = (Outcomes::default(), 0u64, 0u64);
    while budget.more() {
        let version = *one(&mut random, &[&4, &2, &1]);
        let sound: Vec<String> = (0..1 + random.usize(..6)).map(|_| tuple(&mut random, version)).collect();
        let mut tuples = sound.clone();
        let mut is_hit = vec![false; sound.len()];
        for _ in 0..=random.usize(..2) {
            let at = random.usize(..sound.len());
            let mut bytes = std::mem::take(&mut tuples[at]).into_bytes();
            for _ in 0..=random.usize(..3) {
                damage(&mut random, &mut bytes, &PIECES);
            }
            (tuples[at], is_hit[at]) = (String::from_utf8_lossy(&bytes).into_owned(), true);
        }
        let expected = ends(&engine, &mut worker, &mut outcomes, &record(version, &sound, false));
        assert_eq!(expected.len(), sound.len(), "parts of {sound:?}");
        let all_emitted = expected.iter().all(|end| end.starts_with('{'));
        assert!(all_emitted, "a sound tuple is not emitted: {expected:?} of {sound:?}");
        let body = record(version, &tuples, false);
        let found = ends(&engine, &mut worker, &mut outcomes, &body);
        // A tuple that says nothing is none; a list of none is skipped as a whole.
        let is_nothing = |tuple: &String| matches!(tuple.trim_ascii(), "" | "null" | "-");
        let said: Vec<usize> = (0..tuples.len()).filter(|at| !is_nothing(&tuples[*at])).collect();
        assert_eq!(found.len(), said.len().max(1), "one outcome a tuple: {found:?} of {body}");
        for (found, at) in found.iter().zip(&said).filter(|(_, at)| !is_hit[**at]) {
            // Where tuples before it say nothing, its number among the parts is another.
            let moved = |end: &str| end.split("#").map(|piece| piece.trim_start_matches(|c: char| c.is_ascii_digit())).collect::<String>();
            assert_eq!(moved(found), moved(&expected[*at]), "tuple {at} of {body}");
        }
        emitted += found.iter().filter(|end| end.starts_with('{')).count() as u64;
        rejected += found.iter().filter(|end| end.starts_with("rejected")).count() as u64;
        // All in one text, which decoding cuts at blanks: damage may write a blank, so only the general promises are held.
        let found = ends(&engine, &mut worker, &mut outcomes, &record(version, &tuples, true));
        assert!(!found.is_empty(), "no outcome of {tuples:?}");
    }
    println!("{emitted} emitted, {rejected} rejected");
}
