//! `udmill report` against a second opinion: `report_count.py` counts the same operations straight from the records.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::insight::{assert_self_contained, udmill};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Runs `report_count.py`. `None` where there is no Python, which only a developer's machine may lack.
fn counted(arguments: &[&str]) -> Option<Vec<u8>> {
    let output = match Command::new("python3").arg("tests/suite/report_count.py").args(arguments).current_dir(root()).output() {
        Ok(output) => output,
        Err(fault) => {
            assert!(std::env::var_os("CI").is_none(), "python3 is missing: {fault}");
            println!("skipped: python3 is missing");
            return None;
        }
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(output.stdout)
}

fn report(arguments: &[&str]) -> Value {
    let output = udmill(&[&["report", "--format", "json"], arguments].concat());
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// `{name: count}` of a list of groups.
fn groups(list: &Value, count: &str) -> BTreeMap<String, u64> {
    let group = |group: &Value| (group["name"].as_str().unwrap_or_default().to_owned(), group[count].as_u64().expect("a count"));
    list.as_array().expect("a list").iter().map(group).collect()
}

/// The figures of a report that the second opinion gives too, in its form.
fn comparable(report: &Value, second: &Value) -> Value {
    let mut totals = report["totals"].clone();
    let wanted = second["totals"].as_object().expect("totals");
    totals.as_object_mut().expect("totals").retain(|name, _| wanted.contains_key(name));
    let areas = report["security_events"].as_object().expect("areas").iter();
    let areas: BTreeMap<_, _> =
        areas.map(|(name, counts)| (name.clone(), json!({ "operations": counts["operations"], "failed": counts["failed"] }))).collect();
    let role = |one: &Value| ["who", "operation", "status", "resource"].map(|name| one[name].as_str().unwrap_or_default().to_owned());
    let mut roles: Vec<_> = report["role_assignment_changes"].as_array().expect("a list").iter().map(role).collect();
    roles.sort();
    json!({
        "totals": totals,
        "by_category": groups(&report["by_category"], "operations"),
        "security_events": areas,
        "deletions_by_resource_type": groups(&report["deletions_by_resource_type"], "operations"),
        "failed_by_type": groups(&report["failed_by_type"], "failed"),
        "role_assignment_changes": roles,
    })
}

fn sample_files() -> Vec<String> {
    let folder = root().join("tests/samples/azure/activity");
    let mut files: Vec<String> = fs::read_dir(folder)
        .expect("the samples")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "ndjson"))
        .map(|path| path.to_string_lossy().into_owned())
        .collect();
    files.sort();
    files
}

fn assert_equal(files: &[&str], least: u64) {
    let Some(second) = counted(files) else { return };
    let second: Value = serde_json::from_slice(&second).expect("JSON");
    let report = report(files);
    let ours = comparable(&report, &second);
    for (name, theirs) in second.as_object().expect("an object") {
        assert_eq!(&ours[name], theirs, "{name}: left is the report, right is what report_count.py counts");
    }
    assert!(report["totals"]["operations"].as_u64() >= Some(least), "{}", report["totals"]);
    assert!(report["totals"]["events"].as_u64() > report["totals"]["operations"].as_u64(), "some operations have several records");
}

#[test]
fn the_report_over_the_samples_equals_an_independent_count() {
    let files = sample_files();
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    assert_equal(&files, 100);
}

/// A month with starts, acceptances and ends, in no order.
fn month(folder: &Path) -> Option<String> {
    let file = folder.join("month.ndjson");
    fs::write(&file, counted(&["--make"])?).expect("a file");
    Some(file.to_string_lossy().into_owned())
}

#[test]
fn the_report_over_a_month_equals_an_independent_count() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some(file) = month(folder.path()) else { return };
    assert_equal(&[&file], 800);
}

#[test]
fn records_and_their_events_give_one_report() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some(raw) = month(folder.path()) else { return };
    let events = folder.path().join("events.ndjson").to_string_lossy().into_owned();
    assert!(udmill(&["replay", &raw, "-o", &events, "--summary", "none"]).status.success());
    let strip = |mut report: Value| {
        report["inputs"] = Value::Null;
        report
    };
    assert_eq!(strip(report(&[&raw])), strip(report(&[&events])));

    // Neighbouring periods share no event and leave none out; an operation on the border is told of in both.
    let events = |from: &str, to: &str| report(&[&raw, "--from", from, "--to", to])["totals"].clone();
    let whole = report(&[&raw])["totals"]["events"].as_u64().expect("a count");
    let halves = [events("2026-01-01", "2026-01-16"), events("2026-01-16", "2026-02-01")];
    let counts: Vec<u64> = halves.iter().map(|half| half["events"].as_u64().expect("a count")).collect();
    assert_eq!(counts.iter().sum::<u64>(), whole);
    assert_eq!(halves[0]["outside_period"].as_u64(), Some(counts[1]));
}

