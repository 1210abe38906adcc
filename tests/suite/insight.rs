//! What people are told of mappings and events: coverage, reports, differences. Every figure is held against a second count.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Command, Output};

use serde_json::Value;

pub fn udmill(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_udmill")).args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).output().expect("udmill runs")
}

fn json(arguments: &[&str]) -> Value {
    let output = udmill(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// A page that loads nothing: no address that a browser would follow by itself.
pub fn assert_self_contained(html: &str) {
    for outside in ["src=", "@import", "url(", "<link rel=\"stylesheet", "href=\"http", "fetch("] {
        assert!(!html.contains(outside), "the page has `{outside}`");
    }
    assert!(html.starts_with("<!doctype html>") && html.trim_end().ends_with("</html>"), "a whole page");
    assert!(html.contains("default-src 'none'"), "the browser is told to load nothing");
}

/// Present scalar leaves below a value: their general paths.
fn leaves(value: &Value, path: &str, found: &mut BTreeMap<String, u64>) {
    let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    let is_number = |name: &str| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit());
    match value {
        Value::Object(members) => {
            members.iter().for_each(|(name, value)| leaves(value, &below(if is_number(name) { "*" } else { name }), found));
        }
        Value::Array(elements) => elements.iter().for_each(|value| leaves(value, &below("*"), found)),
        Value::Null => {}
        Value::String(text) if matches!(text.as_str(), "" | "null" | "-" | "<null>") => {}
        _ => *found.entry(path.to_owned()).or_default() += 1,
    }
}

const OPENAI: &str = "tests/samples/openai/by-type-session.ndjson";

#[test]
fn coverage_counts_every_value_once() {
    let report = json(&["coverage", "--profile", "typed", "--format", "json", OPENAI]);
    let text = std::fs::read_to_string(format!("{}/{OPENAI}", env!("CARGO_MANIFEST_DIR"))).expect("a sample");
    let mut expected = BTreeMap::new();
    let mut records = 0;
    for line in text.lines().filter(|line| !line.is_empty()) {
        leaves(&serde_json::from_str(line).expect("JSON"), "", &mut expected);
        records += 1;
    }
    let mapping = &report["mappings"][0];
    assert_eq!((&mapping["mapping"], mapping["records"].as_u64()), (&"openai/audit".into(), Some(records)));
    let mut seen = BTreeMap::new();
    for path in mapping["paths"].as_array().expect("paths") {
        let number = |name: &str| path[name].as_u64().expect(name);
        assert_eq!(number("read") + number("unmapped"), number("seen"), "{path}");
        assert!(number("records") <= number("seen").min(records), "{path}");
        let state = path["state"].as_str().expect("a state");
        assert_eq!(state == "never_seen", number("seen") == 0, "{path}");
        assert!(
            !matches!(state, "read" | "partly")
                || path["rows"].as_array().is_some_and(|rows| !rows.is_empty())
                || path["named_by"] != Value::Array(vec![]),
            "{path}: who read it?"
        );
        if number("seen") > 0 {
            seen.insert(path["path"].as_str().expect("a path").to_owned(), number("seen"));
        }
    }
    assert_eq!(seen, expected, "paths and how often they were seen");

    // What explain calls unread is what coverage calls unmapped.
    let explained = udmill(&["explain", "--profile", "typed", "--format", "json", OPENAI]);
    let mut unread: u64 = 0;
    let mut filled: BTreeMap<String, u64> = BTreeMap::new();
    for line in String::from_utf8_lossy(&explained.stdout).lines() {
        let part: Value = serde_json::from_str(line).expect("JSON");
        unread += part["unread"].as_array().expect("a list").len() as u64;
        let fields = part["fields"].as_array().expect("a list");
        let fields: BTreeSet<&str> = fields.iter().filter_map(|field| field["target"].as_str()).collect();
        fields.into_iter().for_each(|field| *filled.entry(field.to_owned()).or_default() += 1);
    }
    assert_eq!(mapping["values_seen"].as_u64().unwrap() - mapping["values_read"].as_u64().unwrap(), unread);
    let fields = mapping["fields"].as_array().expect("fields").iter();
    let told: BTreeMap<String, u64> = fields
        .filter(|field| field["filled"] != 0)
        .map(|field| (field["field"].as_str().unwrap_or_default().to_owned(), field["filled"].as_u64().unwrap_or_default()))
        .collect();
    assert_eq!(told, filled, "UDM fields and how often they were filled");
}

#[test]
fn coverage_of_tuples_counts_a_record_once() {
    let report = json(&["coverage", "--format", "json", "tests/samples/azure/nsg_flow"]);
    let flow = report["mappings"].as_array().expect("mappings").iter().find(|one| one["mapping"] == "azure/nsg_flow").expect("flows");
    let time = flow["paths"].as_array().expect("paths").iter().find(|path| path["path"] == "time").expect("each record has a time");
    assert_eq!(time["seen"], flow["records"], "not once a tuple");
    assert!(flow["emitted"].as_u64() > flow["records"].as_u64(), "records hold several tuples");
}

#[test]
fn the_coverage_page_stands_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let page = folder.path().join("coverage.html");
    let output = udmill(&["coverage", "tests/samples/azure/activity", "--html", &page.to_string_lossy()]);
    assert!(output.status.success());
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("azure/activity") && text.contains("UDM fields ("), "{text}");
    let html = std::fs::read_to_string(page).expect("the page");
    assert_self_contained(&html);
    assert!(html.contains("<code>callerIpAddress</code>") && html.contains("metadata.<wbr>event_timestamp"));
    let same = udmill(&["coverage", "tests/samples/azure/activity", "--format", "html"]);
    assert_eq!(String::from_utf8_lossy(&same.stdout), html);
}

