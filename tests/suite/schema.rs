//! The JSON Schemas for editors: a real validator takes every shipped table and settings file, and refuses slips.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::insight::udmill;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// A Python with the package jsonschema. `None` where there is none, which only a developer's machine may lack.
fn python() -> Option<PathBuf> {
    let candidates = [root().join("tests/udm_check/.venv/bin/python"), PathBuf::from("python3")];
    let found = candidates.into_iter().find(|python| {
        Command::new(python).args(["-c", "import jsonschema, tomllib"]).output().is_ok_and(|output| output.status.success())
    });
    if found.is_none() {
        assert!(std::env::var_os("CI").is_none(), "no Python with jsonschema; run tests/udm_check/install.sh");
        println!("skipped: no Python with jsonschema; tests/udm_check/install.sh makes one");
    }
    found
}

fn schema(what: &str) -> String {
    let output = udmill(&["schema", what]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// The faults of each file.
fn judge(python: &Path, what: &str, files: &[PathBuf]) -> Vec<(String, Vec<String>)> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("schema.json");
    fs::write(&path, schema(what)).expect("a file");
    let output = Command::new(python).arg(root().join("tests/suite/schema_check.py")).arg(path).args(files).output().expect("Python runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let line = |line: &str| {
        let told: Value = serde_json::from_str(line).expect("JSON");
        let faults = told["faults"].as_array().expect("a list").iter().map(|fault| fault.as_str().unwrap_or_default().to_owned());
        (told["file"].as_str().expect("a file").to_owned(), faults.collect())
    };
    String::from_utf8_lossy(&output.stdout).lines().map(line).collect()
}

fn toml_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            toml_files(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "toml") {
            found.push(path);
        }
    }
}

#[test]
fn every_shipped_table_and_settings_file_is_valid() {
    let Some(python) = python() else { return };
    for (what, folder, least) in [("mapping", "mappings", 5), ("config", "deploy", 2)] {
        let mut files = Vec::new();
        toml_files(&root().join(folder), &mut files);
        files.sort();
        let judged = judge(&python, what, &files);
        assert!(judged.len() >= least && judged.len() == files.len(), "{what}: {} files", judged.len());
        for (file, faults) in judged {
            assert!(faults.is_empty(), "{file}:\n{}", faults.join("\n"));
        }
    }
}

#[test]
fn slips_are_refused() {
    let Some(python) = python() else { return };
    let head = "[mapping]\nlog_type = 'X'\n[match]\nshape = 'azure'\n";
    let rows = |row: &str| format!("{head}[fields]\nrows = [ {row} ]\n");
    let rules = |rule: &str| format!("{head}[event_type]\nrules = [ {rule} ]\n");
    let cases = [
        ("mapping", rows("{ from = 'a', to = 'target.hostname' }"), true),
        ("mapping", rows("{ form = 'a', to = 'target.hostname' }"), false),
        ("mapping", rows("{ from = 'a' }"), false),
        ("mapping", rows("{ from = 'a', value = 1, to = 'target.hostname' }"), false),
        ("mapping", rows("{ from = 'a', to = 'target.hostname', as = 'lowr' }"), false),
        ("mapping", rows("{ from = 'a', to = 'target.hostname', when = { record_equal = { a = 'b' } } }"), false),
        ("mapping", rows("{ to = 'target.hostname', remove = true }"), true),
        ("mapping", rules("{ is = 'USER_LOGIN' }"), true),
        ("mapping", rules("{ is = 'USER_LOGGIN' }"), false),
        ("mapping", head.replace("'azure'", "'azur'"), false),
        ("config", "[source.kafka]\nbootstrap_servers = 'a:9092'\ntopics = ['x']\n[[output]]\nname = 'a'\ntopic = 'b'\n".to_owned(), true),
        ("config", "[source.kafka]\ntopic = ['x']\n".to_owned(), false),
        ("config", "[source.kafka]\ntopics = ['x']\n[source.kafka.security]\npassword = 'in the open'\n".to_owned(), false),
        ("config", "[run]\nworkers = 0\n".to_owned(), false),
        ("config", "[[output]]\nname = 'a'\ntopic = 'b'\nwrap = 'events'\n".to_owned(), false),
        ("config", "[[output]]\nname = 'a'\ntopic = 'b'\ntake = [ { tags = ['x*'], when = { record_has = 'a' } } ]\n".to_owned(), true),
        ("config", "[[output]]\nname = 'a'\ntopic = 'b'\ntake = [ { tag = ['x*'] } ]\n".to_owned(), false),
        ("config", "[[filter]]\nname = 'probes'\n".to_owned(), false),
    ];
    let folder = tempfile::tempdir().expect("a folder");
    for what in ["mapping", "config"] {
        let mut files = Vec::new();
        let cases: Vec<_> = cases.iter().filter(|(of, _, _)| *of == what).collect();
        for (at, (_, text, _)) in cases.iter().enumerate() {
            files.push(folder.path().join(format!("{what}{at}.toml")));
            fs::write(&files[at], text).expect("a file");
        }
        for ((_, faults), (_, text, is_valid)) in judge(&python, what, &files).into_iter().zip(cases) {
            assert_eq!(faults.is_empty(), *is_valid, "{text}\n{}", faults.join("\n"));
        }
    }
}

/// The schema has the settings of docs/settings.md, which is made from the source, and no other.
#[test]
fn the_schema_has_every_setting() {
    fn keys(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(members) => {
                if let Some(properties) = members.get("properties").and_then(Value::as_object) {
                    found.extend(properties.keys().cloned());
                }
                members.values().for_each(|value| keys(value, found));
            }
            Value::Array(elements) => elements.iter().for_each(|value| keys(value, found)),
            _ => {}
        }
    }
    let mut found = BTreeSet::new();
    keys(&serde_json::from_str(&schema("config")).expect("JSON"), &mut found);
    for section in ["run", "log", "admin", "files", "source", "sinks", "output", "dead_letter", "env"] {
        assert!(found.remove(section), "the schema has `{section}`");
    }
    let page = fs::read_to_string(root().join("docs/settings.md")).expect("the page");
    let settings = page.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`')).map(|(name, _)| name.to_owned());
    assert_eq!(found, settings.collect::<BTreeSet<_>>());
}
