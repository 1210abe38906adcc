//! `cargo run --release` in this folder: udmill's case `full` and a VRL program that makes the same events, on the same input.
//!
//! Both use mimalloc, take turns on the same batch and are measured by the thread's own CPU time; only the ratio holds between machines.
//! Before anything is timed, the outputs are compared as JSON, event by event. VRL runs as a library: from bytes to its values by
//! serde_json, as Vector's JSON codec does, through the program, and back to bytes. What Vector adds around that is not counted.

#[allow(dead_code)]
#[path = "../../engine/generator.rs"]
mod generator;

use std::sync::Arc;

use cpu_time::ThreadTime;
use serde_json::Value as Json;
use udmill::engine::{Engine, Message, Outcome, Outcomes, Settings, View, Worker};
use udmill::enrich::{Databases, Enrichers, Sizes};
use udmill::mapping::{built_in, compile::Options};
use udmill::plan::Unmapped;
use vrl::compiler::runtime::Runtime;
use vrl::compiler::{Program, TargetValue, TimeZone};
use vrl::value::{Secrets, Value};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const EVENTS: usize = 1500;
const ROUNDS: usize = 25;

/// udmill as `benches/engine` runs `full`, without databases: VRL has none here.
struct Udmill {
    engine: Engine,
    worker: Worker,
    outcomes: Outcomes,
}

impl Udmill {
    fn new() -> Udmill {
        let options = Options { omit: Vec::new(), unmapped: Some(Unmapped::Drop) };
        let view = View { profile: Some("documented".to_owned()), options };
        let (engine, _) =
            Engine::build(&built_in(), &[view], Settings::default()).unwrap_or_else(|_| panic!("the shipped mappings compile"));
        let worker = Worker::new(engine.limits(), Enrichers::new(Arc::new(Databases::default()), Sizes::default(), 42));
        Udmill { engine, worker, outcomes: Outcomes::default() }
    }

    fn event(&mut self, message: &[u8]) -> &[u8] {
        self.engine.process(&mut self.worker, Message::new(message), &mut self.outcomes);
        match &self.outcomes.parts[..] {
            [part] => match &part.outcome {
                Outcome::Emit { event, .. } => &self.outcomes.events[event.clone()],
                other => panic!("no event: {other:?}"),
            },
            parts => panic!("{} parts", parts.len()),
        }
    }
}

/// The VRL program, compiled once; memory of the output is reused.
struct Vrl {
    program: Program,
    runtime: Runtime,
    zone: TimeZone,
    out: Vec<u8>,
}

impl Vrl {
    fn new() -> Vrl {
        // Read when it runs, so that a change of the program needs no build.
        let source = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/openai.vrl")).expect("the program is in the repository");
        let compiled = vrl::compiler::compile(&source, &vrl::stdlib::all());
        let compiled = compiled.unwrap_or_else(|faults| panic!("{}", vrl::diagnostic::Formatter::new(&source, faults)));
        Vrl { program: compiled.program, runtime: Runtime::default(), zone: TimeZone::default(), out: Vec::new() }
    }

    fn event(&mut self, message: &[u8]) -> &[u8] {
        let value: Value = serde_json::from_slice(message).expect("generated input is JSON");
        let mut target = TargetValue { value, metadata: Value::Object(Default::default()), secrets: Secrets::default() };
        self.runtime.resolve(&mut target, &self.program, &self.zone).unwrap_or_else(|fault| panic!("{fault}"));
        self.runtime.clear();
        self.out.clear();
        serde_json::to_writer(&mut self.out, &target.value).expect("values are JSON");
        &self.out
    }
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() {
    let messages = generator::openai(EVENTS, 1);
    let (mut udmill, mut vrl) = (Udmill::new(), Vrl::new());
    for (number, message) in messages.iter().enumerate() {
        let ours: Json = serde_json::from_slice(udmill.event(message)).expect("events are JSON");
        let theirs: Json = serde_json::from_slice(vrl.event(message)).expect("events are JSON");
        assert_eq!(ours, theirs, "event {number} of {}", String::from_utf8_lossy(message));
    }
    println!("{EVENTS} events are equal");
    let mut times: [Vec<f64>; 2] = Default::default();
    let mut bytes = [0; 2];
    for _ in 0..ROUNDS {
        let start = ThreadTime::now();
        bytes[0] = messages.iter().map(|message| std::hint::black_box(udmill.event(message)).len()).sum();
        times[0].push(start.elapsed().as_nanos() as f64 / EVENTS as f64);
        let start = ThreadTime::now();
        bytes[1] = messages.iter().map(|message| std::hint::black_box(vrl.event(message)).len()).sum();
        times[1].push(start.elapsed().as_nanos() as f64 / EVENTS as f64);
    }
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!("{ROUNDS} rounds; load {}", load.trim());
    for (name, at) in [("udmill `full`", 0), ("VRL 0.38", 1)] {
        let best = times[at].iter().copied().fold(f64::INFINITY, f64::min);
        let mut ratios: Vec<f64> = times[at].iter().zip(&times[0]).map(|(other, ours)| other / ours).collect();
        println!(
            "  {name:14} best {best:7.0} ns  median {:7.0} ns  {:8.0} events/s  {:5.1} x udmill  {} bytes out",
            median(&mut times[at].clone()),
            1e9 / best,
            median(&mut ratios),
            bytes[at] / EVENTS
        );
    }
}
