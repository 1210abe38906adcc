//! A row of a reference table that is said to be `mapped` is shown by its case: the engine's events of that body hold the row's UDM path, its
//! event type or its value.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::documented_reference::{self as documented, Cells, camel, reference};
use crate::mills;
use crate::reference_rows::stated;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
}

/// The events, under both profiles, of a case `<file below tests/>#<text in them>`.
fn events(case: &str, known: &mut BTreeMap<String, Vec<Value>>) -> Vec<Value> {
    let (path, text) = case.split_once('#').unwrap_or((case, ""));
    let all = known.entry(path.to_owned()).or_insert_with(|| {
        let body = fs::read(folder().join(path)).unwrap_or_else(|fault| panic!("{path}: {fault}"));
        let own = mills::site_of(&folder().join(path)).map(|site| mills::sited(&site));
        let engine = own.as_ref().unwrap_or_else(|| mills::shipped());
        let outcomes = mills::run(engine, &mut mills::worker_with_places(engine.limits()), &body, None);
        outcomes.parts.iter().filter_map(|part| mills::event(&outcomes, part)).collect()
    });
    let text = text.to_lowercase();
    all.iter().filter(|event| text.is_empty() || event.to_string().to_lowercase().contains(&text)).cloned().collect()
}

/// One step of a UDM path of a reference table: a member, and the key of a label or of `additional`.
#[derive(Debug)]
struct Step {
    member: String,
    key: Option<String>,
}

/// The UDM paths of a cell. `a.b[]`, `a[].b{key}` and `a.b[key]` are read; words in brackets, such as `(context)`, name no path.
fn paths(cell: &str) -> Vec<Vec<Step>> {
    let cell = cell.replace(".fields{", "{").replace(".fields[", "[");
    let whole = cell.split([';', ',']).flat_map(|path| path.split(" or ")).map(str::trim);
    whole.filter(|path| !path.is_empty() && !path.starts_with('(')).map(steps).collect()
}

fn steps(path: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut rest = path;
    while !rest.is_empty() {
        let end = rest.find(['.', '[', '{']).unwrap_or(rest.len());
        let (member, mut after) = rest.split_at(end);
        let mut key = None;
        while let Some(open) = after.chars().next().filter(|open| matches!(open, '[' | '{')) {
            let close = if open == '[' { ']' } else { '}' };
            let (inside, behind) = after[1..].split_once(close).unwrap_or_else(|| panic!("`{path}` is no path: {close} is missing"));
            if !inside.is_empty() {
                key = Some(inside.to_owned());
            }
            after = behind;
        }
        steps.push(Step { member: camel(member), key });
        rest = after.strip_prefix('.').unwrap_or(after);
    }
    steps
}

/// A key of a table: `a_*` and `<name>` stand for any key of that form.
fn is_key(wanted: &str, found: &str) -> bool {
    let wanted = if wanted.starts_with('<') { "*" } else { wanted };
    match wanted.split_once('*') {
        Some((head, tail)) => found.len() >= head.len() + tail.len() && found.starts_with(head) && found.ends_with(tail),
        None => wanted.replace(['<', '>'], "") == found,
    }
}

/// Whether an event holds something at a path; every element of a list is tried.
fn holds(value: &Value, steps: &[Step]) -> bool {
    let Some((step, rest)) = steps.split_first() else {
        return match value {
            Value::Null => false,
            Value::Array(elements) => !elements.is_empty(),
            // An empty message is present: it stands for the zero word of an enum.
            _ => true,
        };
    };
    if let Value::Array(elements) = value {
        return elements.iter().any(|element| holds(element, steps));
    }
    let Some(member) = value.get(&step.member) else { return false };
    match &step.key {
        None => holds(member, rest),
        Some(key) => match member {
            Value::Object(members) => members.keys().any(|found| is_key(key, found)),
            Value::Array(labels) => labels.iter().any(|label| label["key"].as_str().is_some_and(|found| is_key(key, found))),
            _ => false,
        },
    }
}

