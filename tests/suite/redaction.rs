//! What a site does not let out: a canary at a path of every sample, which a rule names, comes out by no event, identity, note, reject,
//! explain, dead letter or raw copy.

use std::fs;
use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};
use udmill::engine::site::{SiteRule, SiteRules, Whose};
use udmill::engine::{Engine, Message, Outcomes, Settings, Timestamp, Worker};
use udmill::plan::site::{Action, Key};

use crate::ends::{self, Dice};
use crate::mills;

/// The word that every canary holds; no pattern of built-in redaction fits it.
const CANARY: &str = "Canary0 of the site";

/// The paths of all texts, as a rule writes them; JSON texts are opened.
fn paths(value: &Value, path: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members.iter().filter(|(name, _)| !name.contains('"') && !name.is_empty()) {
                let dot = if path.is_empty() { "" } else { "." };
                paths(value, &format!("{path}{dot}\"{name}\""), found);
            }
        }
        Value::Array(elements) => elements.iter().for_each(|value| paths(value, &format!("{path}[*]"), found)),
        Value::String(text) => match serde_json::from_str::<Value>(text) {
            Ok(inner @ (Value::Object(_) | Value::Array(_))) => paths(&inner, path, found),
            _ => found.push(path.to_owned()),
        },
        _ => {}
    }
}

/// Puts the canary where a path leads.
fn plant(value: &mut Value, path: &str, at: &str) {
    match value {
        Value::Object(members) => {
            for (name, value) in members.iter_mut() {
                let dot = if at.is_empty() { "" } else { "." };
                plant(value, path, &format!("{at}{dot}\"{name}\""));
            }
        }
        Value::Array(elements) => elements.iter_mut().for_each(|value| plant(value, path, &format!("{at}[*]"))),
        Value::String(text) => match serde_json::from_str::<Value>(text) {
            Ok(mut inner @ (Value::Object(_) | Value::Array(_))) => {
                plant(&mut inner, path, at);
                *text = inner.to_string();
            }
            _ if path == at => *text = CANARY.to_owned(),
            _ => {}
        },
        _ => {}
    }
}

fn rules(paths: &[&str], mappings: &[&str], action: Action) -> SiteRules {
    let own = |all: &[&str]| all.iter().map(|one| (*one).to_owned()).collect();
    let rule = SiteRule { paths: own(paths), mappings: own(mappings), action };
    SiteRules { rules: vec![rule], key: Some(Key::new(b"a key of some length")), keeps_dead_letters: false }
}

/// Everything about a body that leaves.
fn told(engine: &Engine, worker: &mut Worker, body: &[u8]) -> String {
    let mut outcomes = Outcomes::default();
    engine.process(worker, Message { received: Some(Timestamp(ends::RECEIVED)), ..Message::new(body) }, &mut outcomes);
    assert!(!outcomes.parts.is_empty());
    let mut told = format!("{:?}\n{:?}\n{:?}\n", outcomes.parts, outcomes.notes, outcomes.traces).into_bytes();
    told.extend_from_slice(&outcomes.events);
    told.extend_from_slice(&outcomes.ids);
    engine.letter_each(worker, body, Whose::Found, |_, bytes| told.extend_from_slice(bytes));
    told.extend(engine.letter(worker, body, 0, Whose::Anyone).unwrap_or_default());
    told.extend(engine.whole_letter(worker, body, Whose::Found));
    told.extend(engine.raw_copy(worker, body, Whose::Found).expect("rules are in force"));
    String::from_utf8_lossy(&told).into_owned()
}

