//! Every row and every event-type rule of the shipped mappings is touched by a case or a sample; those that are not are told by file and line.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use udmill::engine::Engine;

use crate::mills;

/// Every body below a folder: cases and samples, lines of NDJSON one by one.
fn bodies(folder: &Path) -> Vec<Vec<u8>> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).unwrap_or_else(|fault| panic!("{}: {fault}", next.display())) {
            let path = entry.expect("a folder entry is readable").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.push(path);
            }
        }
    }
    files.sort();
    let mut bodies = Vec::new();
    for file in files {
        let name = file.to_string_lossy();
        if name.ends_with(".in.json") || name.ends_with(".in.bin") || name.ends_with(".payload.json") || name.ends_with("PT1H.json") {
            bodies.push(fs::read(&file).expect("a body is readable"));
        } else if name.ends_with(".ndjson") {
            let text = fs::read(&file).expect("a sample is readable");
            bodies.extend(text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(<[u8]>::to_vec));
        }
    }
    bodies
}

/// What was touched, by (file, line).
#[derive(Default)]
struct Touched {
    rows: BTreeSet<(String, usize)>,
    rules: BTreeSet<(String, usize)>,
}

/// Cases of what a site may choose: the files of their folder `site` are laid over the shipped mappings.
const WITH_A_SITE: &str = "mappings/azure/metrics_with_limits.cases";

fn touched(engine: &Engine) -> Touched {
    let mut touched = Touched::default();
    for folder in ["mappings", "tests/golden", "tests/samples"] {
        touched.add(engine, folder);
    }
    touched.add(&mills::sited(&format!("{WITH_A_SITE}/site")), WITH_A_SITE);
    touched
}

impl Touched {
    fn add(&mut self, engine: &Engine, folder: &str) {
        let mut worker = mills::worker_with_places(engine.limits());
        worker.trace(true);
        for body in bodies(&PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(folder)) {
            let outcomes = mills::run(engine, &mut worker, &body, None);
            for trace in &outcomes.traces {
                let Some(plan) = engine.plan(&outcomes.parts[trace.part]) else { continue };
                for field in &trace.plan.fields {
                    let row = &plan.row_infos[field.row as usize];
                    self.rows.insert((row.file.clone(), row.line));
                }
                if let Some(rule) = trace.plan.rule.as_ref().and_then(|rule| rule.rule) {
                    self.rules.insert(plan.rule_places[rule as usize].clone());
                }
            }
        }
    }
}

#[test]
fn every_row_and_rule_is_touched() {
    let engine = mills::shipped();
    let touched = touched(engine);
    let mut rows: BTreeMap<(String, usize), Vec<String>> = BTreeMap::new();
    let mut rules = BTreeSet::new();
    for view in 0..mills::PROFILES.len() {
        for plan in engine.plans(view) {
            rows.extend(plan.row_infos.iter().map(|row| ((row.file.clone(), row.line), row.targets.clone())));
            rules.extend(plan.rule_places.iter().cloned());
        }
    }
    let mut untouched: Vec<String> = Vec::new();
    for ((file, line), targets) in &rows {
        if !touched.rows.contains(&(file.clone(), *line)) {
            untouched.push(format!("{file}:{line}: no case shows the row of {targets:?}"));
        }
    }
    for (file, line) in rules.difference(&touched.rules) {
        // `dormant` is the mapping's own word that no record can reach the rule; `check` proves the rest of it.
        let text = fs::read_to_string(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(file)).expect("a mapping is readable");
        if text.lines().nth(line - 1).is_some_and(|rule| rule.contains("dormant")) {
            continue;
        }
        untouched.push(format!("{file}:{line}: no case shows this rule"));
    }
    println!("{} rows and {} rules; {} are not touched", rows.len(), rules.len(), untouched.len());
    assert!(untouched.is_empty(), "{}", untouched.join("\n"));
}
