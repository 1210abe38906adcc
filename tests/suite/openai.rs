//! The OpenAI mapping, run by the engine over every sample, against the two interpreters of its reference tables.

use serde_json::Value;
use udmill::engine::{Engine, Message, Outcome, Outcomes, Settings, View, Worker};
use udmill::udm::{Level, lint};

use crate::documented_reference::{self as documented, found, samples};
use crate::reference_rows;
use crate::typed_reference as typed;

/// An engine that maps every record under both profiles at once, as two outputs of one source would.
struct Mill {
    engine: Engine,
    worker: Worker,
    outcomes: Outcomes,
}

impl Mill {
    fn new() -> Mill {
        let views = ["documented", "typed"].map(|profile| View { profile: Some(profile.to_owned()), ..View::default() });
        let files = udmill::mapping::built_in();
        let built = Engine::build(&files, &views, Settings::default());
        let (engine, _) = built.unwrap_or_else(|faults| panic!("{}", udmill::mapping::render(&faults, &files, false)));
        let enrichers = udmill::enrich::Enrichers::new(Default::default(), Default::default(), 1);
        let worker = Worker::new(engine.limits(), enrichers);
        Mill { engine, worker, outcomes: Outcomes::default() }
    }

    /// The events of one body, the documented and the typed one of each record.
    fn run(&mut self, name: &str, body: &str) -> Vec<[Value; 2]> {
        self.engine.process(&mut self.worker, Message::new(body.as_bytes()), &mut self.outcomes);
        let mut events = [Vec::new(), Vec::new()];
        for part in &self.outcomes.parts {
            let Outcome::Emit { event, .. } = &part.outcome else { panic!("{name}: {:?}", part.outcome) };
            let event = serde_json::from_slice(&self.outcomes.events[event.clone()]).unwrap_or_else(|fault| panic!("{name}: {fault}"));
            events[usize::from(part.view)].push(event);
        }
        let [documented, typed] = events;
        assert_eq!(documented.len(), typed.len(), "{name}: one event a profile");
        documented.into_iter().zip(typed).map(Into::into).collect()
    }

    /// The two events of one record.
    fn mill(&mut self, name: &str, record: &Value) -> [Value; 2] {
        let mut events = self.run(name, &record.to_string());
        assert_eq!(events.len(), 1, "{name}: one part a record");
        events.remove(0)
    }
}

/// An event without the results that its tags added.
fn without_tags(event: &Value) -> Value {
    let mut event = event.clone();
    if let Some(results) = event.get_mut("securityResult").and_then(Value::as_array_mut) {
        results
            .retain(|result| !result["detectionFields"].as_array().is_some_and(|labels| labels.iter().any(|label| label["key"] == "tag")));
    }
    event
}

#[test]
fn every_sample_becomes_what_the_references_say() {
    let table = typed::table();
    let mut mill = Mill::new();
    let mut faults = Vec::new();
    for (name, record) in samples() {
        let [plain, rich] = mill.mill(&name, &record);
        let wanted = documented::expected(&record);
        let mut tell = |profile: &str, differences: Vec<String>| {
            faults.extend(differences.into_iter().map(|difference| format!("{name} {}, {profile}: {difference}", record["id"])));
        };
        tell("documented", documented::compare(&plain, &wanted));

        // On the paths of the published table the profiles differ in the event type alone.
        let kind = record["type"].as_str().unwrap_or_default();
        let row = table.get(kind).unwrap_or(&table["*"]);
        let fields = typed::expected(row, &record);
        let mut wanted = wanted;
        wanted.insert("metadata.event_type".to_owned(), Value::from(typed::event_type(row, &record, &fields)));
        tell("typed", documented::compare(&rich, &wanted));
        // A tag's result is not of the table; the mapping's own are what the table says.
        tell("typed", typed::compare(&without_tags(&rich), &fields));
        for path in wanted.keys().filter(|path| *path != "metadata.event_type") {
            assert_eq!(found(&plain, path), found(&rich, path), "{name}: the profiles disagree on {path}");
        }
    }
    assert!(faults.is_empty(), "{} differences:\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn every_event_passes_the_schema_and_its_types_rules() {
    let mut mill = Mill::new();
    for (name, record) in samples() {
        for event in mill.mill(&name, &record) {
            for finding in lint(&event) {
                // A record without an actor names nobody, and the documented profile has no other place for what it says.
                let is_bare = finding.level == Level::Warn && finding.what.starts_with("GENERIC_EVENT needs");
                assert!(is_bare, "{name}: {}: {}\n{event}", finding.path, finding.what);
            }
        }
    }
}

#[test]
fn a_list_page_gives_what_its_events_give_alone() {
    let mut mill = Mill::new();
    for page in ["page-1", "page-2"] {
        let path = format!("{}/tests/samples/openai/pages/{page}.json", env!("CARGO_MANIFEST_DIR"));
        let body = std::fs::read_to_string(path).expect("a page is readable");
        let alone: Vec<_> = samples().into_iter().filter(|(name, _)| name.contains(page)).collect();
        let together = mill.run(page, &body);
        assert_eq!(together.len(), alone.len(), "{page}");
        for ((name, record), events) in alone.iter().zip(together) {
            assert_eq!(mill.mill(name, record), events, "{name}");
        }
    }
}

/// The sample that rows.csv names for a row shows that row.
#[test]
fn every_listed_sample_shows_its_row() {
    let samples = samples();
    let table = typed::table();
    let mut mill = Mill::new();
    for ((file, line), [state, _, case]) in reference_rows::stated() {
        let Some((_, id)) = case.split_once('#').filter(|_| case.starts_with("samples/openai/")) else { continue };
        let (name, record) = samples.iter().find(|(_, record)| record["id"] == id).unwrap_or_else(|| panic!("no sample {id}"));
        let [plain, rich] = mill.mill(name, record);
        if file == "openai-typed-mapping.csv" {
            let row = &documented::reference(&file)[usize::try_from(line).expect("a line fits") - 2];
            let kind = if table.contains_key(record["type"].as_str().unwrap_or_default()) { record["type"].clone() } else { "*".into() };
            assert_eq!(row[0], kind, "{file}:{line}: the sample is of another type");
            if kind != "*" {
                assert_eq!(found(&rich, "metadata.event_type"), Some(&Value::from(row[1].clone())), "{file}:{line}: the sample falls back");
            }
        } else if state == "mapped" {
            let row = &documented::reference(&file)[usize::try_from(line).expect("a line fits") - 2];
            for path in documented::paths(&row[1]) {
                assert!(found(&plain, &path).is_some(), "{file}:{line}: the sample does not fill {path}");
            }
        }
    }
}
