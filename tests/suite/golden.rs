//! Golden cases: `tests/golden/<folder>/<trouble>.in.json` (or `.in.bin`) is a message body as received, `.out.json` what becomes of it.
//!
//! `UPDATE_GOLDEN=1 cargo test --test suite golden` writes the outcomes anew; read the difference as a reviewer would.
//! `GOLDEN=part_of_a_name` runs only some. Beside a body may stand `.with.json`: the broker's time, databases of places and limits that are small enough to reach;
//! a site's folder of mappings; and `.mapping.toml`: the only mapping of that case.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Value, json};
use udmill::decode::Limits;
use udmill::engine::codes::{CODES, Said};
use udmill::engine::{Engine, Outcome, Outcomes, Part, Settings};
use udmill::mapping::Files;
use udmill::udm::{Level, lint};

use crate::mills::{self, PROFILES};

/// What a case may set, each as the engine's own setting of that name.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct With {
    /// The broker's time in milliseconds since the Unix epoch.
    received: Option<i64>,
    body_bytes: Option<usize>,
    records: Option<usize>,
    max_event_bytes: Option<usize>,
    /// Addresses are looked up in the databases of `tests/data`.
    #[serde(default)]
    places: bool,
    /// A site's folder of mappings, a path below the project's.
    site: Option<String>,
}

/// One body and its neighbours.
struct Case {
    /// Path below `tests/golden` without an ending.
    name: String,
    body: PathBuf,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

/// Every case below a folder of `tests/golden`, sorted.
fn cases(below: &str) -> Vec<Case> {
    let mut folders = vec![folder().join(below)];
    let mut cases = Vec::new();
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).unwrap_or_else(|fault| panic!("{}: {fault}", next.display())) {
            let path = entry.expect("a folder entry is readable").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let name = path.strip_prefix(folder()).expect("it lies below").to_string_lossy().replace('\\', "/");
            if let Some(name) = name.strip_suffix(".in.json").or(name.strip_suffix(".in.bin")) {
                cases.push(Case { name: name.to_owned(), body: path });
            }
        }
    }
    cases.sort_by(|a, b| a.name.cmp(&b.name));
    cases
}

impl Case {
    fn beside(&self, ending: &str) -> PathBuf {
        folder().join(format!("{}.{ending}", self.name))
    }

    fn with(&self) -> With {
        match fs::read_to_string(self.beside("with.json")) {
            Ok(text) => serde_json::from_str(&text).unwrap_or_else(|fault| panic!("{}.with.json: {fault}", self.name)),
            Err(_) => With::default(),
        }
    }

    /// What becomes of the body, as the golden file tells it.
    fn outcome(&self) -> Value {
        let body = fs::read(&self.body).unwrap_or_else(|fault| panic!("{}: {fault}", self.name));
        let with = self.with();
        let mut settings = Settings::default();
        let is_plain = with.body_bytes.is_none() && with.records.is_none() && with.max_event_bytes.is_none();
        let limits = Limits::default();
        settings.limits =
            Limits { body_bytes: with.body_bytes.unwrap_or(limits.body_bytes), records: with.records.unwrap_or(limits.records), ..limits };
        settings.max_event_bytes = with.max_event_bytes.unwrap_or(settings.max_event_bytes);
        let own;
        let engine = if let Ok(text) = fs::read_to_string(self.beside("mapping.toml")) {
            let mut files = Files::new();
            files.add_built_in("case/log.toml", &text);
            own = mills::engine(&files, settings);
            &own
        } else if let Some(site) = &with.site {
            own = mills::sited(site);
            &own
        } else if is_plain {
            mills::shipped()
        } else {
            own = mills::engine(&udmill::mapping::built_in(), settings);
            &own
        };
        let mut worker = if with.places { mills::worker_with_places(engine.limits()) } else { mills::worker(engine.limits()) };
        let outcomes = mills::run(engine, &mut worker, &body, with.received);
        told(engine, &outcomes)
    }
}

