//! The engine as the proofs of this suite run it: every record under both profiles, as two outputs of one source would.

use std::sync::{Arc, OnceLock};

use serde_json::Value;
use udmill::decode::Limits;
use udmill::engine::{Engine, Message, Outcome, Outcomes, Part, Settings, Timestamp, View, Worker};
use udmill::enrich::{Databases, Enrichers, Sizes};
use udmill::mapping::Files;
use udmill::mapping::compile::Options;

/// The profiles, in the order of the engine's views.
pub const PROFILES: [&str; 2] = ["documented", "typed"];

/// An engine for every record under both profiles.
pub fn engine(files: &Files, settings: Settings) -> Engine {
    let views = PROFILES.map(|profile| View { profile: Some(profile.to_owned()), options: Options::default() });
    match Engine::build(files, &views, settings) {
        Ok((engine, _)) => engine,
        Err(faults) => panic!("{}", udmill::mapping::render(&faults, files, false)),
    }
}

/// The shipped mappings, built once for the whole suite.
pub fn shipped() -> &'static Engine {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    ENGINE.get_or_init(|| engine(&udmill::mapping::built_in(), Settings::default()))
}

/// A worker without geo databases.
pub fn worker(limits: Limits) -> Worker {
    Worker::new(limits, Enrichers::new(Default::default(), Default::default(), 1))
}

/// A worker with the databases of `tests/data`.
pub fn worker_with_places(limits: Limits) -> Worker {
    let read =
        |name: &str| std::fs::read(format!("{}/tests/data/{name}.mmdb", env!("CARGO_MANIFEST_DIR"))).expect("a test database is readable");
    let databases = Databases::new(Some(read("city")), Some(read("asn"))).unwrap_or_else(|faults| panic!("{faults:?}"));
    Worker::new(limits, Enrichers::new(Arc::new(databases), Sizes::default(), 1))
}

/// What becomes of one body.
pub fn run(engine: &Engine, worker: &mut Worker, body: &[u8], received: Option<i64>) -> Outcomes {
    let mut outcomes = Outcomes::default();
    engine.process(worker, Message { body, received: received.map(Timestamp), pin: None }, &mut outcomes);
    outcomes
}

/// The event of a part that gave one.
pub fn event(outcomes: &Outcomes, part: &Part) -> Option<Value> {
    let Outcome::Emit { event, .. } = &part.outcome else { return None };
    Some(serde_json::from_slice(&outcomes.events[event.clone()]).expect("an event is JSON"))
}
