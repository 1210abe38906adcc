//! What became of a body in a form that two runs can be compared by, and the bodies of all samples.

use std::path::{Path, PathBuf};

use udmill::engine::{Engine, Outcome, Outcomes, Worker};

use crate::mills;

/// The broker's time every body of these proofs is given; a replay gives the same.
pub const RECEIVED: i64 = 1_767_225_600_000;

/// One part and what became of it, without its place among others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    pub view: u16,
    /// Of the engine's mappings; one that made no part has none.
    pub mapping: u16,
    pub what: What,
    /// Codes and rows of values left out.
    pub notes: Vec<(&'static str, u32)>,
}

/// The outcome, with its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    Event { id: String, json: String, fallback: bool },
    Reject { stage: &'static str, code: &'static str, path: String, detail: String },
    Skip(String),
}

impl End {
    /// The event and its id, of a part that has one.
    pub fn event(&self) -> Option<(&str, &str)> {
        match &self.what {
            What::Event { id, json, .. } => Some((id, json)),
            _ => None,
        }
    }
}

/// The parts of a run, each beside the number of its finding.
pub fn ends(outcomes: &Outcomes) -> Vec<(u32, End)> {
    let what = |outcome: &Outcome| match outcome {
        Outcome::Emit { event, id, fallback, .. } => What::Event {
            id: outcomes.text(id).to_owned(),
            json: String::from_utf8(outcomes.events[event.clone()].to_vec()).expect("an event is UTF-8"),
            fallback: *fallback,
        },
        Outcome::Reject(reject) => {
            let (path, detail) = (reject.path.clone(), reject.detail.clone());
            What::Reject { stage: reject.stage.name(), code: reject.code, path, detail }
        }
        Outcome::Skip { reason } => What::Skip(outcomes.text(reason).to_owned()),
    };
    let notes = |range: &std::ops::Range<usize>| outcomes.notes[range.clone()].iter().map(|note| (note.code, note.row)).collect();
    outcomes
        .parts
        .iter()
        .map(|part| (part.finding, End { view: part.view, mapping: part.mapping, what: what(&part.outcome), notes: notes(&part.notes) }))
        .collect()
}

/// Runs a body as it would come from a broker. A panic inside the engine, which it turns into a dead letter, fails the proof.
pub fn run(engine: &Engine, worker: &mut Worker, body: &[u8]) -> Vec<(u32, End)> {
    let ends = ends(&mills::run(engine, worker, body, Some(RECEIVED)));
    for (_, end) in &ends {
        if let What::Reject { code: "panic", detail, .. } = &end.what {
            panic!("{detail}\n{}", String::from_utf8_lossy(body));
        }
    }
    ends
}

/// The parts of one record sent alone.
pub fn alone(engine: &Engine, worker: &mut Worker, record: &[u8]) -> Vec<End> {
    run(engine, worker, record).into_iter().map(|(_, end)| end).collect()
}

/// Every JSON and NDJSON file below a folder, in no order.
pub fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.expect("the folder is readable").path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "ndjson" || ending == "json") {
            found.push(path);
        }
    }
}

/// Every message of every sample with the name of its file: whole payloads as one, NDJSON a line each.
pub fn bodies() -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/samples");
    let mut found = Vec::new();
    files(&folder, &mut found);
    found.sort();
    let mut bodies = Vec::new();
    for path in found {
        let name = path.strip_prefix(&folder).expect("it lies below").to_string_lossy().into_owned();
        let bytes = std::fs::read(&path).expect("a sample is readable");
        if path.extension().is_some_and(|ending| ending == "ndjson") {
            let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
            bodies.extend(lines.map(|line| (name.clone(), line.to_vec())));
        } else {
            bodies.push((name, bytes));
        }
    }
    assert!(bodies.len() > 500, "only {} sample messages", bodies.len());
    bodies
}

/// Every record of the samples that can be cut out and is, alone, one record again: not those wrapped together in one text.
pub fn records(engine: &Engine, worker: &mut Worker) -> Vec<(String, Vec<u8>)> {
    let mut found: Vec<(String, Vec<u8>)> = Vec::new();
    for (name, body) in bodies() {
        let ends = run(engine, worker, &body);
        let mut cut = None;
        for (finding, end) in ends {
            if cut == Some(finding) || end.event().is_none() {
                continue;
            }
            cut = Some(finding);
            let bytes = engine.cut(worker, &body, finding).unwrap_or_else(|| panic!("{name}: finding {finding} cannot be cut")).to_vec();
            if run(engine, worker, &bytes).iter().all(|(finding, _)| *finding == 0) {
                found.push((name.clone(), bytes));
            }
        }
    }
    assert!(found.len() > 500, "only {} records", found.len());
    found
}

/// A small generator of numbers: the same seed gives the same numbers on every machine.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Dice {
        Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number from 0 to `below`, which is left out.
    pub fn roll(&mut self, below: usize) -> usize {
        // xorshift64*, Vigna 2016.
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        ((self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize) % below
    }
}
