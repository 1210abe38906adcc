//! The contract of the command line: exit codes, order, streams, and what is refused.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Runs udmill in the project's folder with these arguments and this standard input.
pub fn udmill(arguments: &[&str], stdin: &[u8]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_udmill"))
        .args(arguments)
        .current_dir(root())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("udmill starts");
    let mut input = child.stdin.take().expect("a pipe");
    let stdin = stdin.to_vec();
    let writer = std::thread::spawn(move || {
        // A command that refuses its arguments does not read.
        let _ = input.write_all(&stdin);
    });
    let output = child.wait_with_output().expect("udmill ends");
    writer.join().expect("no panic");
    output
}

pub fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

pub fn record(number: usize) -> String {
    format!(
        r#"{{"id":"audit_log-{number}","type":"login.succeeded","effective_at":{},"object":"organization.audit_log"}}"#,
        1_767_225_600 + number
    )
}

/// A record whose time is missing: it is rejected in files, where no broker gives one.
const WITHOUT_TIME: &str = r#"{"id":"audit_log-x","type":"login.succeeded","object":"organization.audit_log"}"#;

#[test]
fn exit_codes_tell_what_happened() {
    let good = record(1);
    for (name, arguments, stdin, code) in [
        ("all emitted", &["replay", "-"][..], good.as_str(), 0),
        ("an empty input", &["replay", "-"], "", 0),
        ("one reject among events", &["replay", "-"], &format!("{good}\n{WITHOUT_TIME}\n"), 0),
        ("more rejects than allowed", &["replay", "-", "--max-rejects", "0"], &format!("{good}\n{WITHOUT_TIME}\n"), 3),
        ("as many rejects as allowed", &["replay", "-", "--max-rejects", "1"], &format!("{good}\n{WITHOUT_TIME}\n"), 0),
        ("nothing emitted", &["replay", "-"], WITHOUT_TIME, 3),
        ("no JSON at all", &["replay", "-"], "hello", 3),
        ("no such file", &["replay", "tests/there-is-none.ndjson"], "", 1),
        ("no such profile", &["replay", "-", "--profile", "typo"], &good, 2),
        ("no such folder of mappings", &["replay", "-", "--mappings", "tests/there-is-none"], &good, 2),
        ("no such option", &["replay", "-", "--typo"], &good, 2),
        ("a folder without logs", &["replay", "docs"], "", 2),
        ("a database of the wrong kind", &["replay", "-", "--geo-city", "Cargo.toml"], &good, 2),
        ("a database that is not there", &["replay", "-", "--geo-city", "tests/there-is-none.mmdb"], &good, 1),
        ("an output that cannot be written", &["replay", "-", "-o", "/there-is-no-folder/events"], &good, 1),
        ("check", &["check"], "", 0),
        ("check of shipped settings", &["check", "--quiet", "--config", "deploy/udmill.toml"], "", 0),
        ("check of shipped settings", &["check", "--quiet", "--config", "deploy/eventhubs.toml"], "", 0),
        ("check of what is no settings file", &["check", "--config", "Cargo.toml"], "", 2),
        ("the cases beside the mappings", &["test"], "", 0),
        ("cases where there are none", &["test", "docs"], "", 2),
    ] {
        let output = udmill(arguments, stdin.as_bytes());
        assert_eq!(output.status.code(), Some(code), "case: {name}\n{}{}", said(&output), String::from_utf8_lossy(&output.stdout));
        if code != 0 {
            assert!(said(&output).contains("error"), "{name}: a failure is told\n{}", said(&output));
        }
    }
}

#[test]
fn order_and_bytes_do_not_depend_on_threads_or_packing() {
    let text: String = (0..3_000).map(|number| record(number) + "\n").collect();
    let folder = tempfile::tempdir().expect("a folder");
    let plain = folder.path().join("a.ndjson");
    let packed = folder.path().join("a.ndjson.gz");
    let list = folder.path().join("PT1H.json");
    fs::write(&plain, &text).expect("a file");
    let mut gzip = flate2::write::GzEncoder::new(fs::File::create(&packed).expect("a file"), flate2::Compression::fast());
    gzip.write_all(text.as_bytes()).and_then(|()| gzip.try_finish()).expect("written");
    fs::write(&list, format!("{{\"records\":[{}]}}", text.trim_end().replace('\n', ",\n"))).expect("a file");
    let run = |path: &Path, threads: &str| {
        let output = udmill(&["replay", "--threads", threads, path.to_str().expect("UTF-8")], b"");
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        output.stdout
    };
    let expected = run(&plain, "1");
    let first: Value = serde_json::from_slice(expected.split(|byte| *byte == b'\n').next().expect("a line")).expect("an event");
    assert_eq!(first["metadata"]["productLogId"], "audit_log-0");
    assert_eq!(expected.iter().filter(|byte| **byte == b'\n').count(), 3_000);
    for (name, path, threads) in
        [("two threads", &plain, "2"), ("seven threads", &plain, "7"), ("gzip", &packed, "2"), ("an envelope", &list, "2")]
    {
        assert!(run(path, threads) == expected, "case: {name}");
    }
}

