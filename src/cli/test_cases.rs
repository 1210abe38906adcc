//! The cases that table authors keep beside a mapping: `mappings/azure/activity.cases/<name>.in.json` is a message body as received,
//! `<name>.expect.json` says what must become of its parts.
//!
//! ```json
//! [ { "part": 0, "outcome": "emitted", "profile": "typed",
//!     "facts":  { "metadata.event_type": "USER_LOGIN", "principal.ip[0]": "203.0.113.7", "additional{asn}": "64496" },
//!     "absent": [ "target.ip" ] },
//!   { "part": 1, "outcome": "rejected", "code": "time_missing" } ]
//! ```
//! A fact names one value of the event by its UDM path in snake_case. `[n]` is an element, `{key}` a label or a member of `additional`;
//! without either, a list stands for its first element. `"parts": n` in any entry also fixes how many parts there are.
//!
//! A folder `site` among the cases holds what a site would have in its own folder of mappings: all cases beside it run with these files too.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

use super::paint::{BAD, GOOD, STRONG};
use super::{Exit, Failure, mill};
use crate::engine::{Message, Outcome, Outcomes, Worker};

/// Arguments of `udmill test`.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    udmill test\n  \
    udmill test my-mappings\n\n\
    A case is a pair of files in a folder beside a mapping: acme/vpn.cases/NAME.in.json, a message body as received, and\n\
    NAME.expect.json, for example [{\"part\": 0, \"outcome\": \"emitted\", \"facts\": {\"principal.ip[0]\": \"192.0.2.1\"}, \"absent\": [\"target\"]}].\n\
    Files in acme/vpn.cases/site are laid over the mappings for the cases of that folder, as a site's own folder would be.\n\
    Exit codes: 0 all agree; 1 reading failed; 2 a mapping is at fault or a case disagrees.")]
pub struct Args {
    /// A folder of mappings, with cases beside them
    #[arg(value_name = "DIR", default_value = "mappings")]
    folder: PathBuf,
}

/// Runs the command.
///
/// # Errors
///
/// A folder without cases, files that cannot be read, mappings with faults.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    let cases = find(&args.folder)?;
    if cases.is_empty() {
        let folder = args.folder.display();
        return Err(Failure::config(format!("{folder}: no case found; one lies at {folder}/VENDOR/LOG.cases/NAME.in.json")));
    }
    let mut engines: BTreeMap<(String, Option<&Path>), (mill::Prepared, Worker)> = BTreeMap::new();
    let mut outcomes = Outcomes::default();
    let mut differ = 0_usize;
    for case in &cases {
        let mut faults = Vec::new();
        for expected in &case.expected {
            let profile = expected.profile.clone().unwrap_or_else(|| mill::DEFAULT_PROFILE.to_owned());
            let key = (profile.clone(), case.site.as_deref());
            if !engines.contains_key(&key) {
                let own = mill::MappingArgs {
                    profile: Some(profile.clone()),
                    mappings: Some(args.folder.clone()),
                    ..mill::MappingArgs::default()
                };
                let prepared = mill::prepare_over(&own, case.site.as_deref())?;
                let worker = prepared.worker();
                engines.insert(key.clone(), (prepared, worker));
            }
            let (prepared, worker) = engines.get_mut(&key).expect("it was put in above");
            prepared.engine.process(worker, Message::new(&case.body), &mut outcomes);
            let parts: Vec<PartResult> = outcomes.parts.iter().map(|part| PartResult::of(&part.outcome, &outcomes)).collect();
            faults.extend(compare(expected, &parts).into_iter().map(|fault| format!("{profile}: {fault}")));
        }
        if !faults.is_empty() {
            differ += 1;
            anstream::println!("{BAD}differs{BAD:#}  {STRONG}{}{STRONG:#}", case.path.display());
            for fault in faults {
                anstream::println!("  {fault}");
            }
        }
    }
    if differ > 0 {
        return Err(Failure::config(format!("{differ} of {} cases differ", cases.len())));
    }
    anstream::println!("{GOOD}{} cases agree{GOOD:#}", cases.len());
    Ok(Exit::Done)
}