#[test]
fn no_named_value_comes_out_anywhere() {
    let mut engine = mills::engine(&udmill::mapping::built_in(), Settings::default());
    let mut worker = mills::worker_with_places(engine.limits());
    worker.trace(true);
    let records = ends::records(mills::shipped(), &mut worker);
    let (mut dice, mut bodies, mut leaks) = (Dice::new(10), 0, Vec::new());
    for (name, record) in records {
        // Wrappers are taken off by decoding: paths are those of the record inside.
        engine.redact_site(&SiteRules::default()).expect("no rule");
        let Some(record) = engine.letter(&mut worker, &record, 0, Whose::Found) else { continue };
        let Ok(record) = serde_json::from_slice::<Value>(&record) else { continue };
        let mut all = Vec::new();
        paths(&record, "", &mut all);
        for action in [Action::Drop, Action::Hash, Action::Mask] {
            if all.is_empty() {
                break;
            }
            let path = all[dice.roll(all.len())].clone();
            let mut planted = record.clone();
            plant(&mut planted, &path, "");
            let body = planted.to_string();
            assert!(body.contains(CANARY), "{path} of {name}");
            engine.redact_site(&rules(&[&path], &[], action)).unwrap_or_else(|faults| panic!("{path}: {faults:?}"));
            let cut = body.floor_char_boundary(body.len() / 2 + dice.roll(body.len() / 2));
            let two = format!("{{\"records\":[{body},{body}]}}");
            let broken = format!("{{\"records\":[{body},{}]}}", &body[..cut]);
            for (form, body) in
                [("alone", body.as_str()), ("cut short", &body[..cut]), ("in an envelope", &two), ("beside a broken one", &broken)]
            {
                bodies += 1;
                let told = told(&engine, &mut worker, body.as_bytes());
                if let Some(at) = told.to_ascii_lowercase().find(&CANARY.to_ascii_lowercase()) {
                    let from = told.floor_char_boundary(at.saturating_sub(100));
                    leaks.push(format!("{action:?} {path} of {name}, {form}: {}", &told[from..at]));
                }
            }
        }
    }
    assert!(leaks.is_empty(), "{} of {bodies} bodies:\n{}", leaks.len(), leaks.join("\n"));
    assert!(bodies > 5000, "only {bodies} bodies");
}

/// The proof sees what it must see: what no rule names comes out.
#[test]
fn a_canary_that_no_rule_names_is_seen() {
    let mut engine = mills::engine(&udmill::mapping::built_in(), Settings::default());
    let mut worker = mills::worker(engine.limits());
    let body = format!("{{\"id\":\"audit_log-1\",\"type\":\"login.succeeded\",\"effective_at\":1767225600,\"note\":\"{CANARY}\"}}");
    engine.redact_site(&rules(&["another.path"], &[], Action::Drop)).expect("a path");
    let seen = told(&engine, &mut worker, body.as_bytes());
    assert_eq!(seen.matches(CANARY).count(), 6, "each of two views, both letters, the whole one, the raw copy: {seen}");
    engine.redact_site(&rules(&["note"], &["azure/keyvault"], Action::Drop)).expect("a mapping");
    let seen = told(&engine, &mut worker, body.as_bytes());
    assert_eq!(seen.matches(CANARY).count(), 5, "the rules of another mapping count only where nobody knows the mapping: {seen}");
    engine.redact_site(&rules(&["note"], &["openai/audit"], Action::Drop)).expect("a mapping");
    assert!(!told(&engine, &mut worker, body.as_bytes()).contains(CANARY));
    let faults = engine.redact_site(&rules(&["a[0]", "b"], &["no/such"], Action::Drop)).expect_err("faults");
    assert!(faults.len() == 2 && faults.join(" ").contains("no/such"), "{faults:?}");
    assert!(!told(&engine, &mut worker, body.as_bytes()).contains(CANARY), "faulty rules change nothing");
}

fn udmill(arguments: &[&str], stdin: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_udmill"))
        .args(arguments)
        .env("UDMILL_TEST_REDACTION_KEY", "0123456789abcdef0123456789abcdef")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("udmill starts");
    child.stdin.take().expect("a pipe").write_all(stdin.as_bytes()).expect("udmill reads");
    child.wait_with_output().expect("udmill ends")
}

const RULES: &str = "key = { env = \"UDMILL_TEST_REDACTION_KEY\" }\n[[rule]]\naction = \"hash\"\npaths = [\"actor.session.user.email\"]\n\
                     [[rule]]\naction = \"mask\"\nmappings = [\"openai/audit\"]\npaths = [\"actor.session.user_agent\"]\n";

/// A login that is emitted, one without its time that is not, and one that is cut.
fn logins() -> String {
    let login = |time: &str| {
        format!(
            "{{\"id\":\"audit_log-1\",\"object\":\"organization.audit_log\",\"type\":\"login.succeeded\",{time}\"actor\":{{\"type\":\"session\",\"session\":{{\"user\":\
             {{\"id\":\"user-1\",\"email\":\"canary@example.com\"}},\"user_agent\":\"canary/1\",\"ip_address\":\"192.0.2.7\"}}}}}}\n"
        )
    };
    let broken = login("").replace("\"type\":\"session\"", "\"type\" \"session\"");
    format!("{}{}{}", login("\"effective_at\":1767225600,"), login(""), broken)
}

