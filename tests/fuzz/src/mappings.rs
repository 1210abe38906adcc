//! The loader of mappings: a damaged table is refused with diagnostics that can be shown, or taken; one that is taken maps a record without
//! a panic and writes JSON.

use crate::pieces::{Budget, damage};
use udmill::engine::{Engine, Message, Outcome, Outcomes, Settings, Timestamp, View, Worker};
use udmill::enrich::{Enrichers, Sizes};
use udmill::mapping::diagnostic::Severity;
use udmill::mapping::{File, Files, built_in, list, profiles, render};

const PIECES: [&str; 54] = [
    "[",
    "]",
    "{",
    "}",
    "\"",
    "'",
    "\"\"\"",
    ",",
    "=",
    ".",
    "[*]",
    "[0]",
    "[1..]",
    ">json",
    "$payload",
    "[]",
    "*",
    "\n",
    "#",
    " ",
    "é",
    "true",
    "false",
    "0",
    "-1",
    "99999999999999999999",
    "1.5",
    "\"ip\"",
    "\"timestamp\"",
    "{ regex = \"(\" }",
    "\"a.b\"",
    "replace = true",
    "remove = true",
    "fallback = true",
    "when = { record_has = \"a\" }",
    "when = { any = [] }",
    "when = { not = { event_has = [\"principal.ip\"] } }",
    "emit = \"events\"",
    "emit = \"elements\"",
    "[[each]]\n",
    "[values]\n",
    "[fields]\n",
    "[profile.typed]\n",
    "[lookup.x]\n",
    "include = [\"azure/resource_common\"]\n",
    "extends = true\n",
    "as = \"lower\"",
    "as = [\"lower\", \"trim\"]",
    "to = \"principal.ip\"",
    "to = \"additional{x}\"",
    "template = \"{a}{b}\"",
    "sum = [\"a\", \"b\"]",
    "dormant = \"x\"",
    "else = \"base\"",
];

/// One record for each kind of table; a mapping that claims something else rejects them.
const RECORDS: [&str; 3] = [
    r#"{"time":"2026-03-04T09:16:00Z","resourceId":"/SUBSCRIPTIONS/11111111-2222-4333-8444-555555555555/RESOURCEGROUPS/R/PROVIDERS/MICROSOFT.KEYVAULT/VAULTS/V","operationName":"VaultGet","category":"AuditEvent","resultType":"Success","callerIpAddress":"192.0.2.7","identity":{"claim":{"upn":"a@example.com"}},"properties":{"clientInfo":"Mozilla/5.0","requestUri":"https://v.vault.azure.net/","id":"https://v","httpStatusCode":200,"list":[1,{"a":2}],"text":"{\"x\":[1]}"}}"#,
    r#"{"object":"organization.audit_log","id":"audit_log-1","type":"login.failed","effective_at":1711471533,"actor":{"type":"session","session":{"user":{"id":"user-x","email":"a@example.com"},"ip_address":"192.0.2.7","ja4":"t13d1516h2_8daaf6152771_b186095e22b6"}},"login.failed":{"error_code":"e","error_message":"m"}}"#,
    r#"{"time":"2026-03-04T09:16:00.5Z","flowLogVersion":4,"category":"FlowLogFlowEvent","operationName":"FlowLogFlowEvent","flowRecords":{"flows":[{"aclID":"u","flowGroups":[{"rule":"r","flowTuples":["1772615721250,10.1.0.4,203.0.113.9,44838,443,6,O,B,X,0,0,0,0"]}]}]}}"#,
];

/// A mapping with every file that it may name.
fn files_of(all: &Files, name: &str) -> Vec<File> {
    let mut wanted = vec![format!("{name}.toml")];
    let mut at = 0;
    while at < wanted.len() {
        let text = all.iter().find(|(_, file)| file.name == wanted[at]).map_or("", |(_, file)| file.text.as_str());
        let included = text.lines().filter(|line| line.starts_with("include")).flat_map(|line| line.split('"').skip(1).step_by(2));
        for name in included.map(|name| format!("{name}.toml")) {
            if !wanted.contains(&name) {
                wanted.push(name);
            }
        }
        at += 1;
    }
    let is_wanted = |file: &File| wanted.contains(&file.name) || file.name.ends_with(".csv");
    all.iter().filter(|(_, file)| is_wanted(file)).map(|(_, file)| file.clone()).collect()
}

/// Runs until the budget is spent; panics on the first fault.
pub fn run(budget: &mut Budget, seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let all = built_in();
    let sets: Vec<Vec<File>> = list(&all).iter().map(|name| files_of(&all, name)).collect();
    let (mut outcomes, mut taken) = (Outcomes::default(), 0u64);
    while budget.more() {
        let set = &sets[random.usize(..sets.len())];
        let mut files = Files::new();
        // Mostly a table is damaged, sometimes one of its look-ups.
        let tables = set.iter().enumerate().filter(|(_, file)| file.name.ends_with(".toml")).map(|(at, _)| at).collect::<Vec<_>>();
        let hit = if random.u8(..) < 220 { tables[random.usize(..tables.len())] } else { random.usize(..set.len()) };
        let mut change = String::new();
        for (at, file) in set.iter().enumerate() {
            let mut file = file.clone();
            if at == hit {
                let mut bytes = std::mem::take(&mut file.text).into_bytes();
                for _ in 0..=random.usize(..3) {
                    damage(&mut random, &mut bytes, &PIECES);
                }
                file.text = String::from_utf8_lossy(&bytes).into_owned();
                file.site = random.u8(..) < 32;
                change.clone_from(&file.text);
            }
            files.add(file);
        }
        let known: Vec<String> = list(&files).iter().flat_map(|name| profiles(&files, name)).collect();
        let profile = if known.is_empty() || random.bool() { None } else { Some(known[random.usize(..known.len())].clone()) };
        let built = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            Engine::build(&files, &[View { profile, ..View::default() }], Settings::default())
        }));
        let Ok(built) = built else { panic!("the loader failed on {} as\n{change}", set[hit].name) };
        match built {
            Err(faults) => {
                assert!(
                    faults.iter().any(|fault| fault.severity == Severity::Error),
                    "refused without a fault: {}\n{change}",
                    set[hit].name
                );
                let shown = std::panic::catch_unwind(|| render(&faults, &files, false));
                assert!(shown.is_ok_and(|shown| shown.contains("error")), "a diagnostic cannot be shown: {faults:?}\n{change}");
            }
            Ok((engine, _)) => {
                taken += 1;
                let mut worker = Worker::new(engine.limits(), Enrichers::new(Default::default(), Sizes::default(), 1));
                for body in RECORDS {
                    let pin = list(&files).first().and_then(|name| engine.mapping(name)).filter(|_| random.bool());
                    engine.process(&mut worker, Message { body: body.as_bytes(), received: Some(Timestamp(0)), pin }, &mut outcomes);
                    assert!(!outcomes.parts.is_empty(), "no outcome: {}\n{change}", set[hit].name);
                    for part in &outcomes.parts {
                        match &part.outcome {
                            Outcome::Emit { event, .. } => {
                                let event = &outcomes.events[event.clone()];
                                let fault = serde_json::from_slice::<serde_json::Value>(event).err();
                                assert!(fault.is_none(), "{fault:?} in {}\n{change}", String::from_utf8_lossy(event));
                            }
                            Outcome::Reject(reject) => assert_ne!(reject.code, "panic", "{} with\n{change}", reject.detail),
                            Outcome::Skip { .. } => {}
                        }
                    }
                }
            }
        }
    }
    println!("{taken} damaged tables were taken");
}
