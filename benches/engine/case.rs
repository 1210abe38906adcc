//! One way to run the engine, and the floor beside it.

use simd_json::Buffers;
use std::sync::Arc;
use udmill::decode::{Limits, Parser};
use udmill::engine::{Engine, Message, Outcome, Outcomes, Settings, View, Worker};
use udmill::enrich::{Databases, Enrichers, Sizes};
use udmill::mapping::{Files, built_in, compile::Options};
use udmill::plan::Unmapped;

/// What `core` leaves out.
const ENRICHED: [&str; 1] = ["network.http.parsed_user_agent"];

pub struct Case {
    pub name: &'static str,
    engine: Engine,
    pub worker: Worker,
    pub outcomes: Outcomes,
    /// Bytes of the events of the last [`Case::run`].
    pub bytes_out: usize,
    /// The mapping that takes every record, whatever it looks like.
    pin: Option<u16>,
}

impl Case {
    /// `core`, `full` and `kept`, in this order.
    pub fn fixed(parser: Parser, databases: &Arc<Databases>) -> [Case; 3] {
        ["core", "full", "kept"].map(|name| Case::named(name, parser, databases).expect("the name is one of three"))
    }

    /// One of the fixed cases; `None` for another name. The default tables; `core` without what enriches, `kept` with unread leaves.
    pub fn named(name: &str, parser: Parser, databases: &Arc<Databases>) -> Option<Case> {
        Some(match name {
            "core" => Case::core(parser),
            "full" => Case::new("full", &[], Unmapped::Drop, databases, parser),
            "kept" => Case::new("kept", &[], Unmapped::Keep, databases, parser),
            _ => return None,
        })
    }

    /// The default tables, enrichment off, unread leaves dropped.
    pub fn core(parser: Parser) -> Case {
        Case::new("core", &ENRICHED, Unmapped::Drop, &Arc::default(), parser)
    }

    fn new(name: &'static str, omit: &[&str], unmapped: Unmapped, databases: &Arc<Databases>, parser: Parser) -> Case {
        let options = Options { omit: omit.iter().map(|path| (*path).to_owned()).collect(), unmapped: Some(unmapped) };
        Case::of(name, &built_in(), View { profile: Some("documented".to_owned()), options }, databases, parser)
    }

    pub fn of(name: &'static str, files: &Files, view: View, databases: &Arc<Databases>, parser: Parser) -> Case {
        let settings = Settings { limits: Limits { parser, ..Limits::default() }, ..Settings::default() };
        let engine = match Engine::build(files, &[view], settings) {
            Ok((engine, _)) => engine,
            Err(faults) => panic!("{}", udmill::mapping::render(&faults, files, false)),
        };
        let worker = Worker::new(engine.limits(), Enrichers::new(databases.clone(), Sizes::default(), 42));
        Case { name, engine, worker, outcomes: Outcomes::default(), bytes_out: 0, pin: None }
    }

    pub fn pinned(mut self, mapping: &str) -> Case {
        self.pin = Some(self.engine.mapping(mapping).expect("the mapping is there"));
        self
    }

    pub fn process(&mut self, message: &[u8]) {
        self.engine.process(&mut self.worker, Message { pin: self.pin, ..Message::new(message) }, &mut self.outcomes);
    }

    /// The mapping that makes events of a message; `None` when it makes none.
    pub fn mapping_of(&mut self, message: &[u8]) -> Option<String> {
        self.process(message);
        let part = self.outcomes.parts.iter().find(|part| matches!(part.outcome, Outcome::Emit { .. }))?;
        self.engine.plan(part).map(|plan| plan.name.clone())
    }

    pub fn run(&mut self, messages: &[Vec<u8>]) {
        self.bytes_out = 0;
        for message in messages {
            self.process(message);
            self.bytes_out += self.outcomes.events.len();
        }
    }
}

/// The floor: a copy of each message to simd-json's tape.
pub fn floor(messages: &[Vec<u8>], buffers: &mut Buffers, copy: &mut Vec<u8>) -> usize {
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