#[test]
fn dead_letters_hold_the_records_own_bytes_and_drive_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let letters = folder.path().join("letters.ndjson");
    let body = format!("{{\"records\":[{},{WITHOUT_TIME},{}]}}", record(1), record(2));
    let output = udmill(&["replay", "-", "--summary", "json", "--dead-letter", letters.to_str().expect("UTF-8")], body.as_bytes());
    let summary: Value = serde_json::from_slice(&output.stderr).expect("the summary is one JSON object");
    assert_eq!((&summary["emitted"], &summary["rejected"], &summary["rejects"]["time_missing"]), (&2.into(), &1.into(), &1.into()));
    let line = fs::read_to_string(&letters).expect("dead letters");
    let letter: Value = serde_json::from_str(&line).expect("one line");
    assert_eq!((&letter["code"], &letter["value"], &letter["source"]["file"]), (&"time_missing".into(), &WITHOUT_TIME.into(), &"-".into()));

    // Somebody who knows when it arrived says so; then it drives again.
    let mended = folder.path().join("mended.ndjson");
    let mut letter = letter;
    letter["received"] = "2026-01-01T00:00:00Z".into();
    fs::write(&mended, letter.to_string()).expect("a file");
    let output = udmill(&["replay", "--redrive", mended.to_str().expect("UTF-8")], b"");
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let event: Value = serde_json::from_slice(&output.stdout).expect("one event");
    assert_eq!(
        (&event["metadata"]["eventTimestamp"], &event["metadata"]["productLogId"]),
        (&"2026-01-01T00:00:00Z".into(), &"audit_log-x".into())
    );
    assert_eq!(udmill(&["replay", "--redrive", "-"], record(1).as_bytes()).status.code(), Some(1), "what is no dead letter is told");
}

#[test]
fn an_input_is_never_overwritten() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("a.ndjson");
    fs::write(&file, record(1)).expect("a file");
    let name = file.to_str().expect("UTF-8");
    for option in ["--output", "--dead-letter"] {
        let output = udmill(&["replay", name, option, name], b"");
        assert_eq!(output.status.code(), Some(2), "{}", said(&output));
        assert_eq!(fs::read_to_string(&file).expect("still there"), record(1));
    }
}

#[test]
fn nothing_but_text_goes_where_no_terminal_is() {
    for arguments in [&["replay", "-"][..], &["explain", "-"], &["check"], &["--help"], &["replay", "--help"]] {
        let output = udmill(arguments, record(1).as_bytes());
        assert!(!output.stdout.contains(&0x1b) && !output.stderr.contains(&0x1b), "{arguments:?}: no colour, no progress bar");
    }
}

#[test]
fn explain_names_the_row_behind_a_field() {
    let login = record(1)
        .replace("\"object\"", r#""actor":{"type":"session","session":{"user":{"id":"user-1"},"ip_address":"192.0.2.1"}},"object""#);
    let output = udmill(&["explain", "--format", "json", "--profile", "typed", "-"], login.as_bytes());
    let part: Value = serde_json::from_slice(&output.stdout).expect("one object");
    assert_eq!(
        (&part["mapping"], &part["outcome"]["is"], &part["rule"]["is"]),
        (&"openai/audit".into(), &"emitted".into(), &"USER_LOGIN".into())
    );
    let fields = part["fields"].as_array().expect("fields");
    let time = fields.iter().find(|field| field["target"] == "metadata.event_timestamp").expect("the time");
    assert_eq!((&time["source"], &time["value"]), (&"effective_at".into(), &"2026-01-01T00:00:01Z".into()));
    let (file, line) = time["row"].as_str().and_then(|row| row.rsplit_once(':')).expect("file:line");
    let text = fs::read_to_string(root().join("mappings").join(file.trim_start_matches("mappings/"))).expect("the mapping");
    let row = text.lines().nth(line.parse::<usize>().expect("a line") - 1).expect("that line");
    assert!(row.contains("effective_at") && row.contains("metadata.event_timestamp"), "{row}");
}

#[test]
fn every_shell_gets_completions_that_know_the_commands() {
    for shell in ["bash", "zsh", "fish"] {
        let output = udmill(&["completions", shell], b"");
        let script = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(script.contains("replay") && script.contains("redrive"), "{shell}");
    }
    let script = udmill(&["completions", "bash"], b"").stdout;
    let mut bash = Command::new("bash").arg("-n").stdin(Stdio::piped()).spawn().expect("bash starts");
    bash.stdin.take().expect("a pipe").write_all(&script).expect("bash reads");
    assert!(bash.wait().expect("bash ends").success(), "the script is sound bash");
}
