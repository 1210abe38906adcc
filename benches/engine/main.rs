//! `cargo bench --bench engine`: what the engine costs beside the parse of the same input.
//!
//! All cases take turns on the same batch, so that a busy neighbour slows them alike; times are the thread's own CPU time. Printed are
//! the best and the median round, and the median of the ratios to the floor within each round: only those hold between machines.
//!
//! `floor` is simd-json's tape of a copy of each message, buffers reused. `core` is the default table with enrichment off and unread
//! leaves dropped, `full` adds the user agent and cached geo, `kept` also keeps unread leaves, as shipped.
//!
//! At the end one more round counts heap allocations. The goal is none for a part once the worker is warm; a user agent or an address that has
//! left the caches, and a shape that has left the remembered ones, cost some.

mod generator;
mod growth;

use cpu_time::ThreadTime;
use simd_json::Buffers;
use std::sync::Arc;
use udmill::classify::{self, Facts};
use udmill::decode::{Decoder, Doc, Found, Limits};
use udmill::engine::{Engine, Message, Outcome, Outcomes, Settings, View, Worker};
use udmill::enrich::{Databases, Enrichers, Sizes};
use udmill::mapping::{Files, built_in, compile::Options};
use udmill::plan::Unmapped;
use udmill::plan::redact::Redactor;

/// Rounds each case runs.
const ROUNDS: usize = 25;
/// `UDMILL_BENCH_ONLY=azure:core:200` runs one case alone so often: for a profiler.
const ONLY: &str = "UDMILL_BENCH_ONLY";

struct Case {
    name: &'static str,
    engine: Engine,
    worker: Worker,
    outcomes: Outcomes,
    bytes_out: usize,
    /// The mapping that takes every record, whatever it looks like.
    pin: Option<u16>,
}

impl Case {
    fn new(name: &'static str, omit: &[&str], unmapped: Unmapped, databases: &Arc<Databases>) -> Case {
        let options = Options { omit: omit.iter().map(|path| (*path).to_owned()).collect(), unmapped: Some(unmapped) };
        Case::of(name, &built_in(), View { profile: Some("documented".to_owned()), options }, databases)
    }

    fn of(name: &'static str, files: &Files, view: View, databases: &Arc<Databases>) -> Case {
        let engine = match Engine::build(files, &[view], Settings::default()) {
            Ok((engine, _)) => engine,
            Err(faults) => panic!("{}", udmill::mapping::render(&faults, files, false)),
        };
        let worker = Worker::new(engine.limits(), Enrichers::new(databases.clone(), Sizes::default(), 42));
        Case { name, engine, worker, outcomes: Outcomes::default(), bytes_out: 0, pin: None }
    }

    fn pinned(mut self, mapping: &str) -> Case {
        self.pin = Some(self.engine.mapping(mapping).expect("the mapping is there"));
        self
    }

    fn process(&mut self, message: &[u8]) {
        self.engine.process(&mut self.worker, Message { pin: self.pin, ..Message::new(message) }, &mut self.outcomes);
    }

    /// Every event of the messages, one after the other.
    fn outputs(&mut self, messages: &[Vec<u8>]) -> Vec<u8> {
        let mut all = Vec::new();
        for message in messages {
            self.process(message);
            all.extend_from_slice(&self.outcomes.events);
        }
        all
    }

    /// The mapping that makes events of a message; `None` when it makes none.
    fn mapping_of(&mut self, message: &[u8]) -> Option<String> {
        self.process(message);
        let part = self.outcomes.parts.iter().find(|part| matches!(part.outcome, Outcome::Emit { .. }))?;
        self.engine.plan(part).map(|plan| plan.name.clone())
    }

    fn run(&mut self, messages: &[Vec<u8>]) {
        self.bytes_out = 0;
        for message in messages {
            self.process(message);
            self.bytes_out += self.outcomes.events.len();
        }
    }

    /// Every part must be an event, and every event JSON: a fast engine that drops is no engine.
    fn check(&mut self, messages: &[Vec<u8>]) {
        for message in messages.iter().take(200) {
            self.process(message);
            for part in &self.outcomes.parts {
                let Outcome::Emit { event, .. } = &part.outcome else { panic!("{}: {:?}", self.name, part.outcome) };
                let event: serde_json::Value = serde_json::from_slice(&self.outcomes.events[event.clone()]).expect("events are JSON");
                assert!(event["metadata"]["eventType"].is_string(), "{event}");
            }
        }
    }
}

/// The floor: a copy of each message to simd-json's tape.
fn floor(messages: &[Vec<u8>], buffers: &mut Buffers, copy: &mut Vec<u8>) -> usize {
    let mut nodes = 0;
    let mut tape = simd_json::Tape::null();
    for message in messages {
        copy.clear();
        copy.extend_from_slice(message);
        let mut reused = tape.reset();
        simd_json::fill_tape(copy, buffers, &mut reused).expect("generated input is JSON");
        nodes += reused.0.len();
        tape = reused.reset();
    }
    nodes
}

/// What of a case is spent before the plan: decoding, the scan for secrets, classification.
struct Front {
    decoder: Decoder,
    doc: Doc,
    found: Vec<Found>,
    redactor: Redactor,
    facts: Facts,
}