#[test]
fn replay_and_explain_let_nothing_out() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let (rules, letters) = (file("redaction.toml"), file("letters.ndjson"));
    fs::write(&rules, RULES).expect("the file is written");
    let arguments = ["replay", "-", "--redaction", &rules, "--dead-letter", &letters];
    let output = udmill(&arguments, &logins());
    let (events, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let held = fs::read_to_string(&letters).expect("dead letters");
    assert!(output.status.success(), "{errors}");
    for (name, text) in [("events", &*events), ("errors", &errors), ("dead letters", &held)] {
        assert!(!text.contains("canary"), "{name}: {text}");
    }
    let event: Value = serde_json::from_str(&events).expect("one event");
    let hash = |text: &str| {
        let at = text.find("hmac-sha256:").unwrap_or_else(|| panic!("no hash in {text}"));
        text[at..at + 76].to_owned()
    };
    let letters_of = |text: &str| text.lines().map(|line| serde_json::from_str(line).expect("a letter")).collect::<Vec<Value>>();
    let held = letters_of(&held);
    let codes: Vec<&Value> = held.iter().map(|letter| &letter["code"]).collect();
    assert_eq!(codes, [&json!("time_missing"), &json!("not_json")]);
    assert_eq!(hash(&event.to_string()), hash(&held[0].to_string()), "the same address, the same hash");
    assert!(held[0].to_string().contains("[redacted:site]"), "{}", held[0]);
    let withheld: Value = serde_json::from_str(held[1]["value"].as_str().expect("a value")).expect("JSON");
    assert_eq!(withheld["udmill_withheld"]["code"], "not_json");

    // Read again, the hash stays what it is.
    let mut letter = held[0].clone();
    letter["received"] = "2026-01-01T00:00:00Z".into();
    let again = file("again.ndjson");
    fs::write(&again, format!("{letter}\n")).expect("the file is written");
    let output = udmill(&["replay", &again, "--redrive", "--redaction", &rules], "");
    assert_eq!(hash(&String::from_utf8_lossy(&output.stdout)), hash(&event.to_string()));

    let output = udmill(&["explain", "-", "--redaction", &rules], &logins());
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(shown.contains("hmac-sha256:") && !shown.contains("canary"), "{shown}");

    fs::write(&rules, format!("dead_letters = false\n{RULES}")).expect("the file is written");
    let output = udmill(&arguments, &logins());
    assert!(!String::from_utf8_lossy(&output.stdout).contains("canary"));
    let held = fs::read_to_string(&letters).expect("dead letters");
    assert_eq!(held.matches("canary@example.com").count(), 2, "{held}");
}

#[test]
fn faults_are_told_before_anything_runs() {
    let folder = tempfile::tempdir().expect("a folder");
    let rules = folder.path().join("redaction.toml").to_string_lossy().into_owned();
    let said = |output: Output| (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned());
    fs::write(&rules, RULES.replace("actor.session.user_agent", "actor[0]").replace("\"mask\"", "\"blur\"")).expect("the file is written");
    let (code, text) = said(udmill(&["check", "-q", "--redaction", &rules], ""));
    assert!(code == Some(2) && text.contains("blur"), "{text}");
    fs::write(&rules, RULES.replace("openai/audit", "openai/odd").replace("UDMILL_TEST_REDACTION_KEY", "UDMILL_TEST_NEVER_SET"))
        .expect("the file is written");
    let (code, text) = said(udmill(&["check", "-q", "--redaction", &rules], ""));
    assert!(code == Some(2) && text.contains("openai/odd") && !text.contains("NEVER_SET"), "check reads no key: {text}");
    let (code, text) = said(udmill(&["replay", "-", "--redaction", &rules], &logins()));
    assert!(code == Some(2) && text.contains("UDMILL_TEST_NEVER_SET"), "{text}");
    fs::write(&rules, RULES).expect("the file is written");
    let (code, text) = said(udmill(&["check", "-q", "--redaction", &rules], ""));
    assert_eq!(code, Some(0), "{text}");
}