impl PartResult {
    fn of(outcome: &Outcome, outcomes: &Outcomes) -> PartResult {
        match outcome {
            Outcome::Emit { event, .. } => {
                let event = serde_json::from_slice(&outcomes.events[event.clone()]).ok();
                PartResult { outcome: "emitted", code: String::new(), event }
            }
            Outcome::Reject(reject) => PartResult { outcome: "rejected", code: reject.code.to_owned(), event: None },
            Outcome::Skip { reason } => PartResult { outcome: "skipped", code: outcomes.text(reason).to_owned(), event: None },
        }
    }
}

/// What became of one part of a case's body.
#[derive(Clone, Debug, Default)]
pub struct PartResult {
    /// `emitted`, `rejected` or `skipped`.
    pub outcome: &'static str,
    /// Code of a reject, reason of a skip; empty for an emitted part.
    pub code: String,
    /// The event of an emitted part.
    pub event: Option<Value>,
}

/// One entry of an `.expect.json` file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expected {
    /// Which part, from 0.
    part: usize,
    /// `emitted`, `rejected` or `skipped`.
    outcome: String,
    /// The profile to run under; without one as `replay` does.
    pub profile: Option<String>,
    /// Code of a reject or reason of a skip.
    code: Option<String>,
    /// How many parts the body has.
    parts: Option<usize>,
    /// Values of the event.
    #[serde(default)]
    facts: BTreeMap<String, Value>,
    /// Paths that must hold nothing.
    #[serde(default)]
    absent: Vec<String>,
}

/// One case.
#[derive(Debug)]
pub struct Case {
    /// The `.in.json` file.
    pub path: PathBuf,
    /// The body.
    pub body: Vec<u8>,
    /// What must become of it.
    pub expected: Vec<Expected>,
    /// The folder `site` beside it.
    pub site: Option<PathBuf>,
}

/// Finds every case below a folder, in the order of names.
///
/// # Errors
///
/// A folder or file that cannot be read, a case without its other half, an expectation that is no such JSON.
pub fn find(folder: &Path) -> Result<Vec<Case>, Failure> {
    let mut files = Vec::new();
    walk(folder, &mut files).map_err(|fault| Failure::io(folder.display(), &fault))?;
    files.sort();
    let mut cases = Vec::new();
    for path in files {
        let name = path.to_string_lossy().into_owned();
        if let Some(stem) = name.strip_suffix(".expect.json") {
            if !Path::new(&format!("{stem}.in.json")).exists() {
                return Err(Failure::config(format!("{name} has no `.in.json` beside it")));
            }
        } else if let Some(stem) = name.strip_suffix(".in.json") {
            let expect = format!("{stem}.expect.json");
            let text = fs::read_to_string(&expect).map_err(|fault| Failure::io(&expect, &fault))?;
            let expected: Vec<Expected> = serde_json::from_str(&text).map_err(|fault| Failure::config(format!("{expect}: {fault}")))?;
            if expected.is_empty() {
                return Err(Failure::config(format!("{expect} expects nothing; name at least one part")));
            }
            let body = fs::read(&path).map_err(|fault| Failure::io(path.display(), &fault))?;
            let site = path.parent().map(|folder| folder.join("site")).filter(|site| site.is_dir());
            cases.push(Case { path, body, expected, site });
        }
    }
    Ok(cases)
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            walk(&path, files)?;
        } else if folder.extension().is_some_and(|ending| ending == "cases") {
            files.push(path);
        }
    }
    Ok(())
}

