//! Routes, filters and repeats, through the real command.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn udmill(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_udmill")).args(arguments).current_dir(folder).output().expect("udmill runs")
}

fn audit(id: u32, kind: &str) -> String {
    format!(
        r#"{{"id":"audit_log-{id}","object":"organization.audit_log","type":"{kind}","effective_at":{},"actor":{{"type":"session","session":{{"user":{{"id":"user-1","email":"user1@example.com"}},"ip_address":"192.0.2.1"}}}}}}"#,
        1_767_225_600 + id
    )
}

/// Standard output as events, and the summary.
fn replay(folder: &Path, arguments: &[&str]) -> (Vec<Value>, Value) {
    let output = udmill(folder, &[&["replay", "--summary", "json", "--profile", "typed", "in.ndjson"], arguments].concat());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {said}");
    let events = String::from_utf8_lossy(&output.stdout).lines().map(|line| serde_json::from_str(line).expect("an event")).collect();
    (events, serde_json::from_str(said.lines().last().unwrap_or_default()).unwrap_or_else(|_| panic!("a summary: {said}")))
}

fn ids(events: &[Value]) -> Vec<&str> {
    events.iter().filter_map(|event| event["metadata"]["productLogId"].as_str()).collect()
}

#[test]
fn the_settings_of_the_page_have_no_fault_and_slips_are_told_with_their_places() {
    let output = udmill(&root(), &["check", "--quiet", "--config", "deploy/routes.toml"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let folder = tempfile::tempdir().expect("a folder");
    let text = fs::read_to_string(root().join("deploy/routes.toml")).expect("the settings");
    let text = text
        .replace("\"azure/storage\"", "\"azure/sorage\"")
        .replace("[\"USER_LOGIN\"]", "[\"USER_LOGON\"]")
        .replace("[\"*\"] }", "[\"secrets_gone\"] }")
        .replace("{ record_equals", "{ record_equal");
    fs::write(folder.path().join("udmill.toml"), text).expect("a file");
    let output = udmill(folder.path(), &["check", "--quiet", "--config", "udmill.toml"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    for part in ["`USER_LOGON`", "did you mean `record_equals`?", "udmill.toml:"] {
        assert!(said.contains(part), "`{part}` in:\n{said}");
    }
}

#[test]
fn replay_heeds_filters_and_counts_them_by_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let lines: Vec<String> = (0..6).map(|id| audit(id, if id % 3 == 0 { "logout.succeeded" } else { "login.succeeded" })).collect();
    fs::write(folder.path().join("in.ndjson"), lines.join("\n")).expect("a file");
    let filters = "[source.kafka]\nbootstrap_servers = \"of a settings file\"\n[[filter]]\nname = \"logouts\"\nwhen = { record_prefix = { type = \"logout\" } }\n\
                   [[filter]]\nname = \"one_login\"\nevent_types = [\"USER_LOGIN\"]\nmappings = [\"openai/*\"]\nwhen = { record_suffix = { id = \"-4\" } }\n";
    fs::write(folder.path().join("filters.toml"), filters).expect("a file");
    let (events, summary) = replay(folder.path(), &["--filters", "filters.toml"]);
    assert_eq!(ids(&events), ["audit_log-1", "audit_log-2", "audit_log-5"]);
    assert_eq!(summary["skips"], serde_json::json!({ "logouts": 2, "one_login": 1 }));
    assert_eq!((&summary["parts"], &summary["emitted"], &summary["skipped"]), (&6.into(), &3.into(), &3.into()));
    assert_eq!(replay(folder.path(), &[]).0.len(), 6, "without filters");

    fs::write(folder.path().join("filters.toml"), filters.replace("record_prefix", "record_prefx")).expect("a file");
    let output = udmill(folder.path(), &["replay", "--filters", "filters.toml", "in.ndjson"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(2) && said.contains("did you mean `record_prefix`?") && said.contains("filters.toml:5"), "{said}");
    let output = udmill(folder.path(), &["replay", "--filters", "nowhere.toml", "in.ndjson"]);
    assert_eq!(output.status.code(), Some(2), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn replay_leaves_repeats_out_within_the_window() {
    let folder = tempfile::tempdir().expect("a folder");
    // Each id again after 1, after 3 and after 40 others.
    let order: Vec<u32> = (0..40).flat_map(|id| [id, id]).chain([37, 38, 39]).chain(0..40).collect();
    let lines: Vec<String> = order.iter().map(|id| audit(*id, "login.succeeded")).collect();
    fs::write(folder.path().join("in.ndjson"), lines.join("\n")).expect("a file");
    let all: Vec<String> = (0..40).map(|id| format!("audit_log-{id}")).collect();
    let (events, summary) = replay(folder.path(), &["--dedupe", "--threads", "4"]);
    assert_eq!(ids(&events), all);
    assert_eq!((&summary["skips"]["repeat"], &summary["event_types"]["USER_LOGIN"]), (&83.into(), &40.into()));
    let (events, summary) = replay(folder.path(), &["--dedupe=10"]);
    assert_eq!((events.len(), &summary["skips"]["repeat"]), (80, &43.into()), "the last forty are beyond a window of ten");
    assert_eq!(replay(folder.path(), &[]).0.len(), 123, "off by default");
}