#[test]
fn tagged_operations_are_listed_and_counted_once() {
    let event = |id: &str, time: &str, action: Value, tags: &[(&str, &str)]| {
        let mut results = vec![
            json!({ "categoryDetails": ["Administrative"], "action": action, "detectionFields": [{ "key": "correlation_id", "value": "c1" }] }),
        ];
        for (tag, severity) in tags {
            results.push(json!({ "severity": severity, "summary": "why", "detectionFields": [{ "key": "tag", "value": tag }] }));
        }
        json!({
            "metadata": { "eventTimestamp": time, "eventType": "USER_RESOURCE_DELETION", "productEventType": "microsoft.keyvault/vaults/delete", "productLogId": id },
            "principal": { "user": { "userid": "Ada@example.com" }, "ip": ["192.0.2.1"] },
            "target": { "resource": { "productObjectId": "/x/<b>", "resourceSubtype": "microsoft.keyvault/vaults" } },
            "securityResult": results,
        })
    };
    let flow = json!({ "metadata": { "eventTimestamp": "2026-01-01T00:00:00Z", "eventType": "NETWORK_FLOW", "productLogId": "f" } });
    let text = [
        event("1", "2026-01-01T00:00:00Z", json!([]), &[]),
        event("2", "2026-01-01T00:00:05Z", json!(["ALLOW"]), &[("low_one", "LOW"), ("vault_delete", "HIGH")]),
        event("3", "2026-01-01T00:00:05Z", json!(["FAIL"]), &[("vault_delete", "HIGH")]),
        flow,
    ]
    .map(|event| event.to_string())
    .join("\n");
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("events.ndjson");
    fs::write(&file, &text).expect("a file");
    let file = file.to_string_lossy();
    let found = report(&[&file]);
    let totals = &found["totals"];
    assert_eq!((totals["operations"].as_u64(), totals["failed"].as_u64(), totals["traffic"].as_u64()), (Some(1), Some(1), Some(1)));
    let one = &found["high_risk_operations"][0];
    assert_eq!((&one["severity"], &one["who"], &one["status"]), (&json!("HIGH"), &json!("ada@example.com"), &json!("failed")));
    assert_eq!(one["tags"], json!(["low_one", "vault_delete"]));
    assert_eq!(found["high_risk_by_tag"].as_array().map(Vec::len), Some(2));
    assert_eq!(found["security_events"]["key_vault"]["operations"], 1);
    assert_eq!(groups(&found["deletions_by_resource_type"], "operations"), BTreeMap::from([("microsoft.keyvault/vaults".to_owned(), 1)]));

    let html = String::from_utf8(udmill(&["report", &file, "--format", "html"]).stdout).expect("UTF-8");
    assert_self_contained(&html);
    assert!(html.contains("vault_delete") && html.contains("&lt;b&gt;") && !html.contains("/x/<b>"));
}

/// The tags that the mappings give are the high-risk operations of the report, each once an operation.
#[test]
fn tags_of_the_mappings_reach_the_report() {
    let files = sample_files();
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    let replayed = udmill(&[&["replay", "--summary", "none"], &files[..]].concat());
    let mut expected: BTreeMap<String, BTreeSet<[String; 3]>> = BTreeMap::new();
    for line in String::from_utf8_lossy(&replayed.stdout).lines() {
        let event: Value = serde_json::from_str(line).expect("JSON");
        let labels: Vec<(&str, &str)> = event["securityResult"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|result| result["detectionFields"].as_array())
            .flatten()
            .filter_map(|label| Some((label["key"].as_str()?, label["value"].as_str()?)))
            .collect();
        let correlation = labels.iter().find(|(key, _)| *key == "correlation_id").map_or("", |(_, value)| value);
        let text = |value: &Value| value.as_str().unwrap_or_default().to_lowercase();
        let operation =
            [correlation.to_owned(), text(&event["metadata"]["productEventType"]), text(&event["target"]["resource"]["productObjectId"])];
        for (_, tag) in labels.iter().filter(|(key, _)| *key == "tag") {
            expected.entry((*tag).to_owned()).or_default().insert(operation.clone());
        }
    }
    let report = report(&files);
    let tags = report["high_risk_by_tag"].as_array().expect("a list").iter();
    let told: BTreeMap<&str, u64> =
        tags.map(|tag| (tag["tag"].as_str().unwrap_or_default(), tag["operations"].as_u64().unwrap_or_default())).collect();
    let expected: BTreeMap<&str, u64> = expected.iter().map(|(tag, operations)| (tag.as_str(), operations.len() as u64)).collect();
    assert!(expected.len() > 5, "the samples have tagged operations: {expected:?}");
    assert_eq!(told, expected);
}

#[test]
fn a_period_that_is_none_is_refused() {
    for arguments in [["--from", "2026-02-01", "--to", "2026-01-01"], ["--from", "soon", "--to", "2026-01-01"]] {
        let output = udmill(&[&["report", "tests/samples/azure/activity"][..], &arguments].concat());
        assert_eq!(output.status.code(), Some(2), "{}", String::from_utf8_lossy(&output.stderr));
    }
}
