//! The shipped mappings over the samples: accounting, schema and event-type rules.

use super::*;
use crate::udm;
use std::collections::BTreeMap;

/// Every message of a sample file: whole payloads as one, NDJSON a line each.
fn messages(path: &std::path::Path) -> Vec<Vec<u8>> {
    let bytes = std::fs::read(path).unwrap();
    if path.extension().is_some_and(|ending| ending == "ndjson") {
        return bytes.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()).map(<[u8]>::to_vec).collect();
    }
    vec![bytes]
}

fn samples(dir: &std::path::Path, into: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            samples(&path, into);
        } else if path.extension().is_some_and(|ending| ending == "ndjson" || ending == "json") {
            into.push(path);
        }
    }
}

#[test]
fn every_sample_ends_in_outcomes_and_every_event_keeps_the_schema() {
    let views = [View::default(), View { profile: Some("typed".to_owned()), ..View::default() }];
    let (engine, _) = Engine::build(&mapping::built_in(), &views, Settings::default()).unwrap_or_else(|faults| {
        panic!("{}", mapping::render(&faults, &mapping::built_in(), false));
    });
    let mut worker = Worker::new(engine.limits(), crate::enrich::Enrichers::new(Default::default(), Default::default(), 7));
    let mut outcomes = Outcomes::default();
    let mut files = Vec::new();
    samples(&std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/samples"), &mut files);
    files.sort();
    assert!(files.len() > 60, "only {} sample files", files.len());
    let mut findings: BTreeMap<String, (usize, String)> = BTreeMap::new();
    let mut types: BTreeMap<(String, String), usize> = BTreeMap::new();
    for file in &files {
        for message in messages(file) {
            engine.process(&mut worker, Message { received: Some(Timestamp(1_767_225_600_000)), ..Message::new(&message) }, &mut outcomes);
            assert!(!outcomes.parts.is_empty(), "{}: no outcome", file.display());
            for part in &outcomes.parts {
                match &part.outcome {
                    Outcome::Emit { event, event_type, fallback, .. } => {
                        let bytes = &outcomes.events[event.clone()];
                        let event: serde_json::Value = serde_json::from_slice(bytes)
                            .unwrap_or_else(|fault| panic!("{}: {fault}\n{}", file.display(), String::from_utf8_lossy(bytes)));
                        let plan = engine.plan(part).unwrap();
                        let name = format!("{}{}", plan.types[*event_type as usize], if *fallback { " (fallback)" } else { "" });
                        *types.entry((format!("{}@{}", plan.name, plan.profile), name)).or_default() += 1;
                        for finding in udm::lint(&event).into_iter().filter(|finding| finding.level == udm::Level::Error) {
                            let key = format!("{} {} {}", plan.name, finding.path, finding.what);
                            let entry = findings.entry(key).or_insert_with(|| (0, format!("{}: {event}", file.display())));
                            entry.0 += 1;
                        }
                    }
                    Outcome::Reject(reject) => {
                        let name = format!("reject {}", reject.code);
                        *types.entry((file.file_name().unwrap().to_string_lossy().into_owned(), name)).or_default() += 1;
                    }
                    Outcome::Skip { reason } => {
                        let name = format!("skip {}", outcomes.text(reason));
                        *types.entry((file.file_name().unwrap().to_string_lossy().into_owned(), name)).or_default() += 1;
                    }
                }
            }
        }
    }
    for ((table, name), count) in &types {
        println!("{table:40} {name:45} {count}");
    }
    for (finding, (count, example)) in &findings {
        println!("{count:5} {finding}\n      {}", example.chars().take(600).collect::<String>());
    }
    assert!(findings.is_empty(), "{} kinds of findings", findings.len());
}