/// Whether one of the events shows a row.
fn shows(file: &str, row: &Cells, events: &[Value]) -> bool {
    let text = |event: &Value, pointer: &str| event.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    match file {
        // Family, order, condition, type: `USER_RESOURCE_DELETION`, or a sentence that begins with it.
        "azure-event-type-rules.csv" => {
            let types: Vec<&str> =
                row[3].split(|c: char| !c.is_ascii_uppercase() && c != '_').filter(|word| word.len() > 4 && (word.contains('_'))).collect();
            types.is_empty() || events.iter().any(|event| types.contains(&text(event, "/metadata/eventType").as_str()))
        }
        // ARM type, resource type.
        "azure-resource-types.csv" => events.iter().any(|event| {
            text(event, "/target/resource/resourceSubtype") == row[0]
                && (text(event, "/target/resource/resourceType") == row[1] || row[1].ends_with("UNSPECIFIED"))
        }),
        // Role id, role name.
        "azure-privileged-roles.csv" => events.iter().any(|event| text(event, "/target/user/attribute/roles/0/name") == row[1]),
        // Type, event type.
        "openai-typed-mapping.csv" => row[0] == "*" || events.iter().any(|event| text(event, "/metadata/eventType") == row[1]),
        // `country / city` are siblings in that table.
        "google-openai_auditlog.csv" => documented::paths(&row[1])
            .iter()
            .all(|path| path == "(unmapped)" || events.iter().any(|event| documented::found(event, path).is_some())),
        // Source, UDM path.
        _ => {
            let paths = paths(&row[1]);
            let is_alternative = row[1].contains(" or ");
            let found = |path: &Vec<Step>| events.iter().any(|event| holds(event, path));
            paths.is_empty() || if is_alternative { paths.iter().any(found) } else { paths.iter().all(found) }
        }
    }
}

/// The cases of a folder, to tell where a row is shown when its own case does not.
fn all_cases() -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![folder().join("../mappings"), folder().join("golden/azure"), folder().join("golden/openai")];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.to_string_lossy().ends_with(".in.json") {
                found.push(path.strip_prefix(folder()).expect("it lies below").to_string_lossy().replace('\\', "/"));
            }
        }
    }
    found.sort();
    found
}

#[test]
fn every_mapped_row_is_shown_by_its_case() {
    let mut known = BTreeMap::new();
    let mut tables: BTreeMap<String, Vec<Cells>> = BTreeMap::new();
    let mut faults = Vec::new();
    let mut shown = 0;
    for ((file, line), [state, _, case]) in stated() {
        if state != "mapped" {
            continue;
        }
        let table = tables.entry(file.clone()).or_insert_with(|| reference(&file));
        let row = &table[usize::try_from(line).expect("a line fits") - 2];
        assert!(!case.is_empty(), "{file}:{line}: `mapped` wants a case");
        if shows(&file, row, &events(&case, &mut known)) {
            shown += 1;
            continue;
        }
        let elsewhere = all_cases().into_iter().find(|case| shows(&file, row, &events(case, &mut known)));
        let elsewhere = elsewhere.map_or_else(|| "no case does".to_owned(), |case| format!("{case} does"));
        faults.push(format!("{file}:{line}: `{}` -> `{}` is not shown by {case}; {elsewhere}", row[0], row[1]));
    }
    println!("{shown} mapped rows are shown by their cases");
    assert!(faults.is_empty(), "{} rows:\n{}", faults.len(), faults.join("\n"));
    assert!(shown > 300, "only {shown} rows are mapped");
}

#[test]
fn paths_of_the_tables_are_found_in_events() {
    let event = serde_json::json!({
        "principal": { "ip": ["192.0.2.1"], "user": { "attribute": { "roles": [{ "name": "Owner" }] } } },
        "securityResult": [{ "summary": "s" }, { "detectionFields": [{ "key": "alert_name", "value": "a" }] }],
        "additional": { "system_id": "x" },
    });
    for (path, expected) in [
        ("principal.ip[]", true),
        ("principal.user.attribute.roles[].name", true),
        ("security_result.detection_fields{alert_*}", true),
        ("security_result[].detection_fields{<name>}", true),
        ("security_result.detection_fields{alert}", false),
        ("additional.fields{system_id}", true),
        ("additional.fields[system_id]", true),
        ("target.ip", false),
    ] {
        let found = paths(path).iter().all(|path| holds(&event, path));
        assert_eq!(found, expected, "case: {path}");
    }
    assert!(paths("(context)").is_empty());
}