/// Compares one entry with the parts of its profile; one line for every difference.
pub fn compare(expected: &Expected, parts: &[PartResult]) -> Vec<String> {
    let mut faults = Vec::new();
    if let Some(count) = expected.parts
        && count != parts.len()
    {
        faults.push(format!("{} parts, expected {count}", parts.len()));
    }
    let Some(part) = parts.get(expected.part) else {
        faults.push(format!("there is no part {}: the body gave {}", expected.part, parts.len()));
        return faults;
    };
    let mut fault = |text: String| faults.push(format!("part {}: {text}", expected.part));
    if part.outcome != expected.outcome {
        let code = if part.code.is_empty() { String::new() } else { format!(" ({})", part.code) };
        fault(format!("{}{code}, expected {}", part.outcome, expected.outcome));
    }
    if let Some(code) = &expected.code
        && *code != part.code
    {
        fault(format!("code `{}`, expected `{code}`", part.code));
    }
    let event = part.event.as_ref().unwrap_or(&Value::Null);
    for (path, value) in &expected.facts {
        match lookup(event, path) {
            Ok(Some(found)) if agree(found, value) => {}
            Ok(Some(found)) => fault(format!("`{path}` is {found}, expected {value}")),
            Ok(None) => fault(format!("`{path}` is not there, expected {value}")),
            Err(what) => fault(what),
        }
    }
    for path in &expected.absent {
        match lookup(event, path) {
            Ok(None) => {}
            Ok(Some(found)) => fault(format!("`{path}` is {found}, expected nothing")),
            Err(what) => fault(what),
        }
    }
    faults
}

/// Whether a value is what the fact says. Numbers are compared by what they are worth, and a fact may state one as text: which of both stands
/// in the event is the schema's affair.
fn agree(found: &Value, fact: &Value) -> bool {
    match (found, fact) {
        (Value::Number(found), Value::Number(fact)) => found == fact || found.as_f64() == fact.as_f64(),
        (Value::Number(found), Value::String(fact)) => found.to_string() == *fact,
        (found, fact) => found == fact,
    }
}

/// One step of a fact's path.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    Field(String),
    Index(usize),
    Key(String),
}

/// The value that a path names. `Ok(None)`: there is none.
fn lookup<'a>(event: &'a Value, path: &str) -> Result<Option<&'a Value>, String> {
    let steps = steps(path)?;
    let mut at = event;
    for (index, step) in steps.iter().enumerate() {
        let next = match step {
            Step::Field(name) => first_of(at).and_then(|value| value.get(name)),
            Step::Index(number) => at.get(number),
            // Labels are a list of key and value; `additional` is an object.
            Step::Key(key) => match at {
                Value::Array(labels) => labels.iter().find(|label| label["key"] == **key).and_then(|label| label.get("value")),
                object => object.get(key),
            },
        };
        let Some(next) = next else { return Ok(None) };
        at = next;
        // A list at the end of a path stands for its first element.
        if index + 1 == steps.len() && matches!(step, Step::Field(_)) {
            return Ok(first_of(at));
        }
    }
    Ok(Some(at))
}

fn first_of(value: &Value) -> Option<&Value> {
    match value {
        Value::Array(elements) => elements.first(),
        other => Some(other),
    }
}

fn steps(path: &str) -> Result<Vec<Step>, String> {
    let wrong = |what: &str| format!("`{path}` is no path of an event: {what}");
    let mut steps = Vec::new();
    let mut rest = path;
    while !rest.is_empty() {
        if let Some(inside) = rest.strip_prefix('[') {
            let (number, after) = inside.split_once(']').ok_or_else(|| wrong("`]` is missing"))?;
            steps.push(Step::Index(number.parse().map_err(|_| wrong("`[ ]` holds a number from 0"))?));
            rest = after;
        } else if let Some(inside) = rest.strip_prefix('{') {
            let (key, after) = inside.rsplit_once('}').ok_or_else(|| wrong("`}` is missing"))?;
            steps.push(Step::Key(key.to_owned()));
            rest = after;
        } else {
            rest = rest.strip_prefix('.').unwrap_or(rest);
            let end = rest.find(['.', '[', '{']).unwrap_or(rest.len());
            let (name, after) = rest.split_at(end);
            if name.is_empty() {
                return Err(wrong("a name is missing"));
            }
            if steps.first() == Some(&Step::Field("additional".to_owned())) {
                return Err(wrong("a member of `additional` is written `additional{name}`"));
            }
            steps.push(Step::Field(camel_case(name)));
            rest = after;
        }
    }
    if steps.is_empty() { Err(wrong("it is empty")) } else { Ok(steps) }
}

