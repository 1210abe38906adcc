//! No table hides behind the fallback: what share of the samples' leaves a row reads, what share is read or kept, how often an event type
//! gives way, and where GENERIC_EVENT may stand. `cargo test --test suite coverage -- --nocapture` prints the figures.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use udmill::engine::{Outcome, Outcomes};
use udmill::mapping::{self, table::Unmapped};
use udmill::udm::{Level, lint};

use crate::mills;

/// The least share of leaves that rows read, in percent; what a family leaves below it stands in `tests/reference/unread.csv`.
const READ_PERCENT: usize = 75;
/// The least share of leaves that rows read or the event keeps, in percent. What is neither stands in `tests/reference/lost.csv`.
const KEPT_PERCENT: usize = 95;
/// The greatest share of fallbacks, in percent.
const FALLBACK_PERCENT: usize = 2;

/// What was counted for one mapping.
#[derive(Default)]
struct Family {
    leaves: usize,
    read: usize,
    /// Paths without numbers that no row read, and how often.
    unread: BTreeMap<String, usize>,
    /// Leaves that no row read and the event keeps; of a mapping that only counts them, those that were counted.
    kept: usize,
    /// Those that are neither.
    lost: BTreeMap<String, usize>,
    events: usize,
    fallbacks: usize,
    /// Wished types that gave way, with what stands in their place.
    wanted: BTreeMap<(String, String), usize>,
    /// GENERIC_EVENTs and what they are about.
    generic: BTreeMap<String, usize>,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
}

