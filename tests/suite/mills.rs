//! The engine as the proofs of this suite run it: every record under both profiles, as two outputs of one source would.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use serde_json::Value;
use udmill::decode::Limits;
use udmill::engine::{Engine, Message, Outcome, Outcomes, Part, Settings, Timestamp, View, Worker};
use udmill::enrich::{Databases, Enrichers, Sizes};
use udmill::mapping::compile::Options;
use udmill::mapping::{File, Files};

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

/// The shipped mappings under the files of a site's folder, a path below the project's own.
pub fn sited(folder: &str) -> Engine {
    let mut files = udmill::mapping::built_in();
    for path in below(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)) {
        let name = path.strip_prefix(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)).expect("it lies below");
        let name = name.to_string_lossy().replace('\\', "/");
        let text = std::fs::read_to_string(&path).expect("a mapping is readable");
        files.add(File { shown: format!("{folder}/{name}"), name, text, site: true });
    }
    engine(&files, Settings::default())
}

/// The folder `site` beside a case of a mapping, as a path below the project's: what `udmill test` lays over the mappings for it.
pub fn site_of(case: &Path) -> Option<String> {
    let site = case.parent()?.join("site");
    let root = std::fs::canonicalize(env!("CARGO_MANIFEST_DIR")).ok()?;
    let site = std::fs::canonicalize(site).ok()?;
    Some(site.strip_prefix(root).ok()?.to_string_lossy().replace('\\', "/"))
}

/// Every file below a folder, in no order.
fn below(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|fault| panic!("{}: {fault}", folder.display()));
    let paths = entries.map(|entry| entry.expect("a folder entry is readable").path());
    paths.flat_map(|path| if path.is_dir() { below(&path) } else { vec![path] }).collect()
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