impl Front {
    fn run(&mut self, messages: &[Vec<u8>], depth: usize) {
        for message in messages {
            self.decoder.decode(message, &mut self.doc, &mut self.found);
            if depth > 0 {
                std::hint::black_box(self.redactor.suspicious(&self.doc.text));
            }
            for found in &self.found {
                if let Found::Record { root, .. } = found
                    && depth > 1
                {
                    classify::examine(&self.doc, *root, &mut self.facts);
                }
            }
        }
    }
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn measure(title: &str, messages: &[Vec<u8>], records: usize, databases: &Arc<Databases>) -> serde_json::Value {
    let off = ["network.http.parsed_user_agent"];
    let mut cases = [
        Case::new("core", &off, Unmapped::Drop, &Arc::new(Databases::default())),
        Case::new("full", &[], Unmapped::Drop, databases),
        Case::new("kept", &[], Unmapped::Keep, databases),
    ];
    for case in &mut cases {
        case.check(messages);
        case.run(messages);
    }
    let (mut buffers, mut copy) = (Buffers::default(), Vec::new());
    let mut front = Front {
        decoder: Decoder::new(Limits::default()),
        doc: Doc::default(),
        found: Vec::new(),
        redactor: Redactor::new(),
        facts: Facts::default(),
    };
    let mut times: [Vec<f64>; 7] = Default::default();
    for _ in 0..ROUNDS {
        let start = ThreadTime::now();
        std::hint::black_box(floor(messages, &mut buffers, &mut copy));
        times[0].push(start.elapsed().as_nanos() as f64 / records as f64);
        for depth in 0..3 {
            let start = ThreadTime::now();
            front.run(messages, depth);
            times[depth + 1].push(start.elapsed().as_nanos() as f64 / records as f64);
        }
        for (at, case) in cases.iter_mut().enumerate() {
            let start = ThreadTime::now();
            case.run(messages);
            times[at + 4].push(start.elapsed().as_nanos() as f64 / records as f64);
        }
    }
    let bytes_in: usize = messages.iter().map(Vec::len).sum();
    println!("{title}: {records} records, {} bytes each in", bytes_in / records);
    let mut told = Vec::new();
    for (at, name) in ["floor", "decode", "+scan", "+class", "core", "full", "kept"].iter().enumerate() {
        let mut ratios: Vec<f64> = times[at].iter().zip(&times[0]).map(|(mine, floor)| mine / floor).collect();
        let ratio = median(&mut ratios);
        let best = times[at].iter().copied().fold(f64::INFINITY, f64::min);
        let middle = median(&mut times[at].clone());
        let bytes_out = if at < 4 { 0 } else { cases[at - 4].bytes_out / records };
        println!(
            "  {name:6} best {best:7.0} ns  median {middle:7.0} ns  {:9.0} records/s  {ratio:5.2} x floor  {bytes_out} bytes out",
            1e9 / best
        );
        told.push(
            serde_json::json!({ "case": name, "best_ns": best, "median_ns": middle, "ratio_to_floor": ratio, "bytes_out": bytes_out }),
        );
    }
    for case in &mut cases[1..2] {
        let (agents, addresses) = (case.worker.enrichers().agent_counts(), case.worker.enrichers().address_counts());
        println!("  caches of `{}`: agents {agents:?}, addresses {addresses:?}", case.name);
    }
    // Of this thread alone, and after all rounds.
    let allocations = cases.each_mut().map(|case| {
        let counted = allocation_counter::measure(|| case.run(messages));
        (case.name, counted.count_total as f64 / records as f64)
    });
    let shown: Vec<String> = allocations.iter().map(|(name, count)| format!("{name} {count:.3}")).collect();
    println!("  heap allocations a part: {}", shown.join(", "));
    let allocations: serde_json::Map<_, _> = allocations.iter().map(|(name, count)| ((*name).to_owned(), (*count).into())).collect();
    serde_json::json!({ "input": title, "records": records, "bytes_in": bytes_in / records, "cases": told, "allocations": allocations })
}

/// Runs one case of one input alone.
fn profile(only: &str, databases: &Arc<Databases>) {
    let mut words = only.split(':');
    let messages = match words.next() {
        Some("azure") => generator::azure(100, 1, 2),
        _ => generator::openai(100, 1),
    };
    let off = ["network.http.parsed_user_agent"];
    let mut case = match words.next() {
        Some("full") => Case::new("full", &[], Unmapped::Drop, databases),
        Some("kept") => Case::new("kept", &[], Unmapped::Keep, databases),
        _ => Case::new("core", &off, Unmapped::Drop, &Arc::new(Databases::default())),
    };
    let times = words.next().and_then(|times| times.parse().ok()).unwrap_or(100);
    for _ in 0..times {
        case.run(&messages);
    }
}

fn main() {
    let root = env!("CARGO_MANIFEST_DIR");
    let read = |name: &str| std::fs::read(format!("{root}/tests/data/{name}")).expect("the small databases are in the repository");
    let databases = Arc::new(Databases::new(Some(read("city.mmdb")), Some(read("asn.mmdb"))).expect("the small databases are sound"));
    if let Ok(only) = std::env::var(ONLY) {
        return profile(&only, &databases);
    }
    let host = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let host = host
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map_or("unknown CPU", |rest| rest.trim_start_matches([' ', '\t', ':']));
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!("{host}; load {}; simd-json tape as floor; {ROUNDS} rounds", load.trim());
    let all = [
        measure("openai audit", &generator::openai(1500, 1), 1500, &databases),
        measure("azure activity", &generator::azure(1500, 1, 2), 1500, &databases),
        measure("azure activity, 500 records a message", &generator::azure(3, 500, 3), 1500, &databases),
    ];
    let events = generator::openai(1500, 1);
    let nothing = Arc::new(Databases::default());
    let (rules, sizes, families) = (growth::rules(&events), growth::sizes(&events, &nothing), growth::families(&nothing));
    let told = serde_json::json!({ "host": host, "rounds": ROUNDS, "inputs": all, "rules": rules, "sizes": sizes, "families": families });
    let path = format!("{root}/target/bench-engine.json");
    match std::fs::write(&path, told.to_string()) {
        Ok(()) => println!("written to target/bench-engine.json"),
        Err(fault) => println!("{path}: {fault}"),
    }
}