/// Every sample file that stands for real traffic, and the `defects`, which are damaged on purpose.
fn sample_files(is_damaged_too: bool) -> Vec<PathBuf> {
    // No sample of detections of risk is public: the cases of that mapping stand for them.
    let mut folders = vec![folder().join("samples"), folder().join("../mappings/azure/entra_risk.cases")];
    let mut files = Vec::new();
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).expect("samples are readable") {
            let path = entry.expect("a folder entry is readable").path();
            if path.is_dir() {
                if is_damaged_too || !path.ends_with("defects") {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|ending| ending == "json" || ending == "ndjson")
                && !path.to_string_lossy().ends_with(".expect.json")
            {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

/// The messages of a sample file: lines one by one, or the whole.
fn messages(file: &Path) -> Vec<Vec<u8>> {
    let bytes = fs::read(file).expect("a sample is readable");
    if file.extension().is_none_or(|ending| ending != "ndjson") {
        return vec![bytes];
    }
    let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    if !file.ends_with("collector-timeline.ndjson") {
        return lines.map(<[u8]>::to_vec).collect();
    }
    // What a server holds and when a poll can see it; the log record is the member `event`.
    let event = |line| serde_json::from_slice::<Value>(line).expect("a line of the time line is JSON")["event"].to_string().into_bytes();
    lines.map(event).collect()
}

/// Adds the dotted paths of present leaves. JSON text is looked into where a row opened it, which `unread` shows.
fn leaves(value: &Value, path: &str, unread: &BTreeSet<String>, found: &mut BTreeSet<String>) {
    let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    match value {
        Value::Object(members) => members.iter().for_each(|(name, value)| leaves(value, &below(name), unread, found)),
        Value::Array(elements) => {
            elements.iter().enumerate().for_each(|(number, value)| leaves(value, &below(&number.to_string()), unread, found));
        }
        Value::Null => {}
        Value::String(text) if matches!(text.as_str(), "" | "null" | "-" | "<null>") => {}
        Value::String(text) if text.trim_start().starts_with(['{', '[']) && !unread.contains(path) => {
            let prefix = format!("{path}.");
            let is_opened = unread.range(prefix.clone()..).next().is_some_and(|first| first.starts_with(&prefix));
            match serde_json::from_str::<Value>(text) {
                Ok(inner) if is_opened => leaves(&inner, path, unread, found),
                _ => _ = found.insert(path.to_owned()),
            }
        }
        _ => _ = found.insert(path.to_owned()),
    }
}

/// A path with `*` for every number: one entry for all elements of a list.
fn general(path: &str) -> String {
    let step =
        |step: &str| if !step.is_empty() && step.bytes().all(|byte| byte.is_ascii_digit()) { "*".to_owned() } else { step.to_owned() };
    path.split('.').map(step).collect::<Vec<_>>().join(".")
}

fn add(families: &mut BTreeMap<String, Family>, body: &[u8], worker: &mut udmill::engine::Worker, uncounted: &mut usize) {
    let engine = mills::shipped();
    let outcomes = mills::run(engine, worker, body, Some(1_767_225_600_000));
    // The typed view, by record: a leaf is unread when no part of the record read it, and kept when one of its events has it.
    let mut unread: BTreeMap<u32, (String, BTreeSet<String>)> = BTreeMap::new();
    let mut kept: BTreeMap<u32, BTreeSet<String>> = BTreeMap::new();
    let mut counted = usize::try_from(outcomes.unread).expect("a message has few leaves");
    for trace in &outcomes.traces {
        let part = &outcomes.parts[trace.part];
        if part.view != 1 {
            continue;
        }
        let Some(plan) = engine.plan(part) else { continue };
        let family = families.entry(plan.name.clone()).or_default();
        count_event(family, &plan.name, &outcomes, trace.part, plan);
        kept.entry(part.finding).or_default().extend(kept_leaves(mills::event(&outcomes, part)));
        let paths: BTreeSet<String> = trace.plan.unread.iter().cloned().collect();
        unread
            .entry(part.finding)
            .and_modify(|(_, known)| known.retain(|path| paths.contains(path)))
            .or_insert_with(|| (plan.name.clone(), paths));
    }
    for (finding, (name, unread)) in unread {
        let record = engine.cut(worker, body, finding).and_then(|bytes| serde_json::from_slice::<Value>(bytes).ok());
        let Some(record) = record.filter(|record| record.get("records").is_none() && record.get("tables").is_none()) else {
            *uncounted += 1;
            continue;
        };
        let mut all = BTreeSet::new();
        leaves(&record, "", &unread, &mut all);
        let family = families.get_mut(&name).expect("made above");
        family.leaves += all.len();
        family.read += all.iter().filter(|path| !unread.contains(*path)).count();
        let counts = only_counts(&name);
        for path in all.intersection(&unread) {
            *family.unread.entry(general(path)).or_default() += 1;
            if kept[&finding].contains(path) {
                family.kept += 1;
            } else if counts && counted > 0 {
                (counted, family.kept) = (counted - 1, family.kept + 1);
            } else {
                *family.lost.entry(general(path)).or_default() += 1;
            }
        }
    }
}

/// Whether a mapping counts the leaves that no row read and keeps none.
fn only_counts(name: &str) -> bool {
    mapping::read(&mapping::built_in(), name, None).is_ok_and(|table| table.unmapped == Unmapped::Count)
}

/// The paths of the leaves that an event keeps.
fn kept_leaves(event: Option<Value>) -> BTreeSet<String> {
    let additional = event.as_ref().and_then(|event| event["additional"].as_object());
    additional.into_iter().flatten().filter_map(|(key, _)| key.strip_prefix("unmapped.").map(str::to_owned)).collect()
}

fn count_event(family: &mut Family, mapping: &str, outcomes: &Outcomes, part: usize, plan: &udmill::plan::Plan) {
    let part = &outcomes.parts[part];
    let Outcome::Emit { event_type, fallback, .. } = part.outcome else { return };
    let event = mills::event(outcomes, part).expect("emitted above");
    family.events += 1;
    if fallback {
        family.fallbacks += 1;
        let wanted = event["additional"]["udmill_wanted_event_type"].as_str().unwrap_or_default().to_owned();
        *family.wanted.entry((wanted, plan.types[event_type as usize].clone())).or_default() += 1;
    }
    if plan.types[event_type as usize] == "GENERIC_EVENT" {
        let has_kinds = ["azure/activity", "azure/cognitive_services"].contains(&mapping);
        let about = if has_kinds { kind_and_operation(&event) } else { String::new() };
        *family.generic.entry(about).or_default() += 1;
    }
}

/// `<category>: <last word of the operation>` of an event.
fn kind_and_operation(event: &Value) -> String {
    let category = event["securityResult"][0]["categoryDetails"][0].as_str().unwrap_or("none");
    let operation = event["metadata"]["productEventType"].as_str().unwrap_or_default();
    let word = operation.rsplit('/').next().unwrap_or_default();
    format!("{category}: {word}")
}

/// The families of the samples, counted.
fn counted() -> (BTreeMap<String, Family>, usize) {
    let mut families = BTreeMap::new();
    let mut worker = mills::worker(mills::shipped().limits());
    worker.trace(true);
    let mut uncounted = 0;
    for body in sample_files(false).iter().flat_map(|file| messages(file)) {
        add(&mut families, &body, &mut worker, &mut uncounted);
    }
    (families, uncounted)
}

/// The lines of a list of exceptions below `tests/reference`.
fn listed(name: &str) -> Vec<csv::StringRecord> {
    let mut reader = csv::Reader::from_path(folder().join("reference").join(name)).expect("the list is readable");
    let lines: Vec<_> = reader.records().map(|row| row.expect("the list is sound CSV")).collect();
    for line in &lines {
        assert!(line.iter().next_back().is_some_and(|reason| reason.len() > 15), "{name}: {line:?} wants a reason");
    }
    lines
}

/// Whether a path is of the form of a pattern with `*` for any text.
fn matches(pattern: &str, path: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == path,
        Some((head, tail)) => {
            path.strip_prefix(head).is_some_and(|rest| (0..=rest.len()).any(|at| rest.is_char_boundary(at) && matches(tail, &rest[at..])))
        }
    }
}

/// `tests/reference/unread.csv` lists leaves that no row is meant to read: mapping, path with `*` for any text, reason. Of the others rows
/// read at least [`READ_PERCENT`].
#[test]
fn rows_read_the_samples() {
    let (families, uncounted) = counted();
    let listed = listed("unread.csv");
    let mut used = BTreeSet::new();
    let mut faults = Vec::new();
    for (name, family) in &families {
        let mut excused = 0;
        let mut rest = Vec::new();
        for (path, count) in &family.unread {
            let entry = listed.iter().position(|line| line[0] == **name && matches(&line[1], path));
            match entry {
                Some(at) => {
                    used.insert(at);
                    excused += count;
                }
                None => rest.push(format!("  {count:5} {path}")),
            }
        }
        let meant = (family.leaves - excused).max(1);
        let percent = family.read * 100 / meant;
        println!(
            "{name}: rows read {} of {} leaves ({} %); {excused} are listed in unread.csv; {percent} % of the others",
            family.read,
            family.leaves,
            family.read * 100 / family.leaves.max(1),
        );
        println!("{}", rest.join("\n"));
        if percent < READ_PERCENT {
            faults.push(format!("{name}: rows read {percent} % of {meant} leaves:\n{}", rest.join("\n")));
        }
    }
    println!("records that could not be counted because they were repaired or stand in a table of rows: {uncounted}");
    let stale = (0..listed.len()).filter(|at| !used.contains(at));
    faults.extend(stale.map(|at| format!("unread.csv: nothing unread is called `{}` in {}", &listed[at][1], &listed[at][0])));
    assert!(uncounted < 10, "{uncounted} records were not counted");
    assert!(families.len() >= 4, "the samples have at least four families: {:?}", families.keys());
    assert!(
        faults.is_empty(),
        "{} faults; put a row into the table or a reason into tests/reference/unread.csv\n{}",
        faults.len(),
        faults.join("\n")
    );
}

/// Rows read at least [`KEPT_PERCENT`] of the leaves or the event keeps them (a value that is redacted is kept as that), in tables that fan
/// a record out they are counted. `tests/reference/lost.csv` lists what may be neither: mapping, path with `*` for any text, reason.
#[test]
fn leaves_are_read_or_kept() {
    let (families, _) = counted();
    let listed = listed("lost.csv");
    let mut used = BTreeSet::new();
    let mut faults = Vec::new();
    for (name, family) in &families {
        let mut excused = 0;
        for (path, count) in &family.lost {
            if let Some(at) = listed.iter().position(|line| line[0] == **name && matches(&line[1], path)) {
                used.insert(at);
                excused += count;
            }
        }
        let lost: usize = family.lost.values().sum();
        let meant = family.leaves - excused;
        let found = family.read + family.kept;
        println!(
            "{name}: {} leaves, {} read, {} kept, {lost} neither ({excused} listed in lost.csv): {:.1} %",
            family.leaves,
            family.read,
            family.kept,
            found as f64 * 100.0 / meant.max(1) as f64
        );
        family.lost.iter().for_each(|(path, count)| println!("  {count:5} {path}"));
        assert_eq!(found + lost, family.leaves, "{name}: every leaf is counted once");
        if found * 100 < meant * KEPT_PERCENT {
            faults.push(format!("{name}: {found} of {meant} leaves are read or kept; lost: {:?}", family.lost));
        }
    }
    let stale = (0..listed.len()).filter(|at| !used.contains(at));
    faults.extend(stale.map(|at| format!("lost.csv: nothing lost is called `{}` in {}", &listed[at][1], &listed[at][0])));
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// `tests/reference/fallbacks.csv` lists the types that must give way in the samples, and why: mapping, wished type, type, reason. Of the
/// other events at most [`FALLBACK_PERCENT`] give way.
#[test]
fn event_types_rarely_give_way() {
    let (families, _) = counted();
    let listed = listed("fallbacks.csv");
    let mut used = BTreeSet::new();
    let mut faults = Vec::new();
    for (name, family) in &families {
        let mut excused = 0;
        let mut rest = Vec::new();
        for ((wanted, given), count) in &family.wanted {
            match listed.iter().position(|line| line[0] == **name && line[1] == **wanted && line[2] == **given) {
                Some(at) => {
                    used.insert(at);
                    excused += count;
                }
                None => rest.push(format!("{wanted} -> {given}: {count}")),
            }
        }
        println!("{name}: {} fallbacks in {} events, {excused} of them listed; others: {rest:?}", family.fallbacks, family.events);
        if (family.fallbacks - excused) * 100 > (family.events - excused) * FALLBACK_PERCENT {
            faults.push(format!("{name}: {} event types give way: {rest:?}", family.fallbacks - excused));
        }
    }
    let stale = (0..listed.len()).filter(|at| !used.contains(at));
    faults.extend(stale.map(|at| format!("fallbacks.csv: {:?} does not happen", listed[at])));
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Where `azure-event-type-rules.csv` ends in GENERIC_EVENT: rows 30, 31, 40 to 42, 44 by category, and row 99 for an operation whose last
/// word none of rows 10 to 26 names. Flow tuples end in NETWORK_UNCATEGORIZED. That OpenAI events follow their own table is `openai.rs`'s proof,
/// and `azure/resource_common` stands for families whose rules come with their tables.
#[test]
fn generic_events_stand_only_where_the_rules_say() {
    let (families, _) = counted();
    let generic = |name: &str| families.get(name).map(|family| family.generic.clone()).unwrap_or_default();
    for (name, family) in &families {
        println!("{name}: {} of {} are GENERIC_EVENT {:?}", family.generic.values().sum::<usize>(), family.events, family.generic);
    }
    let by_category = ["Policy", "Security", "Alert", "ServiceHealth", "ResourceHealth", "Recommendation"];
    let by_operation = ["write", "delete", "action", "read", "list"];
    let wrong: Vec<_> = generic("azure/activity")
        .into_iter()
        .filter(|(about, _)| {
            let (category, word) = about.split_once(": ").unwrap_or_default();
            !by_category.contains(&category) && by_operation.contains(&word)
        })
        .collect();
    assert!(wrong.is_empty(), "azure/activity: GENERIC_EVENT for {wrong:?}");
    for name in [
        "azure/nsg_flow",
        "azure/nsg_rules",
        "azure/private_link",
        "azure/storage",
        "azure/vnet_flow",
        "azure/keyvault",
        "azure/machine_learning",
        "azure/api_management",
        "azure/entra_audit",
        "azure/graph_activity",
    ] {
        assert!(generic(name).is_empty(), "{name} has GENERIC_EVENTs");
    }
    let traces = generic("azure/cognitive_services");
    assert!(traces.keys().all(|about| about.starts_with("Trace: ")), "azure/cognitive_services: GENERIC_EVENT for {traces:?}");
}

#[test]
fn a_pattern_stands_for_its_paths() {
    assert!(matches("identity.claims.*", "identity.claims.aio"));
    assert!(matches("*.x.*", "a.x.b"));
    assert!(!matches("identity.claims.*", "identity.claim.aio"));
    assert!(!matches("a", "ab"));
}

/// Every event that any sample gives, under both profiles, is one that the schema and the rules of its type allow. What the guide wishes
/// and an event does not have stands in `tests/reference/warnings.csv`: mapping, event type with `*` for any, words of the warning, reason.
#[test]
fn every_event_of_the_samples_is_sound() {
    let engine = mills::shipped();
    let mut worker = mills::worker_with_places(engine.limits());
    let mut faults = BTreeSet::new();
    let mut warnings: BTreeMap<String, usize> = BTreeMap::new();
    let (mut events, mut parts) = (0, 0);
    for file in sample_files(true) {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        for line in messages(&file) {
            let outcomes = mills::run(engine, &mut worker, &line, Some(1_767_225_600_000));
            parts += outcomes.parts.len();
            for part in &outcomes.parts {
                let Some(event) = mills::event(&outcomes, part) else { continue };
                events += 1;
                for finding in lint(&event) {
                    if finding.level == Level::Error {
                        faults.insert(format!("{name}: {finding:?}"));
                    } else if let Some(plan) = engine.plan(part) {
                        let event_type = event["metadata"]["eventType"].as_str().unwrap_or_default();
                        *warnings.entry(format!("{} {event_type} {finding:?}", plan.name)).or_default() += 1;
                    }
                }
            }
        }
    }
    println!("{events} events of {parts} parts");
    warnings.iter().for_each(|(warning, count)| println!("{count:5} {warning}"));
    let listed = listed("warnings.csv");
    let explains = |line: &csv::StringRecord, warning: &str| matches(&format!("{} {} *{}*", &line[0], &line[1], &line[2]), warning);
    faults.extend(warnings.keys().filter(|warning| !listed.iter().any(|line| explains(line, warning))).cloned());
    let stale = listed.iter().filter(|line| !warnings.keys().any(|warning| explains(line, warning)));
    faults.extend(stale.map(|line| format!("warnings.csv: no event has {line:?}")));
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.into_iter().collect::<Vec<_>>().join("\n"));
    assert!(events > 2000, "the samples give more than {events} events");
}