/// What a running process would tell of drift is what coverage calls unknown.
#[test]
fn drift_is_what_coverage_calls_unknown() {
    let engine = crate::mills::shipped();
    let mut watching = crate::mills::worker(engine.limits());
    watching.watch_drift();
    let mut plain = crate::mills::worker(engine.limits());
    let names: Vec<String> = engine.plans(0).map(|plan| plan.name.clone()).collect();
    let mut drift: BTreeMap<String, BTreeMap<String, u64>> = BTreeMap::new();
    let files = ["azure/activity/panther-activity.ndjson", "azure/entra/panther-entra.ndjson", "openai/by-type-api-key.ndjson"];
    let files = files.map(|file| format!("{}/tests/samples/{file}", env!("CARGO_MANIFEST_DIR")));
    for file in &files {
        for line in std::fs::read_to_string(file).expect("a sample").lines().filter(|line| !line.is_empty()) {
            let watched = crate::mills::run(engine, &mut watching, line.as_bytes(), None);
            assert_eq!(watched.unread, crate::mills::run(engine, &mut plain, line.as_bytes(), None).unread, "{line}");
        }
    }
    let watch = watching.drift().expect("somebody watches");
    watch.take(|_, path, values| {
        *drift.entry(names[usize::from(path.mapping)].clone()).or_default().entry(path.path.clone()).or_default() += values;
    });
    assert_eq!(watch.take_beyond(), 0);

    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    let report = json(&[&["coverage", "--format", "json"], &files[..]].concat());
    let mut expected: BTreeMap<String, BTreeMap<String, u64>> = BTreeMap::new();
    for mapping in report["mappings"].as_array().expect("mappings") {
        // A mapping that drops what it does not read is not watched.
        if mapping["unmapped"] == "drop" {
            continue;
        }
        let name = mapping["mapping"].as_str().expect("a name");
        for path in mapping["paths"].as_array().expect("paths").iter().filter(|path| path["state"] == "unknown") {
            let path_name = path["path"].as_str().expect("a path");
            expected.entry(name.to_owned()).or_default().insert(path_name.to_owned(), path["seen"].as_u64().expect("a count"));
        }
    }
    assert!(expected.values().map(BTreeMap::len).sum::<usize>() > 50, "the samples have paths that no mapping knows: {expected:?}");
    assert_eq!(drift, expected);
}

#[test]
fn a_row_that_is_added_shows_in_the_diff_and_nothing_else() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(folder.path().join("openai")).expect("a folder");
    let table = "extends = true\n[fields]\nrows = [\n  { from = \"type\", to = \"additional{my_type}\" },\n]\n";
    std::fs::write(folder.path().join("openai/audit.toml"), table).expect("a file");
    let folder = folder.path().to_string_lossy();
    let records = std::fs::read_to_string(format!("{}/{OPENAI}", env!("CARGO_MANIFEST_DIR"))).expect("a sample").lines().count();
    for (old, new, kind) in [("built-in", &*folder, "added"), (&folder, "built-in", "removed")] {
        let output = udmill(&["diff", "--format", "json", old, new, OPENAI]);
        assert_eq!(output.status.code(), Some(4), "{}", String::from_utf8_lossy(&output.stderr));
        let diff: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert_eq!(diff["fields"].as_object().expect("fields").keys().collect::<Vec<_>>(), ["additional.my_type"]);
        assert_eq!(diff["fields"]["additional.my_type"][kind], records);
        assert_eq!((&diff["records"], &diff["records_changed"]), (&records.into(), &records.into()));
        assert_eq!(diff["outcomes"], serde_json::json!({}));
        let text = udmill(&["diff", old, new, OPENAI]);
        assert!(String::from_utf8_lossy(&text.stdout).contains("additional.my_type"));
    }
    let same = udmill(&["diff", "built-in", "built-in", OPENAI]);
    assert_eq!((same.status.code(), String::from_utf8_lossy(&same.stdout).starts_with("0 of ")), (Some(0), true));
}