/// The parts in order. What both profiles agree on stands once, without a profile.
fn told(engine: &Engine, outcomes: &Outcomes) -> Value {
    let mut told = Vec::new();
    let mut at = 0;
    while at < outcomes.parts.len() {
        // The parts of one record: first all of one profile, then all of the other.
        let finding = outcomes.parts[at].finding;
        let end = at + outcomes.parts[at..].iter().take_while(|part| part.finding == finding).count();
        let record = &outcomes.parts[at..end];
        let of = |view: u16| record.iter().filter(move |part| part.view == view);
        let plain: Vec<Value> = of(0).map(|part| part_told(engine, outcomes, part)).collect();
        let typed: Vec<Value> = of(1).map(|part| part_told(engine, outcomes, part)).collect();
        if typed.is_empty() || plain == typed {
            told.extend(plain);
        } else {
            for (profile, parts) in PROFILES.into_iter().zip([plain, typed]) {
                for mut part in parts {
                    let mut named = json!({ "profile": profile });
                    let members = part.as_object_mut().expect("a part is told as an object");
                    named.as_object_mut().expect("made above").append(members);
                    told.push(named);
                }
            }
        }
        at = end;
    }
    Value::Array(told)
}

fn part_told(engine: &Engine, outcomes: &Outcomes, part: &Part) -> Value {
    let plan = engine.plan(part);
    let mut told = json!({});
    if let Some(plan) = plan {
        told["mapping"] = json!(plan.name);
    }
    match &part.outcome {
        Outcome::Emit { fallback, .. } => {
            told["outcome"] = json!("emitted");
            if *fallback {
                told["fallback"] = json!(true);
            }
        }
        Outcome::Reject(reject) => {
            told["outcome"] = json!("rejected");
            told["stage"] = json!(reject.stage.name());
            told["code"] = json!(reject.code);
            told["path"] = json!(reject.path);
            told["detail"] = json!(reject.detail);
        }
        Outcome::Skip { reason } => {
            told["outcome"] = json!("skipped");
            told["code"] = json!(outcomes.text(reason));
        }
    }
    let notes: Vec<Value> = outcomes.notes[part.notes.clone()]
        .iter()
        .map(|note| {
            let row = plan.and_then(|plan| plan.row_infos.get(note.row as usize));
            json!({ "code": note.code, "targets": row.map(|row| row.targets.clone()).unwrap_or_default() })
        })
        .collect();
    if !notes.is_empty() {
        told["notes"] = json!(notes);
    }
    if let Some(event) = mills::event(outcomes, part) {
        let wrong: Vec<_> = lint(&event).into_iter().filter(|finding| finding.level == Level::Error).collect();
        assert!(wrong.is_empty(), "the event is not sound: {wrong:?}\n{event:#}");
        told["event"] = event;
    }
    told
}

/// Runs the cases of a folder against their golden files, or writes these.
fn check(below: &str) {
    let wanted = env::var("GOLDEN").unwrap_or_default();
    let is_update = env::var_os("UPDATE_GOLDEN").is_some();
    let mut faults = Vec::new();
    let mut count = 0;
    for case in cases(below).into_iter().filter(|case| case.name.contains(&wanted)) {
        count += 1;
        let mut text = serde_json::to_string_pretty(&case.outcome()).expect("a value is JSON");
        text.push('\n');
        let golden = case.beside("out.json");
        let found = fs::read_to_string(&golden).unwrap_or_default();
        if found == text {
            continue;
        }
        if is_update {
            fs::write(&golden, &text).expect("the golden folder is writable");
            continue;
        }
        let line =
            found.lines().zip(text.lines()).position(|(old, new)| old != new).unwrap_or(found.lines().count().min(text.lines().count()));
        let at = |text: &str| text.lines().nth(line).unwrap_or("(end)").to_owned();
        faults.push(format!("tests/golden/{}.out.json:{}: expected {}, found {}", case.name, line + 1, at(&found), at(&text)));
    }
    assert!(count > 0 || !wanted.is_empty(), "tests/golden/{below} has no case");
    assert!(faults.is_empty(), "{} cases differ; UPDATE_GOLDEN=1 rewrites them\n{}", faults.len(), faults.join("\n"));
}

macro_rules! folders {
    ($($test:ident = $folder:literal),* $(,)?) => {
        $(
            #[test]
            fn $test() {
                check($folder);
            }
        )*
        const FOLDERS: &[&str] = &[$($folder),*];
    };
}

