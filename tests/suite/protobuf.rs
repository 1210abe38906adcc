//! Google's own protobuf accepts every event made from the samples: strictly, network.http.parsedUserAgent apart.
//!
//! Needs the Python environment that `tests/udm_check/install.sh` makes. Without it the test says so and passes on a developer's machine;
//! where `CI` is set it fails.

use std::env;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn python() -> Option<PathBuf> {
    let python = root().join("tests/udm_check/.venv/bin/python");
    if python.exists() {
        return Some(python);
    }
    assert!(env::var_os("CI").is_none(), "tests/udm_check/.venv is missing; run tests/udm_check/install.sh");
    println!("skipped: tests/udm_check/.venv is missing; tests/udm_check/install.sh makes it");
    None
}

/// Runs the judge over NDJSON; gives whether it accepted all, and what it said.
fn judge(python: &Path, events: Vec<u8>) -> (bool, String) {
    let mut child = Command::new(python)
        .arg(root().join("tests/udm_check/check.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the judge starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    let writer = thread::spawn(move || stdin.write_all(&events));
    let output = child.wait_with_output().expect("the judge ends");
    writer.join().expect("no panic").expect("the judge reads everything");
    (output.status.success(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

/// The events that `udmill replay` makes of every sample under a profile.
fn events(profile: &str) -> Vec<u8> {
    let output = Command::new(env!("CARGO_BIN_EXE_udmill"))
        .args(["replay", "--summary", "json", "--profile", profile, "tests/samples"])
        .current_dir(root())
        .output()
        .expect("udmill runs");
    let summary = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "replay of tests/samples: {}\n{summary}", output.status);
    output.stdout
}

#[test]
fn every_event_of_the_samples_is_accepted() {
    let Some(python) = python() else { return };
    for profile in ["documented", "typed"] {
        let events = events(profile);
        let count = events.iter().filter(|byte| **byte == b'\n').count();
        assert!(count > 500, "{profile}: the samples give many events, got {count}");
        let (accepted, said) = judge(&python, events);
        assert!(accepted, "{profile}:\n{said}");
    }
}

#[test]
fn the_judge_refuses_what_the_schema_does_not_know() {
    let Some(python) = python() else { return };
    for (name, event, accepted) in [
        (
            "sound",
            r#"{"metadata":{"eventTimestamp":"2026-01-01T00:00:00.1234567Z","eventType":"USER_LOGIN"},"additional":{"a":"b"}}"#,
            true,
        ),
        ("parsedUserAgent apart", r#"{"network":{"http":{"parsedUserAgent":{"browser":"x"},"userAgent":"x"}}}"#, true),
        ("unknown field", r#"{"metadata":{"nonsense":1}}"#, false),
        ("unknown enum word", r#"{"metadata":{"eventType":"user_login"}}"#, false),
        ("time as a number", r#"{"metadata":{"eventTimestamp":1767225600}}"#, false),
        ("scalar for a list", r#"{"principal":{"ip":"192.0.2.1"}}"#, false),
        ("number for text", r#"{"network":{"asn":64496}}"#, false),
        ("negative bytes", r#"{"network":{"sentBytes":"-1"}}"#, false),
        ("one name twice", r#"{"metadata":{"productName":"a","productName":"b"}}"#, false),
    ] {
        let (was_accepted, said) = judge(&python, event.as_bytes().to_vec());
        assert_eq!(was_accepted, accepted, "case: {name}\n{said}");
    }
}
