//! Platform metrics: none is an event until a site chooses it.

use std::fs;
use std::path::Path;

use serde_json::json;
use udmill::engine::{Engine, Outcome, Settings};
use udmill::mapping::{self, File};

use crate::mills;

/// Outcome and reason of every part of a body, under the first profile.
fn told(engine: &Engine, body: &[u8]) -> Vec<(&'static str, String)> {
    let outcomes = mills::run(engine, &mut mills::worker(engine.limits()), body, None);
    let parts = outcomes.parts.iter().filter(|part| part.view == 0 && engine.plan(part).is_some_and(|plan| plan.name == "azure/metrics"));
    let outcome = |outcome: &Outcome| match outcome {
        Outcome::Emit { .. } => ("emitted", String::new()),
        Outcome::Skip { reason } => ("skipped", outcomes.text(reason).to_owned()),
        Outcome::Reject(reject) => ("rejected", reject.code.to_owned()),
    };
    parts.map(|part| outcome(&part.outcome)).collect()
}

#[test]
fn no_metric_is_an_event_by_default() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut seen = 0;
    for folder in ["tests/samples/azure/metrics", "mappings/azure/metrics.cases", "mappings/azure/metrics_with_limits.cases"] {
        for entry in fs::read_dir(root.join(folder)).expect("the folder is readable").flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if !name.ends_with(".in.json") && !name.ends_with(".payload.json") && !name.ends_with(".ndjson") {
                continue;
            }
            let body = fs::read(entry.path()).expect("a body is readable");
            let found = told(mills::shipped(), &body);
            assert!(!found.is_empty(), "{folder}/{name} holds a metric");
            assert!(found.iter().all(|end| *end == ("skipped", "metric".to_owned())), "{folder}/{name}: {found:?}");
            seen += found.len();
        }
    }
    assert!(seen > 20, "only {seen} metrics");
}

#[test]
fn a_site_adds_lines_of_its_own() {
    let mut files = mapping::built_in();
    let text = "extends = true\n[lookup.thresholds]\nextends = true\n\
                rows = [ { key = \"TotalTokens\", aggregation = \"total\", at_least = \"1000000\", severity = \"LOW\" } ]\n";
    files.add(File {
        name: "azure/metrics.toml".to_owned(),
        shown: "site/azure/metrics.toml".to_owned(),
        text: text.to_owned(),
        site: true,
    });
    let engine = mills::engine(&files, Settings::default());
    let metric = |name: &str, total: u64| {
        json!({
            "time": "2026-03-04T09:15:00.0000000Z", "metricName": name, "timeGrain": "PT1M", "count": 1, "total": total, "average": total,
            "minimum": total, "maximum": total,
            "resourceId": "/SUBSCRIPTIONS/11111111-2222-4333-8444-555555555555/RESOURCEGROUPS/RG/PROVIDERS/MICROSOFT.COGNITIVESERVICES/ACCOUNTS/AI1",
        })
    };
    let records = [metric("TotalTokens", 999_999), metric("totaltokens", 1_000_000), metric("BlockedCalls", 9)];
    let skipped = |reason: &str| ("skipped", reason.to_owned());
    assert_eq!(
        told(&engine, json!({ "records": records }).to_string().as_bytes()),
        [skipped("metric_within_limits"), ("emitted", String::new()), skipped("metric")]
    );
}