/// `event_type` -> `eventType`, as proto3 JSON writes field names.
fn camel_case(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    let mut upper = false;
    for c in name.chars() {
        if c == '_' {
            upper = true;
        } else if std::mem::take(&mut upper) {
            text.extend(c.to_uppercase());
        } else {
            text.push(c);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event() -> Value {
        json!({
            "metadata": { "eventType": "USER_LOGIN" },
            "principal": { "ip": ["192.0.2.1", "192.0.2.2"] },
            "securityResult": [ { "action": ["ALLOW"], "detectionFields": [ { "key": "ja4", "value": "t13d" } ] } ],
            "additional": { "asn": "64496", "unmapped.a.b": "1" },
        })
    }

    #[test]
    fn paths_find_what_they_name() {
        let event = event();
        for (path, expected) in [
            ("metadata.event_type", Some(json!("USER_LOGIN"))),
            ("principal.ip[1]", Some(json!("192.0.2.2"))),
            ("principal.ip", Some(json!("192.0.2.1"))),
            ("principal.ip[2]", None),
            ("security_result.action[0]", Some(json!("ALLOW"))),
            ("security_result[0].detection_fields{ja4}", Some(json!("t13d"))),
            ("security_result.detection_fields{ja3}", None),
            ("additional{asn}", Some(json!("64496"))),
            ("additional{unmapped.a.b}", Some(json!("1"))),
            ("target.user.userid", None),
        ] {
            assert_eq!(lookup(&event, path).expect(path).cloned(), expected, "case: {path}");
        }
        for path in ["", "principal.ip[x]", "principal.ip[1", "a..b", "additional{a", "additional.asn"] {
            assert!(lookup(&event, path).is_err(), "case: {path}");
        }
    }

    #[test]
    fn numbers_agree_by_worth() {
        for (found, fact, expected) in [
            (json!(443), json!(443), true),
            (json!(443), json!("443"), true),
            (json!(0.0), json!(0), true),
            (json!("443"), json!(443), false),
            (json!(443), json!("0443"), false),
            (json!(443), json!(444), false),
        ] {
            assert_eq!(agree(&found, &fact), expected, "case: {found} {fact}");
        }
    }

    #[test]
    fn differences_are_told_and_agreement_is_silent() {
        let parts = [
            PartResult { outcome: "emitted", code: String::new(), event: Some(event()) },
            PartResult { outcome: "rejected", code: "time_missing".into(), event: None },
        ];
        let expected = |text: Value| serde_json::from_value::<Expected>(text).expect("an expectation");
        let agree = json!({ "part": 0, "outcome": "emitted", "parts": 2, "facts": { "metadata.event_type": "USER_LOGIN" }, "absent": ["target.ip"] });
        assert_eq!(compare(&expected(agree), &parts), [] as [&str; 0]);
        let agree = json!({ "part": 1, "outcome": "rejected", "code": "time_missing" });
        assert_eq!(compare(&expected(agree), &parts), [] as [&str; 0]);
        for (name, differs, fault) in [
            ("outcome", json!({ "part": 1, "outcome": "emitted" }), "part 1: rejected (time_missing), expected emitted"),
            ("code", json!({ "part": 1, "outcome": "rejected", "code": "panic" }), "part 1: code `time_missing`, expected `panic`"),
            ("count", json!({ "part": 0, "outcome": "emitted", "parts": 3 }), "2 parts, expected 3"),
            ("no such part", json!({ "part": 2, "outcome": "emitted" }), "there is no part 2: the body gave 2"),
            (
                "value",
                json!({ "part": 0, "outcome": "emitted", "facts": { "principal.ip": "x" } }),
                "part 0: `principal.ip` is \"192.0.2.1\", expected \"x\"",
            ),
            (
                "gone",
                json!({ "part": 0, "outcome": "emitted", "facts": { "src.ip": "x" } }),
                "part 0: `src.ip` is not there, expected \"x\"",
            ),
            (
                "too much",
                json!({ "part": 0, "outcome": "emitted", "absent": ["additional{asn}"] }),
                "part 0: `additional{asn}` is \"64496\", expected nothing",
            ),
        ] {
            assert_eq!(compare(&expected(differs), &parts), [fault], "case: {name}");
        }
    }
}