folders! {
    openai_audit = "openai/audit",
    azure_activity = "azure/activity",
    azure_api_management = "azure/api_management",
    azure_cognitive_services = "azure/cognitive_services",
    azure_entra_audit = "azure/entra_audit",
    azure_entra_risk = "azure/entra_risk",
    azure_entra_signin = "azure/entra_signin",
    azure_graph_activity = "azure/graph_activity",
    azure_keyvault = "azure/keyvault",
    azure_firewall = "azure/firewall",
    azure_machine_learning = "azure/machine_learning",
    azure_metrics = "azure/metrics",
    azure_nsg_flow = "azure/nsg_flow",
    azure_nsg_rules = "azure/nsg_rules",
    azure_private_link = "azure/private_link",
    azure_resource_common = "azure/resource_common",
    azure_storage = "azure/storage",
    azure_traffic_analytics = "azure/traffic_analytics",
    azure_vnet_flow = "azure/vnet_flow",
    decode = "decode",
    engine = "engine",
}

#[test]
fn every_mapping_and_every_folder_is_run() {
    for name in udmill::mapping::list(&udmill::mapping::built_in()) {
        assert!(FOLDERS.contains(&name.as_str()), "mapping `{name}` has no folder of golden cases");
    }
    for case in cases("").iter().filter(|case| !case.name.starts_with("diagnostics/")) {
        let (below, trouble) = case.name.rsplit_once('/').unwrap_or_default();
        assert!(FOLDERS.contains(&below), "no test runs tests/golden/{below}");
        assert!(trouble.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_')), "{}: name it for its trouble", case.name);
    }
    for golden in ["openai", "azure", "decode", "engine"].iter().flat_map(|below| outputs(&folder().join(below))) {
        let stem = golden.to_string_lossy().trim_end_matches(".out.json").to_owned();
        let has_body = ["in.json", "in.bin"].iter().any(|ending| Path::new(&format!("{stem}.{ending}")).exists());
        assert!(has_body, "{}: no body belongs to it", golden.display());
    }
}

fn outputs(below: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(below).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(outputs(&path));
        } else if path.to_string_lossy().ends_with(".out.json") {
            found.push(path);
        }
    }
    found
}

/// Codes that no body can bring about, and who shows them instead.
const SHOWN_ELSEWHERE: &[(&str, &str)] = &[
    ("panic", "no input is known that makes the engine fail; the property tests look for one"),
    ("output_refused", "the broker says it, not the engine; see tests/broker"),
    ("no_output", "the settings say it, not a mapping; see runtime/engine_mill.rs and tests/broker/routes.rs"),
    ("other_output", "as `no_output`"),
    ("repeat", "the partition says it; see tests/suite/routes.rs"),
];

#[test]
fn every_reject_skip_and_repair_has_a_case() {
    let mut shown: BTreeSet<(&str, String)> = BTreeSet::new();
    for below in FOLDERS {
        for case in cases(below) {
            let text = fs::read_to_string(case.beside("out.json")).unwrap_or_default();
            let parts: Vec<Value> = serde_json::from_str(&text).unwrap_or_default();
            for part in parts {
                let is = if part["outcome"] == "rejected" { "reject" } else { "skip" };
                if let Some(code) = part["code"].as_str() {
                    shown.insert((is, code.to_owned()));
                }
                let repair = part["event"]["additional"]["udmill_repair"].as_str().unwrap_or_default();
                shown.extend(repair.split([',', ' ']).map(|word| ("repair", word.to_owned())));
            }
        }
    }
    let mut missing = Vec::new();
    for code in CODES {
        let is = match code.said {
            Said::Reject(_) => "reject",
            Said::Skip => "skip",
            Said::Repair => "repair",
            Said::Note => continue,
        };
        if !shown.contains(&(is, code.id.to_owned())) && !SHOWN_ELSEWHERE.iter().any(|(id, _)| *id == code.id) {
            missing.push(format!("{is} {}", code.id));
        }
    }
    assert!(missing.is_empty(), "no golden case shows: {}", missing.join(", "));
}
